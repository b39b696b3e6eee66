"""The document against the running town: requests made up of the document, answers held against it, step upon step.

Longer with `make fuzz`: `FUZZ_SECONDS` is how long requests are made up.
"""

import asyncio
import json
import os
import subprocess
import sys

import pytest

from tests.flow.town import open_town

pytestmark = pytest.mark.one_redis("it looks for holes in HTTP, and takes long")

SECONDS = int(os.environ.get("FUZZ_SECONDS", "25"))
SEED = None if "FUZZ_SECONDS" in os.environ else 20_261_121
"""The suite makes the same requests up each time; `make fuzz` others, and prints their seed."""
PARTS_TIMEOUT_S = 90
"""What starting, the fixed phases and shrinking may take besides."""
NOT_LOOKED_AT = {
    "positive_data_acceptance": "what fits the schema may still be refused: seats that do not exist, a day in the past",
}


@pytest.fixture(scope="module")
def town(postgres, migrated_template, tmp_path_factory):
    """A town of this module's own: what is made up here freezes and blocks whatever it finds."""
    with open_town(tmp_path_factory.mktemp("town"), "valkey", postgres, migrated_template) as town:
        yield town


@pytest.mark.timeout(SECONDS + PARTS_TIMEOUT_S + 30)
@pytest.mark.covers("004.39")
def test_what_the_document_allows_never_crashes_and_every_answer_is_as_documented(town, tmp_path):
    """No 5xx, no status, body or header that the document does not say, no wrong request that passes."""
    asyncio.run(town.open_showtime())
    token = town.token(subject="6f1c2b7a-4a7e-4b7e-9d39-0d6f4f4b7a11", role="admin", email="admin@example.org")
    report = tmp_path / "report.json"
    argv = ["run", f"{town.api_url}/api/openapi.json", "--header", f"Authorization: Bearer {token}"]
    argv += ["--exclude-checks", ",".join(NOT_LOOKED_AT), "--max-time", str(SECONDS), "--request-timeout", "20"]
    argv += ["--report", "json", "--report-json-path", str(report), "--no-color"]
    argv += ["--seed", str(SEED)] if SEED else []
    run = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", *argv],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        capture_output=True,
        text=True,
        timeout=SECONDS + PARTS_TIMEOUT_S,
        check=False,
    )
    print(run.stdout[-3000:])
    assert run.returncode == 0, run.stdout[-20_000:] + run.stderr[-2_000:]
    assert json.loads(report.read_text())

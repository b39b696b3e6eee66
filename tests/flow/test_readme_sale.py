"""What README.md promises to a newcomer, done as it is printed there, against a fresh `seatlock dev`."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from engine.embedded.binaries import find_postgres
from engine.paths import LUA_DIR, ROOT
from tests.conftest import find_redis
from tests.processes import wait_until

START_TIMEOUT_S = 120
DEFAULT_URL = "http://127.0.0.1:8000"


def block_under(heading: str) -> str:
    """Give the first shell block under a heading of README.md."""
    section = (ROOT / "README.md").read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1]
    return re.split(r"^```\w*$", section, maxsplit=2, flags=re.MULTILINE)[1].strip("\n")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that looks like a checkout to the lines of README.md: lua/ is there, data goes to .seatlock/."""
    home = tmp_path_factory.mktemp("readme")
    (home / "lua").symlink_to(LUA_DIR)
    return home


@pytest.fixture(scope="module")
def dev_words(home: Path) -> Iterator[dict[str, str]]:
    """A running `seatlock dev` on an empty data folder and a free port; gives what its lines say, by their names."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli", "dev"],
        cwd=home,
        env={**environ, "SEATLOCK_PORT": "0", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(START_TIMEOUT_S, process.kill)
    watchdog.start()
    try:
        said = []
        for line in process.stdout:
            said.append(line)
            if line.startswith("ready "):
                break
        assert said, "dev ended without a word"
        assert said[-1].startswith("ready "), "".join(said)
        watchdog.cancel()
        yield dict(line.split()[:2] for line in said)
    finally:
        watchdog.cancel()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


@pytest.fixture(scope="module")
def dev_url(dev_words: dict[str, str]) -> str:
    """Where it serves."""
    return dev_words["ready"]


def shell(script: str, cwd: Path) -> list[str]:
    """Run a script as a person would paste it; give the lines it prints. A failing line fails the test."""
    program = find_redis("redis62")
    paths = [str(Path(sys.executable).parent), str(Path(program.path).parent), os.environ["PATH"]]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=cwd,
        env={**os.environ, "PATH": ":".join(paths), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


@pytest.mark.covers("000.9", "001.14")
def test_the_six_lines_of_the_readme_sell_a_ticket(dev_url, dev_words, home):
    """One helper and six lines, pasted as they are, end with a confirmed booking of two seats in the ledger.

    A moment later the e-ticket is in the mailbox that `dev` has named, and its link opens.
    """
    script = block_under("A first sale")
    assert len(script.splitlines()) == 7
    assert DEFAULT_URL in script
    last_words = "printf '%s %s\\n' $HOLD $SHOW"

    pending, confirmed, ids = shell(script.replace(DEFAULT_URL, dev_url) + f"\n{last_words}", home)

    assert pending == "PENDING"
    status, seats = re.fullmatch(r"(\w+) (\[.*\])", confirmed).groups()
    assert status == "CONFIRMED"
    booking, showtime = ids.split()
    assert tickets_in_ledger(home, booking) == sorted(
        (seat, showtime, "SOLD") for seat in json.loads(seats.replace("'", '"'))
    )
    with httpx.Client(base_url=dev_words["mailbox"]) as mailbox:
        assert wait_until(lambda: mailbox.get("/messages").json()["items"])
        (mail,) = mailbox.get("/messages", params={"to": "ayu@example.com"}).json()["items"]
        assert (mail["kind"], mail["copies"]) == ("ticket", 1)
        links = re.findall(r"http\S+\.pdf", mailbox.get(f"/mails/{mail['id']}/text").text)
    assert [httpx.get(link).headers["content-type"] for link in links] == ["application/pdf"] * 2


def tickets_in_ledger(home: Path, booking: str) -> list[tuple[str, ...]]:
    """Read (seat, showtime, status) of a booking's tickets with psql, past all of our own code."""
    environ = dict(line.split("=", 1) for line in (home / ".seatlock" / "env").read_text().splitlines())
    url = environ["SEATLOCK_DATABASE_URL"].strip("'")
    sql = "SELECT seat, showtime_id, status FROM tickets WHERE booking_id = :'booking' ORDER BY seat"

    psql = [str(find_postgres().path.with_name("psql")), "-X", "-A", "-t", "-v", f"booking={booking}", "-d", url]
    done = subprocess.run(psql, input=sql, capture_output=True, text=True, check=True, timeout=30)
    return [tuple(line.split("|")) for line in done.stdout.splitlines()]


def test_the_views_of_the_readme_work_beside_dev(dev_url, home):
    """The two redis-cli lines find the embedded server and draw a hall that was sold from, and the outbox."""
    setting_up = block_under("A first sale").splitlines()
    last_words = "printf '%s\\n' $SHOW"
    script = "\n".join([setting_up[0].replace(DEFAULT_URL, dev_url), setting_up[2], last_words])
    showtime = shell(script, home)[0]
    shell(f"curl -sf {dev_url}/api/v1/showtimes/{showtime}/seats", home)
    script = block_under("Watching it run")
    assert script.count(" -r -1 ") == 2

    lines = shell(script.replace(" -r -1 ", " -r 1 ").replace("seatlock key 42", f"seatlock key {showtime}"), home)

    assert any(line.startswith(f"showtime {showtime}  open, sales stop in ") for line in lines)
    assert any(line.startswith("64 streams: ") for line in lines)

"""`make load`: a service of its own, a crowd of the named shape, Locust's report, and the verdict.

    python -m loadtests.run opening_night

Leaves `<folder>/<shape>.html` and `<shape>.json`. Status 1 if the verdict is bad; what Locust calls failures is in the
report, and counts where the verdict names it.
"""

import argparse
import asyncio
import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from loadtests.programmes import PROGRAMMES, put_on
from loadtests.verdict import judge, read_notes, told

HERE = Path(__file__).parent
BIN = Path(sys.executable).parent
READY = "ready "
STOP_TIMEOUT_S = 60


@contextlib.contextmanager
def service(folder: Path) -> Iterator[str]:
    """Run `seatlock dev` on a free port with its data in the folder, without limits of rate; gives its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    changes = {"DATA_DIR": folder, "PORT": port, "RATE_LIMIT": "off"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
    environ |= {f"SEATLOCK_{name}": str(value) for name, value in changes.items()}
    with (folder / "said.log").open("wb") as said:
        argv = [str(BIN / "seatlock"), "dev", "--with-parent"]
        dev = subprocess.Popen(argv, env=environ, stdout=subprocess.PIPE, stderr=said, text=True)
    try:
        assert dev.stdout is not None
        address = next((line.split()[-1] for line in dev.stdout if line.startswith(READY)), None)
        if address is None:
            raise SystemExit(f"`seatlock dev` did not come up: {(folder / 'said.log').read_text()[-500:]}")
        yield address
    finally:
        dev.send_signal(signal.SIGINT)
        dev.communicate(timeout=STOP_TIMEOUT_S)


def servers(folder: Path) -> dict[str, str]:
    """Give how to reach the servers of the `dev` whose data lies there."""
    words = [shlex.split(line)[0].partition("=") for line in (folder / "env").read_text("utf-8").splitlines() if line]
    return {name: value for name, _, value in words}


def crowd(shape: str, address: str, plan: Path, notes: Path, report: Path) -> None:
    """Send the crowd, and wait until it has gone."""
    files = f"{HERE / 'locustfile.py'},{HERE / 'shapes' / f'{shape}.py'}"
    argv = [str(BIN / "locust"), "-f", files, "--headless", "-H", address, "--html", str(report)]
    argv += ["--plan", str(plan), "--notes", str(notes), "--only-summary", "--stop-timeout", "20"]
    environ = os.environ | {"PYTHONPATH": str(HERE.parent)}
    subprocess.run(argv, env=environ, check=False)


def main() -> int:
    """Run one shape; gives the status."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.run", description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("shape", choices=sorted(PROGRAMMES))
    parser.add_argument("--folder", type=Path, default=Path(".load"), help="where reports go")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    report = options.folder / f"{options.shape}.html"
    with tempfile.TemporaryDirectory() as scratch:
        data, plan, notes = Path(scratch) / "data", Path(scratch) / "plan.json", Path(scratch) / "notes"
        data.mkdir(mode=0o700)
        with service(data) as address:
            logins = {login["role"]: login for login in json.loads((data / "demo-logins.json").read_text("utf-8"))}
            admin = {name: logins["admin"][name] for name in ("email", "password")}
            wanted = put_on(PROGRAMMES[options.shape], address, admin)
            plan.write_text(json.dumps(wanted), "utf-8")
            crowd(options.shape, address, plan, notes, report)
            verdict = asyncio.run(judge(read_notes(notes), wanted, servers(data)))
    (options.folder / f"{options.shape}.json").write_text(json.dumps(verdict, indent=2) + "\n", "utf-8")
    print(f"\n{options.shape}\n{told(verdict)}\nreport: {report}")
    return 0 if verdict["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())

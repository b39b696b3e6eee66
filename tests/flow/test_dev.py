"""`seatlock dev` as a user runs it: one command, one folder, nothing left behind."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from tests.processes import processes_naming, wait_until

ROOT = Path(__file__).resolve().parents[2]
SECOND_START_S = 20.0
"""About 3 seconds on two idle cores; other tests run beside this one."""


class Running:
    """One `seatlock dev`. `url` is set once it is ready."""

    def __init__(self, folder: Path, prefix: tuple[str, ...] = (), **variables: str) -> None:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
        self.began_at_s = time.monotonic()
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-m", "engine.cli", "dev"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**environ, "SEATLOCK_DATA_DIR": str(folder), "SEATLOCK_PORT": "0", **variables},
        )
        self.lines: list[str] = []
        self.url = ""

    def wait_ready(self) -> "Running":
        """Read until the line that says where it serves."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))
            if line.startswith("ready "):
                self.url = line.split()[1]
                self.took_s = time.monotonic() - self.began_at_s
                return self
        raise AssertionError(f"not ready: {self.lines} {self.process.stderr.read()}")


@pytest.fixture
def dev(tmp_path):
    """Starts `seatlock dev` on a folder of the test; ends all, and insists that nothing is left."""
    started: list[Running] = []

    def start(*prefix: str, **variables: str) -> Running:
        started.append(Running(tmp_path / "data", prefix, **variables))
        return started[-1]

    yield start
    for running in started:
        running.process.terminate()
        try:
            running.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            running.process.kill()
            running.process.communicate()
    assert wait_until(lambda: not processes_naming(str(tmp_path)))


def claim(running: Running, folder: Path) -> httpx.Response:
    """Log in as the demo customer and claim the first free seat of the first showtime on sale."""
    with httpx.Client(base_url=running.url + "/api/v1", timeout=10) as client:
        login = next(one for one in read_logins(folder) if one["role"] == "customer")
        answer = client.post("/auth/login", json={"email": login["email"], "password": login["password"]})
        assert answer.status_code == 200, answer.text
        client.headers["Authorization"] = "Bearer " + answer.json()["access_token"]
        showtimes = client.get("/showtimes", params={"limit": 200})
        assert showtimes.status_code == 200, showtimes.text
        number = next(one["id"] for one in showtimes.json()["items"] if one["status"] == "ON_SALE")
        free = client.get(f"/showtimes/{number}/seats/available").json()
        seat = next(label for labels in free["available"].values() for label in labels)
        return client.post(f"/showtimes/{number}/holds", json={"seats": [seat]})


def read_logins(folder: Path) -> list[dict]:
    """Read the demo logins."""
    return json.loads((folder / "demo-logins.json").read_text(encoding="utf-8"))


@pytest.mark.covers("000.2", "004.39")
def test_a_fresh_folder_is_served_and_kept(dev, tmp_path):
    """The first start makes everything; after Ctrl-C nothing runs; the second start has the same data, in seconds."""
    folder = tmp_path / "data"
    first = dev().wait_ready()
    assert first.lines[-1] == f"ready {first.url}"
    assert [login["role"] for login in read_logins(folder)] == ["admin", "staff", "customer"]
    for private in ("demo-logins.json", "env", "webhook-secret", "token-secret", "ticket-keys"):
        assert (folder / private).stat().st_mode & 0o777 == 0o600, private
    assert folder.stat().st_mode & 0o777 == 0o700
    held = claim(first, folder)
    assert held.status_code == 201, held.text
    logins = read_logins(folder)

    first.process.send_signal(signal.SIGINT)
    assert first.process.wait(30) == 0
    assert processes_naming(str(tmp_path)) == {}
    assert not (folder / "env").exists()

    second = dev().wait_ready()
    assert read_logins(folder) == logins
    with httpx.Client(base_url=second.url + "/api/v1") as client:
        token = client.post("/auth/login", json={k: logins[2][k] for k in ("email", "password")}).json()["access_token"]
        again = client.get(f"/holds/{held.json()['id']}", headers={"Authorization": f"Bearer {token}"})
    assert again.status_code == 200, again.text
    assert second.took_s < SECOND_START_S


def test_one_dev_has_the_folder_others_find_it_and_a_kill_leaves_nothing(dev, tmp_path):
    """A second dev is refused, other commands find the first; after kill -9 the next start works at once.

    The refusal is one clear line, at once, that names the process, and disturbs nobody. With the data folder alone,
    every command reaches the servers; once dev has ended, it says so. All children end by themselves, within seconds.
    """
    first = dev().wait_ready()
    assert len(processes_naming(str(tmp_path))) >= 4
    refused = dev()
    _, said = refused.process.communicate(timeout=30)
    assert refused.process.returncode == 1
    assert said.count("\n") == 1
    assert f"{tmp_path / 'data'} is in use by another seatlock dev (process {first.process.pid})" in said
    assert httpx.get(first.url + "/api/v1/health/ready").status_code == 200

    environ = {**os.environ, "SEATLOCK_DATA_DIR": str(tmp_path / "data")}
    command = [sys.executable, "-m", "engine.cli", "migrate"]
    found = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, check=False)
    assert found.stdout == "nothing to apply\n", found.stderr
    variables = shlex.split((tmp_path / "data" / "env").read_text(encoding="utf-8"))
    assert {word.partition("=")[0] for word in variables} >= {"SEATLOCK_REDIS_URL", "SEATLOCK_DATABASE_URL"}

    first.process.kill()
    next_one = dev().wait_ready()
    assert claim(next_one, tmp_path / "data").status_code == 201
    next_one.process.kill()
    assert wait_until(lambda: not processes_naming(str(tmp_path)), 10)
    stale = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environ, check=False)
    assert "no `seatlock dev` runs on" in stale.stderr


def test_what_dies_is_started_again(dev, tmp_path):
    """Redis, PostgreSQL, the worker and the API each come back after kill -9."""
    running = dev().wait_ready()
    for command in ("unixsocket:", "postgres -D", "engine.cli worker", "engine.cli api"):
        mine = [pid for pid, line in processes_naming(command).items() if belongs(pid, running.process.pid)]
        servers = [pid for pid in mine if "keeper.py" not in processes_naming(command).get(pid, "keeper.py")]
        assert servers, command
        os.kill(servers[0], signal.SIGKILL)
        assert wait_until(lambda gone=servers[0]: not Path(f"/proc/{gone}").exists())
    assert wait_until(lambda: is_ready(running.url))
    assert wait_until(lambda: claim_or_none(running, tmp_path / "data") == 201)


def belongs(pid: int, ancestor: int) -> bool:
    """Say whether a process descends from another."""
    while pid > 1:
        if pid == ancestor:
            return True
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            return False
    return False


def is_ready(url: str) -> bool:
    """Say whether the API serves now with both servers."""
    try:
        return httpx.get(url + "/api/v1/health").json()["status"] == "ok"
    except (httpx.HTTPError, ValueError):
        return False


def claim_or_none(running: Running, folder: Path) -> int | None:
    """Give the status of a claim, or None while something is still away."""
    try:
        return claim(running, folder).status_code
    except (httpx.HTTPError, AssertionError, KeyError, StopIteration, ValueError):
        return None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make another user's folder")
def test_a_folder_of_another_user_is_refused(dev, tmp_path):
    """One line that says what to do."""
    (tmp_path / "data").mkdir()
    os.chown(tmp_path / "data", 65534, 65534)
    refused = dev()
    _, said = refused.process.communicate(timeout=30)
    assert said.count("\n") == 1
    assert "belongs to another user; set SEATLOCK_DATA_DIR" in said

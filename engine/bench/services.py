"""Services under measurement, each a process of its own: started, waited for, asked what CPU and memory it took."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from engine.errors import CommandError
from engine.paths import ROOT

START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 20.0
PATIENCE_S = 120.0
LOCAL = "127.0.0.1"
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Service:
    """One process; with a port it is ready when it answers there.

    Args:
        name: for messages, and of its log.
        argv: what `python -m` runs.
        environ: all of its environment.
        folder: where its log goes.
        port: where it serves; 0 for a process that serves nobody.
        ready: the path that answers once it is ready, with whatever status below 500.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        environ: Mapping[str, str],
        folder: Path,
        *,
        port: int = 0,
        ready: str = "/",
    ) -> None:
        self.name, self.port = name, port
        self._log = folder / f"{name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *argv], cwd=ROOT, env=environ, stdout=log, stderr=log
            )
        if port:
            self._wait(f"http://{LOCAL}:{port}{ready}")

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        return LOCAL, self.port

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    def cpu_s(self) -> float:
        """Give the CPU that all of its threads took until now."""
        return cpu_of(self.pid)

    def pin(self, cores: set[int]) -> None:
        """Keep the process, with all of its threads, on these cores."""
        for task in Path(f"/proc/{self.pid}/task").iterdir():
            with suppress(OSError):
                os.sched_setaffinity(int(task.name), cores)

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it."""
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _wait(self, url: str) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _answers(url):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise CommandError(f"{self.name} did not start: {self._log.read_text(errors='replace')[-400:]}")
            time.sleep(0.02)


@contextmanager
def running(service: Service) -> Iterator[Service]:
    """End a service at the end of the block."""
    try:
        yield service
    finally:
        service.stop()


def cpu_of(pid: int) -> float:
    """Give user and system time of a process in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def cpu_of_family(pid: int) -> float:
    """Give the CPU of a process and those of its children that live, in seconds: of PostgreSQL with its sessions."""
    seconds = cpu_of(pid)
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                fields = (process / "stat").read_text("ascii").rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    seconds += (int(fields[11]) + int(fields[12])) / _TICKS_PER_S
    return seconds


def memory_of(pid: int) -> int:
    """Give the resident memory of a process in bytes."""
    lines = Path(f"/proc/{pid}/status").read_text("ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def drive(
    service: Service,
    plan: Mapping[str, Any],
    beside: Mapping[str, Callable[[], float]] = {},
    cores: set[int] | None = None,
) -> dict[str, Any]:
    """Send the callers of a plan (see `loadtests.open_loop`) to a service; gives what they saw.

    `cpu_us` is added: the CPU that the service took per caller who was answered, and `beside_us`, the same of others.

    Args:
        service: whom they ask.
        plan: all but the address.
        beside: what gives the CPU in seconds of others who work for these answers, by name.
        cores: where they run; wherever there is room if not given.

    Raises:
        CommandError: the callers failed, or a phase was answered nothing at all.
    """
    argv = [sys.executable, "-m", "loadtests.open_loop"]
    environ = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        argv, cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as crowd:
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        crowd.stdin.write(json.dumps({**plan, "address": service.address}) + "\n")
        crowd.stdin.flush()
        ready = crowd.stdout.readline()
        if cores:
            os.sched_setaffinity(crowd.pid, cores)
        clocks = {"": service.cpu_s, **beside}
        before = {name: clock() for name, clock in clocks.items()}
        seconds = sum(phase["seconds"] for phase in plan["phases"])
        try:
            said, failed = crowd.communicate("go\n" if ready else "", timeout=PATIENCE_S + seconds)
        except subprocess.TimeoutExpired:
            crowd.kill()
            raise CommandError(f"the callers of {service.name} did not come back") from None
        after = {name: clock() for name, clock in clocks.items()}
    if crowd.returncode != 0:
        raise CommandError(f"the callers of {service.name} failed: {failed.strip().splitlines()[-1:]}")
    result: dict[str, Any] = json.loads(said.splitlines()[-1])
    answered = sum(sum(phase["answers"].values()) for phase in result["phases"])
    if not answered:
        raise CommandError(f"{service.name} answered nothing")
    took_us = {name: (after[name] - before[name]) * 1e6 / answered for name in clocks}
    return result | {"cpu_us": took_us.pop(""), "beside_us": took_us}


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):  # noqa: S310 -- an address of our own
            return True
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, ValueError):
        return False

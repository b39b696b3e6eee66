"""A child process that ends with us, even when we are killed with -9 (see `keeper.py`)."""

import fcntl
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from engine.embedded import keeper
from engine.embedded.identity import Identity
from engine.errors import CommandError
from engine.limits import LOG_MAX_BYTES

LOCK_WAIT_S = 15.0
"""How long a start waits for what is left of a run that was killed a moment ago."""


class KeptProcess:
    """One running command with its keeper. Made by `start_kept`."""

    def __init__(self, name: str, process: subprocess.Popen[bytes], log: Path, log_start: int) -> None:
        self.name = name
        self.log = log
        self._log_start = log_start
        self._process = process

    @property
    def exit_status(self) -> int | None:
        """None while it runs, else the command's exit status (128 + signal)."""
        return self._process.poll()

    @property
    def keeper_pid(self) -> int:
        """Process id of the keeper; the command is its only child."""
        return self._process.pid

    def wait(self, timeout_s: float | None = None) -> int:
        """Wait for the end; give the exit status. Raises `subprocess.TimeoutExpired`."""
        return self._process.wait(timeout_s)

    def begin_stop(self) -> None:
        """Tell the command to stop, and do not wait."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def stop(self) -> int:
        """Tell the command to stop, wait until it has (its keeper sees to that), give the exit status."""
        self.begin_stop()
        return self._process.wait()

    def last_words(self) -> str:
        """Give the last line that the command wrote since its start, or "" if it said nothing."""
        with self.log.open("rb") as file:
            file.seek(self._log_start)
            lines = file.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


def start_kept(
    name: str,
    argv: Sequence[str],
    *,
    log: Path,
    held: int | None = None,
    stop: Sequence[str] = ("SIGTERM",),
    grace_s: float = 10.0,
    identity: Identity | None = None,
    environ: Mapping[str, str] | None = None,
) -> KeptProcess:
    """Start a command that ends with us.

    Args:
        name: for messages, e.g. `PostgreSQL`.
        argv: an absolute path and its arguments.
        log: standard output and error are appended here.
        held: a lock from `take_lock`; from here on it lives as long as the command or one of its children does.
        stop: signals to try in turn, `grace_s` seconds each, before SIGKILL.
        identity: as whom to run; None for ourselves.
    """
    identity = identity or Identity()
    order = {
        "argv": list(argv),
        "stop": list(stop),
        "grace_s": grace_s,
        "death_signal": stop[-1],
        "map_uid": identity.map_uid,
        "set_uid": identity.set_uid,
    }
    try:
        with _open_log(log) as output:
            log_start = output.tell()
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", keeper.__file__, json.dumps(order)],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                env=None if environ is None else dict(environ),
                pass_fds=() if held is None else (held,),
                start_new_session=True,
            )
    finally:
        if held is not None:
            os.close(held)
    return KeptProcess(name, process, log, log_start)


def _open_log(path: Path) -> BinaryIO:
    if path.exists() and path.stat().st_size > LOG_MAX_BYTES:
        path.unlink()
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def take_lock(path: Path, name: str) -> int:
    """Lock a file and give its descriptor, for `start_kept`; waits for what is left of a run killed a moment ago.

    Raises:
        CommandError: the lock is still held after 15 seconds.
    """
    held = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return held
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(held)
                raise CommandError(f"{name} of an earlier run still works in {path.parent}; end it first") from None
            time.sleep(0.05)

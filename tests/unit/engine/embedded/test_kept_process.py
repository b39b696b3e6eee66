"""Keeping a process: its end, its last words, and an end for one that does not listen."""

import fcntl
import os
import sys
import time

import pytest

from engine.embedded import kept_process
from engine.embedded.kept_process import start_kept, take_lock
from engine.errors import CommandError
from tests.processes import wait_until

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"


def test_the_exit_status_is_the_commands(tmp_path):
    """A status and a signal are told apart as shells do."""
    ended = start_kept("x", [sys.executable, "-c", "raise SystemExit(3)"], log=tmp_path / "log")
    assert ended.wait(20) == 3
    killed = start_kept("x", [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"], log=tmp_path / "log")
    assert killed.wait(20) == 137


def test_what_cannot_be_run_says_why(tmp_path):
    """The keeper's own words stand in the log."""
    process = start_kept("x", ["/nowhere/server"], log=tmp_path / "log")
    assert process.wait(20) == 71
    assert process.last_words() == f"cannot run /nowhere/server as uid {os.geteuid()}: No such file or directory"


def test_last_words_are_those_of_this_run(tmp_path):
    """What an earlier run wrote into the log is not taken for this one's."""
    (tmp_path / "log").write_text("from before\n", encoding="utf-8")
    process = start_kept("x", [sys.executable, "-c", ""], log=tmp_path / "log")
    assert process.wait(20) == 0
    assert process.last_words() == ""


def test_one_that_does_not_listen_is_killed(tmp_path):
    """After its time of grace."""
    process = start_kept("x", [sys.executable, "-c", DEAF], log=tmp_path / "log", grace_s=0.2)
    assert wait_until(lambda: process.last_words() == "deaf")
    began_at_s = time.monotonic()
    assert process.stop() == 137
    assert 0.2 <= time.monotonic() - began_at_s < 10


def test_a_lock_lives_as_long_as_the_process(tmp_path, monkeypatch):
    """Whoever comes meanwhile waits, and is told if it takes too long; afterwards the lock is free."""
    monkeypatch.setattr(kept_process, "LOCK_WAIT_S", 0.1)
    path = tmp_path / "lock"
    process = start_kept(
        "x", [sys.executable, "-c", "import time; time.sleep(600)"], log=tmp_path / "log", held=take_lock(path, "x")
    )
    with pytest.raises(CommandError, match="x of an earlier run still works in"):
        take_lock(path, "x")
    process.stop()
    held = take_lock(path, "x")
    fcntl.flock(held, fcntl.LOCK_UN)
    os.close(held)


def test_a_log_that_grew_too_long_begins_anew(tmp_path, monkeypatch):
    """The disk does not fill up over the years."""
    monkeypatch.setattr(kept_process, "LOG_MAX_BYTES", 10)
    (tmp_path / "log").write_text("a long line of long ago\n", encoding="utf-8")
    process = start_kept("x", [sys.executable, "-c", "print('new')"], log=tmp_path / "log")
    assert process.wait(20) == 0
    assert (tmp_path / "log").read_text(encoding="utf-8") == "new\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600

"""What runs on this machine: looking for processes that somebody left behind."""

import os
import time
from collections.abc import Callable
from pathlib import Path

PATIENCE_S = 15.0


def processes_naming(text: str) -> dict[int, str]:
    """Give process id and command line of every live process whose command line contains the text, but for us."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if text in line:
            found[int(entry.name)] = line
    return found


def wait_until(done: Callable[[], bool], patience_s: float = PATIENCE_S) -> bool:
    """Look again and again until something holds; False if it does not within the patience."""
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.02)
    return done()

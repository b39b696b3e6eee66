"""Logs: one JSON object per line on standard error."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SPEAK = """
import structlog
from engine.logs import configure_logs
log = structlog.get_logger()
configure_logs("LEVEL")
log.info("seats_claimed", showtime=42)
try:
    raise ValueError("broken")
except ValueError:
    log.exception("failed")
"""


def speak(level: str) -> subprocess.CompletedProcess:
    """Log one line of information and one of a failure in a process of its own."""
    command = [sys.executable, "-c", SPEAK.replace("LEVEL", level)]
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)


def test_each_line_is_one_object():
    """With level, time and what was said; a failure carries its trace in the same line."""
    done = speak("info")
    assert done.stdout == ""
    first, second = (json.loads(line) for line in done.stderr.splitlines())
    assert (first["event"], first["showtime"], first["level"]) == ("seats_claimed", 42, "info")
    assert first["timestamp"].endswith("Z")
    assert "ValueError: broken" in second["exception"]


def test_below_the_level_nothing_is_said():
    """Short commands tell their failure in one line of their own."""
    assert speak("critical").stderr == ""

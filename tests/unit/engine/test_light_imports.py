"""What a process that runs for long does not load, and what it gives back."""

import os
import subprocess
import sys

import pytest

from engine.long_running import LONG_RUNNING

HEAVY = {"rich", "pygments", "attr", "httpx._main", "typer", "pydantic", "fpdf", "PIL"}


def loaded_by(code, folder):
    """Give the modules that a new process has after some code."""
    code += "\nimport sys; print(*(name for name, module in sys.modules.items() if module))"
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
    environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, cwd=folder, env=environ)
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["api.app", "api.fake_gateway.app"])
def test_an_application_loads_nothing_that_only_a_terminal_shows(module, tmp_path):
    """Nor what draws tickets, before one is drawn; also where uvicorn loads it by its name."""
    loaded = loaded_by(f"import {module}", tmp_path)
    assert module in loaded
    assert HEAVY.isdisjoint(loaded), HEAVY & loaded


@pytest.mark.parametrize("words", [("api",), ("worker",)], ids=" ".join)
def test_what_runs_for_long_does_not_load_the_option_parser(words, tmp_path):
    """It comes as far as to ask for its servers."""
    code = f"import sys; from engine.cli import main; sys.argv = ['seatlock', *{words}]\ntry: main()\n"
    loaded = loaded_by(code + "except SystemExit as end: assert end.code == 1", tmp_path)
    assert "engine.data_folder" in loaded
    assert HEAVY.isdisjoint(loaded), HEAVY & loaded


def test_the_worker_loads_no_more(tmp_path):
    """With all that it is made of."""
    loaded = loaded_by(
        "from engine.light_imports import import_lightly\nimport_lightly()\nimport engine.worker", tmp_path
    )
    assert "engine.ledger.reader" in loaded
    assert HEAVY.isdisjoint(loaded), HEAVY & loaded


@pytest.mark.parametrize("words", LONG_RUNNING, ids=" ".join)
def test_the_option_parser_knows_the_same_words(words):
    """What starts without it is in its help."""
    argv = [sys.executable, "-m", "engine.cli", *words, "--help"]
    assert f"seatlock {words[0]}" in subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def test_progress_bars_are_as_they_were(tmp_path):
    """What is kept away from a library is there for us, and httpx works without."""
    code = "from engine.light_imports import import_lightly\nimport_lightly()\nimport engine.progress, httpx\n"
    loaded = loaded_by(code + "httpx.Client().close()", tmp_path)
    assert {"rich.progress", "structlog"} <= loaded


def test_what_the_start_needed_is_given_back(tmp_path):
    """The collector passes over what lives on, and garbage is collected before."""
    code = """
import gc, weakref
from engine.memory import settle_in
class Kept: pass
kept = Kept(); kept.itself = kept; gone = weakref.ref(kept); del kept
settle_in()
assert gone() is None and gc.get_freeze_count() > 1_000"""
    assert "engine.memory" in loaded_by(code, tmp_path)

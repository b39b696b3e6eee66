"""What a server does not load."""

import subprocess
import sys

import pytest

HEAVY = {"rich", "pygments", "attr", "httpx._main", "typer", "pydantic", "fpdf", "PIL"}


@pytest.mark.parametrize("server", ["api.app", "engine.worker"])
def test_a_server_loads_nothing_that_only_a_terminal_shows(server):
    """Nor what draws tickets, before one is drawn."""
    code = f"import sys, engine.cli, {server}; print(*(name for name, module in sys.modules.items() if module))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert server in loaded
    assert HEAVY.isdisjoint(loaded), HEAVY.intersection(loaded)


def test_progress_bars_and_the_http_client_are_as_they_were():
    """What is kept away from a library is there for us, and the library works without."""
    code = "import engine.progress, httpx; print(engine.progress.RichProgress.__module__, httpx.Client.__module__)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown.split() == ["rich.progress", "httpx"]

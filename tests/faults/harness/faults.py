"""The catalogue: faults with names, each a coroutine that breaks something of a running world and heals it again.

    @fault("redis-killed", holds="what must hold, in one sentence", quick=False, needs=())
    async def kill_redis(world, chance):
        \"\"\"Why this fault; which schedule it plays.\"\"\"

It returns when everything is healed again; what it returns, if anything, is a dict for its line in the log.
"""

import importlib
import inspect
import os
import shutil
import subprocess
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CATALOGUE = Path(__file__).parent.parent / "catalogue"
OWN_WORLD = "own_world"
"""The fault leaves a world that others should not meet; it gets one of its own."""


@dataclass(frozen=True)
class Fault:
    """One entry of the catalogue.

    Attributes:
        name: unique, in kebab-case.
        holds: what must hold, in one sentence.
        play: breaks and heals.
        quick: whether `make test` plays it.
        needs: words of `LACKING`, or `OWN_WORLD`.
    """

    name: str
    holds: str
    play: Callable[[Any, Any], Awaitable[dict[str, Any] | None]]
    quick: bool
    needs: tuple[str, ...]

    def lacking(self) -> str:
        """Tell why it cannot be played here; "" if it can."""
        return next((why for need in self.needs if need in LACKING and (why := LACKING[need]())), "")


FAULTS: dict[str, Fault] = {}
"""By name; filled by `read_catalogue`."""


def _program(name: str) -> Callable[[], str]:
    return lambda: "" if shutil.which(name) else f"needs {name}"


def _namespaces() -> str:
    argv = ["unshare", "--net", "ip", "link", "add", "type", "veth"]
    if not all(shutil.which(name) for name in ("ip", "nsenter", "unshare")):
        return "needs ip, nsenter and unshare"
    allowed = subprocess.run(argv, capture_output=True, check=False).returncode == 0
    return "" if allowed else "needs leave to make network namespaces"


LACKING: dict[str, Callable[[], str]] = {
    "root": lambda: "" if os.geteuid() == 0 else "needs root",
    "namespaces": _namespaces,
    **{name: _program(name) for name in ("faketime", "ip", "iptables", "prlimit", "strace")},
}
"""Tells for each thing that a fault may need why it is not here; "" if it is."""


def fault(name: str, *, holds: str, quick: bool = False, needs: Collection[str] = ()) -> Callable[[Any], Any]:
    """Enter a fault in the catalogue."""

    def enter(play: Callable[[Any, Any], Awaitable[dict[str, Any] | None]]) -> Any:
        assert name not in FAULTS, f"two faults are called {name}"
        assert inspect.getdoc(play), f"{name} does not say why"
        unknown = set(needs) - set(LACKING) - {OWN_WORLD}
        assert not unknown, f"{name} needs {unknown}"
        FAULTS[name] = Fault(name, holds, play, quick, tuple(needs))
        return play

    return enter


def read_catalogue() -> dict[str, Fault]:
    """Import every file of the catalogue; give the faults by name, in the order of files and lines."""
    for path in sorted(CATALOGUE.glob("*.py")):
        importlib.import_module(f"tests.faults.catalogue.{path.stem}")
    return FAULTS

"""Imports without what a library takes along if it happens to be there."""

import importlib
import sys
from types import ModuleType
from typing import cast

_NOT_HERE = cast(ModuleType, None)
"""What makes an `import` of that name fail, says Python's reference."""


def import_lightly() -> None:
    """Load structlog without rich, and see to it that httpx does without its command line.

    To be called before anything else loads them, by a process that runs for long: rich, pygments and attrs take 6 MB
    and a quarter of the start. structlog draws plain tracebacks then, also on a terminal.
    """
    sys.modules.setdefault("httpx._main", _NOT_HERE)
    if "rich" in sys.modules:
        return
    sys.modules["rich"] = _NOT_HERE
    try:
        importlib.import_module("structlog")
    finally:
        del sys.modules["rich"]  # who draws progress bars has it

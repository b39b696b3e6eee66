"""Imports without what a library takes along if it happens to be there.

structlog would load rich, pygments and attrs to draw tracebacks for a terminal, and httpx its own command line: 6 MB
and a quarter of the start of every process, for what no server shows. Both do without where the import fails.
"""

import importlib
import sys
from types import ModuleType
from typing import cast

_NOT_HERE = cast(ModuleType, None)  # what makes `import` fail, says the language reference

sys.modules.setdefault("httpx._main", _NOT_HERE)
if "rich" not in sys.modules:
    sys.modules["rich"] = _NOT_HERE
    importlib.import_module("structlog")
    del sys.modules["rich"]  # who draws progress bars has it

"""Where the files that belong to the code lie: Lua scripts and SQL statements."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent


def _find(name: str) -> Path:
    """Give a folder of files: inside the package where it was installed, beside it in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else ROOT / name


LUA_DIR = _find("lua")
SQL_DIR = _find("sql")

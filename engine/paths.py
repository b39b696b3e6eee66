"""Where the files that belong to the code lie: Lua scripts and SQL statements stand beside the packages."""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LUA_DIR = ROOT / "lua"
SQL_DIR = ROOT / "sql"

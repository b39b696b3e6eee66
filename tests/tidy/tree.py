"""What the house rules look at: the files of the tree, and the Python in them as syntax."""

import ast
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PRODUCT = ("engine", "api")
"""The packages that are shipped."""

SKIPPED = {"__pycache__", "dist", "build", "node_modules"}
KEPT_HIDDEN = {".ci", ".gitignore", ".dockerignore"}


def files(*folders: str, suffix: str = "") -> list[Path]:
    """List the files below `folders` (the whole tree if none is given) whose name ends in `suffix`, sorted."""
    found: list[Path] = []
    for start in [ROOT / folder for folder in folders] or [ROOT]:
        found += _walk(start)
    return sorted(path for path in found if path.name.endswith(suffix))


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir() if folder.is_dir() else ():
        hidden = entry.name.startswith(".") and entry.name not in KEPT_HIDDEN
        if hidden or entry.name in SKIPPED or entry.name.endswith(".egg-info"):
            continue
        if entry.is_dir():
            yield from _walk(entry)
        else:
            yield entry


def name_of(path: Path) -> str:
    """Give a path as people write it: relative to the root, with slashes."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """Give the dotted name of a Python file; a package's `__init__` has the package's name."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def syntax(path: Path) -> ast.Module:
    """Parse a Python file, once."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Give every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def strings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Give the line and text of each string that the program uses; docstrings and bare texts are comments."""
    comments = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in comments:
            yield node.lineno, node.value


@cache
def pyproject() -> dict:
    """Read pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

"""No module is dead: each is reached from an entry point by imports, or by its name where a process is started."""

import ast
import re

from tests.tidy.tree import PRODUCT, files, module_of, name_of, pyproject, strings, syntax

DOTTED = re.compile(r"\b(?:engine|api)(?:\.\w+)+")
SCRIPT = re.compile(r"\b(\w+)\.py\b")


def modules_named_by(name: str, modules: dict[str, ast.Module], package: bool) -> set[str]:
    """Give the modules that one module imports, or names in a string such as "api.app:create_app" or "keeper.py"."""
    tree = modules[name]
    folder = name if package else name.rpartition(".")[0]
    named: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            steps = folder.split(".")
            base = ".".join(steps[: len(steps) - node.level + 1]) if node.level else ""
            origin = ".".join(part for part in (base, node.module or "") if part)
            named.add(origin)
            named.update(f"{origin}.{alias.name}" for alias in node.names)
    for _, text in strings(tree):
        named.update(DOTTED.findall(text))
        named.update(f"{folder}.{stem}" for stem in SCRIPT.findall(text))
    return {found for text in named for found in _with_parents(text) if found in modules}


def _with_parents(dotted: str) -> list[str]:
    parts = dotted.split(".")
    return [".".join(parts[:length]) for length in range(1, len(parts) + 1)]


def reached(roots: set[str], modules: dict[str, ast.Module], packages: set[str]) -> set[str]:
    """Give every module that the roots lead to."""
    seen: set[str] = set()
    queue = {parent for root in roots for parent in _with_parents(root) if parent in modules}
    while queue:
        name = queue.pop()
        seen.add(name)
        queue |= modules_named_by(name, modules, name in packages) - seen
    return seen


def test_the_rule_sees_a_dead_module():
    """A module that nobody imports is not reached; one that is named for another process is."""
    modules = {
        "engine": ast.parse(""),
        "engine.cli": ast.parse("from engine import worker\nstart('api.app:create_app')"),
        "engine.worker": ast.parse("run('keeper.py')"),
        "engine.keeper": ast.parse("import os"),
        "engine.dead": ast.parse("from engine import worker"),
        "api": ast.parse(""),
        "api.app": ast.parse("from . import routes"),
        "api.routes": ast.parse(""),
    }
    assert set(modules) - reached({"engine.cli"}, modules, {"engine", "api"}) == {"engine.dead"}


def test_no_python_module_is_dead():
    """Everything in engine/ and api/ is reached from the `seatlock` command."""
    paths = {module_of(path): path for path in files(*PRODUCT, suffix=".py")}
    modules = {name: syntax(path) for name, path in paths.items()}
    packages = {name for name, path in paths.items() if path.name == "__init__.py"}
    roots = {target.partition(":")[0] for target in pyproject()["project"]["scripts"].values()}
    dead = set(modules) - reached(roots, modules, packages)
    assert sorted(name_of(paths[name]) for name in dead) == []

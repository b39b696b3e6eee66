"""Nothing is dead: each module is reached from the command, each function is named by the product itself."""

import ast
import re

from tests.tidy.tree import PRODUCT, files, functions, module_of, name_of, pyproject, strings, syntax

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


FRAMEWORKS = ("asyncio.", "HttpToolsProtocol", "RequestResponseCycle", "Starlette")
"""Bases whose methods a framework calls by itself."""


def unnamed_functions(modules: dict[str, ast.Module]) -> list[str]:
    """Give the functions and classes that nothing in the modules names: not in code, not in a string.

    What a framework calls by itself is left out: decorated functions, dunder methods, and methods of a class with a
    foreign base, such as a protocol of asyncio.
    """
    named: set[str] = set()
    for tree in modules.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute):
                named.add(node.attr)
            elif isinstance(node, ast.Name):
                named.add(node.id)
        for _, text in strings(tree):
            named.update(re.findall(r"\w+", text))
    return [
        f"{module}.{node.name}"
        for module, tree in modules.items()
        for node in [*functions(tree), *(node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
        if node.name not in named
        and not node.decorator_list
        and not node.name.startswith("__")
        and node.name not in _called_by_a_base(tree)
    ]


def _called_by_a_base(tree: ast.Module) -> set[str]:
    classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    foreign = [node for node in classes if any(ast.unparse(base).startswith(FRAMEWORKS) for base in node.bases)]
    return {method.name for node in foreign for method in functions(node)}


def test_the_rule_sees_a_dead_function():
    """A function that nothing names is found; one that a table or a string names is not."""
    source = (
        "def used(): ...\ndef told(): ...\ndef dead(): ...\nused()\nstart('told')\nclass Reader(asyncio.Protocol):\n"
    )
    modules = {"engine": ast.parse(source + "    def data_received(self): ...\nread(Reader)")}
    assert unnamed_functions(modules) == ["engine.dead"]


def test_no_function_is_dead():
    """What only tests call is no part of the product."""
    modules = {module_of(path): syntax(path) for path in files(*PRODUCT, suffix=".py")}
    entries = {target.replace(":", ".") for target in pyproject()["project"]["scripts"].values()}
    assert [name for name in unnamed_functions(modules) if name not in entries] == []

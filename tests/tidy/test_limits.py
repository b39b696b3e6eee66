"""Every limit stands in engine/limits.py: what is named a maximum, a minimum, a lifetime, or counts milliseconds."""

import ast
import re
from collections import Counter

import pytest

from engine import limits
from tests.tidy.tree import PRODUCT, files, name_of, syntax

LIMIT_NAME = re.compile(r"^_?[A-Z0-9_]*(_(MAX|MIN|CEILING|LIMIT|TTL|BUDGET)(_[A-Z]+)?|_MS)$")


def stray_limits(tree: ast.Module) -> list[str]:
    """Give the module-level constants that are plain numbers and are named like a limit."""
    found: list[str] = []
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if not isinstance(node, ast.Assign | ast.AnnAssign) or not _is_number(node.value):
            continue
        found += [
            f"{node.lineno} {name.id}" for name in targets if isinstance(name, ast.Name) and LIMIT_NAME.match(name.id)
        ]
    return found


def _is_number(node: ast.expr | None) -> bool:
    """Say whether an expression is made of number literals alone."""
    if isinstance(node, ast.BinOp):
        return _is_number(node.left) and _is_number(node.right)
    return isinstance(node, ast.Constant) and isinstance(node.value, int | float) and not isinstance(node.value, bool)


@pytest.mark.parametrize(
    "line", ["RETRY_AFTER_MS = 500", "BODY_MAX_BYTES = 64 * 1024", "_QUEUE_MAX: int = 5", "HOLD_TTL_S = 600"]
)
def test_the_rule_sees_a_stray_limit(line):
    """A number that is named like a limit is found."""
    assert stray_limits(ast.parse(line))


@pytest.mark.parametrize(
    "line", ["BODY_MAX_BYTES = limits.BODY_MAX_BYTES", "CHANNEL = 'sl:outcomes'", "START_TIMEOUT_S = 10"]
)
def test_the_rule_leaves_other_constants_alone(line):
    """A name for a limit of limits.py, a text, or the patience of a single tool may stand where it is used."""
    assert stray_limits(ast.parse(line)) == []


def test_limits_live_in_limits_py():
    """No other module of the product makes a limit of its own."""
    offenders = [
        f"{name_of(path)}:{found}"
        for path in files(*PRODUCT, suffix=".py")
        if name_of(path) != "engine/limits.py"
        for found in stray_limits(syntax(path))
    ]
    assert offenders == []


def test_every_limit_is_used():
    """A limit that nothing reads limits nothing."""
    tree = syntax(next(path for path in files("engine") if name_of(path) == "engine/limits.py"))
    names = [
        t.id for node in tree.body if isinstance(node, ast.Assign) for t in node.targets if isinstance(t, ast.Name)
    ]
    sources = [*files(*PRODUCT, suffix=".py"), *files("lua", suffix=".lua")]
    words = Counter(word for path in sources for word in re.findall(r"\b[A-Z]\w+\b", path.read_text(encoding="utf-8")))
    assert [name for name in names if words[name] < 2] == []


LUA_CONSTANT = re.compile(r"^(?:local |\w+\.)([A-Z][A-Z0-9_]*) = (\d+)\b", re.MULTILINE)


def twins_apart(lua: str) -> list[str]:
    """Give the constants of a Lua text that are named like a limit of limits.py and have another value."""
    return [
        f"{name} = {number}"
        for name, number in LUA_CONSTANT.findall(lua)
        if hasattr(limits, name) and getattr(limits, name) != int(number)
    ]


def test_the_rule_sees_a_limit_that_lua_has_otherwise():
    """A script cannot import limits.py; a number that left it is found by its name."""
    assert twins_apart("local PAYMENT_RETRIES_MAX = 4\n") == ["PAYMENT_RETRIES_MAX = 4"]
    assert twins_apart("hold_answer.EXTENSIONS_PER_HOLD_MAX = 10\n") == []


def test_lua_has_the_same_limits():
    """A limit that a script checks once more is the one of limits.py; a script has no limit of time of its own."""
    scripts = [path for path in files("lua", suffix=".lua") if path.parent.name != "ops"]
    texts = {name_of(path): path.read_text(encoding="utf-8") for path in scripts}
    assert {name: apart for name, text in texts.items() if (apart := twins_apart(text))} == {}
    own = {name for text in texts.values() for name, _ in LUA_CONSTANT.findall(text) if name.endswith("_MS")}
    assert {name for name in own if not hasattr(limits, name)} == set()

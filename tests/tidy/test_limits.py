"""Every limit stands in engine/limits.py; a number with a unit in its name is a limit."""

import ast
import re

import pytest

from tests.tidy.tree import PRODUCT, files, name_of, syntax

LIMIT_NAME = re.compile(
    r"^_?[A-Z][A-Z0-9_]*_(MAX|MIN|MS|S|SECONDS|BYTES|LIMIT|CEILING|TTL|TIMEOUT|BUDGET)(_MS|_S|_BYTES)?$"
)


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


@pytest.mark.parametrize("line", ["RETRY_AFTER_MS = 500", "BODY_MAX_BYTES = 64 * 1024", "_WAIT_S: float = 0.5"])
def test_the_rule_sees_a_stray_limit(line):
    """A number with a unit in its name is found."""
    assert stray_limits(ast.parse(line))


@pytest.mark.parametrize("line", ["BODY_MAX_BYTES = limits.BODY_MAX_BYTES", "CHANNEL = 'sl:outcomes'", "COLUMNS = 4"])
def test_the_rule_leaves_other_constants_alone(line):
    """A name for a limit of limits.py, a text, or a number without a unit may stand where it is used."""
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
    text = "\n".join(path.read_text(encoding="utf-8") for path in files(*PRODUCT, suffix=".py"))
    assert [name for name in names if len(re.findall(rf"\b{name}\b", text)) < 2] == []

"""Files and functions stay small enough to be read in one go."""

import ast

from tests.tidy.tree import files, functions, name_of, syntax

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 80


def long_functions(tree: ast.Module) -> list[str]:
    """Give the functions of a module that are longer than they may be."""
    return [
        f"{node.lineno} {node.name}: {lines} lines"
        for node in functions(tree)
        if (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > FUNCTION_LINES_MAX
    ]


def test_the_rule_sees_a_long_function():
    """A function of one line too many is found."""
    body = "\n".join(f"    x = {number}" for number in range(FUNCTION_LINES_MAX))
    assert long_functions(ast.parse(f"def f():\n{body}\n"))


def test_files_are_short():
    """No source file has more than 400 lines.

    Golden copies and the whole schema are put together, not written; the one file of all limits is a list.
    """
    written = [path for path in files() if path.suffix in {".py", ".lua", ".sql"} and path.parent.name != "golden"]
    written = [path for path in written if path.name not in {"schema.sql", "limits.py"}]
    counts = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in written}
    assert {name: lines for name, lines in counts.items() if lines > FILE_LINES_MAX} == {}


def test_functions_are_short():
    """No function has more than 80 lines."""
    offenders = [f"{name_of(path)}:{found}" for path in files(suffix=".py") for found in long_functions(syntax(path))]
    assert offenders == []

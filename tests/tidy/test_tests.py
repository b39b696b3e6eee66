"""Tests are sentences: each says in a docstring what holds."""

import ast

import pytest

from tests.tidy.tree import files, functions, name_of, syntax


def silent_tests(tree: ast.Module) -> list[str]:
    """Give the tests of a module that have no docstring, or one that is no sentence."""
    tests = [node for node in functions(tree) if node.name.startswith("test_")]
    return [f"{node.lineno} {node.name}" for node in tests if not _is_sentence(ast.get_docstring(node))]


def _is_sentence(text: str | None) -> bool:
    """Say whether a docstring begins with a capital (or a name in backticks), has some words and ends."""
    first = (text or "").strip()
    return len(first.split()) >= 3 and not first[0].islower() and first[-1] in ".?!:`"


@pytest.mark.parametrize("docstring", ["", '"""Works."""', '"""a seat is sold once."""', '"""A seat is sold once"""'])
def test_the_rule_sees_a_silent_test(docstring):
    """A missing docstring and one that is not a sentence are found."""
    assert silent_tests(
        ast.parse(f"class TestSeats:\n    async def test_seat(self):\n        {docstring}\n        pass\n")
    )


def test_every_test_says_what_holds():
    """Every test in the tree, in classes too, has its sentence."""
    modules = files("tests", suffix=".py")
    assert [f"{name_of(path)}:{found}" for path in modules for found in silent_tests(syntax(path))] == []


def test_every_test_file_is_collected():
    """A file of tests whose name pytest does not collect would be silent for ever."""
    lost = [
        name_of(path)
        for path in files("tests", suffix=".py")
        if not path.name.startswith("test_") and any(node.name.startswith("test_") for node in functions(syntax(path)))
    ]
    assert lost == []

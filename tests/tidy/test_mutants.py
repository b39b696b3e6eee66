"""The catalogue of mutants is true: each guard is where it says, and a test of its name is there to miss it."""

from functools import cache
from pathlib import Path

import pytest

from tests.mutants.mutants import Mutant, read_catalogue
from tests.tidy.tree import PRODUCT, ROOT

MUTANTS_MIN = 140
PLACES = (*PRODUCT, "lua", "sql")
NOT_ENOUGH = "tests/tidy/"
"""A golden copy or another rule of the tree sees every change, also one that does no harm."""


@cache
def text_of(path: Path) -> str:
    """Read a file, once."""
    return path.read_text(encoding="utf-8")


def faults(mutant: Mutant) -> list[str]:
    """Say what is wrong with a mutant."""
    found = []
    path = ROOT / mutant.file
    if mutant.file.split("/")[0] not in PLACES or not path.is_file():
        return [f"{mutant.name}: {mutant.file} is no file of the product"]
    if mutant.old == mutant.new:
        found.append(f"{mutant.name}: nothing is broken")
    try:
        mutant.applied_to(text_of(path))
    except LookupError as moved:
        found.append(f"{mutant.name}: {moved}")
    for test in mutant.tests or ("no test",):
        file, _, name = test.partition("::")
        if not (ROOT / file).is_file() or f"def {name}(" not in text_of(ROOT / file):
            found.append(f"{mutant.name}: there is no test {test}")
        if test.startswith(NOT_ENOUGH):
            found.append(f"{mutant.name}: {test} sees every change, not this one")
    return found


RIGHT = {
    "name": "n",
    "guards": "g",
    "file": "lua/include/clock.lua",
    "old": "math.floor",
    "new": "math.ceil",
    "tests": ("tests/tidy/tree.py::files",),
}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"old": "os.time()"}, "0 times; the guard has moved"),
        ({"old": "t"}, "times; the guard has moved"),
        ({"file": "tests/tidy/tree.py"}, "no file of the product"),
        ({"new": "math.floor"}, "nothing is broken"),
        ({"tests": ()}, "no test"),
        ({"tests": ("tests/oracle.py::nothing",)}, "there is no test tests/oracle.py::nothing"),
        ({}, "sees every change"),
    ],
)
def test_the_rule_sees_a_mutant_that_proves_nothing(change, complaint):
    """Each way in which an entry can be wrong is named."""
    assert any(complaint in fault for fault in faults(Mutant(**RIGHT | change)))


def test_every_mutant_breaks_a_guard_that_is_there():
    """When a guard moves, the catalogue moves with it; names are unique, and there are no fewer mutants than before."""
    catalogue = read_catalogue()
    assert [fault for mutant in catalogue for fault in faults(mutant)] == []
    assert len({mutant.name for mutant in catalogue}) == len(catalogue) >= MUTANTS_MIN

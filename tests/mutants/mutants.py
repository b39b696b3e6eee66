"""The catalogue: guards of the product, how each is broken, and the tests that must notice.

Each entry of `catalogue/*.toml` is one mutant:

    [[mutants]]
    name = "generation-not-compared"
    guards = "I14: what a showtime of another life of Redis says is judged before it is used"
    file = "lua/include/showtime.lua"
    old = "if stamp ~= generation then"     # stands in the file exactly once
    new = "if stamp ~= stamp then"
    tests = ["tests/lua/test_common_refusals.py::test_a_stale_generation_is_refused"]
    raises = ["Unavailable"]                # only if the test notices by an error of this name, not by an assertion
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CATALOGUE = Path(__file__).resolve().parent / "catalogue"


@dataclass(frozen=True)
class Mutant:
    """One guard, broken. See the module's text for the fields."""

    name: str
    guards: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    raises: tuple[str, ...] = ()

    def applied_to(self, text: str) -> str:
        """Give the file's text with the guard broken.

        Raises:
            LookupError: the guard is not there, or not alone: it has moved, and the catalogue must follow.
        """
        found = text.count(self.old)
        if found != 1:
            raise LookupError(f"{self.file} has the text of {self.name} {found} times; the guard has moved")
        return text.replace(self.old, self.new)


def read_catalogue() -> list[Mutant]:
    """Read all mutants, by file and in its order."""
    return [
        Mutant(**entry | {"tests": tuple(entry["tests"]), "raises": tuple(entry.get("raises", ()))})
        for path in sorted(CATALOGUE.glob("*.toml"))
        for entry in tomllib.loads(path.read_text(encoding="utf-8"))["mutants"]
    ]

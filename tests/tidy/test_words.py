"""One glossary: the synonyms that ARCHITECTURE.md rules out are no identifiers anywhere."""

import ast
import re

import pytest

from tests.tidy.tree import ROOT, files, name_of, syntax

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def ruled_out(text: str) -> set[str]:
    """Give the words of the glossary's last column."""
    rows = [line for line in text.partition("\n## 3. Words\n")[2].partition("\n## ")[0].splitlines() if line[:1] == "|"]
    return {word for row in rows for word in re.findall(r"`(\w+)`", row.split("|")[-2])}


def identifiers(path) -> set[str]:
    """Give the names that a source file makes or uses; of Lua and SQL, every word outside of strings and comments."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        text = re.sub(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'", " ", text, flags=re.DOTALL)
        return set(re.findall(r"[A-Za-z_]\w*", text))
    return python_identifiers(syntax(path))


def python_identifiers(tree: ast.Module) -> set[str]:
    """Give the names of functions, classes, arguments, variables and attributes."""
    names: set[str] = set()
    for node in ast.walk(tree):
        for field in ("name", "id", "attr", "arg", "asname"):
            if isinstance(value := getattr(node, field, None), str):
                names.add(value)
    return names


def offending(names: set[str], words: set[str]) -> set[str]:
    """Give the names that contain one of the words, in any of its usual endings."""
    endings = {word + ending for word in words for ending in ("", "s", "d", "ed", "ing")}
    endings |= {word.rstrip("ey") + ending for word in words for ending in ("ing", "ied")}
    return {name for name in names if {part.lower() for part in WORD.findall(name)} & endings}


@pytest.mark.parametrize("name", ["reserve_seats", "ReservedSeat", "seat_reservations", "unlockSeat", "occupied_seats"])
def test_the_rule_sees_a_synonym(name):
    """A ruled-out word is found in snake and camel case, with its endings."""
    assert offending({name}, {"reserve", "reservation", "unlock", "occupy"})


def test_the_rule_leaves_other_words_alone():
    """A word that merely contains another one is not it."""
    assert offending({"clock", "seatlock", "block_seats", "preserved"}, {"reserve", "lock"}) == set()


def test_no_identifier_is_a_synonym():
    """Python, Lua and SQL use the words of the glossary."""
    words = ruled_out((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))
    assert len(words) > 3
    sources = [path for folder in ("engine", "api", "lua", "sql", "loadtests") for path in files(folder)]
    found = {
        name_of(path): names
        for path in sources
        if path.suffix in {".py", ".lua", ".sql"} and (names := offending(identifiers(path), words))
    }
    assert found == {}

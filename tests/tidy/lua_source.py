"""Lua scripts as the house rules see them: header, parts, and what a call reaches through the includes."""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.tidy.tree import ROOT

LUA = ROOT / "lua"
INCLUDE = LUA / "include"

READING = frozenset(
    [
        "TIME",
        "HMGET",
        "HGET",
        "HGETALL",
        "HLEN",
        "EXISTS",
        "STRLEN",
        "BITFIELD_RO",
        "GETRANGE",
        "GET",
        "ZSCORE",
        "ZCOUNT",
        "ZCARD",
        "ZRANGE",
        "ZRANGEBYSCORE",
        "XLEN",
        "PTTL",
        "TYPE",
    ]
)
WRITING = frozenset(
    [
        "HSET",
        "HDEL",
        "HINCRBY",
        "BITFIELD",
        "SETRANGE",
        "SETBIT",
        "SET",
        "ZADD",
        "ZREM",
        "XADD",
        "UNLINK",
        "DEL",
        "RENAME",
        "PEXPIRE",
        "PEXPIREAT",
    ]
)
SECTIONS = ("KEYS", "ARGV", "RETURNS", "RAISES", "EMITS", "COST")
MENDING = "deadlines.mend"
"""The one write that a refusal may follow; see lua/README.md."""

_COMMAND = re.compile(r"redis\.p?call\('(\w+)'")
_WORD = re.compile(r"(?:\{|give\(| or )'([a-z_]+)', now_ms\b")
_OTHER_WORD = re.compile(r"\{\w+ and '([a-z_]+)' or '[a-z_]+', now_ms\b")
_CALL = re.compile(r"\b([a-z_]+\.[a-z_]+)\(")
_LOCAL_CALL = re.compile(r"(?<![.\w])([a-z_]+)\(")
_FUNCTION = re.compile(r"^(?:local )?function ([\w.]+)\(.*?^end$", re.MULTILINE | re.DOTALL)
_DIRECTIVE = re.compile(r"^\s*-- include: (\w+)$", re.MULTILINE)
_FACT = re.compile(r"'((?:seats|booking)_(?:sold|restocked|expired|cancelled))'")


@dataclass(frozen=True)
class Source:
    """One script. `parts` are the texts of names, check, change and answer; a reader has no change."""

    name: str
    text: str
    header: dict[str, str]
    sentence: str
    parts: dict[str, str]

    @property
    def body(self) -> str:
        """Everything below the header."""
        return self.text[self.text.index("]]") + 2 :]


def without_comments(text: str) -> str:
    """Drop comments, so that prose is not taken for code."""
    return re.sub(r"--.*$", "", text, flags=re.MULTILINE)


def read_script(path: Path) -> Source:
    """Take a script apart. Raises AssertionError if its header or its parts are not of the convention."""
    text = path.read_text(encoding="utf-8")
    match = re.match(r"(?:#!lua flags=no-writes\n)?--\[\[\n(.*?)\n\]\]\n", text, re.DOTALL)
    assert match, f"{path.name}: no header block"
    head = match[1]
    starts = [(name, re.search(rf"^{name} +", head, re.MULTILINE)) for name in SECTIONS]
    missing = [name for name, found in starts if found is None]
    assert not missing, f"{path.name}: the header lacks {missing}"
    places = [found.start() for _, found in starts]
    assert places == sorted(places), f"{path.name}: the header's sections are out of order"
    ends = [*places[1:], len(head)]
    header = {name: head[found.end() : end].rstrip() for (name, found), end in zip(starts, ends, strict=True)}
    marks = [(mark[1], mark.start()) for mark in re.finditer(r"^-- (names|check|change|answer)$", text, re.MULTILINE)]
    wanted = ["names", "check", "change", "answer"]
    if text.startswith("#!lua"):
        wanted.remove("change")
    assert [name for name, _ in marks] == wanted, f"{path.name}: parts are {[name for name, _ in marks]}"
    stops = [*(start for _, start in marks[1:]), len(text)]
    parts = {name: text[start:stop] for (name, start), stop in zip(marks, stops, strict=True)}
    return Source(path.stem, text, header, head[: places[0]].strip(), parts)


@cache
def functions() -> dict[str, str]:
    """Give the text of every function of the includes, by `module.function`; local helpers too."""
    found = {}
    for path in sorted(INCLUDE.glob("*.lua")):
        for match in _FUNCTION.finditer(path.read_text(encoding="utf-8")):
            name = match[1] if "." in match[1] else f"{path.stem}.{match[1]}"
            found[name] = without_comments(match[0])
    return found


def reached(code: str, *, barring: str = "") -> dict[str, str]:
    """Give the functions of includes that code calls, directly or through others."""
    waiting, found = set(_CALL.findall(without_comments(code))), {}
    while waiting:
        name = waiting.pop()
        text = functions().get(name)
        if text is None or name in found or name == barring:
            continue
        found[name] = text
        module = name.partition(".")[0]
        waiting |= set(_CALL.findall(text)) | {f"{module}.{local}" for local in _LOCAL_CALL.findall(text)}
    return found


def commands(code: str, *, barring: str = "") -> set[str]:
    """Give the Redis commands that code runs, through includes too."""
    own = set(_COMMAND.findall(without_comments(code)))
    return own.union(*(_COMMAND.findall(text) for text in reached(code, barring=barring).values()))


def words(code: str) -> set[str]:
    """Give the outcome words that code may answer, through includes too."""
    texts = [without_comments(code), *reached(code).values()]
    return {word for text in texts for word in (*_WORD.findall(text), *_OTHER_WORD.findall(text))}


def facts(code: str) -> set[str]:
    """Give the kinds of facts that code may append, through includes too."""
    texts = [without_comments(code), *reached(code).values()]
    return {kind for text in texts for kind in _FACT.findall(text)}


def included(text: str) -> list[str]:
    """Give the modules that a file's directives name."""
    return _DIRECTIVE.findall(text)

"""Modules of `lua/include/`, taken apart: which of their functions a script needs.

A module makes a table, puts functions into it and returns it. Making all that costs time at every call of the script,
so a rendered script has neither tables nor functions that it does not reach: `seat_map.read` becomes a local function
`seat_map_read`, and what nobody calls is left out.
"""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass
from functools import cache

DIRECTIVE = re.compile(r"^(?P<indent> *)-- include: (?P<name>\w+) *$", re.MULTILINE)
_FUNCTION = re.compile(r"^(?:local )?function (?P<name>[\w.]+)\(")
_VALUE = re.compile(r"^(?:local )?(?P<name>[\w.]+) = ")
_MEMBER = re.compile(r"(?<![.\w])(?P<module>[a-z_]+)\.(?P<member>\w+)\b")
_WORD = re.compile(r"(?<![.\w])\w+\b")
_COMMENT = re.compile(r"--.*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A function of a module, or a value that it has a name for, with the comment above it.

    Attributes:
        name: as its module calls it, e.g. `read`.
        public: whether others can reach it.
        first: the number of its first line, from 1.
        lines: its text.
        members: (module, member) of everything that its code has with a dot between.
        words: all other words of its code.
    """

    name: str
    public: bool
    first: int
    lines: tuple[str, ...]
    members: frozenset[tuple[str, str]]
    words: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Module:
    """One include that is a table of functions."""

    name: str
    includes: tuple[str, ...]
    pieces: tuple[Piece, ...]
    public: frozenset[str]
    """What others can reach."""


@cache
def read_module(name: str, text: str) -> Module | None:
    """Take a module apart; None if it is something else than a table of functions and values."""
    source = text.splitlines()
    if f"local {name} = {{}}" not in source or source[-1] != f"return {name}":
        return None
    pieces, comment, number = [], 0, 1
    while number < len(source):
        line = source[number - 1]
        end = number
        if _FUNCTION.match(line):
            end = source.index("end", number) + 1
        found = _FUNCTION.match(line) or _VALUE.match(line)
        if found and line != f"local {name} = {{}}":
            module, _, member = found["name"].rpartition(".")
            first = number - comment
            lines = tuple(source[first - 1 : end])
            code = _COMMENT.sub("", "\n".join(lines))
            words = frozenset(_WORD.findall(code))
            pieces.append(Piece(member, module == name, first, lines, _members_of(code), words))
        is_comment = line.startswith("--") and not DIRECTIVE.match(line)
        if not is_comment and line and not found and line != f"local {name} = {{}}" and not DIRECTIVE.match(line):
            return None
        comment = comment + 1 if is_comment else 0
        number = end + 1
    includes = tuple(match["name"] for line in source if (match := DIRECTIVE.match(line)))
    return Module(name, includes, tuple(pieces), frozenset(piece.name for piece in pieces if piece.public))


@cache
def _members_of(code: str) -> frozenset[tuple[str, str]]:
    return frozenset((match["module"], match["member"]) for match in _MEMBER.finditer(_COMMENT.sub("", code)))


def reached_from(code: str, modules: Mapping[str, Module]) -> set[tuple[str, str]]:
    """Give (module, member) of everything in modules that code calls, directly or through others."""
    waiting, found = set(_members_of(code)), set()
    while waiting:
        module, member = one = waiting.pop()
        if module in modules and member in modules[module].public:
            found.add(one)
            for piece in pieces_for(modules[module], frozenset((member,))):
                waiting |= piece.members - found
    return found


@cache
def pieces_for(module: Module, members: frozenset[str]) -> list[Piece]:
    """Give the pieces that some members are and lean on inside of their module, in its order; no other members."""
    wanted = {piece for piece in module.pieces if piece.public and piece.name in members}
    waiting = list(wanted)
    while waiting:
        words = waiting.pop().words
        more = [piece for piece in module.pieces if not piece.public and piece.name in words and piece not in wanted]
        wanted |= set(more)
        waiting += more
    return [piece for piece in module.pieces if piece in wanted]


def flattened(line: str, in_sight: Container[object]) -> str:
    """Give a line of code with `seat_map.read` as `seat_map_read`, for (module, member) in sight."""
    return _MEMBER.sub(lambda match: f"{match[1]}_{match[2]}" if (match[1], match[2]) in in_sight else match[0], line)

"""The Lua scripts: read from `lua/`, includes rendered in, ready for `SCRIPT LOAD`.

A line `-- include: seat_map` is replaced by what the lines after it call of the module `lua/include/seat_map.lua`, as
local functions named `seat_map_read`, after what these call in other modules (`engine.seats.lua_modules`). Once, as
far as they are in sight: an indented directive renders inside that block, so that a rare branch does not cost every
call the making of its functions, and a later block that needs the same module says so again.

A module that is nothing but a table of constants is not rendered: what is said of it, `formats.OWNER`, becomes the
constant itself, or every call would make the table.

`python -m engine.seats.scripts --golden` refreshes the rendered copies that reviews read (`tests/lua/golden/`).
"""

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha1
from pathlib import Path
from types import MappingProxyType

from engine.paths import LUA_DIR, ROOT
from engine.seats.keys import PARTITION_KEYS, RATE_KEY, REQUEST_KEY, SHOWTIME_KEYS
from engine.seats.lua_modules import DIRECTIVE, Module, flattened, pieces_for, reached_from, read_module

SHEBANG = "#!lua flags=no-writes"
"""Marks a reader, on servers that know it (version 7 and later); 6.2 takes it for a syntax error."""
SHEBANG_SINCE = (7,)
GOLDEN_DIR = ROOT / "tests" / "lua" / "golden"

_KEYS = re.compile(r"^KEYS +(?P<names>[\w ]+(?:\n +[\w ]+)*)$", re.MULTILINE)
_LITERAL = r"(?:'[^'\n]*'|\d+)"  # nothing that would mean another thing inside another expression
_CONSTANTS = re.compile(rf"(?:--.*\n)*return \{{\n(?P<rows>(?: +(?:--.*|\w+ = {_LITERAL},)\n)+)\}}\n")
_CONSTANT = re.compile(rf"^ +(?P<name>\w+) = (?P<value>{_LITERAL}),$", re.MULTILINE)
_MEMBER = re.compile(r"\b(?P<module>[a-z_]+)\.(?P<name>[A-Z][A-Z0-9_]*)\b")
_PLACE = re.compile(r"user_script:(\d+)")


class ScriptError(Exception):
    """A script cannot be rendered: an include is missing, includes itself, or is out of sight."""


@dataclass(frozen=True, slots=True)
class Script:
    """One rendered script.

    Attributes:
        name: the file's name without `.lua`, e.g. `claim_seats`.
        keys: words of the header's KEYS, in order; `engine.seats.keys.script_keys` makes the real keys of them.
        readonly: whether the script only reads.
        source: what Redis runs.
        sha: hex SHA-1 of `source`, the argument of EVALSHA.
        lines: for each rendered line its place, e.g. `seat_map.lua:11`.
    """

    name: str
    keys: tuple[str, ...]
    readonly: bool
    source: str
    sha: str
    lines: tuple[str, ...]

    def locate(self, message: str) -> str:
        """Give an error text of Redis with `user_script:71` replaced by the file and line that it means."""
        return _PLACE.sub(lambda match: self._place(int(match[1])), message)

    def _place(self, line: int) -> str:
        return self.lines[line - 1] if 1 <= line <= len(self.lines) else f"{self.name}.lua:?"


@dataclass(slots=True)
class _Rendering:
    """The text under construction: lines with their places, and what of which modules is in sight."""

    include_dir: Path
    lines: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    in_sight: dict[str | tuple[str, str], int] = field(default_factory=dict)
    """Module that is rendered whole, or (module, member) -> indentation of its directive."""
    constants: dict[str, dict[str, str]] = field(default_factory=dict)
    """Module of constants -> name -> Lua literal."""
    modules: dict[str, Module] = field(default_factory=dict)
    orders: dict[str, list[str]] = field(default_factory=dict)
    """Module -> those that it needs, each after its own, and itself."""

    def add(self, line: str, place: str) -> None:
        if "." in line and not line.lstrip().startswith("--"):
            line = flattened(_MEMBER.sub(self._literal, line), self.in_sight)
        self.lines.append(line)
        self.places.append(place)

    def _literal(self, member: re.Match[str]) -> str:
        constants = self.constants.get(member["module"]) if member["module"] in self.in_sight else None
        if constants is None:
            return member[0]
        if member["name"] not in constants:
            raise ScriptError(f"{member['module']} has no constant {member['name']}")
        return constants[member["name"]]

    def leave_blocks(self, line: str) -> None:
        """Forget what was included in blocks that have ended: a line stands further left than their directives."""
        if line.strip():
            indent = _indent_of(line)
            self.in_sight = {name: depth for name, depth in self.in_sight.items() if depth <= indent}

    def include(self, name: str, indent: str, scope: str, asker: str) -> None:
        """Render what the scope, the code that a directive is for, calls of a module and of those that it includes."""
        order = self._include_order(name, (asker,))
        modules = {one: self.modules[one] for one in order if one in self.modules}
        wanted = reached_from(scope, modules) - self.in_sight.keys()
        for one in order:
            if one in modules:
                self._add_members(modules[one], frozenset(member for module, member in wanted if module == one), indent)
            elif one in self.constants:
                self.in_sight.setdefault(one, len(indent))
            elif one not in self.in_sight:
                self._add_whole(one, indent)

    def _include_order(self, name: str, path: tuple[str, ...]) -> list[str]:
        """Read a module and those that it includes; gives their names, each after those that it needs."""
        if name in self.orders:
            return self.orders[name]
        if name in path[1:]:
            raise ScriptError(f"include cycle: {' -> '.join((*path[path.index(name, 1) :], name))}")
        file = self.include_dir / f"{name}.lua"
        if not file.is_file():
            raise ScriptError(f"{path[-1]}: include {name} not found")
        text = file.read_text(encoding="utf-8")
        if table := _CONSTANTS.fullmatch(text):
            self.constants[name] = {row["name"]: row["value"] for row in _CONSTANT.finditer(table["rows"])}
        elif module := read_module(name, text):
            self.modules[name] = module
        order: list[str] = []
        for directive in DIRECTIVE.finditer(text):
            order += self._include_order(directive["name"], (*path, name))
        self.orders[name] = list(dict.fromkeys((*order, name)))
        return self.orders[name]

    def _add_members(self, module: Module, members: frozenset[str], indent: str) -> None:
        if not members:
            return
        pieces = pieces_for(module, members)
        self.in_sight |= {(module.name, member): len(indent) for member in members}
        place = f"{module.name}.lua"
        names = ", ".join(f"{module.name}_{piece.name}" for piece in pieces if piece.public)
        self.add(f"{indent}local {names}", f"{place}:1")
        self.add(f"{indent}do", f"{place}:1")
        for piece in pieces:
            for number, line in enumerate(piece.lines, piece.first):
                self.add(line, f"{place}:{number}")
        self.add(f"{indent}end", f"{place}:1")

    def _add_whole(self, name: str, indent: str) -> None:
        source = (self.include_dir / f"{name}.lua").read_text(encoding="utf-8").splitlines()
        self.in_sight[name] = len(indent)
        self.add(f"{indent}local {name} = (function()", f"{name}.lua:1")
        for number, line in enumerate(source, 1):
            if not DIRECTIVE.match(line):
                self.add(line, f"{name}.lua:{number}")
        self.add(f"{indent}end)()", f"{name}.lua:{len(source)}")


def _indent_of(line: str) -> int:
    return len(line) - len(line.lstrip())


def _scope_of(lines: list[str], number: int) -> str:
    """Give the code that a directive is for: from its line to the end of the block that it stands in."""
    depth = _indent_of(lines[number - 1])
    rest = lines[number:]
    ends = (at for at, line in enumerate(rest) if line.strip() and _indent_of(line) < depth)
    return "\n".join(rest[: next(ends, len(rest))])


def render_script(path: Path, server_version: tuple[int, ...]) -> Script:
    """Render one script for a server.

    Args:
        path: the script; its includes stand in `include/` beside it.
        server_version: numbers of `redis_version` in INFO, e.g. `(7, 2, 4)`.

    Raises:
        ScriptError: a missing include, a cycle, or a header that names no KEYS or an unknown one.
    """
    text = path.read_text(encoding="utf-8")
    readonly = text.startswith(SHEBANG)
    rendering = _Rendering(path.parent / "include")
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        place = f"{path.name}:{number}"
        rendering.leave_blocks(line)
        if directive := DIRECTIVE.match(line):
            rendering.include(directive["name"], directive["indent"], _scope_of(lines, number), path.stem)
        elif number == 1 and readonly and server_version < SHEBANG_SINCE:
            rendering.add("", place)
        else:
            rendering.add(line, place)
    source = "\n".join(rendering.lines) + "\n"
    return Script(
        name=path.stem,
        keys=_header_keys(path.stem, text),
        readonly=readonly,
        source=source,
        # Redis names scripts by SHA-1; nothing is protected by it.
        sha=sha1(source.encode(), usedforsecurity=False).hexdigest(),
        lines=tuple(rendering.places),
    )


def _header_keys(name: str, text: str) -> tuple[str, ...]:
    found = _KEYS.search(text)
    if found is None:
        raise ScriptError(f"{name}: the header names no KEYS")
    keys = tuple(found["names"].split())
    for key in keys:
        if key not in SHOWTIME_KEYS and key not in PARTITION_KEYS and key not in (REQUEST_KEY, RATE_KEY):
            raise ScriptError(f"{name}: unknown key {key} in the header")
    return keys


@cache
def load_scripts(server_version: tuple[int, ...], directory: Path = LUA_DIR) -> Mapping[str, Script]:
    """Render every script of a directory, by name. See `render_script` for arguments and errors.

    Once per process: a lane asks at each connect, and rendering would hold up its event loop for some 30 ms.
    """
    scripts = {path.stem: render_script(path, server_version) for path in sorted(directory.glob("*.lua"))}
    return MappingProxyType(scripts)


def golden_copies() -> dict[Path, str]:
    """Give, by path, the text that each golden copy must have: the script as a server of version 7 runs it."""
    return {GOLDEN_DIR / f"{name}.lua": script.source for name, script in load_scripts(SHEBANG_SINCE).items()}


def refresh_golden_copies() -> None:
    """Write the golden copies and remove those whose script is gone."""
    copies = golden_copies()
    GOLDEN_DIR.mkdir(parents=True, exist_ok=True)
    for path in GOLDEN_DIR.glob("*.lua"):
        if path not in copies:
            path.unlink()
    for path, source in copies.items():
        path.write_text(source, encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:] != ["--golden"]:
        sys.exit("usage: python -m engine.seats.scripts --golden")
    refresh_golden_copies()

"""The include loader: what is rendered where, and what is refused."""

from pathlib import Path

import pytest

from engine.seats.scripts import SHEBANG, ScriptError, load_scripts, render_script

HEADER = "--[[\nDo something.\n\nKEYS     meta seats\n         facts request\nARGV     none\n]]\n"
MODULE = "local {name} = {{}}\nfunction {name}.go()\n  return '{name}'\nend\nreturn {name}\n"
HELPED = """-- First of all.
local first = {}

local LIMIT = 4
local SPARE = 5

-- Help.
local function helper(x)
  return x + LIMIT
end

first.MOST = 7

-- Go, unlike first.stay().
function first.go(x)
  return helper(x)
end

function first.stay()
  return first.go(SPARE)
end

return first
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of scripts with two includes, `first` and `second`; `second` includes `first`."""
    include = tmp_path / "include"
    include.mkdir()
    (include / "first.lua").write_text(MODULE.format(name="first"))
    (include / "second.lua").write_text("-- include: first\n" + MODULE.format(name="second"))
    return tmp_path


def render(folder: Path, body: str, version: tuple[int, ...] = (7, 0)):
    """Render a script with this body."""
    path = folder / "try_it.lua"
    path.write_text(body)
    return render_script(path, version)


def test_what_is_called_of_an_include_becomes_local_functions(folder: Path):
    """No table is made, and what a module keeps for itself stays inside of it."""
    script = render(folder, HEADER + "-- include: first\nreturn first.go()\n")
    assert script.source.removeprefix(HEADER) == (
        "local first_go\ndo\nfunction first_go()\n  return 'first'\nend\nend\nreturn first_go()\n"
    )


def test_only_what_is_reached_is_rendered(folder: Path):
    """A function, a helper and a value that nobody needs are left out; comments call nothing."""
    (folder / "include" / "first.lua").write_text(HELPED)
    go = "-- Help.\nlocal function helper(x)\n  return x + LIMIT\nend\n-- Go, unlike first.stay().\n"
    go += "function first_go(x)\n  return helper(x)\nend\n"
    script = render(folder, HEADER + "-- include: first\nreturn first.go(1) -- not first.stay()\n")
    assert script.source.removeprefix(HEADER) == (
        f"local first_go\ndo\nlocal LIMIT = 4\n{go}end\nreturn first_go(1) -- not first.stay()\n"
    )
    script = render(folder, HEADER + "-- include: first\nreturn first.stay() + first.MOST\n")
    assert script.source.removeprefix(HEADER).startswith(
        f"local first_MOST, first_go, first_stay\ndo\nlocal LIMIT = 4\nlocal SPARE = 5\n{go[: go.index('-- Go')]}"
        "first_MOST = 7\n"
    )
    assert render(folder, HEADER + "-- include: first\nreturn my.first.go\n").source == HEADER + "return my.first.go\n"


def test_what_is_seen_from_a_block_is_not_made_again_there(folder: Path):
    """What a block needs beyond that is made in the block."""
    (folder / "include" / "first.lua").write_text(HELPED)
    (folder / "include" / "second.lua").write_text(
        "-- include: first\nlocal second = {}\nfunction second.go()\n  return first.stay()\nend\nreturn second\n"
    )
    body = "-- include: first\nfirst.go(1)\nif a then\n  -- include: second\n  second.go()\nend\n"
    script = render(folder, HEADER + body).source
    assert [script.count(f"function {name}(") for name in ("first_go", "first_stay", "second_go")] == [1, 1, 1]
    assert (
        script.index("first_go(1)") < script.index("  local first_stay\n  do\n") < script.index("  local second_go\n")
    )


def test_each_include_is_rendered_once_and_before_its_users(folder: Path):
    """A module that two want is made once, before both, whatever the order of the directives."""
    (folder / "include" / "second.lua").write_text(
        "-- include: first\nlocal second = {}\nfunction second.go()\n  return first.go()\nend\nreturn second\n"
    )
    body = "-- include: second\n-- include: first\n-- include: second\nreturn first.go() + second.go()\n"
    made = [line for line in render(folder, HEADER + body).source.splitlines() if line.startswith("local ")]
    assert made == ["local first_go", "local second_go"]


def test_the_order_of_directives_is_kept(folder: Path):
    """Modules that do not need each other come in the order in which the script names them."""
    (folder / "include" / "second.lua").write_text(MODULE.format(name="second"))
    script = render(folder, HEADER + "-- include: second\n-- include: first\nreturn first.go() + second.go()\n")
    assert script.source.index("local second_go") < script.source.index("local first_go")


def test_an_include_inside_a_block_is_seen_in_that_block_only(folder: Path):
    """A later block says again what it needs, and a module of the top level is in sight of all blocks."""
    block = "if a then\n  -- include: first\n  first.go()\n  -- include: first\nend\n"
    assert render(folder, HEADER + block + block).source.count("  local first_go\n") == 2
    on_top = HEADER + "-- include: first\nfirst.go()\n" + block
    assert render(folder, on_top).source.count("local first_go\n") == 1


def test_what_is_no_table_of_functions_is_rendered_whole(folder: Path):
    """It is made by a function, once, and nothing of it is renamed."""
    (folder / "include" / "first.lua").write_text("local t = {}\nt.x, t.y = 1, 2\nreturn t\n")
    body = "-- include: first\n-- include: first\nreturn first.x\n"
    assert render(folder, HEADER + body).source.removeprefix(HEADER) == (
        "local first = (function()\nlocal t = {}\nt.x, t.y = 1, 2\nreturn t\nend)()\nreturn first.x\n"
    )


def test_a_module_of_constants_becomes_its_constants(folder: Path):
    """No table is made; a name that the table lacks is told, and a table with more than constants is a module."""
    (folder / "include" / "sizes.lua").write_text(
        "-- Sizes.\nreturn {\n  -- Of a cell.\n  CELL = '>I4',\n  BIG = 40,\n}\n"
    )
    script = render(folder, HEADER + "-- include: sizes\nreturn #sizes.CELL + sizes.BIG + my.sizes.big\n")
    assert script.source.endswith("]]\nreturn #'>I4' + 40 + my.sizes.big\n")
    with pytest.raises(ScriptError, match="sizes has no constant SMALL"):
        render(folder, HEADER + "-- include: sizes\nreturn sizes.SMALL\n")
    (folder / "include" / "sizes.lua").write_text("local big = 40\nreturn {\n  BIG = big,\n}\n")
    assert "local sizes = (function()" in render(folder, HEADER + "-- include: sizes\nreturn sizes.BIG\n").source


@pytest.mark.parametrize("value", ["1 + 2", "-1", "'a' .. 'b'", "big"])
def test_only_a_literal_is_put_in_where_it_is_named(folder: Path, value: str):
    """An expression would be read in the order of whatever stands around it."""
    (folder / "include" / "sizes.lua").write_text(f"return {{\n  BIG = {value},\n}}\n")
    assert "local sizes = (function()" in render(folder, HEADER + "-- include: sizes\nreturn 2 * sizes.BIG\n").source


def test_a_cycle_is_named(folder: Path):
    """Modules that need each other are refused with the way round."""
    (folder / "include" / "first.lua").write_text("-- include: second\nreturn {}\n")
    with pytest.raises(ScriptError, match="include cycle: first -> second -> first"):
        render(folder, HEADER + "-- include: first\n")


def test_a_module_that_includes_itself_is_a_cycle(folder: Path):
    """The shortest cycle is one."""
    (folder / "include" / "first.lua").write_text("-- include: first\nreturn {}\n")
    with pytest.raises(ScriptError, match="include cycle: first -> first"):
        render(folder, HEADER + "-- include: first\n")


def test_a_missing_include_is_named_with_its_asker(folder: Path):
    """Who asks for what is not there is told."""
    with pytest.raises(ScriptError, match="try_it: include third not found"):
        render(folder, HEADER + "-- include: third\n")
    (folder / "include" / "first.lua").write_text("-- include: third\nreturn {}\n")
    with pytest.raises(ScriptError, match="first: include third not found"):
        render(folder, HEADER + "-- include: second\n")


def test_an_error_is_read_back_to_file_and_line(folder: Path):
    """Every rendered line knows its place, so that Redis' line numbers can be read."""
    (folder / "include" / "first.lua").write_text(HELPED)
    script = render(folder, HEADER + "-- include: first\n-- include: second\nreturn second.go() + first.go(2)\n")
    lines = script.source.splitlines()
    assert len(lines) == len(script.lines)
    go_of_second = lines.index("  return 'second'") + 1
    assert script.locate(f"user_script:{go_of_second}: oops") == "second.lua:4: oops"
    helper = lines.index("  return x + LIMIT") + 1
    assert script.locate(f"user_script:{helper}: oops") == "first.lua:9: oops"
    assert script.locate(f"on @user_script:{len(lines)}.") == "on @try_it.lua:10."
    assert script.locate("user_script:9999: oops") == "try_it.lua:?: oops"
    assert script.locate("OOM command not allowed") == "OOM command not allowed"


def test_keys_come_from_the_header(folder: Path):
    """The header's KEYS may run over several lines; unknown words and no KEYS at all are refused."""
    assert render(folder, HEADER).keys == ("meta", "seats", "facts", "request")
    with pytest.raises(ScriptError, match="unknown key nonsense"):
        render(folder, HEADER.replace("seats", "nonsense"))
    with pytest.raises(ScriptError, match="names no KEYS"):
        render(folder, "return 1\n")


def test_readers_are_marked_from_version_7_on(folder: Path):
    """6.2 does not know the shebang line; dropping it moves no line number."""
    body = f"{SHEBANG}\n{HEADER}return 1\n"
    new, old = render(folder, body, (7, 2, 4)), render(folder, body, (6, 2, 14))
    assert new.readonly
    assert old.readonly
    assert new.source.startswith(f"{SHEBANG}\n")
    assert old.source == "\n" + new.source.removeprefix(f"{SHEBANG}\n")
    assert old.lines == new.lines
    assert not render(folder, HEADER).readonly


def test_the_readers_of_the_engine_are_readers():
    """Exactly the scripts named read_... and find_... are marked read-only."""
    scripts = load_scripts((7,))
    assert {name for name, script in scripts.items() if script.readonly} == {
        name for name in scripts if name.startswith(("read_", "find_"))
    }

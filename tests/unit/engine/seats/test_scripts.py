"""The include loader: what is rendered where, and what is refused."""

from pathlib import Path

import pytest

from engine.seats.scripts import SHEBANG, ScriptError, load_scripts, render_script

HEADER = "--[[\nDo something.\n\nKEYS     meta sold\n         facts request\nARGV     none\n]]\n"
MODULE = "local {name} = {{}}\nfunction {name}.go()\n  return '{name}'\nend\nreturn {name}\n"


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


def test_an_include_becomes_a_local_made_by_a_function(folder: Path):
    """What a module defines stays inside of it."""
    script = render(folder, HEADER + "-- include: first\nreturn first.go()\n")
    assert "local first = (function()\nlocal first = {}" in script.source
    assert script.source.endswith("return first\nend)()\nreturn first.go()\n")
    assert "include:" not in script.source


def test_each_include_is_rendered_once_and_before_its_users(folder: Path):
    """A module that two want is made once, before both, whatever the order of the directives."""
    script = render(folder, HEADER + "-- include: second\n-- include: first\n-- include: second\nreturn 1\n")
    made = [line for line in script.source.splitlines() if line.endswith("= (function()")]
    assert made == ["local first = (function()", "local second = (function()"]


def test_the_order_of_directives_is_kept(folder: Path):
    """Modules that do not need each other come in the order in which the script names them."""
    (folder / "include" / "second.lua").write_text(MODULE.format(name="second"))
    script = render(folder, HEADER + "-- include: second\n-- include: first\nreturn 1\n")
    assert script.source.index("local second = (") < script.source.index("local first = (")


def test_an_include_inside_a_block_is_seen_in_that_block_only(folder: Path):
    """A later block says again what it needs, and a module of the top level is in sight of all blocks."""
    body = (
        "if a then\n  -- include: first\n  x()\n  -- include: first\nend\nif b then\n  -- include: first\n  y()\nend\n"
    )
    made = render(folder, HEADER + body).source.count("  local first = (function()")
    assert made == 2
    assert render(folder, HEADER + "-- include: first\n" + body).source.count("local first = (function()") == 1


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
    script = render(folder, HEADER + "-- include: second\nreturn second.go()\n")
    lines = script.source.splitlines()
    assert len(lines) == len(script.lines)
    go_of_second = lines.index("  return 'second'") + 1
    assert script.locate(f"user_script:{go_of_second}: oops") == "second.lua:4: oops"
    assert script.locate(f"on @user_script:{len(lines)}.") == "on @try_it.lua:9."
    assert script.locate("user_script:9999: oops") == "try_it.lua:?: oops"
    assert script.locate("OOM command not allowed") == "OOM command not allowed"


def test_keys_come_from_the_header(folder: Path):
    """The header's KEYS may run over several lines; unknown words and no KEYS at all are refused."""
    assert render(folder, HEADER).keys == ("meta", "sold", "facts", "request")
    with pytest.raises(ScriptError, match="unknown key nonsense"):
        render(folder, HEADER.replace("sold", "nonsense"))
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

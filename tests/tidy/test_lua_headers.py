"""Every Lua script keeps the convention of lua/README.md, and its header is true."""

import re

import pytest

from engine.seats.scripts import golden_copies, load_scripts
from tests.tidy.lua_source import (
    INCLUDE,
    LUA,
    MENDING,
    READING,
    WRITING,
    Source,
    commands,
    facts,
    functions,
    included,
    reached,
    read_script,
    without_comments,
    words,
)

SCRIPTS = sorted(LUA.glob("*.lua"))
CHECKED_BY_INTACT = {"seats", "checkouts", "deadlines"}
"""Keys that are used by being proved whole; of the partition's own keys that alone is no use."""
REFRESH = "refresh the golden copies with `python -m engine.seats.scripts --golden` and review the difference"


@pytest.fixture(params=SCRIPTS, ids=lambda path: path.stem)
def script(request) -> Source:
    """Each script of lua/ in turn, taken apart by the convention."""
    return read_script(request.param)


def includes_of(text: str) -> set[str]:
    """Give the modules of a script and of all that they include."""
    waiting, found = set(included(text)), set()
    while waiting:
        name = waiting.pop()
        found.add(name)
        waiting |= set(included((INCLUDE / f"{name}.lua").read_text(encoding="utf-8"))) - found
    return found


def test_the_header_begins_with_a_sentence(script: Source):
    """A reader learns first what the script does."""
    assert script.sentence[0].isupper()
    assert script.sentence.endswith(".")
    assert all(script.header.values())


def test_no_write_stands_above_change(script: Source):
    """Redis does not roll back: whatever may refuse is decided before the first write, includes counted."""
    above = script.parts["names"] + script.parts["check"]
    assert commands(above, barring=MENDING) & WRITING == set()
    calls = [match.end() for match in re.finditer(re.escape(MENDING), above)]
    assert all(re.match(r"\(.*\)\n\s+return takeover\.refusal", above[end:]) for end in calls)


def test_no_refusal_stands_below_change(script: Source):
    """Once a write was made the answer is a success; before that some may be tried, and taken back."""
    for part in ("change", "answer"):
        text = without_comments(script.parts.get(part, ""))
        text = text[text.find("redis.call(") :] if part == "change" and "redis.pcall(" in text else text
        if part == "change" or "change" in script.parts:
            assert not re.search(r"return \{'|return takeover\.refusal|return .*refusal", text)
            assert not any(name.endswith((".own", ".closed", ".over", ".enter", ".recall")) for name in reached(text))


def test_readers_never_write(script: Source):
    """What is marked read-only, and only that, runs no writing command."""
    assert bool(commands(script.body) & WRITING) != script.text.startswith("#!lua")


def test_every_command_is_known(script: Source):
    """A command that these rules do not know, SCAN, KEYS and MEMORY among them, is not used."""
    assert commands(script.body) - READING - WRITING == set()


def test_the_words_of_the_header_are_the_words_answered(script: Source):
    """RETURNS lists each outcome word that can be answered, and no other."""
    returns = script.header["RETURNS"]
    answered = words(script.body)
    if any("'replayed'" in text for text in reached(script.body).values()):
        answered.add("replayed")
    if script.name in ("expire_holds", "end_holds"):
        answered.remove("not_loaded")  # it is a success there: nothing is left to end
    known = {"replayed"}.union(*(words(path.read_text(encoding="utf-8")) for path in SCRIPTS))
    # Alternatives stand on lines of their own or behind a bar; what follows a comma or colon is data or prose.
    plain = re.sub(r"\(.*?\)", " ", returns.replace("\n           ", " "), flags=re.DOTALL)
    heads = {part.strip(" :,").split(",")[0].split(":")[0].split(" ")[0] for part in re.split(r"\||\n", plain)}
    assert heads & known == answered


def test_the_words_of_the_script_come_in_the_order_of_the_header(script: Source):
    """Refusals are listed in the order in which the script itself checks them."""
    returns = script.header["RETURNS"]
    own = re.findall(r"return \{'([a-z_]+)', now_ms", without_comments(script.parts["check"]))
    # Damage is found wherever a record is read; the word stands with the common ones.
    places = [re.search(rf"\b{word}\b", returns) for word in dict.fromkeys(own) if word != "damaged"]
    assert all(places)
    assert [place.start() for place in places] == sorted(place.start() for place in places)


def test_the_facts_of_the_header_are_the_facts_emitted(script: Source):
    """EMITS names each kind of fact that the script can append, and no other."""
    assert set(re.findall(r"(?:seats|booking)_[a-z]+", script.header["EMITS"])) == facts(script.body)


def test_the_keys_of_the_header_are_bound_and_used(script: Source):
    """KEYS are bound to names in the header's order on the first lines, and each is used."""
    keys = load_scripts((7,))[script.name].keys
    names = script.parts["names"]
    if "unpack(KEYS)" in names:
        bound = re.findall(r"(\w+)_key\b", names[: names.index("= unpack(KEYS)")])
        used = [key for key in bound if len(re.findall(rf"\b{key}_key\b", script.body)) > 1]
    else:
        pairs = re.findall(r"(\w+) = KEYS\[(\d+)\]", names)
        assert [int(number) for _, number in pairs] == list(range(1, len(pairs) + 1))
        bound = [name for name, _ in pairs]
        code = " ".join([script.body, *(text for name, text in reached(script.body).items() if name != "intact.check")])
        proved = CHECKED_BY_INTACT if "intact.check(keys" in script.body else set()
        used = [key for key in bound if key in proved or re.search(rf"\bkeys\.{key}\b", code)]
    assert bound == list(keys)
    assert used == bound


def test_arguments_are_bound_on_the_first_lines(script: Source):
    """Below the names no ARGV[n] stands: seats and numbers are reached through a named position."""
    below = "".join(text for part, text in script.parts.items() if part != "names")
    assert re.findall(r"(?:ARGV|KEYS)\[\d", without_comments(below)) == []


def test_every_include_is_there_and_used(script: Source):
    """A module is included where it is called; none is dragged along."""
    for name in included(script.text):
        assert (INCLUDE / f"{name}.lua").is_file()
        assert re.search(rf"\b{name}\.", without_comments(script.body)), name


def test_everything_called_is_included(script: Source):
    """No script leans on a module that another include happens to bring."""
    called = set(re.findall(r"\b([a-z_]+)\.\w+", without_comments(script.body)))
    modules = {path.stem for path in INCLUDE.glob("*.lua")}
    assert (called & modules) - set(included(script.text)) == set()


@pytest.mark.parametrize("path", sorted(INCLUDE.glob("*.lua")), ids=lambda path: path.stem)
def test_every_module_says_what_it_is_and_includes_what_it_calls(path):
    """A module begins with a comment, is used by a script, and names what it calls."""
    text = path.read_text(encoding="utf-8")
    assert re.match(r"-- [A-Z]", text)
    code = without_comments(text)
    modules = {other.stem for other in INCLUDE.glob("*.lua")} - {path.stem}
    called = set(re.findall(r"(?<![.\w])([a-z_]+)\.\w+", code)) & modules
    # Names of keys are fields of a table that the script makes, not modules.
    assert called == set(included(text))
    assert any(path.stem in includes_of(other.read_text(encoding="utf-8")) for other in SCRIPTS)


def test_only_the_clock_reads_the_time():
    """TIME is read in one include; the scripts have no other now."""
    readers = [path.stem for path in (*SCRIPTS, *INCLUDE.glob("*.lua")) if "'TIME'" in path.read_text(encoding="utf-8")]
    assert readers == ["clock"]


def test_no_command_is_built_from_text():
    """Every command is a literal, so that these rules see all of them."""
    for path in (*SCRIPTS, *INCLUDE.glob("*.lua")):
        code = without_comments(path.read_text(encoding="utf-8"))
        assert len(re.findall(r"redis\.p?call\b", code)) == len(re.findall(r"redis\.p?call\('\w+'", code)), path.name


def test_no_function_of_an_include_is_dead():
    """Each function of an include is reached from some script."""
    alive = set().union(*(reached(path.read_text(encoding="utf-8")) for path in SCRIPTS))
    assert set(functions()) - alive == set()


def test_the_golden_copies_are_what_redis_runs():
    """A review sees the rendered scripts; a missing, different or left-over copy fails."""
    copies = golden_copies()
    folder = next(iter(copies)).parent
    assert {path.name for path in folder.glob("*.lua")} == {path.name for path in copies}, REFRESH
    for path, source in copies.items():
        assert path.read_text(encoding="utf-8") == source, f"{path.name}: {REFRESH}"


BROKEN = """--[[
Do it.

KEYS     meta
ARGV     none
RETURNS  done
RAISES   nothing
EMITS    nothing
COST     O(1)
]]
-- names
-- check
redis.call('HSET', KEYS[1], 'a', 1)
-- change
if x then
  return {'refused', now_ms}
end
-- answer
return {'done', now_ms}
"""


def test_the_rules_see_a_broken_script(tmp_path):
    """A write above change, a refusal below it and a word too many are found; else the rules could pass on anything."""
    path = tmp_path / "broken.lua"
    path.write_text(BROKEN)
    broken = read_script(path)
    for rule in (
        test_no_write_stands_above_change,
        test_no_refusal_stands_below_change,
        test_the_words_of_the_header_are_the_words_answered,
    ):
        with pytest.raises(AssertionError):
            rule(broken)
    path.write_text(BROKEN.replace("-- change\n", ""))
    with pytest.raises(AssertionError, match="parts are"):
        read_script(path)
    path.write_text(BROKEN.replace("COST", "PRICE"))
    with pytest.raises(AssertionError, match="lacks"):
        read_script(path)

"""The storm sees what it is there to see."""

import dataclasses
from hashlib import sha1

import pytest

from engine.embedded.valkey import EmbeddedValkey
from engine.seats.scripts import load_scripts
from tests.conftest import find_redis
from tests.simulation import storm

CLAIMS = 3_000


@pytest.fixture
def server(tmp_path):
    """A server of its own."""
    with EmbeddedValkey(tmp_path / "valkey", find_redis("valkey")) as server:
        yield server


def test_a_storm_over_the_scripts_is_quiet(server):
    """Claims are made, met and sold, and nothing is given twice."""
    counts = storm.run(server, CLAIMS, 7, lambda *_: None)
    assert counts["claims"] >= CLAIMS
    assert counts["conflicts"] > storm.CONFLICTS_MIN * CLAIMS
    assert counts["sales"] > 0


@pytest.mark.parametrize(
    ("name", "guard", "broken", "seen"),
    [
        (
            "claim_seats",
            "local free = seat_map_all(seats_key, seats_count, runs, '\\0\\0\\0\\0')",
            "local free = true",
            "given twice",
        ),
        ("sell_seats", "local seq = facts_emit(", "local seq = (function() return 0 end)(", "facts of"),
    ],
)
def test_a_storm_over_a_broken_script_is_not(server, monkeypatch, name, guard, broken, seen):
    """A seat given to two, and a fact that is not told, are seen."""
    scripts = dict(load_scripts(server.program.version))
    source = scripts[name].source
    assert source.count(guard) == 1, f"the guard of {name} has moved"
    scripts[name] = changed(scripts[name], source.replace(guard, broken))
    monkeypatch.setattr(storm, "load_scripts", lambda _: scripts)
    with pytest.raises(AssertionError, match=seen):
        storm.run(server, CLAIMS, 7, lambda *_: None)


def changed(script, source):
    """Give a script with another source."""
    return dataclasses.replace(script, source=source, sha=sha1(source.encode(), usedforsecurity=False).hexdigest())

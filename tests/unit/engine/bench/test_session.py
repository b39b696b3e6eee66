"""How a run measures: in turn, what was asked for, and refusing what was not measured well."""

import pytest

from engine.bench.command import NAMES, _told, chosen
from engine.bench.overload import recovery_s
from engine.bench.session import Extent, Session
from engine.errors import CommandError


@pytest.fixture
def session(tmp_path):
    """A session of three rounds; what it tells is in `told`."""
    told = []
    session = Session(Extent(3, 0.1, 10, True), tmp_path, lambda *words: told.append(words))
    session.told = told
    return session


def test_sides_are_measured_in_turn_and_none_is_always_the_first(session):
    """Each round has all sides, and begins with another one."""
    asked = []

    def side(name):
        return name, lambda number: asked.append(name) or number

    found = session.in_turn("x", [side("a"), side("b")])
    assert "".join(asked) == "abbaab"
    assert found == [{"a": number, "b": number} for number in range(3)]
    assert session.told[-1] == ("x", 6, 6)


def test_a_figure_of_callers_who_came_late_is_refused(session):
    """In most rounds, that is; one bad moment in three is what medians are for."""
    late, fine = {"lagged": True, "lag_p99_ms": 40.0}, {"lagged": False, "lag_p99_ms": 1.0}
    assert not session.refuse_lagging("B2", [late, fine, fine])
    assert session.refuse_lagging("B2", [late, late, fine])
    assert session.refused == ["B2: the callers themselves came too late (p99 40 ms) in 2 rounds"]


def test_what_fails_is_told_and_stops_nothing(session):
    """A missing program, or callers that fail, cost one measure."""
    with _told(session, "B5"):
        raise CommandError("no program")
    assert session.refused == ["B5: no program"]


def test_measures_are_chosen_by_name():
    """All of them by default; an unknown one is refused."""
    assert chosen("") == NAMES
    assert chosen("b7, B1") == ("B1", "B7")
    with pytest.raises(CommandError, match="no measure B99"):
        chosen("B1,B99")


@pytest.mark.parametrize(
    ("slow", "recovered_s"), [((0, 0, 0), 0.0), ((100, 100, 0), 0.5), ((100, 0, 30), 0.75), ((1, 0, 0), 0.0)]
)
def test_recovery_ends_with_the_last_window_in_which_many_waited(slow, recovered_s):
    """One in a hundred may be slow; a relapse counts."""
    series = [[number * 0.25, 100, 100, bad] for number, bad in enumerate(slow)]
    assert recovery_s(series, 0.25) == recovered_s

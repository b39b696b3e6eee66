"""The bounds of a soak: what grows is found, what only goes up and down is not."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.soak.gauges import BOUNDS, MIB, Gauges, descriptors_of, growth_of, rss_of, table
from tests.soak.soak import SUMS, Soak, tell

RSS = "RSS of a process, MiB"


def life(*figures, every_s=10):
    """Give figures with the times at which they were taken."""
    return [(place * every_s, figure) for place, figure in enumerate(figures)]


def gauged(figures, gauge=RSS):
    """Give the only row of a soak in which one process showed these figures."""
    gauges = Gauges()
    for at_s, figure in life(*figures):
        gauges.note(gauge, at_s, figure, "api", 7)
    (row,) = gauges.rows()
    return row


def test_a_leak_is_found():
    """Memory that grows steadily passes its bound long before it passes the level."""
    row = gauged([MIB * (100 + 4 * turn) for turn in range(40)])
    assert row.most < row.bound.at_most
    assert not row.held
    assert "PASSED" in table([row])


def test_memory_that_fills_caches_and_then_stays_is_no_leak():
    """The first quarter of a life may grow, and every one may go up and down."""
    assert gauged([MIB * min(100 + 10 * turn, 180 + turn % 5) for turn in range(40)]).held


def test_a_level_is_bounded_whatever_the_growth():
    """One figure above the level is enough."""
    row = gauged([100, 100, BOUNDS["descriptors of a process"].at_most + 1, 100], "descriptors of a process")
    assert row.growth == 0
    assert not row.held


def test_a_new_process_begins_a_new_life():
    """What a killed process had does not count as the growth of the next one; a short life has none."""
    gauges = Gauges()
    for pid, start in ((1, 0), (2, 400)):
        for at_s, figure in life(*([50 * MIB * pid] * 40)):
            gauges.note(RSS, start + at_s, figure, "api", pid)
    (row,) = gauges.rows()
    assert row.growth == 0
    assert row.last == 100 * MIB
    assert growth_of(life(1, 1_000, 1_000_000)) == 0


def test_what_is_measured_of_a_process_is_there():
    """Our own memory and descriptors are seen; those of nobody are not."""
    before = descriptors_of(os.getpid())
    with Path(os.devnull).open():
        assert descriptors_of(os.getpid()) == before + 1
    assert rss_of(os.getpid()) > MIB
    assert rss_of(2**22 + 1) is None
    assert descriptors_of(2**22 + 1) is None


@pytest.mark.parametrize(
    ("grown", "failure", "held"), [(0, None, True), (999 * MIB, None, False), (0, AssertionError("I2"), False)]
)
def test_the_verdict_is_one_line(capsys, grown, failure, held):
    """A soak has held if every round did and every gauge; the last line says which did not."""
    work = Soak(SimpleNamespace(parts=[]), 1)
    work.rounds, work.sums = 2, dict.fromkeys(SUMS, 5)
    for at_s in (0, 30, 60, 90, 120):
        work.gauges.note(RSS, at_s, 50 * MIB + grown, "worker", 3)
    assert tell(work, failure) is held
    verdict = capsys.readouterr().out.splitlines()[-1]
    assert verdict.startswith("soak held" if held else "soak FAILED")
    assert ("RSS of a process, MiB of worker" in verdict) == bool(grown)


def test_each_fault_comes_once_before_any_comes_again():
    """The order is drawn, and the same for the same seed."""
    one, two = (Soak(SimpleNamespace(parts=[]), 5) for _ in range(2))
    drawn = [one._draw().name for _ in range(len(one._faults))]
    assert sorted(drawn) == sorted(fault.name for fault in one._faults)
    assert drawn == [two._draw().name for _ in drawn]

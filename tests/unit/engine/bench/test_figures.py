"""Ratios, and how they are told."""

import json

import pytest

from engine.bench.figures import Figure, Plot, Run, as_json, as_text, ratios_of
from engine.bench.page import as_page


def figure(*ratios, limit, least):
    """Give a figure of some rounds."""
    return Figure(name="B4", what="a < b & c", ratios=ratios, limit=limit, least=least, sides={"a us": 3.0})


@pytest.mark.parametrize(
    ("limit", "least", "kept"), [(2.0, True, True), (2.1, True, False), (2.0, False, True), (1.9, False, False)]
)
def test_the_median_is_held_against_the_limit(limit, least, kept):
    """At least, or at most."""
    one = figure(1.0, 2.0, 9.0, limit=limit, least=least)
    assert (one.median, one.kept) == (2.0, kept)
    assert one.spread == 2.0


def test_a_figure_without_a_limit_is_only_told():
    """Neither kept nor missed."""
    assert figure(1.0, limit=None, least=True).kept is None


def test_a_run_is_told_as_text_json_and_a_page():
    """With medians, limits, and what was left out; the page escapes what it is given."""
    run = Run(
        date="today",
        commit="abc",
        machine="2 cores",
        rounds=2,
        seconds=3.0,
        small=True,
        load_before=1.5,
        figures=(figure(2.0, 4.0, limit=3.5, least=False),),
        plots=(Plot(title="p < q", x="ms", y="%", lines={"a": [(1.0, 50.0), (100.0, 100.0)], "b": []}, log_x=True),),
        not_measured=("B1",),
    )
    assert "B4       3.00   33%   <= 3.5  a < b & c  (a us 3)" in as_text(run)
    assert "not measured: B1" in as_text(run)
    assert "medians of 2 rounds of 3 s, SMALL, BUSY before: load 1.5" in as_text(run)
    (told,) = json.loads(as_json(run))["figures"]
    assert (told["median"], told["kept"], told["ratios"]) == (3.0, True, [2.0, 4.0])
    page = as_page(run)
    assert "a &lt; b &amp; c" in page
    assert page.count("<circle") == 2
    assert "p &lt; q" in page
    assert "points='44.0,130.0 676.0,44.0'" in page
    assert "://" not in page


def test_a_round_without_anything_to_divide_by_keeps_no_limit():
    """A rival that did nothing is no rival."""
    assert ratios_of([(4.0, 2.0), (3.0, 0.0)]) == (2.0, 0.0)

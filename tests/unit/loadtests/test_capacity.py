"""The capacity page is worked out from measured figures, and from nothing else."""

import json
import re

import pytest

from loadtests import capacity


def results(**changes):
    """Give a results file with a round number for every figure that the page needs."""
    values = dict.fromkeys(capacity.MEASURED, 100.0) | {"full": 1_000.0, "look": 10_000.0} | changes
    figures = [
        {"name": measure, "what": f"of {part}", "sides": {side: values[name]}}
        for name, (measure, part, side, _) in capacity.MEASURED.items()
        if values[name] is not None
    ]
    made = {"date": "today", "commit": "abc", "machine": "2 cores", "rounds": 5, "seconds": 2.0, "load_before": 0.1}
    return {**made, "figures": figures}


def test_every_step_is_in_front_of_the_reader():
    """70,000 showtimes; 100 bookings a second at the peak; what they cost."""
    page = capacity.page(results(), "results/x.json")
    assert "2,000 x 5 x 7 = **70,000**" in page
    assert "600,000 x 0.2 / 3,600 x 3 = **100**" in page
    sums = "50 x 100 us (claim) + 300 x 1,000 us (full) + 1,000 x 100 us (look) + 100 x 100 us (buy)"
    assert f"- API processes: {sums} = 0.41 s of CPU per second; / 0.6 = **1**" in page
    assert "**8,333**; claims: x 2 = **16,667**" in page
    assert "16,667 / 100 (knee) = **167** API processes" in page


def test_memory_can_ask_for_more_redis_nodes_than_calls_do():
    """Whichever is more."""
    assert "**Redis nodes: 11**" in capacity.page(results(showtime=1e6), "x")


def test_a_figure_that_was_not_measured_is_not_made_up():
    """The page is written from a whole run, or not."""
    with pytest.raises(SystemExit, match="lack knee/s of B8"):
        capacity.page(results(knee=None), "x")


def test_the_page_is_what_its_results_give():
    """Nobody has changed a number by hand, or a formula without writing the page anew."""
    if not capacity.PAGE.exists():
        pytest.skip("nothing has been measured yet")
    text = capacity.PAGE.read_text("utf-8")
    sources = re.findall(r"`(results/[^`]+\.json)`", text)
    measured = capacity.together([capacity.PAGE.parent / source for source in sources])
    assert text == capacity.page(measured, "`, `".join(sources))


def test_what_one_run_lacks_comes_from_the_next(tmp_path):
    """The first run has the word wherever it has measured something."""
    files = [tmp_path / "new.json", tmp_path / "old.json"]
    runs = results(knee=0.0), results(knee=7.0, claim=9.0) | {"load_before": 3.0}
    for file, made in zip(files, runs, strict=True):
        file.write_text(json.dumps(made))
    run = capacity.together(files)
    assert run["load_before"] == 3.0
    measured = capacity.read(run)
    assert (measured["knee"], measured["claim"]) == (7.0, 100.0)

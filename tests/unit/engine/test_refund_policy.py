"""What goes back, by the time that is left: a table of cases, and what any policy must keep."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.refund_policy import NOTHING, parse_tiers, refund_of, terms_at

START = datetime(2026, 11, 21, 19, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
TIERS = parse_tiers("24h:100,2h:50")


@pytest.mark.covers("004.33")
@pytest.mark.parametrize(
    ("left", "percent", "rule", "until"),
    [
        (timedelta(days=9), 100, "24h:100", timedelta(hours=24)),
        (timedelta(hours=24), 100, "24h:100", timedelta(hours=24)),
        (timedelta(hours=24) - SECOND, 50, "2h:50", timedelta(hours=2)),
        (timedelta(hours=2), 50, "2h:50", timedelta(hours=2)),
        (timedelta(hours=2) - SECOND, 0, None, None),
        (timedelta(0), 0, None, None),
        (-timedelta(hours=1), 0, None, None),
    ],
)
def test_the_default_policy(left, percent, rule, until):
    """A day before everything, two hours before half, later nothing; the edge itself is still the better side."""
    expected = (percent, rule, until and START - until)
    assert terms_at(TIERS, START, START - left) == expected


@pytest.mark.parametrize(
    ("text", "left", "percent"),
    [
        ("0h:100", SECOND, 100),
        ("0h:100", timedelta(0), 0),
        ("0h:0", timedelta(days=30), 0),
        ("7d:90,90m:10", timedelta(days=7), 90),
        ("7d:90,90m:10", timedelta(minutes=90), 10),
        ("1h:100,0m:0", timedelta(minutes=59), 0),
    ],
)
def test_other_policies(text, left, percent):
    """Until the very start, never, in days and minutes."""
    assert terms_at(parse_tiers(text), START, START - left).percent == percent


@pytest.mark.parametrize(
    "text",
    ["", "24h", "24:100", "24h:101", "2h:50,24h:100", "2h:50,2h:40", "24h:50,2h:100", "24h:100,", "1w:5", "\u0661h:5"],
)
def test_a_policy_that_makes_no_sense_is_refused(text):
    """No text is quietly read as something else."""
    with pytest.raises(ValueError, match="tier"):
        parse_tiers(text)


@pytest.mark.parametrize(("price", "percent", "amount"), [(5_000_001, 50, 2_500_000), (1, 99, 0), (333, 33, 109)])
def test_a_ticket_is_rounded_down_to_the_minor_unit(price, percent, amount):
    """In no case more than the share."""
    assert refund_of(price, percent) == amount


@given(
    prices=st.lists(st.integers(0, 10**9), min_size=1, max_size=8),
    left_s=st.integers(-(10**6), 10**6),
    later_s=st.integers(0, 10**6),
)
def test_waiting_never_pays_and_nobody_gets_more_than_they_paid(prices, left_s, later_s):
    """The sum over any split is the same, for each ticket is rounded by itself."""
    now = START - timedelta(seconds=left_s)
    terms, afterwards = terms_at(TIERS, START, now), terms_at(TIERS, START, now + timedelta(seconds=later_s))
    amounts = [refund_of(price, terms.percent) for price in prices]
    assert all(0 <= amount <= price for amount, price in zip(amounts, prices, strict=True))
    assert afterwards.percent <= terms.percent
    if terms != NOTHING:
        assert terms_at(TIERS, START, terms.valid_until) == terms

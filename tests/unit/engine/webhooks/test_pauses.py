"""The pauses between attempts, and what an endpoint may ask for."""

from datetime import UTC, datetime

import pytest

from engine.limits import DAY_MS, DELIVERY_LIFE_MS, DELIVERY_PAUSE_MAX_MS
from engine.webhooks.pauses import pause_ms, read_retry_after


def test_pauses_grow_from_seconds_to_hours():
    """Three days have room for about fifteen attempts."""
    pauses = [pause_ms(attempt, jitter=0) for attempt in range(1, 30)]
    assert [pause // 1_000 for pause in pauses[:8]] == [5, 20, 80, 320, 1_280, 5_120, 20_480, 28_800]
    assert set(pauses[7:]) == {DELIVERY_PAUSE_MAX_MS}
    begun = [sum(pauses[:attempts]) for attempts in range(len(pauses))]
    assert sum(at <= DELIVERY_LIFE_MS for at in begun) == 16
    assert pause_ms(10**9, jitter=0) == DELIVERY_PAUSE_MAX_MS


def test_what_failed_together_does_not_come_back_together():
    """A pause is up to a fifth longer or shorter."""
    assert (pause_ms(1, jitter=-1), pause_ms(1, jitter=1)) == (4_000, 6_000)
    drawn = {pause_ms(3) for _ in range(50)}
    assert len(drawn) > 10
    assert all(64_000 <= pause <= 96_000 for pause in drawn)


def test_an_endpoint_may_ask_for_a_longer_pause_within_bounds():
    """Never for a shorter one, and never for days."""
    assert pause_ms(1, 60_000, jitter=0) == 60_000
    assert pause_ms(3, 1_000, jitter=0) == 80_000
    assert pause_ms(1, 3 * DAY_MS, jitter=0) == DELIVERY_PAUSE_MAX_MS


@pytest.mark.parametrize(
    ("text", "asked_ms"),
    [
        ("120", 120_000),
        (" 0 ", 0),
        ("9" * 40, 999_999_999_000),
        ("Sat, 21 Nov 2026 08:01:00 GMT", 60_000),
        ("Sat, 21 Nov 2026 07:00:00 GMT", 0),
        ("Sat, 21 Nov 2026 08:01:00 -0000", 60_000),
        ("soon", None),
        ("-5", None),
        ("²", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text, asked_ms):
    """Anything else is as if it were not there."""
    now = datetime(2026, 11, 21, 8, tzinfo=UTC)
    assert read_retry_after({"retry-after": text}, now) == asked_ms
    assert read_retry_after({}, now) is None

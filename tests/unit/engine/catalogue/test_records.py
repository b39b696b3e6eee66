"""The status that customers see follows from what is stored and from the clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.catalogue.catalogue import local_day_bounds
from engine.catalogue.records import Showtime

HOUR = timedelta(hours=1)
OPEN = datetime(2026, 3, 1, 9, tzinfo=UTC)


def showtime(status):
    """Make a showtime whose sales run for five hours from OPEN and whose show ends two hours later."""
    return Showtime(
        id=1, status=status, status_reason=None, starts_at=OPEN + 5 * HOUR, ends_at=OPEN + 7 * HOUR,
        sales_open_at=OPEN, sales_stop_at=OPEN + 5 * HOUR, layout_id=1, prices={"REGULAR": 1}, currency="IDR",
        policy={}, cinema_policy={}, auditorium_id=1, auditorium="Studio 1", cinema_id=1, cinema="Menteng",
        cinema_slug="menteng", city="Jakarta", timezone="Asia/Jakarta", movie_id=1, movie="M", movie_slug="m",
        rating="", duration_minutes=120, seat_count=10,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("stored", "after", "shown"),
    [
        ("OPEN", -1, "SCHEDULED"),
        ("OPEN", 0, "ON_SALE"),
        ("OPEN", 5, "ENDED"),
        ("OPEN", 7, "ENDED"),
        ("FROZEN", -1, "FROZEN"),
        ("FROZEN", 1, "FROZEN"),
        ("FROZEN", 7, "ENDED"),
        ("CANCELLED", -1, "CANCELLED"),
        ("CANCELLED", 9, "CANCELLED"),
    ],
)
def test_the_shown_status_follows_from_the_clock(stored, after, shown):
    """Cancelled for ever; ended when sales stop; frozen while it is; else by the opening of sales."""
    made = showtime(stored)
    assert made.status_at(made.sales_open_ms + after * 3_600_000) == shown


@pytest.mark.parametrize(
    "timezone", ["Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", "Pacific/Kiritimati", "Etc/GMT+12"]
)
def test_the_bounds_of_a_day_hold_it_in_every_zone(timezone):
    """Both ends of the local day lie within the bounds that the list reads."""
    day = date(2026, 3, 1)
    since, until = local_day_bounds(day)
    assert since <= datetime(2026, 3, 1, tzinfo=ZoneInfo(timezone))
    assert datetime(2026, 3, 2, tzinfo=ZoneInfo(timezone)) <= until

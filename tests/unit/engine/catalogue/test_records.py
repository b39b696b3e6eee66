"""The status that customers see follows from what is stored and from the clock."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.catalogue.catalogue import local_day_bounds
from engine.catalogue.records import shown_status

OPEN = datetime(2026, 3, 1, 9, tzinfo=UTC)
STOP = OPEN + timedelta(hours=5)
END = OPEN + timedelta(hours=7)


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
    assert shown_status(stored, OPEN, STOP, END, OPEN + timedelta(hours=after)) == shown


@pytest.mark.parametrize(
    "timezone", ["Asia/Jakarta", "Asia/Makassar", "Asia/Jayapura", "Pacific/Kiritimati", "Etc/GMT+12"]
)
def test_the_bounds_of_a_day_hold_it_in_every_zone(timezone):
    """Both ends of the local day lie within the bounds that the list reads."""
    day = date(2026, 3, 1)
    since, until = local_day_bounds(day)
    assert since <= datetime(2026, 3, 1, tzinfo=ZoneInfo(timezone))
    assert datetime(2026, 3, 2, tzinfo=ZoneInfo(timezone)) <= until

"""The verdict of a load test: it must be able to say no."""

import asyncpg
import pytest

from loadtests import verdict

BOOKING = "01a1fe7f-ec49-7010-8000-040000000013"
CONFIRMED = {"confirmed": BOOKING, "showtime": 19, "seats": ["A1", "A2"], "amount": 200, "currency": "IDR"}
ROW = {"id": BOOKING, "showtime": 19, "seats": ["A2", "A1"], "amount": 200, "currency": "IDR", "live": 2}


@pytest.fixture
def judged(database_url, monkeypatch):
    """Judge notes over an empty ledger; the audit says what it is told."""

    async def judge(notes, hot=None, audit=0):
        monkeypatch.setattr(verdict, "_audit", lambda _: {"status": audit, "said": "one line"})
        plan = {"showtimes": [], "hot": hot or {}}
        return await verdict.judge(notes, plan, {"SEATLOCK_DATABASE_URL": database_url})

    return judge


async def test_selling_nothing_does_not_pass(judged):
    """A service that refuses everybody is no success."""
    said = await judged([])
    assert (said["passed"], said["failures"]) == (False, ["nobody saw a confirmed booking"])
    assert verdict.told(said).endswith("verdict: FAILED")


async def test_a_confirmation_without_a_ticket_fails(judged):
    """What a person saw must be in the ledger."""
    assert (await judged([CONFIRMED]))["failures"] == [f"{BOOKING} was seen CONFIRMED and has no ticket"]


async def test_unsold_hot_seats_faults_and_differences_fail(judged):
    """Each is named."""
    fault = {"fault": 500, "method": "GET", "path": "/x"}
    failures = (await judged([CONFIRMED, fault, fault], {"19": ["A1", "A2"]}, audit=1))["failures"]
    assert failures[1:] == ["only 0 of 2 hot seats were sold", "2 x 500 to GET /x", "audit: status 1: one line"]


async def test_a_seat_with_two_live_tickets_fails(judged, database_url):
    """Even where nothing of our own would let it in."""
    connection = await asyncpg.connect(database_url)
    try:
        # A table without the ledger's guards stands before it in the search path of this database.
        await connection.execute(
            "CREATE SCHEMA loose;"
            "CREATE TABLE loose.tickets (showtime_id bigint, seat text, status text, booking_id uuid)"
        )
        await connection.execute(
            "INSERT INTO loose.tickets VALUES"
            " (1, 'A1', 'SOLD'), (1, 'A1', 'USED'), (1, 'A2', 'REFUNDED'), (1, 'A2', 'SOLD')"
        )
        name = await connection.fetchval("SELECT current_database()")
        await connection.execute(f'ALTER DATABASE "{name}" SET search_path = loose, public')
    finally:
        await connection.close()
    try:
        assert (await judged([]))["failures"][0] == "1 seats have two live tickets"
    finally:
        connection = await asyncpg.connect(database_url)
        await connection.execute(f'ALTER DATABASE "{name}" RESET search_path; DROP SCHEMA loose CASCADE')
        await connection.close()


def test_a_booking_that_is_in_the_ledger_as_it_was_seen_is_fine():
    """In whatever order its seats come."""
    assert verdict._lost({BOOKING: CONFIRMED}, set(), [ROW]) == []


@pytest.mark.parametrize("change", [{"seats": ["A1"]}, {"amount": 100}, {"showtime": 20}, {"currency": "USD"}])
def test_a_booking_that_the_ledger_has_otherwise_fails(change):
    """Another seat, price or showtime than was seen."""
    assert len(verdict._lost({BOOKING: CONFIRMED}, set(), [ROW | change])) == 1


def test_money_back_must_have_been_asked_for():
    """A confirmed booking without live tickets is fine only for who gave it back."""
    gone = ROW | {"live": 0}
    assert len(verdict._lost({BOOKING: CONFIRMED}, set(), [gone])) == 1
    assert verdict._lost({BOOKING: CONFIRMED}, {BOOKING}, [gone]) == []

"""A big hall that is sold out: the ledger's rows written in bulk, as thousands of sales would have left them."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from engine.catalogue.records import DrawnLayout, NewAuditorium, NewShowtime
from engine.ledger.database import moment
from engine.seats.ids import HoldId
from engine.seats.keys import partition_of

PRICE_MINOR = 5_000_000
ROW_SEATS = 100
SEATS_PER_BOOKING = 2
_COLUMNS = {
    "bookings": "id showtime_id subject email status owner_number claimed_at amount_minor currency expires_at",
    "booking_seats": "booking_id seat_index seat tier price_minor",
    "payments": "session_id gateway booking_id status amount_minor currency expires_at",
    "captures": "gateway session_id booking_id amount_minor currency outcome outcome_at",
    "tickets": "id showtime_id seat_index seat tier booking_id gateway session_id sale_number subject price_minor "
    "currency status sold_at",
}


def _row(number):
    """Give a row's name: two letters, so that no label is another one's."""
    return f"{chr(65 + number // 26)}{chr(65 + number % 26)}"


async def big_hall(small, rows, name):
    """Make a hall of so many rows of 100 seats; gives its number."""
    lines = tuple(f"{_row(row)} " + "R" * ROW_SEATS for row in range(rows))
    new = NewAuditorium(cinema_id=small.cinema, name=name, floor_plan=DrawnLayout(name=name, lines=lines))
    return (await small.catalogue.desk.create_auditorium("tests", new, lambda _: None))[0]


async def put_on(small, pool, hall, *, beside=None):
    """Put a showtime on in such a hall, in the partition of another one if asked; gives its number."""
    if beside is not None:
        number = next(n for n in range(beside + 1, 2**32) if partition_of(n) == partition_of(beside))
        await pool.execute("SELECT setval(pg_get_serial_sequence('showtimes', 'id'), $1, false)", number)
    new = NewShowtime(
        auditorium_id=hall,
        movie_id=small.movie,
        starts_at=datetime.now(UTC) + timedelta(days=1),
        prices={"REGULAR": PRICE_MINOR},
    )
    (showtime,), _ = await small.catalogue.desk.create_showtimes("tests", [new], lambda _: None)
    return showtime


async def sell_out(pool, showtime, seats, *, analyze=True):
    """Sell all seats of a showtime that Redis has not loaded, two by two; nobody is told of these sales.

    Without `analyze` the planner learns of them by itself, some time.
    """
    now_ms = time.time_ns() // 1_000_000
    at, rows = moment(now_ms), {table: [] for table in _COLUMNS}
    for owner in range(1, seats // SEATS_PER_BOOKING + 1):
        booking, session, subject = UUID(str(HoldId(now_ms, owner, showtime))), f"sess_{uuid4().hex}", str(uuid4())
        amount = SEATS_PER_BOOKING * PRICE_MINOR
        buyer = (subject, f"{owner}@example.org")
        rows["bookings"].append((booking, showtime, *buyer, "CONFIRMED", owner, at, amount, "IDR", at))
        rows["payments"].append((session, "fake", booking, "SUCCESS", amount, "IDR", at))
        rows["captures"].append(("fake", session, booking, amount, "IDR", "TICKETS", at))
        for index in range((owner - 1) * SEATS_PER_BOOKING, owner * SEATS_PER_BOOKING):
            seat = (index, f"{_row(index // ROW_SEATS)}{index % ROW_SEATS + 1}", "REGULAR")
            rows["booking_seats"].append((booking, *seat, PRICE_MINOR))
            sale = (booking, "fake", session, owner, subject, PRICE_MINOR, "IDR", "SOLD", at)
            rows["tickets"].append((uuid4(), showtime, *seat, *sale))
    async with pool.acquire() as connection, connection.transaction():
        for table, columns in _COLUMNS.items():
            await connection.copy_records_to_table(table, records=rows[table], columns=columns.split(), timeout=60)
        await connection.execute("DELETE FROM announcements")
    if analyze:
        async with pool.acquire() as connection:
            await connection.execute("ANALYZE", timeout=60)

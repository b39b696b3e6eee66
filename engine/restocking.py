"""Giving the seats of refunded tickets back to stock: Redis first, then the ledger's note that it is done.

The ledger has said before, by `restock_due`, that it is to be done, so that nothing is forgotten in between.
"""

import asyncpg

from engine.errors import Refusal
from engine.ledger.database import transaction
from engine.ledger.queries import query
from engine.ledger.records import SoldSeats
from engine.seats.seat_engine import SeatEngine


async def restock_sale(engine: SeatEngine, pool: asyncpg.Pool, sale: SoldSeats) -> None:
    """Free the seats that still belong to that sale; the fact of it clears `restock_due`, so do we for the others.

    Raises:
        Unavailable: `redis_unavailable`, `ledger_unavailable`, `overloaded`, `showtime_frozen`; it stays due.
    """
    name = f"restock:{sale.booking_id}:{sale.sale_number}:{'.'.join(map(str, sale.seats))}"
    try:
        freed = await engine.restock_seats(
            sale.showtime, sale.subject, str(sale.booking_id), sale.sale_number, name, sale.seats
        )
    except Refusal:
        freed = ()  # the showtime has left Redis for good, and its seats with it
    if kept := [seat for seat in sale.seats if seat not in freed]:
        columns = ([sale.booking_id] * len(kept), [sale.sale_number] * len(kept), kept)
        async with transaction(pool) as connection:
            await connection.execute(query("clear_restocks"), *columns)

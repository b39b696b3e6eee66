"""Telling Redis of a block of seats, and of its end: the same for the operator's request and for the worker after it.

The ledger comes first, and a showtime that is loaded meanwhile has its blocks already; so a seat that is out of sale
in Redis is as the ledger wants it, and no refusal.
"""

from engine.errors import Refusal
from engine.ledger.ledger import Ledger
from engine.ledger.records import Block
from engine.seats.seat_engine import SeatEngine


async def put_block(seats: SeatEngine, block: Block) -> None:
    """Take a block's seats out of sale, all of them or none of those that still were in it.

    Raises:
        Refusal: `seats_taken {seats}`: some are sold, or held unless the block evicts; the block is to be released.
        Unavailable: as the seat engine; the same call is safe.
    """
    indexes = [seat.index for seat in block.seats]
    try:
        await seats.block_seats(block.showtime, indexes, evict=block.evict)
    except Refusal as refusal:
        taken = refusal.details.get("seats", ())
        if refusal.code != "seats_taken" or any(entry["reason"] != "BLOCKED" for entry in taken):
            raise
        rest = sorted(set(indexes) - {entry["seat"] for entry in taken})
        if rest:
            await seats.block_seats(block.showtime, rest, evict=block.evict)


async def lift_block(seats: SeatEngine, ledger: Ledger, block: Block) -> None:
    """Give an ended block's seats back, but for those that another block has by now.

    That one may be entered, and told, between our look at the ledger and our word to Redis. So whichever has some of
    the seats afterwards is told of again.

    Raises:
        Unavailable: as the seat engine and the ledger; the same call is safe.
    """
    free = await ledger.seats_to_free(block)
    if free:
        await seats.unblock_seats(block.showtime, free)
    others = {seat.index for seat in block.seats} - set(await ledger.seats_to_free(block))
    if others:
        await ledger.tell_again(block.showtime, sorted(others))

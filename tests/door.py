"""Tickets without a sale: rows as the projector writes them, for tests of what comes after; and an offline scanner."""

import base64
import time
from uuid import UUID, uuid4

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.ledger.check_ins import DoorTicket
from engine.orders.e_tickets import code_of
from engine.seats.ids import HoldId


async def add_ticket(
    ledger, showtime, *, seat_index=0, seat="A1", tier="REGULAR", subject="buyer", locale="id", **changes
) -> DoorTicket:
    """Write a confirmed booking with one ticket; give the ticket.

    Args:
        ledger: of the test.
        showtime: its number.
        seat_index, seat, tier: the place.
        subject, locale: of the booking.
        changes: columns of the ticket to be other than usual.
    """
    ticket, now_ms = uuid4(), time.time_ns() // 1_000_000
    booking = UUID(str(HoldId(claimed_at_ms=now_ms, owner=ticket.int & 0xFFFF_FFFF, showtime=showtime)))
    fields = {"price_minor": 5_000_000, "currency": "IDR", "status": "SOLD"} | changes
    async with ledger.pool.acquire() as connection:
        await connection.execute(
            "INSERT INTO bookings (id, showtime_id, subject, email, locale, status, owner_number, claimed_at, "
            "amount_minor, currency, expires_at) "
            "VALUES ($1, $2, $3, 'b@example.com', $4, 'CONFIRMED', 7, now(), 5000000, 'IDR', now())",
            *(booking, showtime, subject, locale),
        )
        await connection.execute(
            "INSERT INTO booking_seats VALUES ($1, $2, $3, $4, 5000000)",
            *(booking, seat_index, seat, tier),
        )
        await connection.execute(
            "INSERT INTO tickets SELECT * FROM jsonb_populate_record(NULL::tickets, $1::jsonb)",
            {
                "id": str(ticket),
                "showtime_id": showtime,
                "seat_index": seat_index,
                "seat": seat,
                "tier": tier,
                "booking_id": str(booking),
                "gateway": "fake",
                "session_id": f"sess_{ticket.hex}",
                "sale_number": 7,
                "subject": subject,
                "sold_at": "2026-11-20T08:00:00Z",
                **fields,
            },
        )
    return await ledger.read_ticket(ticket)


async def code_for(runtime, ticket) -> str:
    """Give the code of a ticket as the system signs it."""
    return code_of(runtime.ticket_keys, await runtime.catalogue.read_showtime(ticket.showtime), ticket)


def public_keys(published) -> dict[int, Ed25519PublicKey]:
    """Read the published keys: all that a scanner without a network has."""
    return {
        int(one["kid"]): Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(one["x"] + "="))
        for one in published["keys"]
    }

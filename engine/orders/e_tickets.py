"""From a booking of the ledger to what is written on its e-tickets."""

from uuid import UUID

from engine.catalogue.layouts import Layout
from engine.catalogue.records import Showtime
from engine.ledger.database import moment
from engine.ledger.records import Ticket
from engine.limits import SECOND_MS
from engine.tickets.codes import TicketCode, ticket_code
from engine.tickets.keys import TicketKeys
from engine.tickets.records import ETicket


def code_of(keys: TicketKeys, showtime: Showtime, ticket: Ticket) -> str:
    """Give the code of a ticket: signed anew each time, and always the same while the first key is."""
    said = TicketCode(
        ticket_id=UUID(ticket.id),
        showtime=showtime.id,
        seat_index=ticket.seat_index,
        starts_at_s=showtime.starts_ms // SECOND_MS,
    )
    return ticket_code(keys, said)


def is_valid(showtime: Showtime, ticket: Ticket) -> bool:
    """Tell whether a ticket opens a door: it is SOLD, and its showtime was not cancelled.

    The tickets of a cancelled showtime become REFUNDED one after the other; none of them is valid meanwhile.
    """
    return ticket.status == "SOLD" and showtime.status != "CANCELLED"


def is_shown(showtime: Showtime, ticket: Ticket) -> bool:
    """Tell whether a ticket may be shown: a valid one, or one that was used."""
    return ticket.status != "REFUNDED" and showtime.status != "CANCELLED"


def e_ticket(
    keys: TicketKeys, showtime: Showtime, layout: Layout, ticket: Ticket, booking_id: str, locale: str
) -> ETicket:
    """Fill an e-ticket in.

    Args:
        keys: sign its code.
        showtime: the ticket's.
        layout: the showtime's.
        ticket: of the ledger; whether it may be shown is the caller's to ask.
        booking_id, locale: of the booking.
    """
    seat = layout.seats[ticket.seat_index]
    return ETicket(
        code=code_of(keys, showtime, ticket),
        ticket_id=ticket.id,
        booking_id=booking_id,
        movie=showtime.movie,
        rating=showtime.rating,
        cinema=showtime.cinema,
        city=showtime.city,
        auditorium=showtime.auditorium,
        timezone=showtime.timezone,
        starts_at=showtime.starts_at,
        ends_at=showtime.ends_at,
        sold_at=moment(ticket.sold_at_ms),
        seat=ticket.seat,
        row=seat.row,
        number=seat.number,
        tier=ticket.tier,
        price_minor=ticket.price_minor,
        currency=ticket.currency,
        locale="en" if locale.partition("-")[0].lower() == "en" else "id",
    )

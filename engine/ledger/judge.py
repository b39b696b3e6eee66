"""What a fact means for the ledger: pure decisions on rows that are in memory and locked."""

from datetime import UTC, datetime

from engine.ledger.books import BookingRow, Books, CaptureRow, priced
from engine.ledger.facts import BookingEnded, Fact, SeatsRestocked, SeatsSold
from engine.ledger.part import status_reason

ENDED = {"booking_expired": "EXPIRED", "booking_cancelled": "CANCELLED"}


class PoisonFact(Exception):
    """A fact that contradicts the ledger, so that applying it would make things worse; the argument says how."""


def judge(fact: Fact, books: Books, described: list[tuple[str, str]] | None) -> None:
    """Apply one fact to the rows in memory.

    Args:
        fact: the next one of its showtime.
        books: the rows.
        described: (label, tier) of each seat of a booking that ended; None for other facts.

    Raises:
        PoisonFact: nothing was changed.
    """
    if fact.data is None:
        raise PoisonFact(fact.fault)
    if fact.showtime not in books.statuses:
        raise PoisonFact("the ledger has no such showtime")
    if isinstance(fact.data, SeatsSold):
        _judge_sale(fact, fact.data, books)
    elif isinstance(fact.data, BookingEnded):
        _judge_end(fact, fact.data, books, described)
    else:
        _judge_restock(fact.data, books)


def _judge_sale(fact: Fact, sale: SeatsSold, books: Books) -> None:
    if (sale.gateway, sale.session) in books.ticketed:
        # Its fact was lost and appended again; or who was stopped before selling has sold what was given back since.
        books.sold_again.append((sale.gateway, sale.session))
        return
    booking, capture = _proof(fact, sale, books)
    taken = [index for index in sorted(sale.seats) if (booking.showtime, index) in books.live]
    refused = _refused(books.statuses[booking.showtime], booking, capture)
    if refused:
        books.write_tickets(sale, fact, "REFUNDED", datetime.now(UTC))
        _give_back(books, booking, capture, refused)
    elif taken:
        books.write_tickets(sale, fact, "REFUNDED", None)
        _give_back(books, booking, capture, "double_sale")
        details = {"seats": taken, "seq": fact.seq, "generation": fact.generation, "sale": sale.sale}
        case = (f"double_sale:{sale.gateway}:{sale.session}", "double_sale", booking.showtime, booking.id, sale.session)
        books.cases.append((*case, details))
        books.rebuilds[booking.showtime] = "double_sale"
    else:
        late = sale.late or booking.status == "EXPIRED"
        books.write_tickets(sale, fact, "SOLD", None)
        books.move_booking(booking, "CONFIRMED", "paid_late" if late else None)
        books.decide(capture, "TICKETS")
    books.sessions.append(sale.session)


def _proof(fact: Fact, sale: SeatsSold, books: Books) -> tuple[BookingRow, CaptureRow]:
    """Give what must be in the ledger before any seat is sold: the intent, and the money."""
    booking, capture = books.bookings.get(sale.booking), books.captures.get((sale.gateway, sale.session))
    if booking is None or booking.showtime != fact.showtime:
        raise PoisonFact("a sale without its booking")
    if capture is None or capture.booking != booking.id:
        raise PoisonFact("a sale without its money")
    if set(booking.seats) != set(sale.seats):
        raise PoisonFact("a sale of other seats than the booking's")
    return booking, capture


def _refused(showtime_status: str, booking: BookingRow, capture: CaptureRow) -> str | None:
    if showtime_status == "CANCELLED":
        return "showtime_cancelled"
    if booking.status in ("CANCELLED", "REFUNDED"):
        return f"booking_{booking.status.lower()}"
    return "sold_after_refusal" if capture.outcome == "REFUND" else None


def _give_back(books: Books, booking: BookingRow, capture: CaptureRow, reason: str) -> None:
    if capture.outcome is None:
        books.decide(capture, "REFUND")
        if booking.status in ("PENDING", "EXPIRED"):
            books.move_booking(booking, "REFUNDED", status_reason(reason))
    books.owe_refund(capture, reason)


def _judge_end(fact: Fact, end: BookingEnded, books: Books, described: list[tuple[str, str]] | None) -> None:
    booking = books.bookings.get(end.booking)
    if booking is not None:
        if booking.showtime != fact.showtime:
            raise PoisonFact("the booking belongs to another showtime")
        if booking.status == "PENDING":
            books.move_booking(booking, ENDED[fact.kind], end.reason)
            books.ended_bookings.add(booking.id)
        return
    checkout = fact.checkout
    if checkout is None or described is None:
        raise PoisonFact("a seat that the layout does not have")
    try:
        seats = priced(checkout, described, end.seats)
    except KeyError as error:
        raise PoisonFact(f"the check-out froze no price for {error}") from None
    amount_minor = sum(seat.price_minor for seat in seats.values())
    row = (end.booking, fact.showtime, checkout.subject, ENDED[fact.kind], end.reason, amount_minor, checkout.currency)
    books.enter_booking(fact, BookingRow(*row, seats))


def _judge_restock(restock: SeatsRestocked, books: Books) -> None:
    books.restocked.extend((restock.booking, restock.sale, index) for index in restock.seats)

"""Bookings: check-out, reading and cancelling. A live hold and the ledger together are a booking.

The hold in Redis is the truth until money is meant to move; from the first payment intent on the ledger has the
booking too, and everything final is said by the ledger alone.
"""

import time
from collections.abc import Sequence

import msgspec

from engine.catalogue.catalogue import Catalogue
from engine.errors import Refusal
from engine.ledger import records as ledger_records
from engine.ledger.ledger import Ledger
from engine.orders.belongings import Belongings
from engine.orders.pricing import enter, freeze_prices, price_seats, read_checkout
from engine.orders.records import Action, Booking, BookingStatus, Buyer
from engine.seats.ids import HoldId, parse_hold_id
from engine.seats.records import Hold, Request
from engine.seats.seat_engine import SeatEngine


class Bookings:
    """What a customer does with a booking, apart from paying it."""

    def __init__(self, seats: SeatEngine, catalogue: Catalogue, ledger: Ledger, belongings: Belongings) -> None:
        self._belongings = belongings
        self._seats = seats
        self._catalogue = catalogue
        self._ledger = ledger

    async def check_out(self, hold_id: str, buyer: Buyer, request: Request | None = None) -> tuple[Booking, bool]:
        """Turn a hold into a PENDING booking with the same id, frozen prices and one new deadline.

        Args:
            hold_id: the hold; it must be the buyer's.
            buyer: the token's subject and where to send the tickets.
            request: remembers the success, when the caller may repeat it.

        Returns:
            The booking, and False if the hold was checked out before; that renews nothing.

        Raises:
            Refusal: `email_required`, `not_found`, `hold_expired`, `showtime_closed`.
            Unavailable: `redis_unavailable`, `overloaded`, `ledger_unavailable`, `showtime_frozen`.
        """
        email = _email_of(buyer)
        found = parse_hold_id(hold_id)
        checkout = await freeze_prices(self._catalogue, found.showtime, buyer, email)
        hold, created = await self._seats.check_out(found, buyer.subject, checkout, request)
        return await self._from_hold(hold, buyer.subject), created

    async def claim_and_check_out(
        self, showtime: int, seats: Sequence[int], buyer: Buyer, request: Request | None = None
    ) -> tuple[Booking, bool]:
        """Claim seats, indexes of the layout, and check them out; results and errors as in both.

        If the check-out fails after the claim, the hold stays until it is repeated or lapses.
        """
        _email_of(buyer)
        claim = Request(f"{request.id}:claim", request.fingerprint, request.trace) if request else None
        hold = await self._seats.claim_seats(showtime, buyer.subject, seats, claim, buyer.cool_down)
        return await self.check_out(hold.id, buyer, request)

    async def read_booking(self, booking_id: str, subject: str) -> Booking:
        """Read a booking of the subject; reads its own writes.

        Between a sale and its commit the booking is PENDING and `settling`. A booking that the ledger has as PENDING,
        and whose hold is gone, is EXPIRED whether or not the worker has said so yet.

        Raises:
            Refusal: `not_found`; `booking_expired {showtime_status?}` for a hold that ended before any payment, and
                before the ledger was told of it; `CANCELLED` if it ended with its showtime.
            Unavailable: `ledger_unavailable`, `redis_unavailable`, `overloaded`.
        """
        booking, _ = await self._look(parse_hold_id(booking_id), subject)
        return booking

    async def _look(self, hold_id: HoldId, subject: str) -> tuple[Booking, Hold | None]:
        """Read a booking of the subject, with its live hold if that had to be asked."""
        booking_id = str(hold_id)
        known = await self._find(booking_id, subject)
        if known is None or (known.status == "PENDING" and not known.settling):
            hold = await self._live_hold(hold_id, subject, known)
            if hold is not None:
                return await self._from_hold(hold, subject, known), hold
            # A sale or an end may have come between the two looks; it was written before the hold went away.
            known = await self._find(booking_id, subject)
            if known is None:
                cancelled = await self._is_cancelled(hold_id.showtime)
                raise Refusal("booking_expired", **({"showtime_status": "CANCELLED"} if cancelled else {}))
        return await self._without_hold(known), None

    async def list_bookings(self, subject: str, cursor: str | None, limit: int) -> tuple[list[Booking], str | None]:
        """List the subject's bookings, newest first, with the cursor of the next page.

        Checked-out holds that the ledger does not know yet are among them.

        Raises:
            Unavailable: `ledger_unavailable`, `redis_unavailable`, `overloaded`, `showtime_frozen`.
        """
        unpaid = [hold for hold in await self._belongings.live_holds(subject) if hold.status == "PENDING"]
        page, position = await self._ledger.bookings_of(subject, cursor, limit)
        known = {booking.id for booking in page}
        listed = [await self._complete(booking, subject) for booking in page]
        for hold in unpaid:
            above, below = cursor is None or hold.id < cursor, not position or hold.id > position
            if above and below and hold.id not in known:  # else it is on another page, or here already
                booking = await self._from_hold(hold, subject)
                listed.append(booking)
        listed.sort(key=lambda booking: booking.id, reverse=True)
        if len(listed) > limit:
            listed, position = listed[:limit], listed[limit - 1].id
        return listed, position

    async def cancel(self, booking_id: str, subject: str, request: Request | None = None, comment: str = "") -> Booking:
        """Cancel a booking before its payment: its seats are free at once. A repeat gives the same.

        Args:
            booking_id: the booking; it must be the subject's.
            subject: who asks.
            request: remembers the success for a day; in the ledger, where the end of every booking is written.
            comment: why, in the customer's words; a hold that was not checked out has no room for it.

        Raises:
            Refusal: `not_found`, `booking_expired`, `not_cancellable` (paid, settling, or ended another way),
                `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: as in `read_booking`; after an unknown outcome the same call is safe.
        """
        hold_id = parse_hold_id(booking_id)
        if (answered := await self._recall_cancelled(hold_id, subject, request)) is not None:
            return answered
        booking, hold = await self._look(hold_id, subject)
        if booking.settling or booking.status not in ("HELD", "PENDING", "CANCELLED"):
            raise Refusal("not_cancellable", booking_status=booking.status)
        cancelled = _ended(booking, "CANCELLED", booking.status_reason or "customer")
        cancelled = msgspec.structs.replace(cancelled, comment=booking.comment or comment or None)
        entry = await enter(self._catalogue, hold, subject) if hold and booking.status == "PENDING" else None
        answer = msgspec.to_builtins(cancelled)
        await self._ledger.cancel_booking(
            booking_id, subject, comment=comment, entry=entry, request=request, answer=answer
        )
        await self._seats.release_hold(hold_id, subject, ending="cancelled", reason="customer")
        return cancelled

    async def _recall_cancelled(self, hold_id: HoldId, subject: str, request: Request | None) -> Booking | None:
        """Give what a request to cancel was answered before, its last step done if a process died before it."""
        answered = await self._ledger.recall_cancelled(request)
        if answered is None:
            return None
        known = await self._find(str(hold_id), subject)
        if known is not None and known.status != "CANCELLED":
            return None  # it was remembered before Redis was told, and the booking went another way
        await self._seats.release_hold(hold_id, subject, ending="cancelled", reason="customer")
        booking = msgspec.convert(answered, Booking)
        return msgspec.structs.replace(booking, now_ms=time.time_ns() // 1_000_000, replayed=True)

    async def _find(self, booking_id: str, subject: str) -> ledger_records.Booking | None:
        """Read the subject's booking in the ledger; somebody else's is `not_found`."""
        known = await self._ledger.read_booking(booking_id)
        if known is not None and known.subject != subject:
            raise Refusal("not_found")
        return known

    async def _live_hold(self, hold_id: HoldId, subject: str, known: ledger_records.Booking | None) -> Hold | None:
        """Read the subject's hold; None when it is gone."""
        try:
            return await self._seats.read_hold(hold_id, subject)
        except Refusal as refusal:
            # A seat engine that was loaded anew may never have heard of a hold that the ledger knows.
            if refusal.code == "hold_expired" or (refusal.code == "not_found" and known is not None):
                return None
            raise

    async def _complete(self, known: ledger_records.Booking, subject: str) -> Booking:
        """Add to a booking of the ledger what its live hold knows better."""
        if known.status != "PENDING" or known.settling:
            return from_ledger(known)
        hold = await self._live_hold(parse_hold_id(known.id), subject, known)
        return await (self._from_hold(hold, subject, known) if hold else self._without_hold(known))

    async def _without_hold(self, known: ledger_records.Booking) -> Booking:
        """Show a booking of the ledger; one that waited for its money ended with its hold, or with its showtime."""
        booking = from_ledger(known)
        if booking.status != known.status and await self._is_cancelled(known.showtime):
            return _ended(booking, "CANCELLED", "showtime_cancelled")
        return booking

    async def _is_cancelled(self, showtime: int) -> bool:
        return (await self._catalogue.read_showtime(showtime)).status == "CANCELLED"

    async def _from_hold(self, hold: Hold, subject: str, known: ledger_records.Booking | None = None) -> Booking:
        """Show a live hold, or one that is over with its showtime, with the payments that the ledger has of it."""
        seats, currency = await price_seats(self._catalogue, hold)
        checkout = read_checkout(hold)
        actions: tuple[Action, ...] = ("pay", "cancel") if checkout else ("check_out", "cancel")
        booking = Booking(
            id=hold.id,
            showtime=hold.showtime,
            subject=subject,
            status=hold.status,
            email=checkout.email if checkout else None,
            phone=checkout.phone if checkout else None,
            seats=seats,
            currency=currency,
            expires_at_ms=hold.deadline_ms,
            now_ms=hold.now_ms,
            payments=known.payments if known else (),
            refunds=known.refunds if known else (),
            actions=actions,
            replayed=hold.replayed,
        )
        return _ended(booking, "CANCELLED", "showtime_cancelled") if hold.showtime_cancelled else booking


def _email_of(buyer: Buyer) -> str:
    """Give the address for the tickets.

    Raises:
        Refusal: `email_required`, neither the account nor the request has one.
    """
    if not buyer.email:
        raise Refusal("email_required")
    return buyer.email


def from_ledger(known: ledger_records.Booking) -> Booking:
    """Show a booking without a live hold. PENDING without money is over: nothing keeps its seats any more."""
    booking = Booking(
        id=known.id,
        showtime=known.showtime,
        subject=known.subject,
        status=known.status,
        status_reason=known.status_reason,
        comment=known.comment,
        settling=known.settling,
        email=known.email,
        phone=known.phone,
        seats=known.seats,
        currency=known.currency,
        expires_at_ms=known.expires_at_ms,
        ledger_amount_minor=known.amount_minor,
        now_ms=time.time_ns() // 1_000_000,
        payments=known.payments,
        tickets=known.tickets,
        refunds=known.refunds,
    )
    if known.status == "PENDING" and not known.settling:
        return _ended(booking, "EXPIRED", "payment_timeout")
    return booking


def _ended(booking: Booking, status: BookingStatus, reason: str) -> Booking:
    """Show a booking as ended, before the ledger does."""
    return msgspec.structs.replace(booking, status=status, status_reason=reason, actions=())

"""Holds: from the claim to the check-out and the payment session. One method per script, of the same name."""

from collections.abc import Sequence
from typing import Literal

from engine import limits
from engine.errors import Refusal
from engine.seats.answers import first_answer, hold_of, hold_page_of, refusal_of
from engine.seats.connection import Argument
from engine.seats.cool_down import NO_RULE
from engine.seats.customer_calls import CustomerCalls
from engine.seats.ids import HoldId, subject_key
from engine.seats.records import Hold, HoldPage, Request


class HoldCalls(CustomerCalls):
    """What customers do with holds.

    `subject` is the token's subject. Every method raises Unavailable as `ScriptCalls` says, and these refusals
    besides its own: `showtime_closed {showtime_status}`, `not_on_sale {sales_open_ms}` (not for reading, releasing,
    expiring and the payment session, whose own rules the scripts' headers tell), and with a request id
    `idempotency_key_reused`.
    """

    async def claim_seats(
        self,
        showtime: int,
        subject: str,
        seats: Sequence[int],
        request: Request | None = None,
        cool_down: bytes = NO_RULE,
    ) -> Hold:
        """Claim seats, all or none. `cool_down` is the rule that `cool_down_rule` gives.

        Raises:
            Refusal: `seats_taken {seats: [{seat, reason, deadline_ms?, hold_id?}], retry_after_ms?}`,
                `too_many_seats {seats_per_hold_max}`, `hold_limit {holds}`, `seat_limit {seats_left}`,
                `cool_down {retry_after_ms}`.
        """
        assert seats, "a claim names seats"
        _require_few(seats)
        answer = await self._write("claim_seats", showtime, (subject_key(subject) + cool_down, *seats), request)
        if answer[0] in (b"claimed", b"replayed"):
            hold = hold_of(answer, showtime)
            self._note_customer(hold)
            return hold
        raise refusal_of(answer, showtime)

    async def change_hold(
        self,
        hold_id: HoldId,
        subject: str,
        add: Sequence[int] = (),
        remove: Sequence[int] = (),
        request: Request | None = None,
    ) -> Hold:
        """Add seats to a hold and take seats off it, all or nothing; the deadline stays.

        Raises:
            Refusal: `not_found, hold_expired, payment_open, empty_hold`, and those of `claim_seats` but `hold_limit`.
        """
        _require_few(add)
        args: tuple[Argument, ...] = (*_named(hold_id), subject_key(subject), len(add), *add, *remove)
        answer = await self._write("change_hold", hold_id.showtime, args, request)
        if answer[0] in (b"changed", b"replayed"):
            return hold_of(answer, hold_id.showtime)
        raise refusal_of(answer, hold_id.showtime)

    async def extend_hold(self, hold_id: HoldId, subject: str, request: Request | None = None) -> Hold:
        """Give a hold its full time again.

        Raises:
            Refusal: `not_found, hold_expired, cannot_extend`.
        """
        args: tuple[Argument, ...] = (*_named(hold_id), subject_key(subject))
        answer = await self._write("extend_hold", hold_id.showtime, args, request)
        if answer[0] in (b"extended", b"replayed"):
            return hold_of(answer, hold_id.showtime)
        raise refusal_of(answer, hold_id.showtime)

    async def release_hold(
        self,
        hold_id: HoldId,
        subject: str | None,
        ending: str = "cancelled",
        reason: str = "customer",
        request: Request | None = None,
    ) -> bool:
        """End a hold before its time; `subject` None is staff or the system.

        Returns:
            Whether there was such a hold; False is no harm.

        Raises:
            Refusal: `not_found`: it is somebody else's.
        """
        assert ending in ("cancelled", "expired"), ending
        args: tuple[Argument, ...] = (*_named(hold_id), _key_or_nobody(subject), ending, reason)
        answer = await self._write("release_hold", hold_id.showtime, args, request)
        if answer[0] in (b"released", b"replayed"):
            return True
        if answer[0] == b"gone":
            return False
        raise refusal_of(answer, hold_id.showtime)

    async def give_back_hold(self, hold_id: HoldId, subject: str) -> Literal["released", "gone", "is_booking"]:
        """End a hold that its owner gives up; nothing is done to one that is a booking by now, or to none.

        Raises:
            Refusal: `not_found`: it is somebody else's.
        """
        args: tuple[Argument, ...] = (*_named(hold_id), subject_key(subject), "given_back", "customer")
        answer = await self._write("release_hold", hold_id.showtime, args)
        match answer[0]:
            case b"released":
                return "released"
            case b"gone":
                return "gone"
            case b"is_booking":
                return "is_booking"
        raise refusal_of(answer, hold_id.showtime)

    async def check_out(
        self, hold_id: HoldId, subject: str, checkout: bytes, request: Request | None = None
    ) -> tuple[Hold, bool]:
        """Make a hold a booking: `checkout` (JSON text) is kept with it and given back; one new deadline.

        Returns:
            The hold, PENDING now, and whether this call (or the one it repeats) did it; if not nothing was changed.

        Raises:
            Refusal: `not_found, hold_expired`.
        """
        args: tuple[Argument, ...] = (*_named(hold_id), subject_key(subject), checkout)
        answer = await self._write("check_out", hold_id.showtime, args, request)
        if first_answer(answer)[0] in (b"checked_out", b"already_checked_out"):
            hold = hold_of(answer, hold_id.showtime)
            self._note_customer(hold)
            return hold, first_answer(answer)[0] == b"checked_out"
        raise refusal_of(answer, hold_id.showtime)

    async def open_payment(self, hold_id: HoldId, subject: str, request: Request | None = None) -> Hold:
        """Mark that a payment session is open: the seats cannot be changed from now. A repeat is harmless.

        Raises:
            Refusal: `not_found, hold_expired, not_checked_out`.
        """
        args: tuple[Argument, ...] = (*_named(hold_id), subject_key(subject))
        answer = await self._write("open_payment", hold_id.showtime, args, request)
        if answer[0] in (b"payment_opened", b"replayed"):
            return hold_of(answer, hold_id.showtime)
        raise refusal_of(answer, hold_id.showtime)

    async def close_payment(self, hold_id: HoldId, request: Request | None = None) -> Hold | None:
        """Note that the payment failed; the booking gets more time, three times. None if the hold is gone."""
        answer = await self._write("close_payment", hold_id.showtime, _named(hold_id), request)
        if answer[0] in (b"payment_closed", b"replayed"):
            return hold_of(answer, hold_id.showtime)
        if answer[0] in (b"hold_expired", b"not_found"):
            return None
        raise refusal_of(answer, hold_id.showtime)

    async def expire_holds(self, showtime: int, limit: int = limits.LAPSES_PER_CALL_MAX) -> int:
        """End up to `limit` lapsed holds, so that viewers are told; give how many it were."""
        answer = await self._write("expire_holds", showtime, (limit,))
        if answer[0] == b"expired":
            return int(answer[2])
        raise refusal_of(answer, showtime)

    async def end_holds(self, showtime: int, limit: int = limits.HOLDS_ENDED_PER_CALL_MAX) -> tuple[int, int]:
        """End up to `limit` holds of a cancelled showtime; give how many it were, and how many are left.

        Raises:
            Refusal: `not_cancelled`: Redis was not told of it, or has forgotten.
        """
        answer = await self._write("end_holds", showtime, (limit,))
        if answer[0] == b"ended":
            return int(answer[2]), int(answer[3])
        raise refusal_of(answer, showtime)

    async def read_hold(self, hold_id: HoldId, subject: str | None = None) -> Hold:
        """Read a live hold; `subject` None is staff or the system.

        One that was checked out is `showtime_cancelled` until somebody ends it.

        Raises:
            Refusal: `not_found` (never issued, or another's), `hold_expired {showtime_status?}`: `CANCELLED` if it
                ended with its showtime.
        """
        args: tuple[Argument, ...] = (*_named(hold_id), _key_or_nobody(subject))
        answer = await self._read("read_hold", hold_id.showtime, args)
        if answer[0] in (b"hold", b"ended"):
            return hold_of(answer, hold_id.showtime)
        raise refusal_of(answer, hold_id.showtime)

    async def read_holds(self, showtime: int, offset: int = 0, limit: int = limits.PAGE_LIMIT_DEFAULT) -> HoldPage:
        """Read a page of a showtime's live holds, by deadline, for operators."""
        answer = await self._read("read_holds", showtime, (offset, limit))
        if answer[0] == b"holds":
            return hold_page_of(answer, showtime)
        raise refusal_of(answer, showtime)


def _named(hold_id: HoldId) -> tuple[int, int]:
    return hold_id.owner, hold_id.claimed_at_ms


def _key_or_nobody(subject: str | None) -> bytes:
    return b"" if subject is None else subject_key(subject)


def _require_few(seats: Sequence[int]) -> None:
    """Keep a list that no rule could allow away from Redis."""
    if len(seats) > limits.SEATS_PER_HOLD_CEILING:
        raise Refusal("too_many_seats", seats_per_hold_max=limits.SEATS_PER_HOLD_CEILING)

"""Payments: sessions at a gateway, and what its events lead to.

Money is durable in the ledger before a seat is sold for it, and an event is called processed only when the ledger
can say what became of it. Settling runs in tasks that outlive the request which began them.
"""

import asyncio
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

import msgspec
import structlog

from engine.catalogue.catalogue import Catalogue
from engine.errors import Refusal, Unavailable
from engine.ledger.ledger import Ledger
from engine.ledger.outcomes import Outcomes
from engine.ledger.records import Begun, Capture, CaptureOutcome, GatewayEvent, Intent, Judgement, Payment
from engine.limits import SECOND_MS, WEBHOOK_WAIT_MS
from engine.orders.gateways.protocol import Gateway, NewSession, PaymentEvent
from engine.orders.pricing import enter
from engine.orders.refunds import REFUND_EVENTS, Refunds
from engine.seats.ids import parse_hold_id
from engine.seats.records import Hold, Request
from engine.seats.seat_engine import SeatEngine

log = structlog.get_logger()

NEVER_TICKETS = ("seats_taken", "showtime_closed", "not_on_sale", "hold_changed", "hold_expired", "not_found")
"""Refusals of a sale that no later try can turn: the money goes back."""


class Payments:
    """Begins payments, and settles the money that comes."""

    def __init__(
        self,
        seats: SeatEngine,
        catalogue: Catalogue,
        ledger: Ledger,
        outcomes: Outcomes,
        gateway: Gateway,
        refunds: Refunds,
    ) -> None:
        self._seats = seats
        self._catalogue = catalogue
        self._ledger = ledger
        self._outcomes = outcomes
        self._gateway = gateway
        self._refunds = refunds
        self._under_way: set[asyncio.Task[Any]] = set()

    async def close(self) -> None:
        """Let what is under way come to its end, then close the gateway's connections."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=WEBHOOK_WAIT_MS / SECOND_MS)
        await self._gateway.close()

    # --- Before the money

    async def begin_payment(
        self,
        booking_id: str,
        subject: str,
        return_url: str | None = None,
        cancel_url: str | None = None,
        request: Request | None = None,
    ) -> Begun:
        """Open a payment session for a checked-out booking; its seats cannot be changed from now on.

        Booking, seats, prices and session are in the ledger before the gateway is asked. If the gateway does not
        answer, that intent stays, and the next call asks for the same session again.

        Args:
            booking_id: the booking; it must be the subject's.
            subject: who pays.
            return_url, cancel_url: where the gateway's page leads afterwards; checked by the caller.
            request: remembers the success for a day, when the caller may repeat it.

        Raises:
            Refusal: `not_found`, `already_paid`, `not_payable`, `showtime_closed`, `booking_expired`,
                `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `gateway_unavailable`, `redis_unavailable`, `ledger_unavailable`, `overloaded`.
        """
        if (known := await self._ledger.recall_payment(request)) is not None:
            return known
        hold_id = parse_hold_id(booking_id)
        try:
            hold = await self._seats.open_payment(hold_id, subject)
        except Refusal as refusal:
            raise await self._explain(booking_id, subject, refusal) from None
        intent = await self.intend(hold, subject, return_url, cancel_url)
        begun = await self._ledger.record_intent(intent, request)
        if begun.payment.payment_url is None:
            return msgspec.structs.replace(begun, payment=await self._open_session(hold, begun.payment))
        return begun

    async def intend(
        self, hold: Hold, subject: str, return_url: str | None = None, cancel_url: str | None = None
    ) -> Intent:
        """Give what the ledger is to write before a gateway is asked for a session: seats, prices and buyer.

        Args:
            hold: of the subject, with its payment open.
            subject: whose it is.
            return_url: where the gateway sends the customer after the payment.
            cancel_url: where it sends whoever turns back.

        Raises:
            Refusal, Unavailable: as `freeze_prices`.
        """
        entry = await enter(self._catalogue, hold, subject)
        return Intent(
            **msgspec.structs.asdict(entry),
            now_ms=hold.now_ms,
            gateway=self._gateway.name,
            session_id=f"sess_{uuid4().hex}",
            return_url=return_url,
            cancel_url=cancel_url,
        )

    async def _open_session(self, hold: Hold, payment: Payment) -> Payment:
        showtime = await self._catalogue.showtime(hold.showtime)
        session = NewSession(
            session_id=payment.session_id,
            amount_minor=payment.amount_minor,
            currency=payment.currency,
            description=f"{showtime.movie}, {showtime.cinema}: {len(hold.seats)} x ticket",
            expires_at_ms=payment.expires_at_ms,
            return_url=payment.return_url,
            cancel_url=payment.cancel_url,
        )
        try:
            payment_url = await self._gateway.create_session(session)
        except Refusal:
            await self._ledger.fail_payment(payment.gateway, payment.session_id, "gateway_refused")
            await self._give_more_time(hold.id, payment.session_id)
            raise
        await self._ledger.store_payment_url(payment.session_id, payment_url)
        return msgspec.structs.replace(payment, payment_url=payment_url)

    async def _explain(self, booking_id: str, subject: str, refusal: Refusal) -> Refusal:
        """Say in the booking's words why its hold cannot be paid."""
        if refusal.code == "not_checked_out":
            return Refusal("not_payable", "Check-out has not begun.", booking_status="HELD")
        if refusal.code not in ("hold_expired", "not_found"):
            return refusal
        known = await self._ledger.read_booking(booking_id)
        if known is None or known.subject != subject:
            return (
                Refusal("booking_expired") if refusal.code == "hold_expired" and known is None else Refusal("not_found")
            )
        if known.status == "CONFIRMED" or known.settling:
            return Refusal("already_paid")
        if known.status in ("CANCELLED", "REFUNDED"):
            return Refusal("not_payable", booking_status=known.status)
        return Refusal("booking_expired")

    # --- The money

    async def handle_event(self, headers: Mapping[str, str], body: bytes, now_s: float) -> Judgement:
        """Take a gateway's event: verify it, make it durable, settle it, and return once the outcome is durable.

        The work goes on when the caller is cancelled; a repeat of the event finds what it did.

        Args:
            headers: of the request, looked up without regard to case.
            body: the raw body.
            now_s: Unix time in seconds.

        Raises:
            Refusal: `bad_signature`, `stale_signature`, `malformed_json`.
            InvalidInput: signed, but not an event.
            Unavailable: not durable in time; the gateway is to ask again.
        """
        event = self._gateway.read_event(headers, body, now_s)
        return await self.take_event(event)

    async def take_event(self, event: PaymentEvent) -> Judgement:
        """Take an event whose sender is known: as `handle_event` does, after the signature.

        Raises:
            Unavailable: not durable in time; the same event may be taken again.
        """
        return await asyncio.shield(self._begin(self._process(event)))

    async def settle_capture(self, capture: Capture) -> CaptureOutcome | None:
        """Turn money into tickets if the rules still allow it, else into a refund. Safe to repeat.

        Returns:
            The outcome if the ledger has one already; None when the seats are sold, and the worker is to write it.

        Raises:
            Unavailable: `redis_unavailable`, `ledger_unavailable`, `overloaded`, `showtime_frozen`.
        """
        if capture.outcome is not None:
            return capture.outcome
        assert capture.booking_id is not None, "money of an unknown session has its outcome from the start"
        assert capture.subject is not None
        try:
            await self._seats.sell_seats(
                parse_hold_id(capture.booking_id),
                capture.subject,
                gateway=capture.gateway,
                session_id=capture.session_id,
                seats=capture.seats,
            )
        except Refusal as refusal:
            if refusal.code not in NEVER_TICKETS:
                raise
            log.info("capture_refused", session_id=capture.session_id, booking=capture.booking_id, code=refusal.code)
            cancelled = refusal.details.get("showtime_status") == "CANCELLED"
            reason = "showtime_cancelled" if cancelled else refusal.code
            return await self._ledger.refuse_capture(capture.gateway, capture.session_id, reason)
        return None

    async def _process(self, event: PaymentEvent) -> Judgement:
        if event.type in REFUND_EVENTS:
            await self._refunds.take_event(event)
            return Judgement(verdict="ignored")
        judgement = await self._ledger.record_event(
            GatewayEvent(
                gateway=self._gateway.name,
                event_id=event.id,
                type=event.type,
                session_id=event.session_id,
                amount_minor=event.amount_minor or 0,
                currency=event.currency or "",
                failure_code=event.failure_code,
                body=msgspec.to_builtins(event),
            )
        )
        log.info("payment_event", session_id=event.session_id, type=event.type, verdict=judgement.verdict)
        if judgement.verdict == "sell":
            assert judgement.capture is not None
            await self._settle(judgement.capture)
        elif judgement.newest and judgement.booking_id is not None:
            # Only the newest session decides about the booking; the others end for themselves.
            if judgement.verdict == "payment_failed":
                await self._give_more_time(judgement.booking_id, event.session_id)
            elif judgement.verdict == "payment_expired":
                await self._let_go(judgement.booking_id)
        return judgement

    async def _settle(self, capture: Capture) -> None:
        """Settle money, and wait until the ledger knows what became of it."""
        if await self.settle_capture(capture) is not None:
            return
        if await self._outcomes.wait(capture.gateway, capture.session_id) is None:
            raise Unavailable(
                "ledger_unavailable", "The sale is not in the ledger yet.", outcome="unknown", retry_after_ms=2_000
            )

    async def _give_more_time(self, booking_id: str, session_id: str) -> None:
        """After a failed payment: the deadline moves, a few times and never past its cap, and seats may be changed.

        Once per session: a repeat may come when the next session has opened its payment already, and is not yet in
        the ledger.
        """
        once = Request(id=f"close:{session_id}", fingerprint=session_id)
        with suppress(Refusal):  # the showtime has left Redis for good, and its holds with it
            hold = await self._seats.close_payment(parse_hold_id(booking_id), once)
            if hold is not None:
                await self._ledger.move_deadline(booking_id, hold.deadline_ms)

    async def _let_go(self, booking_id: str) -> None:
        """After an expired payment: the booking ends, the ledger first, and its seats are free.

        Unless money of another session came in this moment: then the seats are its.
        """
        if await self._ledger.expire_booking(booking_id):
            with suppress(Refusal):  # as above
                await self._seats.release_hold(
                    parse_hold_id(booking_id), None, ending="expired", reason="payment_timeout"
                )

    def _begin(self, work: Coroutine[Any, Any, Judgement]) -> asyncio.Task[Judgement]:
        """Run work that the request which began it must not end."""
        task = asyncio.create_task(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        task.add_done_callback(_log_loss)
        return task


def _log_loss(task: asyncio.Task[Judgement]) -> None:
    """Note an error that nobody may be waiting for any more; the gateway asks again, and so does the worker."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.warning("payment_event_unsettled", error=f"{type(error).__name__}: {error}")

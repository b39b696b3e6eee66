"""Money that came: events of gateways, their judgement, and captures until they have an outcome."""

from typing import Any, cast
from uuid import UUID

from engine.errors import Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.part import LedgerPart, open_case, owe_refund, status_reason
from engine.ledger.queries import query
from engine.ledger.records import Capture, CaptureOutcome, GatewayEvent, Judgement, Verdict
from engine.ledger.rows import to_record

CAPTURED: dict[CaptureOutcome | None, Verdict] = {None: "sell", "TICKETS": "tickets", "REFUND": "refund"}
ENDS = {"payment.failed": "FAILED", "payment.expired": "EXPIRED"}
HOLD_IS_GONE = ("seats_taken", "showtime_closed", "showtime_cancelled", "not_found", "hold_expired")
"""Refusals of a sale after which a PENDING booking cannot be paid any more."""


class Captures(LedgerPart):
    """What gateways tell, and what becomes of the money."""

    async def record_event(self, event: GatewayEvent) -> Judgement:
        """Make an event durable and judge it, all in one transaction under the booking's lock.

        Money of an unknown session, of a wrong amount, for a booking that has other money at work, or for one that is
        CANCELLED, REFUNDED or of a cancelled showtime gets the outcome REFUND and its refund row here and now.

        Raises:
            Unavailable: `ledger_unavailable`; the gateway asks again with the same event.
        """
        async with transaction(self.pool) as connection:
            fresh = await connection.fetchval(
                query("insert_payment_event"),
                event.gateway,
                event.event_id,
                event.type,
                event.session_id,
                event.body,
            )
            if event.type == "payment.success":
                judgement = await self._judge_success(connection, event)
            elif event.type in ENDS:
                judgement = await _judge_end(connection, event)
            else:
                judgement = Judgement(verdict="ignored")
        return Judgement(
            verdict=judgement.verdict,
            repeated=not fresh,
            newest=judgement.newest,
            booking_id=judgement.booking_id,
            capture=judgement.capture,
        )

    async def _judge_success(self, connection: Any, event: GatewayEvent) -> Judgement:
        payment = await _lock_payment(connection, event)
        known = await connection.fetchrow(query("read_capture"), event.gateway, event.session_id)
        if known is None:
            reason = await _refuse_at_once(connection, event, payment)
            booking_id = payment["booking_id"] if payment else None
            await connection.fetchval(
                query("insert_capture"),
                event.gateway,
                event.session_id,
                booking_id,
                event.amount_minor,
                event.currency,
                "REFUND" if reason else None,
            )
            if payment:
                await connection.execute(query("end_payment"), event.gateway, event.session_id, "SUCCESS", None)
            if reason:
                await _refund_at_once(connection, event, booking_id, reason)
        elif (known["amount_minor"], known["currency"]) != (event.amount_minor, event.currency):
            details = {"captured": known["amount_minor"], "told": event.amount_minor, "currency": event.currency}
            business_id = f"amount_changed:{event.gateway}:{event.event_id}"
            await open_case(connection, "amount_changed", business_id, details, session_id=event.session_id)
        row = await connection.fetchrow(query("read_capture"), event.gateway, event.session_id)
        capture = to_record(row, Capture)
        return Judgement(
            verdict=CAPTURED[capture.outcome],
            newest=bool(payment and payment["newest"]),
            booking_id=capture.booking_id,
            capture=capture,
        )

    async def refuse_capture(self, gateway: str, session_id: str, reason: str) -> CaptureOutcome:
        """Give money back because its seats could not be sold; nothing happens if it has an outcome already.

        Args:
            gateway: the gateway's name.
            session_id: our id of the payment session.
            reason: the word of the refusal, e.g. `seats_taken`. With `hold_changed` a PENDING booking stays so, since
                its hold lives on with other seats; otherwise it becomes REFUNDED, like an EXPIRED one.

        Returns:
            The outcome that stands: TICKETS when the projector was first.

        Raises:
            Refusal: `not_found`, there is no such capture.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            owner = await connection.fetchrow(query("find_capture_booking"), gateway, session_id)
            if owner is None:
                raise Refusal("not_found")
            booking_id = owner["booking_id"]
            if booking_id is not None:
                await connection.fetchrow(query("lock_booking"), booking_id)
            refused = await connection.fetchrow(query("refuse_capture"), gateway, session_id)
            if refused is not None:
                amount_minor, currency = refused["amount_minor"], refused["currency"]
                await owe_refund(connection, gateway, session_id, booking_id, amount_minor, currency, reason)
                await connection.execute(
                    query("refund_booking"), booking_id, status_reason(reason), reason in HOLD_IS_GONE
                )
            return cast("CaptureOutcome", await connection.fetchval(query("read_outcome"), gateway, session_id))

    async def read_outcome(self, gateway: str, session_id: str) -> CaptureOutcome | None:
        """Read what became of money: None while it is open.

        Raises:
            Refusal: `not_found`, there is no such capture.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            row = await connection.fetchrow(query("read_outcome"), gateway, session_id)
        if row is None:
            raise Refusal("not_found")
        return cast("CaptureOutcome | None", row["outcome"])

    async def find_gateway_payment(self, gateway: str, session_id: str) -> str | None:
        """Give the gateway's own id of the payment that paid a session; None for an unpaid one.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            return cast("str | None", await connection.fetchval(query("find_gateway_payment"), gateway, session_id))

    async def due_captures(self, limit: int) -> list[Capture]:
        """Take captures that have waited 10 s or more for an outcome; each try comes later than the one before.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self.pool) as connection:
            rows = await connection.fetch(query("due_captures"), limit)
        return [to_record(row, Capture) for row in rows]


async def _lock_payment(connection: Any, event: GatewayEvent) -> Any:
    """Give the payment of an event, read again once its booking is locked; None for a session we never made.

    Locks are taken in one order everywhere: showtime, booking, capture.
    """
    payment = await connection.fetchrow(query("find_payment_to_judge"), event.gateway, event.session_id)
    if payment is None:
        return None
    await connection.fetchval(query("find_showtime_status"), payment["showtime_id"])
    await connection.fetchrow(query("lock_booking"), payment["booking_id"])
    return await connection.fetchrow(query("find_payment_to_judge"), event.gateway, event.session_id)


async def _refuse_at_once(connection: Any, event: GatewayEvent, payment: Any) -> str | None:
    """Say why money cannot buy seats whatever Redis says; None when they are to be sold."""
    if payment is None:
        return "unknown_session"
    told = (event.amount_minor, event.currency)
    if told != (payment["amount_minor"], payment["currency"]):
        return "wrong_amount"
    booking = await connection.fetchrow(query("lock_booking"), payment["booking_id"])
    if await connection.fetchval(query("find_working_capture"), booking["id"], event.gateway, event.session_id):
        return "duplicate_payment"
    # Before the booking's own end, which may have come from it: the customer is told why the money comes back.
    if await connection.fetchval(query("find_showtime_status"), booking["showtime_id"]) == "CANCELLED":
        return "showtime_cancelled"
    if booking["status"] not in ("PENDING", "EXPIRED"):
        return f"booking_{booking['status'].lower()}"
    if booking["archived_at"] is not None:
        return "booking_archived"  # nobody knows its seats any more
    # A newer session may have been opened for other seats at another price.
    return None if told == (booking["amount_minor"], booking["currency"]) else "superseded"


async def _refund_at_once(connection: Any, event: GatewayEvent, booking_id: UUID | None, reason: str) -> None:
    await owe_refund(
        connection, event.gateway, event.session_id, booking_id, event.amount_minor, event.currency, reason
    )
    if reason in ("unknown_session", "wrong_amount"):
        details = {"gateway": event.gateway, "amount_minor": event.amount_minor, "currency": event.currency}
        business_id = f"{reason}:{event.gateway}:{event.session_id}"
        await open_case(connection, reason, business_id, details, booking_id=booking_id, session_id=event.session_id)
    await connection.execute(query("refund_booking"), booking_id, status_reason(reason), reason == "showtime_cancelled")


async def _judge_end(connection: Any, event: GatewayEvent) -> Judgement:
    payment = await _lock_payment(connection, event)
    if payment is None:
        return Judgement(verdict="ignored")
    ended = ENDS[event.type]
    await connection.execute(query("end_payment"), event.gateway, event.session_id, ended, event.failure_code)
    payment = await _lock_payment(connection, event)
    if payment["status"] != ended:
        return Judgement(verdict="ignored")
    # While another session's money buys the seats, or has bought them, the booking follows no session's end.
    at_work = await connection.fetchval(
        query("find_working_capture"), payment["booking_id"], event.gateway, event.session_id
    )
    return Judgement(
        verdict="payment_failed" if ended == "FAILED" else "payment_expired",
        newest=payment["newest"] and not at_work,
        booking_id=str(payment["booking_id"]),
    )

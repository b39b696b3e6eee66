"""Payment intents: a booking enters the ledger with its seats, prices and buyer before a gateway is called."""

from typing import Any
from uuid import UUID

import msgspec

from engine.errors import Refusal
from engine.ledger.database import moment, reading, transaction
from engine.ledger.entering import enter_booking, enter_seats
from engine.ledger.part import LedgerPart
from engine.ledger.queries import query
from engine.ledger.records import Begun, Intent, Payment
from engine.ledger.requests import once, recall
from engine.ledger.rows import to_record
from engine.seats.records import Request

NOT_PAYABLE = {
    "CONFIRMED": "already_paid",
    "REFUNDED": "not_payable",
    "CANCELLED": "not_payable",
    "EXPIRED": "booking_expired",
}


class Intents(LedgerPart):
    """What is written before money moves."""

    async def record_intent(self, intent: Intent, request: Request | None = None) -> Begun:
        """Enter a booking with its seats and a payment session, in one transaction.

        A session of the booking that can still be paid at `intent.now_ms` for the same price is given again; its
        `payment_url` is None if the gateway never answered.

        Args:
            intent: the booking and the session to make.
            request: remembers the session. The caller has not been answered until `payment_url` is there: so a
                repeat before that may get another session, if the first one cannot be paid any more.

        Raises:
            Refusal: `already_paid` (also while money waits for its outcome), `not_payable`, `booking_expired`,
                `showtime_closed` (cancelled, and the seat engine was asked before it knew), `not_found` (the booking
                is somebody else's), `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; after an unknown outcome the same call is safe.
        """
        booking_id = UUID(intent.booking_id)
        async with once(self.pool, request) as run:
            connection = run.connection
            if await connection.fetchval(query("find_showtime_status"), intent.showtime) == "CANCELLED":
                raise Refusal("showtime_closed", showtime_status="CANCELLED")
            await enter_booking(connection, intent)
            booking = await connection.fetchrow(query("lock_booking"), booking_id)
            if booking["subject"] != intent.subject:
                raise Refusal("not_found")
            if booking["status"] != "PENDING":
                raise Refusal(NOT_PAYABLE[booking["status"]])
            if await connection.fetchval(query("find_working_capture"), booking_id, "", ""):
                raise Refusal("already_paid")
            live = await connection.fetchrow(query("find_live_payment"), booking_id, intent.now_ms)
            if live is not None and (live["amount_minor"], live["currency"]) == (intent.amount_minor, intent.currency):
                payment_id, created = live["session_id"], False
            else:
                await connection.execute(query("expire_payments"), [booking_id])
                await _insert_payment(connection, booking_id, intent)
                payment_id, created = intent.session_id, True
            await _renew_booking(connection, booking_id, intent)
            row = await connection.fetchrow(query("read_payment"), payment_id)
            replayed = run.replayed and run.answer["session_id"] == payment_id
            if not replayed:
                run.answer = {"session_id": payment_id, "created": created}
        return Begun(to_record(row, Payment), run.answer["created"], replayed)

    async def recall_payment(self, request: Request | None) -> Begun | None:
        """Give what a request to pay was answered before; None if it has no answer, or is new.

        Raises:
            Refusal: `idempotency_key_reused`.
            Unavailable: `ledger_unavailable`.
        """
        known = await recall(self.pool, request)
        if known is None:
            return None
        payment = await self.read_payment(known["session_id"])
        if payment.payment_url is None:
            return None
        # As it was answered: whatever became of the session since is not part of that.
        first = msgspec.structs.replace(payment, status="PENDING", failure_code=None)
        return Begun(first, known["created"], replayed=True)

    async def store_payment_url(self, session_id: str, payment_url: str) -> None:
        """Keep where the customer pays. The first one stays.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            await connection.execute(query("store_payment_url"), session_id, payment_url)

    async def read_payment(self, session_id: str) -> Payment:
        """Read one payment session.

        Raises:
            Refusal: `not_found`.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            row = await connection.fetchrow(query("read_payment"), session_id)
        if row is None:
            raise Refusal("not_found")
        return to_record(row, Payment)

    async def fail_payment(self, gateway: str, session_id: str, failure_code: str) -> None:
        """Write that a session cannot be paid, e.g. because its gateway refused to open it; SUCCESS stays.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            await connection.execute(query("end_payment"), gateway, session_id, "FAILED", failure_code)


async def _renew_booking(connection: Any, booking_id: UUID, intent: Intent) -> None:
    await connection.execute(
        query("renew_booking"),
        booking_id,
        intent.email,
        intent.phone,
        intent.locale,
        intent.amount_minor,
        intent.currency,
        moment(intent.expires_at_ms),
    )
    await connection.execute(query("delete_booking_seats"), booking_id)
    await enter_seats(connection, intent)


async def _insert_payment(connection: Any, booking_id: UUID, intent: Intent) -> None:
    await connection.execute(
        query("insert_payment"),
        intent.session_id,
        intent.gateway,
        booking_id,
        intent.amount_minor,
        intent.currency,
        intent.return_url,
        intent.cancel_url,
        moment(intent.expires_at_ms),
    )

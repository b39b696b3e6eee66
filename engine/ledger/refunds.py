"""Refunds on their way to the gateway: which are due, how every attempt went, and what a person decided.

The attempt is committed before the gateway is asked. Whoever dies in between leaves an attempt without an end: after
the lease the next one notes that nothing is known of it, and asks the gateway again in the name of the same refund.
"""

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import structlog

from engine import limits
from engine.errors import Refusal
from engine.ledger.database import reading, storable, transaction
from engine.ledger.part import LedgerPart, open_case
from engine.ledger.queries import query
from engine.ledger.records import (
    AttemptAnswer,
    DueRefund,
    GatewayEvent,
    RefundAttempt,
    RefundDetails,
    RefundStatus,
)
from engine.ledger.requests import once
from engine.ledger.rows import to_record
from engine.seats.records import Request

log = structlog.get_logger()

Permit = Callable[[int | None], None]
"""Refuses `forbidden` where the operator has no say: takes the cinema; None for money of an unknown session."""

_LEASE = timedelta(milliseconds=limits.REFUND_LEASE_MS)


class Refunds(LedgerPart):
    """What becomes of refunds that are owed."""

    # --- The pipeline

    async def take_refunds(self, gateway: str, limit: int) -> list[DueRefund]:
        """Take refunds that are due, and write down that the gateway is about to be asked for them.

        Args:
            gateway: the one that can be asked. Refunds of another one are looked at hourly, and open a case.
            limit: how many at most; each is taken by one caller, and given again after the lease.

        Raises:
            Unavailable: `ledger_unavailable`; what was taken comes again after the lease.
        """
        async with transaction(self.pool) as connection:
            rows = await connection.fetch(query("due_refunds"), limit, gateway, _LEASE)
            if not rows:
                return []
            for foreign in {row["gateway"] for row in rows} - {gateway}:
                await open_case(connection, "refund_gateway", f"refund_gateway:{foreign}", {"configured": gateway})
            ours = [row for row in rows if row["gateway"] == gateway]
            begun = [row for row in ours if not row["pending"]]
            await connection.execute(query("end_lost_attempts"), [row["id"] for row in begun])
            # Of an attempt that was lost nothing is known, so the last one must have been answered; but one that
            # kills its worker each time is not tried for ever.
            worn = [row["id"] for row in begun if row["tries"] >= limits.REFUND_TRIES_CEILING]
            for refund_id in worn:
                await _move(connection, refund_id, "MANUAL", failure_code="worker_lost")
            fresh = [row["id"] for row in begun if row["id"] not in worn]
            await connection.execute(query("begin_refund_attempts"), fresh)
        return [
            DueRefund(
                id=str(row["id"]),
                session_id=row["session_id"],
                amount_minor=row["amount_minor"],
                currency=row["currency"],
                reason=row["reason"],
                attempt=row["attempts"] + (not row["pending"]),
            )
            for row in ours
            if row["id"] not in worn
        ]

    async def end_attempt(self, refund_id: str, attempt: int, answer: AttemptAnswer, retry_min_ms: int) -> RefundStatus:
        """Write what the gateway said, and decide what becomes of the refund.

        SETTLED is final whoever says it. PENDING is looked at again, which is no further attempt. After the others
        the next attempt comes later each time; when all are used up, a person must see to it.

        Args:
            refund_id: the refund.
            attempt: its number; a later one may have begun, then this answer only ends its own.
            answer: what the gateway said.
            retry_min_ms: the pause after the first failure.

        Raises:
            Unavailable: `ledger_unavailable`; the gateway is asked again after the lease.
        """
        async with transaction(self.pool) as connection:
            refund = await connection.fetchrow(query("lock_refund"), UUID(refund_id))
            return await _judge(connection, refund, attempt, answer, retry_min_ms)

    async def record_refund_event(
        self, event: GatewayEvent, refund_id: str | None, retry_min_ms: int
    ) -> RefundStatus | None:
        """Make a gateway's event about a refund durable, and follow it; a repeat changes nothing.

        `refund.failed` of one that was SETTLED by the gateway itself means that the money came back, or that the
        event is late: the gateway is asked again, and says which.

        Returns:
            The refund's status; None for a repeat, and for a refund that is not ours.

        Raises:
            Unavailable: `ledger_unavailable`; the gateway asks again with the same event.
        """
        async with transaction(self.pool) as connection:
            name = (event.gateway, event.event_id, event.type, event.session_id)
            if not await connection.fetchval(query("insert_payment_event"), *name, event.body):
                return None
            refund = await connection.fetchrow(query("lock_refund"), _uuid(refund_id))
            if refund is None or (refund["gateway"], refund["session_id"]) != (event.gateway, event.session_id):
                log.warning("refund_event_ignored", event_id=event.event_id, session_id=event.session_id)
                return None
            if event.type == "refund.settled":
                return await _judge(
                    connection, refund, refund["attempts"], AttemptAnswer(outcome="SETTLED"), retry_min_ms
                )
            last = await connection.fetchrow(query("read_refund_attempt"), refund["id"], refund["attempts"])
            if refund["status"] == "PROCESSING" and last is not None and last["outcome"] == "PENDING":
                failed = AttemptAnswer(outcome="FAILED", failure_code=event.failure_code, error=event.failure_code)
                return await _judge(connection, refund, refund["attempts"], failed, retry_min_ms)
            if refund["status"] == "SETTLED" and refund["settled_by"] is None:
                await connection.execute(query("retry_refund"), refund["id"])
                return "QUEUED"
            status: RefundStatus = refund["status"]
            return status

    # --- Operators

    async def list_refunds(
        self, status: RefundStatus | None, cinemas: list[int] | None, cursor: str | None, limit: int
    ) -> tuple[list[RefundDetails], str | None]:
        """List refunds, newest first, with the cursor of the next page.

        Args:
            status: only of this one.
            cinemas: only of these; None: all, also those of money that no booking is known for.
            cursor: the last id of the page before, None for the first page.
            limit: refunds on a page.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        after = UUID(cursor) if cursor else None
        async with reading(self.pool) as connection:
            rows = await connection.fetch(query("list_refunds"), status, cinemas, after, limit + 1)
        page = [to_record(row, RefundDetails) for row in rows[:limit]]
        return page, page[-1].id if len(rows) > limit else None

    async def read_refund(self, refund_id: str, permit: Permit) -> tuple[RefundDetails, list[RefundAttempt]]:
        """Read a refund with all its attempts, oldest first.

        Raises:
            Refusal: `not_found`, or what `permit` raises.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            refund = await _read(connection, refund_id, permit)
            rows = await connection.fetch(query("list_refund_attempts"), UUID(refund_id))
        return refund, [to_record(row, RefundAttempt) for row in rows]

    async def retry_refund(
        self, refund_id: str, actor: str, reason: str, permit: Permit, request: Request | None = None
    ) -> tuple[RefundDetails, bool]:
        """Have the gateway asked again, as often as the first time; attempts are counted on.

        Returns:
            The refund, and whether an earlier run of the request did it.

        Raises:
            Refusal: `not_found`, `refund_not_manual`, what `permit` raises, `idempotency_key_reused`,
                `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        return await self._decide(refund_id, actor, "retry_refund", reason, permit, request)

    async def settle_refund(
        self, refund_id: str, actor: str, note: str, permit: Permit, request: Request | None = None
    ) -> tuple[RefundDetails, bool]:
        """Write that a person has paid a refund outside of the gateway; results and errors as in `retry_refund`."""
        return await self._decide(refund_id, actor, "settle_refund", note, permit, request)

    async def _decide(
        self, refund_id: str, actor: str, verb: str, words: str, permit: Permit, request: Request | None
    ) -> tuple[RefundDetails, bool]:
        async with once(self.pool, request) as run:
            connection = run.connection
            row = await connection.fetchrow(query("lock_refund"), _uuid(refund_id))
            before = await _read(connection, refund_id, permit)
            if not run.replayed:
                if row["status"] != "MANUAL":
                    raise Refusal("refund_not_manual", refund_status=row["status"])
                if verb == "settle_refund":
                    await connection.execute(query("settle_refund"), row["id"], actor, words)
                else:
                    await connection.execute(query("retry_refund"), row["id"])
                details = {"attempts": before.attempts, "failure_code": before.failure_code}
                await connection.fetchval(query("insert_act"), actor, verb, f"refund:{refund_id}", words, details)
                run.answer = msgspec.to_builtins(await _read(connection, refund_id, permit))
            return msgspec.convert(run.answer, RefundDetails), run.replayed


async def _judge(connection: Any, refund: Any, attempt: int, answer: AttemptAnswer, retry_min_ms: int) -> RefundStatus:
    """Decide about a refund that is locked."""
    status: RefundStatus = refund["status"]
    if answer.outcome == "SETTLED":
        await _end(connection, refund, attempt, answer)
        if status != "SETTLED":
            await _move(connection, refund["id"], "SETTLED", gateway_refund=answer.gateway_refund)
        elif refund["settled_by"] is not None:
            details = {"settled_by": refund["settled_by"], "gateway_refund": answer.gateway_refund}
            name = f"refund_paid_twice:{refund['id']}"
            await open_case(connection, "refund_paid_twice", name, details, session_id=refund["session_id"])
        return "SETTLED"
    if status != "PROCESSING" or attempt != refund["attempts"]:
        if answer.outcome == "FAILED":
            await _end(connection, refund, attempt, answer)
        return status
    last = await connection.fetchrow(query("read_refund_attempt"), refund["id"], attempt)
    # Where the gateway has taken it on before, no answer is no news.
    if answer.outcome == "PENDING" or (answer.outcome == "UNKNOWN" and last["outcome"] == "PENDING"):
        return await _wait(connection, refund, attempt, answer, last["age"], retry_min_ms)
    await _end(connection, refund, attempt, answer)
    # A person who pays what the gateway may have paid already pays twice: what is not known is asked for longer.
    enough = limits.REFUND_ATTEMPTS_MAX if answer.outcome == "FAILED" else limits.REFUND_TRIES_CEILING
    if refund["tries"] >= enough:
        return await _move(connection, refund["id"], "MANUAL", failure_code=answer.failure_code)
    pause = timedelta(milliseconds=retry_pause_ms(refund["tries"], retry_min_ms))
    return await _move(connection, refund["id"], "QUEUED", pause, failure_code=answer.failure_code)


async def _wait(
    connection: Any, refund: Any, attempt: int, answer: AttemptAnswer, age: timedelta, retry_min_ms: int
) -> RefundStatus:
    """Look again at a refund that the gateway works on: after as long again as it has taken so far."""
    if age > timedelta(milliseconds=limits.REFUND_PENDING_MAX_MS):
        await _end(connection, refund, attempt, AttemptAnswer(outcome="UNKNOWN", error="pending_too_long"))
        return await _move(connection, refund["id"], "MANUAL", failure_code="pending_too_long")
    if answer.outcome == "PENDING":
        await _end(connection, refund, attempt, answer)
    least, most = timedelta(milliseconds=4 * retry_min_ms), timedelta(milliseconds=limits.REFUND_LOOK_MAX_MS)
    pause = min(max(age, least), most)
    return await _move(connection, refund["id"], "PROCESSING", pause, gateway_refund=answer.gateway_refund)


async def _end(connection: Any, refund: Any, attempt: int, answer: AttemptAnswer) -> None:
    error = None if answer.outcome in ("SETTLED", "PENDING") else answer.error or answer.failure_code
    kept = error and storable(error)
    await connection.execute(query("end_refund_attempt"), refund["id"], attempt, answer.outcome, kept)


async def _move(
    connection: Any,
    refund_id: UUID,
    status: RefundStatus,
    pause: timedelta | None = None,
    *,
    gateway_refund: str | None = None,
    failure_code: str | None = None,
) -> RefundStatus:
    code = failure_code and storable(failure_code)
    await connection.execute(query("move_refund"), refund_id, status, pause, gateway_refund, code)
    return status


async def _read(connection: Any, refund_id: str, permit: Permit) -> RefundDetails:
    row = await connection.fetchrow(query("read_refund"), _uuid(refund_id))
    if row is None:
        raise Refusal("not_found")
    permit(row["cinema_id"])
    return to_record(row, RefundDetails)


def retry_pause_ms(tries: int, least_ms: int) -> int:
    """Give the pause after that many failed attempts: much longer each time, a quarter more or less."""
    pause_ms = min(least_ms * limits.REFUND_RETRY_GROWTH ** (tries - 1), limits.REFUND_RETRY_MAX_MS)
    return int(pause_ms * random.uniform(0.75, 1.25))  # noqa: S311 (spreads load; nothing secret)


def _uuid(text: str | None) -> UUID | None:
    """Read an id; None, which no row has, for what is none."""
    try:
        return UUID(text) if text else None
    except ValueError:
        return None

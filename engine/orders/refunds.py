"""Refunds: the duty that asks the gateway for them, and what the gateway tells of them later.

    due refund -> attempt written and committed -> gateway.refund(), always under the refund's own id -> outcome written

Nothing in between must survive: after a death the next attempt asks again under the same id, and a gateway never pays
one id twice.
"""

import asyncio

import msgspec
import structlog

from engine.errors import Refusal, SeatlockError, Unavailable
from engine.ledger.ledger import Ledger
from engine.ledger.records import AttemptAnswer, AttemptOutcome, DueRefund, GatewayEvent, RefundStatus
from engine.limits import GATEWAY_REFUND_TIMEOUT_S, REFUNDS_AT_ONCE_MAX
from engine.orders.gateways.protocol import Gateway, PaymentEvent, RefundOrder

log = structlog.get_logger()

REFUND_EVENTS = ("refund.settled", "refund.failed")


class Refunds:
    """Brings owed money back.

    Args:
        ledger: says what is due, and keeps every attempt.
        gateway: pays it back.
        retry_min_ms: the pause after the first failure of a refund.
    """

    def __init__(self, ledger: Ledger, gateway: Gateway, retry_min_ms: int) -> None:
        self._ledger = ledger
        self._gateway = gateway
        self._retry_min_ms = retry_min_ms

    async def send_refunds(self) -> int:
        """Ask the gateway for all refunds that are due, a handful at once; give how many it was asked for.

        A cancelled one leaves its attempt without an end, as a process that died does.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        due = await self._ledger.take_refunds(self._gateway.name, REFUNDS_AT_ONCE_MAX)
        return sum(await asyncio.gather(*(self._send_on(refund) for refund in due)))

    async def _send_on(self, refund: DueRefund) -> int:
        """Ask for one refund, then for the next one that is due, so that a slow answer holds up nothing else."""
        sent = 0
        following = [refund]
        while following:
            await self._send(following[0])
            sent += 1
            try:
                following = await self._ledger.take_refunds(self._gateway.name, 1)
            except Unavailable:
                break  # the others still wait for their gateway's answer; the next round says what is wrong
        return sent

    async def _send(self, refund: DueRefund) -> None:
        answer = await self._ask(refund)
        status = None
        try:
            status = await self._ledger.end_attempt(refund.id, refund.attempt, answer, self._retry_min_ms)
        except SeatlockError as error:
            log.warning("refund_answer_lost", refund=refund.id, error=error.code)
        log.info(
            "refund_asked",
            refund=refund.id,
            attempt=refund.attempt,
            outcome=answer.outcome,
            error=answer.error or answer.failure_code,
            status=status,
        )

    async def _ask(self, refund: DueRefund) -> AttemptAnswer:
        """Ask the gateway once. Whatever goes wrong is an answer; only what is surely refused is FAILED."""
        order = RefundOrder(
            refund_id=refund.id,
            session_id=refund.session_id,
            amount_minor=refund.amount_minor,
            currency=refund.currency,
            reason=refund.reason,
        )
        try:
            async with asyncio.timeout(GATEWAY_REFUND_TIMEOUT_S):
                state = await self._gateway.refund(order)
        except Refusal as refusal:
            code = refusal.details.get("failure_code") or refusal.code
            return AttemptAnswer(outcome="FAILED", failure_code=str(code), error=refusal.detail)
        except Unavailable as error:
            outcome: AttemptOutcome = "FAILED" if error.outcome == "definite" else "UNKNOWN"
            return AttemptAnswer(outcome=outcome, failure_code=error.code, error=error.detail)
        except TimeoutError:
            return AttemptAnswer(outcome="UNKNOWN", failure_code="gateway_unavailable", error="no answer in time")
        except Exception as error:
            # A mistake in an adapter must cost an attempt of this refund, not the duty.
            log.exception("refund_crashed", refund=refund.id)
            return AttemptAnswer(outcome="UNKNOWN", failure_code="internal_error", error=type(error).__name__)
        return AttemptAnswer(outcome=state.status, gateway_refund=state.gateway_refund, failure_code=state.failure_code)

    async def take_event(self, event: PaymentEvent) -> RefundStatus | None:
        """Take a verified `refund.*` event of the gateway; 2xx may be said once this returns.

        Returns:
            The refund's status; None for a repeat, or a refund that is not ours.

        Raises:
            Unavailable: `ledger_unavailable`; the gateway asks again with the same event.
        """
        told = GatewayEvent(
            gateway=self._gateway.name,
            event_id=event.id,
            type=event.type,
            session_id=event.session_id,
            amount_minor=event.amount_minor or 0,
            currency=event.currency or "",
            failure_code=event.failure_code,
            body=msgspec.to_builtins(event),
        )
        status = await self._ledger.record_refund_event(told, event.refund_id, self._retry_min_ms)
        log.info("refund_event", refund=event.refund_id, type=event.type, status=status)
        return status

"""What Stripe tells, in our words. Events that carry no name of ours, of other uses of the account, change nothing."""

from typing import Any, Final

import msgspec
from msgspec import Struct

from engine.limits import SECOND_MS
from engine.orders.gateways.protocol import (
    PAYMENT_EXPIRED,
    PAYMENT_FAILED,
    PAYMENT_SUCCESS,
    REFUND_FAILED,
    REFUND_SETTLED,
    PaymentEvent,
    RefundState,
    Word,
)
from engine.orders.gateways.stripe_money import from_stripe

PAYMENTS: Final = {
    "payment_intent.succeeded": PAYMENT_SUCCESS,
    "payment_intent.payment_failed": PAYMENT_FAILED,
    "payment_intent.canceled": PAYMENT_EXPIRED,
}
SESSIONS: Final = {"checkout.session.expired": PAYMENT_EXPIRED}
REFUNDS: Final = ("refund.created", "refund.updated", "refund.failed")
"""`charge.refunded` is not here: it tells that a charge was refunded, not by which refund."""
TYPES: Final = (*PAYMENTS, *SESSIONS, *REFUNDS)

SESSION_NAME: Final = "seatlock_session"
REFUND_NAME: Final = "seatlock_refund"
"""Under these words our ids stand in the metadata of Stripe's objects; nobody else uses them."""

REFUND_STATES: Final = {"succeeded": "SETTLED", "failed": "FAILED", "canceled": "FAILED"}
"""All others are on their way."""


class LastError(Struct, frozen=True):
    """Why a payment failed."""

    code: str | None = None
    decline_code: str | None = None


class Told(Struct, frozen=True, kw_only=True):
    """What we read of a PaymentIntent, a Checkout Session or a Refund."""

    id: str
    amount: int | None = None
    amount_received: int | None = None
    amount_total: int | None = None
    currency: str | None = None
    status: str | None = None
    metadata: dict[str, str] | None = None
    last_payment_error: LastError | None = None
    failure_reason: str | None = None

    @property
    def names(self) -> dict[str, str]:
        """What we wrote into it."""
        return self.metadata or {}


class Data(Struct, frozen=True):
    """Where an event keeps its object."""

    object: msgspec.Raw


class StripeEvent(Struct, frozen=True):
    """The envelope of every event."""

    id: Word
    type: Word
    created: int
    data: Data


def read_stripe_event(body: bytes) -> tuple[PaymentEvent, int]:
    """Translate an event; give it with its time, Unix time in ms.

    Raises:
        msgspec.MsgspecError: this is no event of Stripe's.
    """
    told = msgspec.json.decode(body, type=StripeEvent)
    event = _translate(told)
    try:
        # What stands in metadata was not checked by anybody.
        event = msgspec.convert(msgspec.to_builtins(event), PaymentEvent)
    except msgspec.ValidationError:
        event = _stranger(told)
    return event, told.created * SECOND_MS


def refund_state(refund: Told) -> RefundState:
    """Say where a refund stands."""
    status: Any = REFUND_STATES.get(refund.status or "", "PENDING")
    reason = refund.failure_reason or "refund_failed"
    return RefundState(status=status, gateway_refund=refund.id, failure_code=reason if status == "FAILED" else None)


def _translate(told: StripeEvent) -> PaymentEvent:
    if told.type not in TYPES:
        return _stranger(told)
    thing = msgspec.json.decode(told.data.object, type=Told)
    session_id = thing.names.get(SESSION_NAME)
    if session_id is None:
        return _stranger(told)
    currency = (thing.currency or "").upper()
    if told.type in REFUNDS:
        return _refund(told, thing, session_id, currency)
    # What was received is what counts: a PaymentIntent may be captured in part.
    amount = next((sum_ for sum_ in (thing.amount_received, thing.amount, thing.amount_total) if sum_), 0)
    error = thing.last_payment_error
    return PaymentEvent(
        id=told.id,
        type=PAYMENTS.get(told.type) or SESSIONS[told.type],
        session_id=session_id,
        amount_minor=from_stripe(amount, currency),
        currency=currency or None,
        failure_code=(error.decline_code or error.code) if error else None,
        gateway_payment=thing.id if told.type in PAYMENTS else None,
    )


def _refund(told: StripeEvent, refund: Told, session_id: str, currency: str) -> PaymentEvent:
    state = refund_state(refund)
    if state.status == "PENDING" or REFUND_NAME not in refund.names:
        return _stranger(told)
    return PaymentEvent(
        id=told.id,
        type=REFUND_SETTLED if state.status == "SETTLED" else REFUND_FAILED,
        session_id=session_id,
        amount_minor=from_stripe(refund.amount or 0, currency),
        currency=currency,
        failure_code=state.failure_code,
        refund_id=refund.names[REFUND_NAME],
    )


def _stranger(told: StripeEvent) -> PaymentEvent:
    """Give an event that changes nothing here; it is kept all the same."""
    return PaymentEvent(id=told.id, type=f"stripe.{told.type}", session_id="-")

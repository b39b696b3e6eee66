"""What the orders room asks of a payment gateway, and what a gateway tells it."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal, Protocol

from msgspec import Meta, Struct, field

PAYMENT_SUCCESS: Final = "payment.success"
PAYMENT_FAILED: Final = "payment.failed"
PAYMENT_EXPIRED: Final = "payment.expired"
REFUND_SETTLED: Final = "refund.settled"
REFUND_FAILED: Final = "refund.failed"

# Printable ASCII only: these texts go into keys and columns.
Word = Annotated[str, Meta(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$(?!\n)")]
AmountMinor = Annotated[int, Meta(ge=0, le=2**53 - 1)]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]

Link = Annotated[str, Meta(pattern=r"^[Hh][Tt][Tt][Pp][Ss]?://", max_length=2000)]


class PaymentEvent(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a gateway says has happened to a session. Fields that we do not know pass and are dropped."""

    id: Word
    type: Word
    session_id: Word
    amount_minor: AmountMinor | None = field(default=None, name="amount")
    currency: Currency | None = None
    failure_code: Word | None = None
    refund_id: Word | None = None
    """Our id of the refund that a `refund.*` event tells of; the amount is the refund's then."""
    gateway_payment: Word | None = None
    """The gateway's own id of the payment, where its refunds need it."""


class NewSession(Struct, frozen=True, kw_only=True):
    """A payment that a customer is to make at the gateway. The session's id is ours."""

    session_id: Word
    amount_minor: Annotated[int, Meta(ge=1, le=2**53 - 1)] = field(name="amount")
    currency: Currency
    description: Annotated[str, Meta(max_length=500)]
    expires_at_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    return_url: Link | None = None
    cancel_url: Link | None = None


class RefundOrder(Struct, frozen=True, kw_only=True):
    """Money of a session that is to go back. The refund's id is ours, the same however often it is asked for."""

    refund_id: Word
    session_id: Word
    amount_minor: Annotated[int, Meta(ge=1, le=2**53 - 1)] = field(name="amount")
    currency: Currency
    reason: Word


class RefundState(Struct, frozen=True, kw_only=True):
    """Where a refund stands at the gateway. PENDING ones end later, told by a `refund.*` event."""

    status: Literal["SETTLED", "PENDING", "FAILED"]
    gateway_refund: str
    """The gateway's own id of it."""
    failure_code: str | None = None


class SessionOutcome(Struct, frozen=True, kw_only=True):
    """What became of a session: the very event that the webhook brings, or would have brought."""

    event: PaymentEvent
    at_ms: int
    """When it happened, by the gateway's clock."""


class Gateway(Protocol):
    """A payment gateway. A sale's identity is (`name`, session id)."""

    name: str

    async def create_session(self, session: NewSession) -> str:
        """Open a session at the gateway and give the address where the customer pays.

        Asking again with the same session id gives the same session.

        Raises:
            Refusal: `not_payable`, the gateway will never open this session.
            Unavailable: `gateway_unavailable`, away or in trouble; it may have opened the session.
        """
        ...

    async def refund(self, order: RefundOrder) -> RefundState:
        """Ask for money to go back, or how a refund stands that was asked for before.

        Asking again with the same refund id never pays twice; one that has FAILED is tried anew.

        Raises:
            Refusal: `refund_refused` with `failure_code`: the gateway will not do it, and nothing went back.
            Unavailable: `gateway_unavailable`; outcome "unknown" when the money may have gone back.
        """
        ...

    async def list_outcomes(self, since_ms: int) -> list[SessionOutcome]:
        """List what became of sessions and refunds since then, oldest first; some of it may be told twice.

        Args:
            since_ms: Unix time in ms, by the gateway's clock.

        Raises:
            Unavailable: `gateway_unavailable`.
        """
        ...

    def read_event(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent:
        """Verify an event's signature, then read it.

        Args:
            headers: the request's headers, looked up without regard to case.
            body: the raw body.
            now_s: Unix time in seconds.

        Raises:
            Refusal: `bad_signature`, `stale_signature`, `malformed_json`.
            InvalidInput: signed, but not an event.
        """
        ...

    async def close(self) -> None:
        """Close the connections to the gateway."""
        ...

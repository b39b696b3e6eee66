"""What the orders room asks of a payment gateway, and what a gateway tells it."""

from collections.abc import Mapping
from typing import Annotated, Final, Protocol

from msgspec import Meta, Struct, field

PAYMENT_SUCCESS: Final = "payment.success"
PAYMENT_FAILED: Final = "payment.failed"
PAYMENT_EXPIRED: Final = "payment.expired"

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


class NewSession(Struct, frozen=True, kw_only=True):
    """A payment that a customer is to make at the gateway. The session's id is ours."""

    session_id: Word
    amount_minor: Annotated[int, Meta(ge=1, le=2**53 - 1)] = field(name="amount")
    currency: Currency
    description: Annotated[str, Meta(max_length=500)]
    expires_at_ms: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    return_url: Link | None = None
    cancel_url: Link | None = None


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

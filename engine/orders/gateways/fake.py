"""The fake gateway seen from our side: an HTTP client, and the reading of its signed events."""

import time
from collections.abc import Mapping
from typing import Literal
from urllib.parse import quote

import httpx
import msgspec

from engine.errors import InvalidInput, Refusal, Unavailable
from engine.limits import GATEWAY_SIMULATE_TIMEOUT_S, GATEWAY_TIMEOUT_S
from engine.orders.gateways.protocol import (
    PAYMENT_SUCCESS,
    REFUND_FAILED,
    REFUND_SETTLED,
    NewSession,
    PaymentEvent,
    RefundOrder,
    RefundState,
    SessionOutcome,
)
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign, split_secrets, verify

Outcome = Literal["success", "failed", "expired"]


class SessionOpened(msgspec.Struct, frozen=True):
    """The gateway's answer to a new session."""

    payment_url: str


class Simulated(msgspec.Struct, frozen=True):
    """What came of a simulated outcome: how our webhook answered, or None if it was not asked or did not answer."""

    event_id: str
    webhook_status: int | None
    outcome: Outcome | None = None
    """How the session has ended; a fault may decline what was to succeed."""


class OutcomePage(msgspec.Struct, frozen=True):
    """Events in the order of their making; `next_after` asks for those behind, None at the end."""

    items: list[SessionOutcome]
    next_after: int | None


class Refused(msgspec.Struct, frozen=True):
    """Why the gateway says no."""

    code: str


class FakeGateway:
    """Speaks with `api.fake_gateway`. Requests carry the same signature as its events, so only we open sessions."""

    name = "fake"

    def __init__(self, base_url: str, webhook_secret: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        """Prepare a client.

        Args:
            base_url: where the fake gateway listens, e.g. `http://127.0.0.1:8001`.
            webhook_secret: one secret, or several with commas between while they are being changed.
            transport: another way to reach it than TCP.
        """
        self._secrets = split_secrets(webhook_secret)
        # Proxies of the environment are for the outside world; this gateway stands beside us.
        self._client = httpx.AsyncClient(base_url=base_url, transport=transport, trust_env=False)

    async def create_session(self, session: NewSession) -> str:
        """Open a session; see `Gateway.create_session`."""
        answer = await self._post("/sessions", msgspec.json.encode(session), GATEWAY_TIMEOUT_S)
        if answer.status_code in (400, 409, 422):
            raise Refusal("not_payable", "The gateway refuses this payment.")
        if answer.status_code not in (200, 201):
            raise Unavailable("gateway_unavailable", f"the gateway answered {answer.status_code}", outcome="unknown")
        return msgspec.json.decode(answer.content, type=SessionOpened).payment_url

    async def simulate(self, session_id: str, outcome: Outcome) -> Simulated:
        """Let a session end in one way, and wait until our webhook has answered the event.

        Raises:
            Refusal: `not_found` for a session that the gateway does not have; `not_payable` once it is paid.
            Unavailable: `gateway_unavailable`.
        """
        body = msgspec.json.encode({"outcome": outcome})
        answer = await self._post(f"/sessions/{quote(session_id, safe='')}/simulate", body, GATEWAY_SIMULATE_TIMEOUT_S)
        if answer.status_code == 404:
            raise Refusal("not_found")
        if answer.status_code == 409:
            raise Refusal("not_payable", "the gateway has already taken this payment")
        if answer.status_code != 200:
            raise Unavailable("gateway_unavailable", f"the gateway answered {answer.status_code}", outcome="unknown")
        return msgspec.json.decode(answer.content, type=Simulated)

    async def refund(self, order: RefundOrder) -> RefundState:
        """Ask for money to go back; see `Gateway.refund`."""
        answer = await self._post("/refunds", msgspec.json.encode(order), GATEWAY_TIMEOUT_S)
        if answer.status_code in (409, 422):
            raise Refusal("refund_refused", failure_code=msgspec.json.decode(answer.content, type=Refused).code)
        if answer.status_code not in (200, 201):
            raise Unavailable("gateway_unavailable", f"the gateway answered {answer.status_code}", outcome="unknown")
        return msgspec.json.decode(answer.content, type=RefundState)

    async def list_outcomes(self, since_ms: int) -> list[SessionOutcome]:
        """List what has happened since then, delivered or not; see `Gateway.list_outcomes`."""
        outcomes: list[SessionOutcome] = []
        after: int | None = 0
        while after is not None:
            page = msgspec.json.decode(
                await self._get(f"/outcomes?since_ms={since_ms}&after={after}"), type=OutcomePage
            )
            outcomes += page.items
            after = page.next_after
        return outcomes

    def read_event(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent:
        """Verify and read an event; see `Gateway.read_event`."""
        verify(self._secrets, headers.get(SIGNATURE_HEADER), body, now_s)
        try:
            event = msgspec.json.decode(body, type=PaymentEvent)
        except msgspec.ValidationError as error:
            detail, _, path = str(error).partition(" - at ")
            raise InvalidInput(path.strip("`").removeprefix("$").replace(".", "/"), detail) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal("malformed_json", str(error)) from None
        if event.type == PAYMENT_SUCCESS and (event.amount_minor is None or event.currency is None):
            raise InvalidInput("/amount", "a payment.success carries amount and currency")
        if event.type in (REFUND_SETTLED, REFUND_FAILED) and event.refund_id is None:
            raise InvalidInput("/refund_id", f"a {event.type} names its refund")
        return event

    async def close(self) -> None:
        """Close the client's connections."""
        await self._client.aclose()

    async def _post(self, path: str, body: bytes, timeout_s: float) -> httpx.Response:
        return await self._send("POST", path, body, body, timeout_s)

    async def _get(self, path: str) -> bytes:
        """Read a page; what is signed is the path, so that no signature fits another one."""
        answer = await self._send("GET", path, None, path.encode(), GATEWAY_TIMEOUT_S)
        if answer.status_code != 200:
            raise Unavailable("gateway_unavailable", f"the gateway answered {answer.status_code}")
        return answer.content

    async def _send(
        self, method: str, path: str, body: bytes | None, signed: bytes, timeout_s: float
    ) -> httpx.Response:
        if not self._secrets:
            raise Unavailable("gateway_unavailable", "SEATLOCK_WEBHOOK_SECRET is not set")
        signature = sign(self._secrets[0], signed, int(time.time()))
        headers = {SIGNATURE_HEADER: signature, "Content-Type": "application/json"}
        try:
            return await self._client.request(method, path, content=body, headers=headers, timeout=timeout_s)
        except httpx.HTTPError as error:
            # Without a connection nothing was asked for.
            away = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            raise Unavailable(
                "gateway_unavailable",
                f"the gateway does not answer: {type(error).__name__}",
                outcome="definite" if away else "unknown",
            ) from None

"""Stripe: customers pay on its Checkout page, through a PaymentIntent that carries our session's id.

Stripe remembers what it answered under an idempotency key, failures too, and forgets it after a day or more. So a
refund is first looked for among those of its payment, by our id in its metadata; only one that is not there, or has
failed there, is asked for, under a key that counts the failures.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import httpx
import msgspec
import stripe
import structlog

from engine.errors import InvalidInput, Refusal, Unavailable
from engine.limits import GATEWAY_TIMEOUT_S, MINUTE_MS, SECOND_MS, STRIPE_KEYS_PER_REFUND_MAX, STRIPE_NAME_LENGTH_MAX
from engine.orders.gateways.protocol import NewSession, PaymentEvent, RefundOrder, RefundState, SessionOutcome
from engine.orders.gateways.signatures import split_secrets, verify
from engine.orders.gateways.stripe_events import REFUND_NAME, SESSION_NAME, TYPES, Told, read_stripe_event, refund_state
from engine.orders.gateways.stripe_money import to_stripe

log = structlog.get_logger()

API_VERSION = "2026-10-28.endive"
"""What our structs were written for; a newer SDK must not change it by itself."""
SIGNATURE_HEADER = "Stripe-Signature"
"""Stripe signs as we do: `t=<unix>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`."""
PAGE = 100
LEAST_LIFE_MS = 30 * MINUTE_MS
"""Stripe takes no session that ends earlier; money that comes after our own deadline is judged as late."""
REPLAYED = "idempotent-replayed"
NOTHING_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)

FindPayment = Callable[[str], Awaitable[str | None]]
"""Gives Stripe's id of the PaymentIntent that paid a session of ours."""


class StripeGateway:
    """Speaks with Stripe."""

    name = "stripe"

    def __init__(
        self,
        key: str,
        webhook_secret: str,
        find_payment: FindPayment,
        home_url: str,
        api_url: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Prepare a client.

        Args:
            key: the secret key.
            webhook_secret: of the webhook endpoint; several with commas between while they are being changed.
            find_payment: knows from the events which PaymentIntent paid a session.
            home_url: where Stripe's page leads when the session names no other place.
            api_url: another place than Stripe's own.
            transport: another way to reach it than TCP.
        """
        self._secrets = split_secrets(webhook_secret)
        self._find_payment = find_payment
        self._home_url = home_url
        self._http = stripe.HTTPXClient(timeout=GATEWAY_TIMEOUT_S)
        if transport is not None:
            self._http._client_async = httpx.AsyncClient(transport=transport)  # noqa: SLF001 - it takes no client of ours
        self._stripe = stripe.StripeClient(
            key,
            stripe_version=API_VERSION,
            max_network_retries=0,
            http_client=self._http,
            base_addresses={"api": api_url} if api_url else None,
        )

    async def create_session(self, session: NewSession) -> str:
        """Open a Checkout Session; see `Gateway.create_session`."""
        amount = to_stripe(session.amount_minor, session.currency)
        name = session.description[:STRIPE_NAME_LENGTH_MAX] or session.session_id
        names = {SESSION_NAME: session.session_id}
        params: Any = {
            "mode": "payment",
            "client_reference_id": session.session_id,
            "metadata": names,
            "payment_intent_data": {"metadata": names},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": session.currency.lower(),
                        "unit_amount": amount,
                        "product_data": {"name": name},
                    },
                }
            ],
            "success_url": session.return_url or self._home_url,
            # The same at every repeat, or Stripe takes it for another request under the same key.
            "expires_at": (session.expires_at_ms + LEAST_LIFE_MS) // SECOND_MS + 1,
        }
        if session.cancel_url or session.return_url:
            params["cancel_url"] = session.cancel_url or session.return_url
        try:
            opened = await self._stripe.v1.checkout.sessions.create_async(
                params, {"idempotency_key": f"session:{session.session_id}"}
            )
        except stripe.StripeError as error:
            refuse(error, "not_payable")
        return str(opened.url)

    async def refund(self, order: RefundOrder) -> RefundState:
        """Ask for money to go back; see `Gateway.refund`."""
        payment = await self._find_payment(order.session_id)
        if payment is None:
            raise Refusal("refund_refused", "This session was not paid.", failure_code="not_paid")
        amount = to_stripe(order.amount_minor, order.currency)
        known = await self._list_refunds(payment, order.refund_id)
        for refund in known:
            state = refund_state(refund)
            if state.status == "FAILED":
                continue
            if refund.amount != amount:
                detail = "This refund was asked for with another amount."
                raise Refusal("refund_refused", detail, failure_code="refund_changed")
            return state
        for failures in range(len(known), len(known) + STRIPE_KEYS_PER_REFUND_MAX):
            try:
                return await self._try_refund(order, amount, payment, failures)
            except stripe.StripeError as error:
                # An answer from an earlier try, which it says again for a day: that try has ended for good.
                if (error.headers or {}).get(REPLAYED) != "true":
                    refuse(error, "refund_refused")
        raise Unavailable("gateway_unavailable", "Stripe remembers too many failures of this refund.")

    async def list_outcomes(self, since_ms: int) -> list[SessionOutcome]:
        """List events since then; Stripe keeps them for 30 days. See `Gateway.list_outcomes`."""
        outcomes = []
        try:
            for kind in TYPES:
                params: Any = {"type": kind, "created": {"gte": since_ms // SECOND_MS}, "limit": PAGE}
                page = await self._stripe.v1.events.list_async(params)
                async for event in page.auto_paging_iter():
                    told, at_ms = read_stripe_event(msgspec.json.encode(event.to_dict()))
                    outcomes.append(SessionOutcome(event=told, at_ms=at_ms))
        except stripe.StripeError as error:
            refuse(error, "not_payable")
        return sorted(outcomes, key=lambda outcome: outcome.at_ms)

    def read_event(self, headers: Mapping[str, str], body: bytes, now_s: float) -> PaymentEvent:
        """Verify and read an event; see `Gateway.read_event`."""
        verify(self._secrets, headers.get(SIGNATURE_HEADER), body, now_s)
        try:
            return read_stripe_event(body)[0]
        except msgspec.ValidationError as error:
            detail, _, path = str(error).partition(" - at ")
            raise InvalidInput(path.strip("`").removeprefix("$").replace(".", "/"), detail) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal("malformed_json", str(error)) from None

    async def close(self) -> None:
        """Close the client's connections."""
        await self._http.close_async()  # type: ignore[no-untyped-call]

    async def _list_refunds(self, payment: str, refund_id: str) -> list[Told]:
        """Give those refunds of a payment that carry our id, newest first."""
        try:
            page = await self._stripe.v1.refunds.list_async({"payment_intent": payment, "limit": PAGE})
            refunds = [msgspec.convert(refund.to_dict(), Told) async for refund in page.auto_paging_iter()]
        except stripe.StripeError as error:
            refuse(error, "refund_refused")
        return [refund for refund in refunds if refund.names.get(REFUND_NAME) == refund_id]

    async def _try_refund(self, order: RefundOrder, amount: int, payment: str, failures: int) -> RefundState:
        params: Any = {
            "payment_intent": payment,
            "amount": amount,
            # Why we give it back stays with us: Stripe's own reasons are three, and one of them is fraud.
            "metadata": {REFUND_NAME: order.refund_id, SESSION_NAME: order.session_id},
        }
        key = f"refund:{order.refund_id}:{failures}"
        refund = await self._stripe.v1.refunds.create_async(params, {"idempotency_key": key})
        return refund_state(msgspec.convert(refund.to_dict(), Told))


def refuse(error: stripe.StripeError, code: str) -> NoReturn:
    """Say in our words what an error of the SDK means.

    Args:
        error: what the SDK raised.
        code: the word for a "no" that stays.

    Raises:
        Refusal: Stripe will not do it; `failure_code` says why.
        Unavailable: `gateway_unavailable`; the outcome is unknown where it may have been done.
    """
    status = error.http_status
    if isinstance(error, stripe.APIConnectionError):
        sent = not isinstance(error.__cause__, NOTHING_SENT)
        raise Unavailable(
            "gateway_unavailable",
            f"Stripe does not answer: {type(error.__cause__ or error).__name__}",
            outcome="unknown" if sent else "definite",
        ) from None
    if isinstance(error, stripe.AuthenticationError | stripe.PermissionError | stripe.RateLimitError):
        log.error("stripe_refuses_us", error=type(error).__name__, request=error.request_id)
        raise Unavailable("gateway_unavailable", f"Stripe refuses us: {type(error).__name__}") from None
    if status is None or status >= 500 or status == 409:
        raise Unavailable("gateway_unavailable", f"Stripe answered {status}", outcome="unknown") from None
    word = error.code or (error.error.type if error.error else None) or "refused"
    raise Refusal(code, f"Stripe says no: {word}", failure_code=word) from None

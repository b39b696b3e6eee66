"""Stripe's adapter where localstripe cannot go: its amounts, its errors, its idempotency keys, its events."""

import json
import time
from urllib.parse import parse_qsl

import httpx
import pytest
import stripe

from engine.errors import InvalidInput, Refusal, Unavailable
from engine.orders.gateways.protocol import NewSession, RefundOrder
from engine.orders.gateways.stripe import API_VERSION, StripeGateway
from engine.orders.gateways.stripe_money import from_stripe, to_stripe

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the SDK's way with httpx

SECRET = "whsec_test"
ORDER = RefundOrder(refund_id="r1", session_id="sess_1", amount_minor=500, currency="IDR", reason="customer")
NAMES = {"seatlock_session": "sess_1"}
REFUND_NAMES = NAMES | {"seatlock_refund": "r1"}


class Stripe:
    """Answers requests as a test says, and notes them."""

    def __init__(self, *answers, refunds=()):
        self.answers, self.refunds, self.requests = list(answers), list(refunds), []

    def __call__(self, request):
        if request.method == "GET":
            return httpx.Response(200, json={"object": "list", "data": self.refunds, "has_more": False, "url": "/v1/x"})
        self.requests.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def keys(self):
        return [request.headers["idempotency-key"] for request in self.requests]

    @property
    def forms(self):
        return [dict(parse_qsl(request.content.decode())) for request in self.requests]


def gateway_of(answering, paid="pi_1"):
    """Give an adapter before it."""

    async def find_payment(_session_id):
        return paid

    return StripeGateway(
        "sk_test_1234567890", SECRET, find_payment, "https://home/", transport=httpx.MockTransport(answering)
    )


def refund(status="succeeded", **changes):
    """Give a refund as Stripe has it."""
    return {
        "id": "re_1",
        "object": "refund",
        "amount": 500,
        "currency": "idr",
        "status": status,
        "metadata": REFUND_NAMES,
    } | changes


def ok(body):
    """Answer yes."""
    return httpx.Response(200, json=body)


def problem(status, *, replayed=False, **error):
    """Give an error as Stripe words it."""
    headers = {"Idempotent-Replayed": "true"} if replayed else {}
    return httpx.Response(status, json={"error": {"type": "invalid_request_error"} | error}, headers=headers)


@pytest.mark.parametrize(
    ("minor", "currency", "theirs"),
    [
        (7500000, "IDR", 7500000),
        (500, "JPY", 500),
        (1999, "USD", 1999),
        (5, "ISK", 500),
        (5, "UGX", 500),
        (1200, "MGA", 12),
        (5120, "KWD", 5120),
    ],
)
def test_amounts_are_those_of_iso_4217_but_for_a_few(minor, currency, theirs):
    """IDR has two decimals at Stripe; ISK and UGX two more than they should, MGA none."""
    assert to_stripe(minor, currency) == theirs
    assert from_stripe(theirs, currency) == minor


@pytest.mark.parametrize(("minor", "currency"), [(1250, "MGA"), (5124, "KWD")])
def test_an_amount_that_stripe_does_not_have_is_refused(minor, currency):
    """Rounding would make it another amount."""
    with pytest.raises(Refusal) as refused:
        to_stripe(minor, currency)
    assert refused.value.code == "not_payable"


async def test_a_session_carries_our_id_and_is_the_same_at_every_repeat():
    """Our id stands in the PaymentIntent; the same key has the same parameters, the pinned version, no SDK retries."""
    page = ok({"id": "cs_1", "object": "checkout.session", "url": "https://checkout/cs_1"})
    answering = Stripe(page, page, httpx.Response(500, json={"error": {}}))
    gateway = gateway_of(answering)
    new = NewSession(
        session_id="sess_1", amount_minor=7500000, currency="IDR", description="Film", expires_at_ms=1_800_000_000_500
    )
    assert await gateway.create_session(new) == await gateway.create_session(new) == "https://checkout/cs_1"
    form = answering.forms[0]
    assert answering.forms == [form, form]
    assert answering.keys == ["session:sess_1"] * 2
    assert form["payment_intent_data[metadata][seatlock_session]"] == "sess_1"
    assert (form["line_items[0][price_data][unit_amount]"], form["line_items[0][price_data][currency]"]) == (
        "7500000",
        "idr",
    )
    assert (form["expires_at"], form["success_url"]) == ("1800001801", "https://home/")
    assert answering.requests[0].headers["stripe-version"] == API_VERSION
    with pytest.raises(Unavailable) as unknown:
        await gateway.create_session(new)
    assert (unknown.value.outcome, len(answering.requests)) == ("unknown", 3)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (httpx.ConnectError("away"), "definite"),
        (httpx.ReadTimeout("slow"), "unknown"),
        (problem(500), "unknown"),
        (problem(409, code="idempotency_key_in_use"), "unknown"),
        (problem(401), "definite"),
        (problem(429), "definite"),
        (problem(400, code="charge_already_refunded"), "charge_already_refunded"),
        (problem(402, type="card_error", code="card_declined"), "card_declined"),
        (problem(400), "invalid_request_error"),
    ],
)
async def test_errors_say_what_is_known(answer, expected):
    """A refusal stays, with Stripe's word; what may have been done is unknown; the rest was not done."""
    with pytest.raises((Refusal, Unavailable)) as error:
        await gateway_of(Stripe(answer)).refund(ORDER)
    if isinstance(error.value, Refusal):
        assert (error.value.code, error.value.details["failure_code"]) == ("refund_refused", expected)
    else:
        assert (error.value.code, error.value.outcome) == ("gateway_unavailable", expected)


@pytest.mark.parametrize(
    ("status", "ours"),
    [("succeeded", "SETTLED"), ("pending", "PENDING"), ("requires_action", "PENDING"), ("failed", "FAILED")],
)
async def test_a_refund_says_where_it_stands(status, ours):
    """Some payment methods take days; a failure says why."""
    state = await gateway_of(Stripe(ok(refund(status, failure_reason="lost_or_stolen_card")))).refund(ORDER)
    assert (state.status, state.gateway_refund) == (ours, "re_1")
    assert state.failure_code == ("lost_or_stolen_card" if ours == "FAILED" else None)


async def test_a_refund_that_is_there_is_not_asked_for_again():
    """Keys are forgotten after a day; our id in the refund's metadata is not. Others' refunds are not ours."""
    other = refund(id="re_0", metadata={"seatlock_refund": "r0"})
    answering = Stripe(refunds=[other, refund("pending")])
    assert (await gateway_of(answering).refund(ORDER)).status == "PENDING"
    assert answering.requests == []


async def test_a_refund_that_failed_is_tried_anew_under_another_key():
    """Under the old key Stripe would only say again how the old one began."""
    answering = Stripe(ok(refund(id="re_3")), refunds=[refund("failed", id="re_2"), refund("canceled")])
    assert (await gateway_of(answering).refund(ORDER)).gateway_refund == "re_3"
    assert answering.keys == ["refund:r1:2"]


async def test_remembered_errors_are_stepped_over():
    """An error said again from memory has ended, a fresh one counts; after a lost answer the key stays."""
    again = problem(400, code="balance_insufficient", replayed=True)
    answering = Stripe(again, problem(500, replayed=True), ok(refund()))
    assert (await gateway_of(answering).refund(ORDER)).status == "SETTLED"
    assert answering.keys == ["refund:r1:0", "refund:r1:1", "refund:r1:2"]
    for lost in (httpx.ReadTimeout("lost"), problem(500)):
        answering = Stripe(lost)
        with pytest.raises(Unavailable):
            await gateway_of(answering).refund(ORDER)
        assert answering.keys == ["refund:r1:0"]
    with pytest.raises(Unavailable) as endless:
        await gateway_of(Stripe(*[again] * 20)).refund(ORDER)
    assert endless.value.outcome == "definite"


def read(kind, thing, *, event_id="evt_1"):
    """Sign an event as Stripe's SDK does, and let the adapter read it."""
    body = json.dumps({"id": event_id, "object": "event", "type": kind, "created": 1, "data": {"object": thing}})
    header = stripe.WebhookSignature.generate_signature_header(body, SECRET)
    return gateway_of(Stripe()).read_event(httpx.Headers({"stripe-signature": header}), body.encode(), time.time())


PAYMENT = {"id": "pi_1", "amount": 700, "amount_received": 500, "currency": "isk", "metadata": NAMES}


def test_a_payment_tells_what_was_received():
    """Not what was asked for; in our minor units, with Stripe's id, which its refunds need."""
    event = read("payment_intent.succeeded", PAYMENT)
    assert (event.id, event.type, event.session_id) == ("evt_1", "payment.success", "sess_1")
    assert (event.amount_minor, event.currency, event.gateway_payment) == (5, "ISK", "pi_1")


@pytest.mark.parametrize(
    ("kind", "thing", "ours", "code"),
    [
        (
            "payment_intent.payment_failed",
            PAYMENT | {"last_payment_error": {"code": "card_declined", "decline_code": "stolen_card"}},
            "payment.failed",
            "stolen_card",
        ),
        ("payment_intent.canceled", PAYMENT, "payment.expired", None),
        ("checkout.session.expired", {"id": "cs_1", "amount_total": 5, "metadata": NAMES}, "payment.expired", None),
        ("refund.created", refund(), "refund.settled", None),
        ("refund.updated", refund(), "refund.settled", None),
        ("refund.failed", refund("failed", failure_reason="expired_card"), "refund.failed", "expired_card"),
        ("refund.updated", refund("canceled"), "refund.failed", "refund_failed"),
    ],
)
def test_an_ending_is_told_in_our_words(kind, thing, ours, code):
    """Each with our session, and a refund with its own id and amount."""
    event = read(kind, thing)
    assert (event.type, event.session_id, event.failure_code) == (ours, "sess_1", code)
    if kind.startswith("refund"):
        assert (event.refund_id, event.amount_minor, event.currency) == ("r1", 500, "IDR")


@pytest.mark.parametrize(
    ("kind", "thing"),
    [
        ("payment_intent.succeeded", PAYMENT | {"metadata": None}),
        ("payment_intent.succeeded", PAYMENT | {"metadata": {"session_id": "theirs"}}),
        ("payment_intent.succeeded", PAYMENT | {"metadata": {"seatlock_session": "not\u00a0printable"}}),
        ("refund.updated", refund("pending")),
        ("refund.updated", refund(metadata=NAMES)),
        ("charge.refunded", {"id": "ch_1", "metadata": NAMES}),
        ("customer.created", {"id": "cus_1"}),
    ],
)
def test_what_is_not_ours_changes_nothing(kind, thing):
    """The account may have other uses; their money must not be taken for unknown sessions, which we give back."""
    assert read(kind, thing).type == f"stripe.{kind}"


def test_a_signed_body_that_is_no_event_is_refused():
    """By the field that is wrong, or as no JSON at all."""
    with pytest.raises(InvalidInput):
        read("payment_intent.succeeded", {"id": 5})
    body = "{"
    header = stripe.WebhookSignature.generate_signature_header(body, SECRET)
    with pytest.raises(Refusal) as refused:
        gateway_of(Stripe()).read_event(httpx.Headers({"stripe-signature": header}), body.encode(), time.time())
    assert refused.value.code == "malformed_json"

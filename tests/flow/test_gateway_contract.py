"""One contract, two gateways: the fake one as an ASGI app, and Stripe's adapter before `localstripe`.

What localstripe cannot show, and how it is dealt with:
- It has no Checkout Sessions: tests/stripe_stand_in.py plays them, so that the adapter's own requests are seen.
- It ignores idempotency keys: two asks at the same moment are skipped; their keys are tested in test_stripe.py.
- It lets more go back than was paid: that refusal is skipped. (Our ledger refuses it, too.)
- It settles every refund at once, and tells of none: `refund.*` events are tested in test_stripe.py.
"""

import asyncio
import time
from contextlib import asynccontextmanager
from uuid import uuid4

import httpx
import pytest

from engine.errors import Refusal, Unavailable
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import RefundOrder
from engine.orders.gateways.stripe import StripeGateway
from tests.oracle import read_book
from tests.stripe_stand_in import DECLINED_CARD, KEY, WEBHOOK_SECRET, Checkout, localstripe, webhook_of
from tests.till import SECRET, Seller, session, till

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # the SDK's way with httpx

PAID = 15000000
NO_KEYS = "localstripe ignores idempotency keys"
NO_LIMIT = "localstripe lets more go back than was paid"


@pytest.fixture(scope="module")
def stripe_url():
    """Where localstripe is."""
    with localstripe() as url:
        yield url


class Lossy(httpx.AsyncBaseTransport):
    """Carries requests on, and loses the answer of the next one if `lose` is set."""

    def __init__(self, onward):
        self.onward, self.lose = onward, False

    async def handle_async_request(self, request):
        answer = await self.onward.handle_async_request(request)
        if self.lose:
            self.lose = False
            raise httpx.ReadTimeout("the answer was lost", request=request)
        return answer


class FakeHouse:
    """The fake gateway, and a customer of it."""

    limits = ()

    def __init__(self, gateway, seller, way, folder):
        self.gateway, self._seller, self.way, self._folder = gateway, seller, way, folder

    async def pay(self, session_id):
        await self.gateway.simulate(session_id, "success")

    async def decline(self, session_id):
        await self.gateway.simulate(session_id, "failed")

    async def told(self, session_id):
        """Give headers and body of the first event of a session."""
        return next((headers, body) for headers, body in self._seller.raw if session_id.encode() in body)

    async def refunded(self, session_id):
        return read_book(self._folder).sessions()[session_id].refunded


class StripeHouse:
    """Stripe's adapter before localstripe, and a customer."""

    limits = (NO_KEYS, NO_LIMIT)

    def __init__(self, url, heard, arrived):
        self.way = Checkout(url)
        self.gateway = StripeGateway(
            KEY, f"whsec_older, {WEBHOOK_SECRET}", self.payment_of, "https://home/", url, self.way
        )
        self._heard, self._arrived = heard, arrived

    async def payment_of(self, session_id):
        """Look for the payment in the events; the ledger keeps it with them."""
        told = [outcome.event for outcome in await self.gateway.list_outcomes(0)]
        return next(
            (
                event.gateway_payment
                for event in told
                if (event.session_id, event.type) == (session_id, "payment.success")
            ),
            None,
        )

    async def pay(self, session_id):
        await self.way.pay(session_id)

    async def decline(self, session_id):
        await self.way.pay(session_id, DECLINED_CARD)

    async def told(self, session_id):
        async with self._arrived, asyncio.timeout(5):
            while True:
                for headers, body in self._heard:
                    if session_id.encode() in body:
                        return headers, body
                await self._arrived.wait()

    async def refunded(self, session_id):
        return await self.way.sum_refunds(await self.payment_of(session_id))


@pytest.fixture(params=["fake", "stripe"])
async def house(request, tmp_path):
    """A gateway and its customer."""
    async with open_house(request, tmp_path) as house:
        yield house


@asynccontextmanager
async def open_house(request, folder):
    """Open the house that the test runs with."""
    if request.param == "stripe":
        url = request.getfixturevalue("stripe_url")
        async with webhook_of(url) as (heard, arrived):
            house = StripeHouse(url, heard, arrived)
            yield house
            await house.gateway.close()
        return
    seller = Seller()
    async with till(folder, seller) as (_gateway, browser):
        way = Lossy(browser._transport)
        gateway = FakeGateway("http://till", SECRET, way)
        yield FakeHouse(gateway, seller, way, folder)
        await gateway.close()


def needs(house, limit):
    """Skip where the stand-in for Stripe cannot show it."""
    if limit in house.limits:
        pytest.skip(limit)


async def paid_session(house):
    """Open a session and pay it; gives its id."""
    name = f"sess_{uuid4().hex}"
    await house.gateway.create_session(session(name))
    await house.pay(name)
    return name


def order(session_id, amount_minor=PAID, refund_id=None):
    """Ask for money of a session."""
    return RefundOrder(
        refund_id=refund_id or str(uuid4()),
        session_id=session_id,
        amount_minor=amount_minor,
        currency="IDR",
        reason="customer",
    )


async def refused(asking):
    """Give the failure code of a refund that is refused."""
    with pytest.raises(Refusal) as refusal:
        await asking
    assert refusal.value.code == "refund_refused"
    return refusal.value.details["failure_code"]


async def test_a_session_is_opened_once(house):
    """Asking again, as after a lost answer, gives the same page."""
    new = session(f"sess_{uuid4().hex}")
    url = await house.gateway.create_session(new)
    assert url.startswith(("http://", "https://"))
    assert await house.gateway.create_session(new) == url


async def test_a_payment_is_told_with_its_amount(house):
    """Signed and readable; the list of outcomes has the very same event, and none from later on."""
    name = await paid_session(house)
    headers, body = await house.told(name)
    event = house.gateway.read_event(headers, body, time.time())
    assert (event.type, event.session_id, event.amount_minor, event.currency) == ("payment.success", name, PAID, "IDR")
    listed = await house.gateway.list_outcomes(0)
    assert [outcome.event for outcome in listed if outcome.event.session_id == name] == [event]
    assert await house.gateway.list_outcomes(max(outcome.at_ms for outcome in listed) + 1000) == []


async def test_a_declined_payment_is_told_with_a_reason(house):
    """The failure code is a word."""
    name = f"sess_{uuid4().hex}"
    await house.gateway.create_session(session(name))
    await house.decline(name)
    headers, body = await house.told(name)
    event = house.gateway.read_event(headers, body, time.time())
    assert (event.type, event.session_id, event.failure_code) == ("payment.failed", name, "card_declined")


async def test_only_its_own_fresh_words_are_believed(house):
    """Another body under the signature, no signature, an old one: each is refused by its word."""
    headers, body = await house.told(await paid_session(house))
    for lie, said, later_s, word in (
        (body.replace(b"15000000", b"15000001"), headers, 0, "bad_signature"),
        (body, httpx.Headers(), 0, "bad_signature"),
        (b"\xff" + body, headers, 0, "bad_signature"),
        (body, headers, 1000, "stale_signature"),
    ):
        with pytest.raises(Refusal) as refusal:
            house.gateway.read_event(said, lie, time.time() + later_s)
        assert refusal.value.code == word


@pytest.mark.covers("001.21", "001.22")
async def test_a_refund_is_paid_once_however_often_it_is_asked_for(house):
    """The same id gives the same state; two ids add up."""
    name = await paid_session(house)
    part, rest = order(name, 5000000), order(name, 10000000)
    first = await house.gateway.refund(part)
    assert first.status == "SETTLED"
    assert await house.gateway.refund(part) == first
    assert await house.refunded(name) == 5000000
    assert (await house.gateway.refund(rest)).gateway_refund != first.gateway_refund
    assert await house.refunded(name) == PAID


async def test_a_lost_answer_pays_nothing_twice(house):
    """The gateway did it and nobody heard: the outcome is unknown, and asking again finds what was done."""
    name = await paid_session(house)
    asked = order(name)
    house.way.lose = True
    with pytest.raises(Unavailable) as unknown:
        await house.gateway.refund(asked)
    assert unknown.value.outcome == "unknown"
    assert (await house.gateway.refund(asked)).status == "SETTLED"
    assert await house.refunded(name) == PAID


async def test_one_refund_id_means_one_amount(house):
    """A mistake of ours is refused, not paid."""
    name = await paid_session(house)
    asked = order(name, 5000000)
    await house.gateway.refund(asked)
    assert await refused(house.gateway.refund(order(name, 6000000, asked.refund_id))) == "refund_changed"
    assert await house.refunded(name) == 5000000


async def test_money_that_never_came_cannot_go_back(house):
    """Neither that of an unknown session nor that of an unpaid one."""
    name = f"sess_{uuid4().hex}"
    assert await refused(house.gateway.refund(order(name)))
    await house.gateway.create_session(session(name))
    assert await refused(house.gateway.refund(order(name)))


async def test_no_more_goes_back_than_was_paid(house):
    """Together they would be too much: the second is refused whole."""
    needs(house, NO_LIMIT)
    name = await paid_session(house)
    await house.gateway.refund(order(name, 10000000))
    assert await refused(house.gateway.refund(order(name, 5000001)))
    assert await house.refunded(name) == 10000000


async def test_two_asks_at_once_pay_once(house):
    """Two workers ask for one refund in the same moment."""
    needs(house, NO_KEYS)
    name = await paid_session(house)
    asked = order(name)
    states = await asyncio.gather(*(house.gateway.refund(asked) for _ in range(4)))
    assert len({state.gateway_refund for state in states}) == 1
    assert await house.refunded(name) == PAID


@pytest.mark.parametrize("kind", ["fake", "stripe"])
async def test_a_gateway_that_is_away_has_done_nothing(kind):
    """Without a connection the outcome is definite, for every kind of request."""

    async def find_payment(_session_id):
        return "pi_1"

    away = "http://127.0.0.1:9"
    gateway = (
        FakeGateway(away, SECRET)
        if kind == "fake"
        else StripeGateway(KEY, WEBHOOK_SECRET, find_payment, "https://home/", away)
    )
    for asking in (gateway.create_session(session()), gateway.refund(order("sess_1")), gateway.list_outcomes(0)):
        with pytest.raises(Unavailable) as unavailable:
            await asking
        assert (unavailable.value.code, unavailable.value.outcome) == ("gateway_unavailable", "definite")
    await gateway.close()

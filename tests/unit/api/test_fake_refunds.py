"""Refunds of the fake gateway and its book: once per id, never too much, every entry two postings."""

import sqlite3
import time

import msgspec
import pytest

from api.fake_gateway.book import BOOK_NAME
from engine.errors import Refusal, Unavailable
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import RefundOrder, RefundState
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from tests.oracle import Account, Book, read_book
from tests.till import SECRET, Seller, session, till

PAID = 15000000


def order(refund_id="refund_1", amount_minor=PAID, session_id="sess_1", currency="IDR"):
    """Ask for money of a session."""
    return RefundOrder(
        refund_id=refund_id, session_id=session_id, amount_minor=amount_minor, currency=currency, reason="customer"
    )


async def pay(gateway, session_id="sess_1"):
    """Open a session and take its money."""
    await gateway.create_session(session(session_id))
    await gateway.simulate(session_id, "success")


async def test_a_refund_is_paid_once_however_often_it_is_asked_for(tmp_path):
    """The same id gives the same state again, and the customer got the money back once."""
    async with till(tmp_path, Seller()) as (gateway, _browser):
        await pay(gateway)
        first = await gateway.refund(order(amount_minor=5000000))
        assert await gateway.refund(order(amount_minor=5000000)) == first
        assert isinstance(first, RefundState)
        assert first.status == "SETTLED"
    assert read_book(tmp_path).sessions() == {"sess_1": Account(PAID, 5000000, "IDR")}
    assert read_book(tmp_path).refunds() == {"refund_1": 5000000}


async def test_what_cannot_go_back_is_refused_with_a_word(tmp_path):
    """More than was paid, money of nobody, unpaid money, another currency, another sum under a used id."""
    async with till(tmp_path, Seller()) as (gateway, _browser):
        await pay(gateway)
        await gateway.create_session(session("sess_unpaid"))
        await gateway.refund(order("part", 10000000))
        for asked, word in (
            (order("rest", 5000001), "over_refund"),
            (order("part", 9000000), "refund_changed"),
            (order(session_id="sess_none"), "unknown_session"),
            (order(session_id="sess_unpaid"), "not_paid"),
            (order("rest", 1, currency="USD"), "wrong_currency"),
        ):
            with pytest.raises(Refusal) as refused:
                await gateway.refund(asked)
            assert (refused.value.code, refused.value.details["failure_code"]) == ("refund_refused", word)
        await gateway.refund(order("rest", 5000000))
    assert read_book(tmp_path).sessions() == {"sess_1": Account(PAID, PAID, "IDR")}


async def test_the_book_has_two_postings_for_everything_and_is_never_changed(tmp_path):
    """Each entry sums to zero, so does the whole; the same book is read over HTTP; SQL cannot alter it."""
    async with till(tmp_path, Seller()) as (gateway, browser):
        for name in ("sess_1", "sess_2"):
            await pay(gateway, name)
        await gateway.refund(order("refund_1", 100))
        await gateway.refund(order("refund_2", 200, "sess_2"))
        stamp = {SIGNATURE_HEADER: sign(SECRET, b"/book", int(time.time()))}
        shown = msgspec.json.decode((await browser.get("/book", headers=stamp)).content, type=Book)
        assert (await browser.get("/book")).status_code == 401
        assert (await browser.get("/outcomes?since_ms=0", headers=stamp)).status_code == 401
    book = read_book(tmp_path)
    assert shown == book
    assert book.balances() == {"IDR": 0}
    assert len(book.postings) == 8
    assert set(book.entries().values()) == {0}
    file = sqlite3.connect(tmp_path / BOOK_NAME)
    for statement in ("UPDATE postings SET amount = 2 * amount", "DELETE FROM postings"):
        with pytest.raises(sqlite3.IntegrityError, match="never changed"):
            file.execute(statement)
    file.close()


async def test_what_happened_can_be_asked_for(tmp_path):
    """The events of all sessions since a time, the very ones that the webhook brings."""
    seller = Seller()
    async with till(tmp_path, seller) as (gateway, _browser):
        await pay(gateway)
        await gateway.create_session(session("sess_2"))
        await gateway.simulate("sess_2", "failed")
        outcomes = await gateway.list_outcomes(0)
        assert [outcome.event.id for outcome in outcomes] == [event["id"] for event in seller.events]
        assert [outcome.event.type for outcome in outcomes] == ["payment.success", "payment.failed"]
        assert await gateway.list_outcomes(outcomes[-1].at_ms + 1) == []


async def test_a_gateway_that_is_away_has_done_nothing():
    """Without a connection the outcome is definite: nothing was asked for."""
    gateway = FakeGateway("http://127.0.0.1:9", SECRET)
    with pytest.raises(Unavailable) as away:
        await gateway.refund(order())
    assert away.value.outcome == "definite"
    await gateway.close()

"""The fake gateway alone: sessions, the page, signed events that are brought until they are accepted."""

import asyncio

import pytest

from api.fake_gateway.cards import CARDS, find_card
from engine.errors import Refusal, Unavailable
from engine.limits import GATEWAY_LATE_MS
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import NewSession
from tests.till import Clock, Seller, session, till


def card(ending):
    """Give the number of the first card with an ending."""
    return next(card.number for card in CARDS if card.ending == ending)


@pytest.mark.covers("004.15")
async def test_paying_on_the_page_tells_the_seller(tmp_path):
    """The page shows the amount and a form; a good card leads to one signed payment.success."""
    seller = Seller()
    async with till(tmp_path, seller) as (gateway, browser):
        url = await gateway.create_session(session(return_url="https://cinema.example/done"))
        page = (await browser.get(url)).text
        assert "IDR 150,000.00" in page
        assert "Pay now" in page
        paid = await browser.post(f"{url}/pay", data={"card": card("captured")})
    assert "Payment received" in paid.text
    assert 'href="https://cinema.example/done"' in paid.text
    assert [(event["type"], event["amount"], event["currency"]) for event in seller.events] == [
        ("payment.success", 15000000, "IDR")
    ]


@pytest.mark.parametrize("number", ["4000000000000002", "4000-0000-0000-9995"])
async def test_a_refused_card_tells_the_seller_why(tmp_path, number):
    """Declined cards end the session as failed, with a code."""
    seller = Seller()
    async with till(tmp_path, seller) as (gateway, browser):
        url = await gateway.create_session(session())
        page = await browser.post(f"{url}/pay", data={"card": number})
    assert "The card was refused" in page.text
    assert seller.events[0]["type"] == "payment.failed"
    assert seller.events[0]["failure_code"] == find_card(number).failure_code


async def test_an_unknown_card_changes_nothing(tmp_path):
    """The form comes back with a remark, and the session stays open."""
    seller = Seller()
    async with till(tmp_path, seller) as (gateway, browser):
        url = await gateway.create_session(session())
        for form in ({"card": "1234"}, {}, {"card": "\U0001f600", **{str(n): "x" for n in range(50)}}):
            page = await browser.post(f"{url}/pay", data=form)
            assert page.status_code == 422
            assert 'role="alert"' in page.text
    assert seller.events == []


async def test_texts_of_a_session_are_escaped(tmp_path):
    """A movie's title cannot put a script into the page."""
    async with till(tmp_path, Seller()) as (gateway, browser):
        hostile = '"><script>alert(1)</script>'
        new = NewSession(
            session_id="sess_1",
            amount_minor=1,
            currency="IDR",
            description=hostile,
            expires_at_ms=2**40,
            return_url="https://x/" + hostile,
        )
        page = await browser.get(await gateway.create_session(new))
    assert "<script>" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]


async def test_only_http_links_are_taken(tmp_path):
    """A return address that runs a script is refused when the session is opened."""
    async with till(tmp_path, Seller()) as (gateway, _browser):
        with pytest.raises(Refusal) as refused:
            await gateway.create_session(session(return_url="javascript:alert(1)"))
    assert refused.value.code == "not_payable"


async def test_opening_a_session_again_changes_nothing(tmp_path):
    """The second request with the same id gives the same address and the first amount stands."""
    async with till(tmp_path, Seller()) as (gateway, browser):
        first = await gateway.create_session(session())
        again = NewSession(session_id="sess_1", amount_minor=1, currency="IDR", description="", expires_at_ms=2**40)
        assert await gateway.create_session(again) == first
        assert "IDR 150,000.00" in (await browser.get(first)).text


@pytest.mark.covers("004.16")
async def test_simulate_answers_after_the_seller_did(tmp_path):
    """An outcome can be had without the page, and says how the seller answered."""
    seller = Seller()
    seller.answers = [503]
    async with till(tmp_path, seller) as (gateway, _browser):
        await gateway.create_session(session())
        assert (await gateway.simulate("sess_1", "failed")).webhook_status == 503
        await seller.until(2)
        assert seller.events[0] == seller.events[1]
        assert (await gateway.simulate("sess_1", "success")).webhook_status == 200
        assert seller.events[-1]["type"] == "payment.success"


async def test_a_captured_session_ends_in_no_other_way(tmp_path):
    """Money that was taken stays taken; asking for it again brings the same event again."""
    seller = Seller()
    async with till(tmp_path, seller) as (gateway, _browser):
        await gateway.create_session(session())
        first = await gateway.simulate("sess_1", "success")
        assert await gateway.simulate("sess_1", "success") == first
        with pytest.raises(Refusal) as refused:
            await gateway.simulate("sess_1", "expired")
        assert refused.value.code == "not_payable"
        with pytest.raises(Refusal) as unknown:
            await gateway.simulate("../sess_2", "success")
        assert unknown.value.code == "not_found"
    assert seller.events[0]["id"] == seller.events[1]["id"]


async def test_an_event_is_brought_until_it_is_accepted(tmp_path):
    """No answer, 503, 401: the same event comes again until 2xx, then never more."""
    seller = Seller()
    seller.answers = [None, 503, 401]
    async with till(tmp_path, seller) as (gateway, browser):
        url = await gateway.create_session(session())
        await browser.post(f"{url}/pay", data={"card": card("captured")})
        # The pauses grow: 0.5 s, 1 s, 2 s; a fourth delivery proves that three refusals did not end it.
        await seller.until(4)
        await asyncio.sleep(0.3)
    assert len(seller.events) == 4
    assert len({event["id"] for event in seller.events}) == 1


async def test_a_restart_loses_no_event(tmp_path):
    """A payment that was taken while the seller was away is told by the next process."""
    away, back = Seller(), Seller()
    away.answers = [None] * 100
    async with till(tmp_path, away) as (gateway, browser):
        url = await gateway.create_session(session())
        await browser.post(f"{url}/pay", data={"card": card("captured")})
    async with till(tmp_path, back) as (gateway, browser):
        await back.until(1)
        assert "Payment received" in (await browser.get(url)).text
    assert back.events[0]["id"] == away.events[0]["id"]


@pytest.mark.covers("004.43")
async def test_a_session_expires_by_its_own_clock(tmp_path):
    """Nobody pays: at its end the seller is told payment.expired, and the page takes no card any more."""
    seller = Seller()
    async with till(tmp_path, seller) as (gateway, browser):
        url = await gateway.create_session(session(ttl_s=0))
        await seller.until(1)
        page = await browser.post(f"{url}/pay", data={"card": card("captured")})
    assert "has expired" in page.text
    assert [event["type"] for event in seller.events] == ["payment.expired"]


async def test_a_late_card_pays_after_the_session_has_expired(tmp_path):
    """The money comes when the seller has long given up: one payment.success, after the session's end."""
    seller, clock = Seller(), Clock()
    async with till(tmp_path, seller, clock) as (gateway, browser):
        url = await gateway.create_session(session(ttl_s=3))
        page = await browser.post(f"{url}/pay", data={"card": card("late")})
        assert "Waiting for the bank" in page.text
        assert seller.events == []
        clock.ahead_ms = 3000 + GATEWAY_LATE_MS
        await gateway.create_session(session("sess_wakes_the_courier"))
        await seller.until(1)
    assert [event["type"] for event in seller.events] == ["payment.success"]


async def test_a_stalled_card_never_gets_an_answer(tmp_path):
    """Neither success nor failure nor expiry is ever told."""
    seller, clock = Seller(), Clock()
    async with till(tmp_path, seller, clock) as (gateway, browser):
        url = await gateway.create_session(session("sess_stalled"))
        await browser.post(f"{url}/pay", data={"card": card("stalled")})
        clock.ahead_ms = 200_000
        # Another session that is over by now shows that the till has looked at what is due.
        await gateway.create_session(session("sess_over"))
        await seller.until(1)
    assert [event["session_id"] for event in seller.events] == ["sess_over"]


async def test_strangers_open_no_sessions(tmp_path):
    """Without our signature nothing is opened or simulated."""
    async with till(tmp_path, Seller()) as (_gateway, browser):
        stranger = FakeGateway("http://till", "guessed", browser._transport)
        with pytest.raises(Unavailable):
            await stranger.create_session(session())
        assert (await browser.post("/sessions/sess_1/simulate", json={"outcome": "success"})).status_code == 401
        assert (await browser.get("/checkout/sess_1")).status_code == 404
        assert (await browser.post("/checkout/sess_1/pay", content=b"x" * 100_000)).status_code == 413

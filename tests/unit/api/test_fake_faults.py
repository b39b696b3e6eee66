"""What the fake gateway does wrong, by seed; and that it keeps its promises even when it is killed."""

import asyncio

import pytest

from api.fake_gateway.faults import Faults, parse_faults
from engine.errors import CommandError, Unavailable
from engine.limits import GATEWAY_LATE_MS
from engine.orders.gateways.protocol import RefundOrder
from tests.oracle import Account, read_book
from tests.till import Clock, Seller, session, till

PAID = 15000000


def order(refund_id="refund_1", amount_minor=PAID, session_id="sess_1"):
    """Ask for money of a session."""
    return RefundOrder(
        refund_id=refund_id, session_id=session_id, amount_minor=amount_minor, currency="IDR", reason="customer"
    )


def first_that(test):
    """Find a session id of which something is true."""
    return next(name for name in (f"sess_{n}" for n in range(10_000)) if test(name))


def test_the_setting_is_read_once():
    """Names, probabilities, a time from and to; nothing at all is no fault."""
    faults = parse_faults(" seed=7, refund_fail=0.3 ,double=.1,delay_ms=0-200,hang_ms=50,")
    assert faults == Faults(seed=7, refund_fail=0.3, double=0.1, delay_ms=(0, 200), hang_ms=50)
    assert faults.any
    assert parse_faults("delay_ms=5").delay_ms == (5, 5)
    assert not parse_faults("").any
    assert not parse_faults("seed=3,hang_ms=1").any


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("refund_fial=0.3", "no fault 'refund_fial'; known are seed, decline"),
        ("double=2", "double must be a probability from 0 to 1, not '2'"),
        ("double", "double must be a probability from 0 to 1, not ''"),
        ("drop=nan", "drop must be a probability"),
        ("delay_ms=200-100", "delay_ms must be a time such as 0-200"),
        ("hang_ms=1-2", "hang_ms must be a time from 0 to 60000"),
        ("seed=x", "seed must be a whole number"),
        ("seed=1,seed=2", "seed is given twice"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(text, said):
    """It says which word is wrong, and what it must be."""
    with pytest.raises(CommandError, match=r"^SEATLOCK_GATEWAY_FAULTS: ") as refused:
        parse_faults(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_luck_hangs_on_seed_name_and_attempt_alone():
    """Another order, another process: the same luck. Another seed or attempt: another. As often as was asked for."""
    faults = parse_faults("seed=7,refund_fail=0.3,refund_dead=0.02")
    names = [f"refund_{n}" for n in range(2000)]
    luck = {name: faults.fails_refund(name, 1) for name in names}
    assert {name: faults.fails_refund(name, 1) for name in reversed(names)} == luck
    assert luck != {name: faults.fails_refund(name, 2) for name in names}
    assert luck != {name: parse_faults("seed=8,refund_fail=0.3").fails_refund(name, 1) for name in names}
    assert 0.27 < sum(luck.values()) / len(names) < 0.36
    dead = [name for name in names if all(faults.fails_refund(name, attempt) for attempt in range(1, 30))]
    assert 20 < len(dead) < 65


async def test_a_dropped_event_is_brought_only_when_it_is_asked_for(tmp_path):
    """The webhook never hears of it; the list of outcomes has it, and a second simulate brings it."""
    seller = Seller()
    async with till(tmp_path, seller, faults="drop=1") as (gateway, _browser):
        await gateway.create_session(session())
        assert (await gateway.simulate("sess_1", "success")).webhook_status is None
        assert [outcome.event.type for outcome in await gateway.list_outcomes(0)] == ["payment.success"]
        assert seller.events == []
        assert (await gateway.simulate("sess_1", "success")).webhook_status == 200
    assert len(seller.events) == 1


@pytest.mark.parametrize("when", ["at_once", "later"])
async def test_a_doubled_event_comes_twice(tmp_path, when):
    """Both at the same time, or again after it was accepted; then never more."""
    seller, faults = Seller(), "seed=3,double=1"
    name = first_that(lambda name: parse_faults(faults).doubles("payment.success", name) == when)
    async with till(tmp_path, seller, faults=faults) as (gateway, _browser):
        await gateway.create_session(session(name))
        await gateway.simulate(name, "success")
        await seller.until(2)
        await asyncio.sleep(0.1)
    assert len(seller.events) == 2
    assert seller.events[0] == seller.events[1]


async def test_delayed_events_come_later_and_overtaken(tmp_path):
    """A held-back failure of a session comes after the success that followed it."""
    seller, faults = Seller(), "seed=1,reorder=0.5,delay_ms=1-20"
    held = parse_faults(faults)
    name = first_that(
        lambda name: held.event_delay_ms("payment.failed", name) > 500 > held.event_delay_ms("payment.success", name)
    )
    async with till(tmp_path, seller, faults=faults) as (gateway, _browser):
        await gateway.create_session(session(name))
        assert (await gateway.simulate(name, "failed")).webhook_status is None
        await gateway.simulate(name, "success")
        await seller.until(2)
    assert [event["type"] for event in seller.events] == ["payment.success", "payment.failed"]


async def test_a_declined_payment_says_how_it_ended(tmp_path):
    """What was to succeed fails, and no money moves; another attempt has its own luck, over a restart too."""
    seller, faults = Seller(), "seed=2,decline=0.5"
    luck = parse_faults(faults)
    name = first_that(lambda name: luck.declines(name, 1) and luck.declines(name, 2) and not luck.declines(name, 3))
    async with till(tmp_path, seller, faults=faults) as (gateway, _browser):
        await gateway.create_session(session(name))
        assert (await gateway.simulate(name, "success")).outcome == "failed"
        assert read_book(tmp_path).postings == []
    async with till(tmp_path, seller, faults=faults) as (gateway, _browser):
        assert (await gateway.simulate(name, "success")).outcome == "failed"
        assert (await gateway.simulate(name, "success")).outcome == "success"
    assert read_book(tmp_path).sessions()[name].paid == PAID


async def test_a_forged_event_has_no_good_signature(tmp_path):
    """A stranger tells that a session was paid as soon as it is opened."""
    seller = Seller()
    async with till(tmp_path, seller, faults="forge=1") as (gateway, _browser):
        await gateway.create_session(session())
        async with asyncio.timeout(5):
            while not seller.forgeries:
                await seller.heard.wait()
                seller.heard.clear()
    assert [(event["type"], event["session_id"]) for event in seller.forgeries] == [("payment.success", "sess_1")]
    assert seller.events == []


async def test_refunds_fail_by_their_own_luck_and_dead_ones_always(tmp_path):
    """Asking again is another attempt; nothing is booked until one settles, and then once."""
    faults = "seed=5,refund_fail=0.5,refund_dead=0.1"
    luck = parse_faults(faults)
    dead = first_that(lambda name: all(luck.fails_refund(name, attempt) for attempt in range(1, 40)))
    slow = first_that(lambda name: [luck.fails_refund(name, attempt) for attempt in (1, 2, 3)] == [True, True, False])
    async with till(tmp_path, Seller(), faults=faults) as (gateway, _browser):
        await gateway.create_session(session())
        await gateway.simulate("sess_1", "success")
        states = [await gateway.refund(order(slow, 100)) for _ in range(5)]
        assert [state.status for state in states] == ["FAILED", "FAILED", "SETTLED", "SETTLED", "SETTLED"]
        assert (states[0].failure_code, states[2].failure_code) == ("bank_refused", None)
        assert {(await gateway.refund(order(dead, 100))).status for _ in range(8)} == {"FAILED"}
    assert read_book(tmp_path).sessions() == {"sess_1": Account(PAID, 100, "IDR")}


async def test_a_pending_refund_ends_later_and_tells(tmp_path):
    """Until then asking again gives PENDING; then an event tells of it, and asking gives the end."""
    seller, clock = Seller(), Clock()
    async with till(tmp_path, seller, clock, faults="refund_later=1") as (gateway, _browser):
        await gateway.create_session(session(ttl_s=3600))
        await gateway.simulate("sess_1", "success")
        assert (await gateway.refund(order())).status == "PENDING"
        assert (await gateway.refund(order())).status == "PENDING"
        assert read_book(tmp_path).sessions()["sess_1"].refunded == 0
        clock.ahead_ms = GATEWAY_LATE_MS
        await gateway.create_session(session("sess_wakes_the_courier"))
        await seller.until(2)
        assert (await gateway.refund(order())).status == "SETTLED"
    told = seller.events[-1]
    assert (told["type"], told["refund_id"], told["amount"]) == ("refund.settled", "refund_1", PAID)
    assert read_book(tmp_path).sessions() == {"sess_1": Account(PAID, PAID, "IDR")}


async def test_a_request_without_an_answer_may_be_done_or_not(tmp_path):
    """Either way its outcome is unknown; asking again in the end gives one session and one refund."""
    faults = "seed=4,timeout=0.6,hang_ms=0"
    luck = parse_faults(faults)
    done = first_that(lambda name: luck.silence("refund", name, 1) == "done")
    lost = first_that(lambda name: luck.silence("refund", name, 1) == "not_done")
    async with till(tmp_path, Seller(), faults=faults) as (gateway, _browser):
        await persist(lambda: gateway.create_session(session()))
        await gateway.simulate("sess_1", "success")
        for name, refunded in ((done, 100), (lost, 100)):
            with pytest.raises(Unavailable) as unknown:
                await gateway.refund(order(name, 100))
            assert unknown.value.outcome == "unknown"
            assert read_book(tmp_path).sessions()["sess_1"].refunded == refunded
        assert {
            (await persist(lambda name=name: gateway.refund(order(name, 100)))).status for name in (done, lost)
        } == {"SETTLED"}
    assert read_book(tmp_path).refunds() == {done: 100, lost: 100}


async def persist(ask):
    """Ask until there is an answer."""
    for _ in range(50):
        try:
            return await ask()
        except Unavailable:
            continue
    raise AssertionError("never an answer")

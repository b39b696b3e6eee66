"""Refunds on their way: every attempt in the ledger, the gateway asked under one key, nothing doubled, nothing lost."""

import asyncio

import pytest

from engine import limits
from engine.errors import Refusal
from engine.ledger.records import AttemptAnswer
from engine.ledger.refunds import retry_pause_ms
from engine.orders.gateways.protocol import PaymentEvent
from engine.orders.refunds import Refunds
from tests.ledgers import PRICE_MINOR, eventually
from tests.sql.refund_gateway import AWAY, LOST, REFUSED, RETRY_MIN_MS, ScriptedGateway, Till, anywhere


@pytest.fixture
def gateway():
    """A gateway that settles whatever it is asked for, until a test says otherwise."""
    return ScriptedGateway()


@pytest.fixture
def till(world, gateway):
    """A ledger that owes, and a worker."""
    return Till(world, gateway)


@pytest.mark.covers("001.21", "001.22", "000.7", "000.19")
async def test_what_is_owed_is_asked_of_the_gateway_and_settled(till, gateway):
    """The refund's own id is the key; the answer, the attempt and the announcement are in the ledger."""
    (refund,) = await till.owe()
    assert await till.send() == 1
    (order,) = gateway.asked
    assert (order.refund_id, order.session_id, order.amount_minor, order.currency, order.reason) == (
        refund, "stray1", PRICE_MINOR, "IDR", "unknown_session",
    )  # fmt: skip
    rows = await till.world.fetch("SELECT status, due_at, settled_at <= now(), gateway_refund FROM refunds")
    assert rows == [("SETTLED", None, True, f"re_{refund}")]
    assert await till.attempts() == [(1, "SETTLED", None)]
    told = await till.world.fetch("SELECT type FROM announcements WHERE refund_id IS NOT NULL ORDER BY id")
    assert told == [("refund.queued",), ("refund.settled",)]
    assert await till.send() == 0


@pytest.mark.covers("001.35", "001.37")
async def test_a_failed_refund_is_tried_again_later_each_time(till, gateway):
    """Technical failures and refusals are recorded, and queued again with a growing pause."""
    gateway.script = [REFUSED, AWAY, "FAILED"]
    await till.owe()
    pauses = []
    for _ in range(3):
        await till.send()
        assert await till.refunds.send_refunds() == 0  # not before its time
        pauses += (await till.world.fetch("SELECT (extract(epoch FROM due_at - now()) * 1000)::float FROM refunds"))[0]
    assert [retry / RETRY_MIN_MS > least for retry, least in zip(pauses, (0.7, 2.9, 11), strict=True)] == [True] * 3
    assert (await till.states())[0][0] == "QUEUED"
    await till.send()
    assert await till.states() == [("SETTLED", 4, False)]
    assert await till.attempts() == [
        (1, "FAILED", "insufficient balance"),
        (2, "FAILED", "connection refused"),
        (3, "FAILED", "insufficient_funds"),
        (4, "SETTLED", None),
    ]
    assert len({order.refund_id for order in gateway.asked}) == 1


@pytest.mark.parametrize("tries", [1, 2, 3, 4, 30])
def test_pauses_grow_with_jitter_and_have_a_limit(tries):
    """A quarter more or less, so that what failed together does not come together again."""
    pauses = {retry_pause_ms(tries, 2_000) for _ in range(50)}
    middle = min(2_000 * limits.REFUND_RETRY_GROWTH ** (tries - 1), limits.REFUND_RETRY_MAX_MS)
    assert len(pauses) > 10
    assert all(0.74 * middle <= pause <= 1.26 * middle for pause in pauses)


@pytest.mark.covers("001.24", "001.38")
async def test_after_five_failures_a_person_must_see_to_it(till, gateway):
    """MANUAL is announced, nothing is asked any more, and the last error stands there."""
    gateway.script = [REFUSED] * 9
    await till.owe()
    assert await till.send(rounds=9) == limits.REFUND_ATTEMPTS_MAX
    assert await till.states() == [("MANUAL", 5, False)]
    assert await till.world.fetch("SELECT failure_code FROM refunds") == [("insufficient_funds",)]
    assert (await till.world.fetch("SELECT type FROM announcements ORDER BY id"))[-1] == ("refund.manual",)


async def test_a_lost_answer_is_asked_for_again_and_nothing_is_paid_twice(till, gateway):
    """The gateway paid and its answer was lost, four times; the fifth says so."""
    gateway.script = [LOST] * 4
    (refund,) = await till.owe()
    await till.send(rounds=5)
    assert await till.states() == [("SETTLED", 5, False)]
    assert gateway.paid == {refund: PRICE_MINOR}
    assert [outcome for _, outcome, _ in await till.attempts()] == ["UNKNOWN"] * 4 + ["SETTLED"]


@pytest.mark.covers("001.38")
async def test_what_may_have_been_paid_is_no_persons_business_until_the_gateway_says(till, gateway):
    """Paid, and five answers lost: whoever paid by hand now would pay twice. The sixth attempt says so."""
    gateway.script = [LOST] * 5
    (refund,) = await till.owe()
    await till.send(rounds=5)
    assert await till.states() == [("QUEUED", 5, True)]
    await till.send()
    assert await till.states() == [("SETTLED", 6, False)]
    assert gateway.paid == {refund: PRICE_MINOR}


async def test_a_gateway_that_never_says_is_given_up_in_the_end(till, gateway):
    """A person is told after twice as many attempts."""
    gateway.script = [LOST] * 20
    await till.owe()
    assert await till.send(rounds=20) == limits.REFUND_TRIES_CEILING
    assert await till.states() == [("MANUAL", limits.REFUND_TRIES_CEILING, False)]


async def test_a_gateway_that_hangs_is_given_up(till, gateway, monkeypatch):
    """One call has its time; what it did is not known then."""
    monkeypatch.setattr("engine.orders.refunds.GATEWAY_REFUND_TIMEOUT_S", 0.02)
    gateway.holding = asyncio.Event()
    await till.owe()
    await till.send()
    assert await till.attempts() == [(1, "UNKNOWN", "no answer in time")]


async def test_whatever_a_gateway_calls_its_refusal_is_written_down(till, gateway):
    """What PostgreSQL has no text for must not keep an attempt without its end, nor the other refunds waiting."""
    gateway.script = [Refusal("refund_refused", "half \ud83d of it", failure_code="no\0money")]
    await till.owe(2)
    assert await till.send() == 2
    assert sorted(await till.states()) == [("QUEUED", 1, True), ("SETTLED", 1, False)]
    assert await till.world.fetch("SELECT failure_code FROM refunds WHERE status = 'QUEUED'") == [("no\ufffdmoney",)]


async def test_a_crash_inside_an_adapter_costs_one_attempt(till, gateway):
    """The other refunds go on."""
    gateway.script = [ZeroDivisionError()]
    await till.owe(2)
    assert await till.send() == 2
    assert sorted(await till.states()) == [("QUEUED", 1, True), ("SETTLED", 1, False)]


async def test_a_worker_dies_between_asking_and_writing(till, gateway):
    """Its attempt has no end; after the lease the next one says UNKNOWN, and asks under the same key."""
    gateway.holding = asyncio.Event()
    await till.owe()
    await till.hurry()
    dying = asyncio.create_task(till.refunds.send_refunds())
    while not gateway.asked:
        await asyncio.sleep(0.001)
    assert await till.world.fetch("SELECT status, attempts, outcome, ended_at FROM refunds, refund_attempts") == [
        ("PROCESSING", 1, None, None)
    ]
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    gateway.holding = None
    assert await till.refunds.send_refunds() == 0  # until the lease ends it may still be alive
    await till.send()
    assert await till.attempts() == [(1, "UNKNOWN", "worker_lost"), (2, "SETTLED", None)]
    assert len({order.refund_id for order in gateway.asked}) == 1


async def test_a_refund_that_kills_its_workers_is_not_tried_for_ever(till, gateway):
    """Lost attempts do not make it MANUAL at the fifth, since the last word is the gateway's; but some time they do."""
    await till.owe()
    for _ in range(limits.REFUND_TRIES_CEILING):
        await till.hurry()
        assert len(await till.world.ledger.take_refunds("fake", 8)) == 1
    await till.hurry()
    assert await till.world.ledger.take_refunds("fake", 8) == []
    assert await till.states() == [("MANUAL", limits.REFUND_TRIES_CEILING, False)]


async def test_a_late_answer_of_a_lost_worker_still_counts_if_the_money_is_back(till, gateway):
    """The lease was over and another attempt began; then the first one's answer comes."""
    (refund,) = await till.owe()
    ledger = till.world.ledger
    for _ in range(2):
        await till.hurry()
        await ledger.take_refunds("fake", 8)
    failed = AttemptAnswer(outcome="FAILED", error="late")
    assert await ledger.end_attempt(refund, 1, failed, RETRY_MIN_MS) == "PROCESSING"
    assert await ledger.end_attempt(refund, 2, AttemptAnswer(outcome="SETTLED"), RETRY_MIN_MS) == "SETTLED"
    assert await ledger.end_attempt(refund, 2, failed, RETRY_MIN_MS) == "SETTLED"
    assert await till.attempts() == [(1, "FAILED", "late"), (2, "SETTLED", None)]


async def test_workers_share_what_is_due_and_each_asks_for_a_handful_at_once(till, gateway):
    """Sixty refunds, three workers: each refund asked for once, never more than a handful per worker."""
    gateways = [gateway, ScriptedGateway(), ScriptedGateway()]
    await till.owe(60)
    await till.hurry()
    workers = [Refunds(till.world.ledger, one, RETRY_MIN_MS) for one in gateways]
    assert sum(await asyncio.gather(*(worker.send_refunds() for worker in workers))) == 60
    asked = [order.refund_id for one in gateways for order in one.asked]
    assert len(asked) == len(set(asked)) == 60
    assert {status for status, *_ in await till.states()} == {"SETTLED"}
    assert all(1 <= one.most_at_once <= limits.REFUNDS_AT_ONCE_MAX for one in gateways)


async def test_a_slow_answer_holds_up_no_other_refund(till):
    """One lane waits for its answer until the others have paid everything else."""
    rest = asyncio.Event()

    class OneHangs(ScriptedGateway):
        async def refund(self, order):
            if order.session_id == "stray1":
                await rest.wait()
            return await super().refund(order)

    till.refunds = Refunds(till.world.ledger, OneHangs(), RETRY_MIN_MS)
    await till.owe(20)
    await till.hurry()
    sending = asyncio.create_task(till.refunds.send_refunds())

    async def all_others():
        return [status for status, *_ in await till.states()].count("SETTLED") == 19

    await eventually(all_others)
    rest.set()
    assert await sending == 20


async def test_a_refund_of_another_gateway_waits_and_opens_a_case(till, gateway):
    """Nobody can ask that gateway here; it is no crash, and not silent."""
    await till.owe()
    gateway.name = "stripe"
    assert await till.send() == 0
    assert await till.states() == [("QUEUED", 0, True)]
    assert await till.world.fetch("SELECT due_at > now() + interval '50 minutes' FROM refunds") == [(True,)]
    assert await till.world.fetch("SELECT kind, business_id, details FROM cases WHERE kind LIKE 'refund%'") == [
        ("refund_gateway", "refund_gateway:fake", {"configured": "stripe"})
    ]


# --- Refunds that the gateway works on


async def test_a_pending_refund_is_looked_at_again_without_a_further_attempt(till, gateway):
    """However often: it is one attempt, until the gateway says how it ended; losing an answer meanwhile is no news."""
    gateway.script = ["PENDING"] * 7 + [LOST]
    await till.owe()
    await till.send(rounds=7)
    assert await till.states() == [("PROCESSING", 1, True)]
    assert await till.attempts() == [(1, "PENDING", None)]
    await till.send(rounds=2)
    assert await till.attempts() == [(1, "SETTLED", None)]
    assert await till.states() == [("SETTLED", 1, False)]


async def test_a_pending_refund_that_fails_is_a_failed_attempt(till, gateway):
    """Found by looking: the next attempt comes after the usual pause."""
    gateway.script = ["PENDING", "FAILED", "PENDING", "FAILED", REFUSED, REFUSED, REFUSED]
    await till.owe()
    await till.send(rounds=9)
    assert [outcome for _, outcome, _ in await till.attempts()] == ["FAILED"] * 5
    assert await till.states() == [("MANUAL", 5, False)]


async def test_a_refund_that_is_pending_for_weeks_is_a_matter_for_a_person(till, gateway):
    """After a fortnight nobody should have to wait any longer; a retry is a new attempt."""
    gateway.script = ["PENDING", "PENDING"]
    (refund,) = await till.owe()
    await till.send()
    await till.world.pool.execute("UPDATE refund_attempts SET begun_at = now() - interval '15 days'")
    await till.send()
    assert await till.states() == [("MANUAL", 1, False)]
    assert await till.attempts() == [(1, "UNKNOWN", "pending_too_long")]
    await till.world.ledger.retry_refund(refund, "boss", "they say it is done", anywhere)
    await till.send()
    assert await till.states() == [("SETTLED", 2, False)]


def event(refund, kind, name="evt1", session="stray1"):
    """Give an event of the gateway about a refund."""
    return PaymentEvent(id=name, type=f"refund.{kind}", session_id=session, refund_id=refund, failure_code="closed")


@pytest.mark.covers("001.22")
async def test_an_event_ends_a_pending_refund_once(till, gateway):
    """SETTLED, and a repeat changes nothing; one of another session's refund is not believed."""
    gateway.script = ["PENDING"]
    (refund,) = await till.owe()
    await till.send()
    assert await till.refunds.take_event(event(refund, "settled", "evt0", "stray2")) is None
    assert await till.refunds.take_event(event("nonsense", "settled", "evt00")) is None
    assert await till.states() == [("PROCESSING", 1, True)]
    assert await till.refunds.take_event(event(refund, "settled")) == "SETTLED"
    assert await till.refunds.take_event(event(refund, "settled")) is None
    assert await till.refunds.take_event(event(refund, "settled", "evt2")) == "SETTLED"
    assert await till.states() == [("SETTLED", 1, False)]
    assert await till.attempts() == [(1, "SETTLED", None)]
    told = await till.world.fetch("SELECT count(*) FROM announcements WHERE type = 'refund.settled'")
    assert told == [(1,)]


async def test_an_event_of_failure_queues_a_pending_refund_again(till, gateway):
    """Once: the same event told twice does not fail the next attempt."""
    gateway.script = ["PENDING", "PENDING"]
    (refund,) = await till.owe()
    await till.send()
    assert await till.refunds.take_event(event(refund, "failed")) == "QUEUED"
    await till.send()
    assert await till.refunds.take_event(event(refund, "failed")) is None
    assert await till.attempts() == [(1, "FAILED", "closed"), (2, "PENDING", None)]


async def test_money_that_comes_back_after_it_was_settled_is_asked_about(till, gateway):
    """A late or true `refund.failed`: the gateway knows which, and pays nothing twice."""
    (refund,) = await till.owe()
    await till.send()
    assert await till.refunds.take_event(event(refund, "failed")) == "QUEUED"
    await till.send()
    assert await till.states() == [("SETTLED", 2, False)]
    assert gateway.paid == {refund: PRICE_MINOR}


# --- What a person decides


@pytest.mark.covers("001.38")
async def test_a_retry_gives_five_more_attempts_and_is_announced_again(till, gateway):
    """Attempts are counted on, under the same key; a second failure tells the admin once more."""
    gateway.script = [REFUSED] * 10
    (refund,) = await till.owe()
    await till.send(rounds=5)
    retried, _ = await till.world.ledger.retry_refund(refund, "boss", "funds are there", anywhere)
    assert (retried.status, retried.attempts) == ("QUEUED", 5)
    await till.send(rounds=6)
    assert await till.states() == [("MANUAL", 10, False)]
    told = await till.world.fetch("SELECT business_id FROM announcements WHERE type = 'refund.manual' ORDER BY id")
    assert told == [(f"refund.manual:{refund}:{attempts}",) for attempts in (5, 10)]
    assert {order.refund_id for order in gateway.asked} == {refund}


async def test_only_what_is_manual_is_decided_by_hand(till, gateway):
    """Settled by hand with a note, once; if the gateway has paid as well, a person is told."""
    gateway.script = [REFUSED] * 5
    (refund,) = await till.owe()
    ledger = till.world.ledger
    for decide in (ledger.retry_refund, ledger.settle_refund):
        with pytest.raises(Refusal, match="refund_not_manual") as early:
            await decide(refund, "boss", "now", anywhere)
        assert early.value.details == {"refund_status": "QUEUED"}
    await till.send(rounds=5)
    settled, _ = await ledger.settle_refund(refund, "boss", "in cash", anywhere)
    assert (settled.status, settled.settled_by, settled.note) == ("SETTLED", "boss", "in cash")
    with pytest.raises(Refusal, match="refund_not_manual"):
        await ledger.settle_refund(refund, "boss", "in cash", anywhere)
    assert await till.send() == 0
    assert await till.refunds.take_event(event(refund, "failed")) == "SETTLED"
    assert await till.refunds.take_event(event(refund, "settled", "evt2")) == "SETTLED"
    cases = await till.world.fetch("SELECT kind FROM cases WHERE business_id = $1", f"refund_paid_twice:{refund}")
    assert cases == [("refund_paid_twice",)]

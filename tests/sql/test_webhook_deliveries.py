"""Sending what is queued: signed, again until it is taken, the same each time, and nobody waits for a slow one."""

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager, suppress

import pytest

from engine.limits import DELIVERIES_PER_ENDPOINT_MAX, DELIVERY_ANSWER_MAX_BYTES
from engine.webhooks.addresses import Addresses
from engine.webhooks.delivering import Delivering
from tests.receiver import open_receiver, status
from tests.sql.webhooks import Told


@pytest.fixture
async def told(ledger_pool):
    """A ledger with two cinemas and nobody to tell."""
    told = Told(ledger_pool, None)
    await told.begin()
    return told


@pytest.fixture
async def receiver():
    """An integrator that takes everything."""
    async with open_receiver() as receiver:
        yield receiver


@pytest.fixture
def delivering(told):
    """The duty of one worker."""
    addresses = Addresses(private=True)
    yield Delivering(told.pool, addresses)
    addresses.close()


@asynccontextmanager
async def at_work(delivering):
    """Run the duty beside a block, and kill it at its end."""
    task = asyncio.create_task(delivering.deliver_webhooks())
    yield
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def queued(told, receiver, *owners):
    """Make an endpoint and queue the confirmation of some bookings for it; gives the endpoint."""
    endpoint = await told.endpoint(url=receiver.url)
    for owner in owners or (1,):
        await told.confirm(owner, (owner,))
    await told.spread()
    return endpoint


async def hurry(told):
    """Let what waits be due now."""
    await told.pool.execute("UPDATE webhook_deliveries SET due_at = now() WHERE due_at IS NOT NULL")


LOG = "SELECT attempt, status_code, answer, error, duration_ms >= 0 FROM webhook_attempts ORDER BY delivery_id, attempt"
STATE = "SELECT status, attempts, due_at IS NULL FROM webhook_deliveries ORDER BY id"
OFF = "SELECT active, off_reason FROM webhook_endpoints"


async def test_a_webhook_is_sent_signed_and_noted(told, receiver, delivering):
    """Once; the receiver can verify it with the endpoint's secret, and the log has the answer."""
    receiver.will(status(202, body=b"thank\0you" + b"!" * DELIVERY_ANSWER_MAX_BYTES))
    await queued(told, receiver)
    assert await delivering.deliver_webhooks() == 1
    assert await delivering.deliver_webhooks() == 0
    (one,) = receiver.received
    ((event, body, secret),) = await told.fetch(
        "SELECT 'msg_' || event_id, body, secrets[1] FROM webhook_deliveries, webhook_endpoints"
    )
    assert one.body == body.encode()
    assert (one.path, one.headers["content-type"], one.headers["webhook-id"]) == ("/hook", "application/json", event)
    signed = f"{event}.{one.headers['webhook-timestamp']}.".encode() + one.body
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    assert one.headers["webhook-signature"] == expected
    assert await told.fetch(STATE) == [("DELIVERED", 1, True)]
    text = ("thank\ufffdyou" + "!" * DELIVERY_ANSWER_MAX_BYTES)[:DELIVERY_ANSWER_MAX_BYTES]
    assert await told.fetch(LOG) == [(1, 202, text, None, True)]


async def test_it_comes_again_until_it_is_taken_and_is_the_same_each_time(told, receiver, delivering):
    """A redirect is not followed, a word on when to come back is heeded; id and bytes stay."""
    elsewhere = status(302, f"Location: {receiver.url}/elsewhere")
    receiver.will(status(500, body=b"oops"), elsewhere, status(503, "Retry-After: 3600"), status(200))
    await queued(told, receiver)
    waits = []
    for _ in range(4):
        await delivering.deliver_webhooks()
        waits += await told.fetch("SELECT extract(epoch FROM due_at - now())::float FROM webhook_deliveries")
        await told.pool.execute("UPDATE bookings SET status_reason = 'paid_late'")
        await hurry(told)
    assert 3 < waits[0][0] <= 6
    assert 15 < waits[1][0] <= 24
    assert 3_590 < waits[2][0] <= 3_600
    assert len({(one.path, one.headers["webhook-id"], one.body) for one in receiver.received}) == 1
    log = [row[:4] for row in await told.fetch(LOG)]
    assert log == [(1, 500, "oops", None), (2, 302, "", None), (3, 503, "", None), (4, 200, "", None)]
    assert await told.fetch(STATE) == [("DELIVERED", 4, True)]
    assert await told.fetch("SELECT failing_since FROM webhook_endpoints") == [(None,)]


async def test_an_endpoint_that_is_gone_is_switched_off_at_once(told, receiver, delivering):
    """What was due for it besides is given up; nothing new is queued."""
    receiver.will(status(410))
    await queued(told, receiver, 1, 2)
    await told.pool.execute("UPDATE webhook_deliveries SET due_at = now() + interval '1 hour' WHERE id = 2")
    await delivering.deliver_webhooks()
    assert await told.fetch(OFF) == [(False, "gone")]
    await hurry(told)
    await told.confirm(3)
    await told.spread()
    await delivering.deliver_webhooks()
    assert await told.fetch(STATE) == [("DEAD", 1, True), ("DEAD", 0, True)]
    assert len(receiver.received) == 1


@pytest.mark.parametrize("others_taken", [False, True])
async def test_after_three_days_an_event_is_given_up(told, receiver, delivering, others_taken):
    """Its last attempt comes at the end of that time; who took nothing else meanwhile is switched off."""
    receiver.will(status(500))
    await queued(told, receiver)
    await told.pool.execute(
        "UPDATE webhook_endpoints SET failing_since = now() - interval '71 hours 59 minutes 50 seconds'"
    )
    await told.pool.execute("UPDATE webhook_deliveries SET give_up_at = now() + interval '10 seconds', attempts = 20")
    await delivering.deliver_webhooks()
    last = "SELECT status, due_at = give_up_at FROM webhook_deliveries"
    assert await told.fetch(last) == [("PENDING", True)]
    if others_taken:
        await told.pool.execute("UPDATE webhook_endpoints SET failing_since = now() - interval '1 hour'")
    await told.pool.execute("UPDATE webhook_deliveries SET give_up_at = now(), due_at = now()")
    await delivering.deliver_webhooks()
    assert await told.fetch(last) == [("DEAD", None)]
    assert await told.fetch(OFF) == [(True, None) if others_taken else (False, "failing")]


async def test_a_slow_endpoint_holds_up_nobody(told, receiver, delivering):
    """It has a few attempts open and no more; the others get everything meanwhile, also what comes later."""
    count = DELIVERIES_PER_ENDPOINT_MAX + 2
    async with open_receiver() as slow:
        slow.will(None)
        await told.endpoint(url=slow.url)
        await queued(told, receiver, *range(1, count + 1))
        async with at_work(delivering):
            await receiver.wait_for(count)
            await slow.wait_for(DELIVERIES_PER_ENDPOINT_MAX)
            await told.confirm(99)
            await told.spread()
            await receiver.wait_for(count + 1)
        assert slow.most_open == len(slow.received) == DELIVERIES_PER_ENDPOINT_MAX


async def test_a_worker_dies_between_sending_and_noting(told, receiver, delivering):
    """When its lease has run out another one sends the same event again, and the log shows both attempts."""
    receiver.will(None, status(200))
    await queued(told, receiver)
    async with at_work(delivering):
        await receiver.wait_for(1)
    assert await told.fetch(STATE) == [("PENDING", 1, False)]
    other = Delivering(told.pool, delivering._sender._addresses)
    await other.deliver_webhooks()
    assert len(receiver.received) == 1
    await hurry(told)
    await other.deliver_webhooks()
    first, second = receiver.received
    assert (first.headers["webhook-id"], first.body) == (second.headers["webhook-id"], second.body)
    assert await told.fetch(LOG) == [(1, None, None, None, None), (2, 200, "", None, True)]
    assert await told.fetch(STATE) == [("DELIVERED", 2, True)]


async def test_several_workers_send_each_event_once(told, receiver, delivering):
    """A delivery belongs to whoever has taken it."""
    await queued(told, receiver, *range(1, 13))
    others = [Delivering(told.pool, delivering._sender._addresses) for _ in range(2)]
    await asyncio.gather(*(one.deliver_webhooks() for one in (delivering, *others)))
    assert len({one.headers["webhook-id"] for one in receiver.received}) == len(receiver.received) == 12
    assert set(await told.fetch(STATE)) == {("DELIVERED", 1, True)}


async def test_what_cannot_be_reached_is_noted_and_tried_again(told, delivering):
    """Whatever is wrong with a stranger's name or server."""
    await told.endpoint(url="http://127.0.0.1:1/nobody")
    await told.endpoint(url="http://nobody.invalid/")
    await told.confirm(1)
    await told.spread()
    await delivering.deliver_webhooks()
    errors = [error for _, code, _, error, _ in await told.fetch(LOG) if code is None]
    assert [error.partition(":")[0] for error in errors] == ["ConnectError", "gaierror"]
    assert await told.fetch(STATE) == [("PENDING", 1, False)] * 2


async def test_the_log_is_forgotten_after_a_month(told, receiver, delivering):
    """What is still to be sent is not."""
    await queued(told, receiver, 1, 2)
    await delivering.deliver_webhooks()
    assert await delivering.forget_deliveries() == 0
    await told.pool.execute("UPDATE webhook_deliveries SET ended_at = now() - interval '31 days' WHERE id = 1")
    assert await delivering.forget_deliveries() == 1
    assert await told.fetch("SELECT id FROM webhook_deliveries") == [(2,)]

"""The lane when connections are lost: what is unknown, what is definite, and how it comes back."""

import asyncio

import pytest

from engine.errors import Unavailable
from engine.seats.lane import Lane
from tests.lanes import connected, echo
from tests.tiny_scripts import tiny_scripts


async def test_a_lost_connection_makes_what_was_out_unknown(open_lane, proxy, redis_client):
    """The script ran, its answer is lost: the caller is told that nobody knows."""
    lane = await open_lane(proxy.url)
    proxy.swallow_answers = True
    call = lane.call("append", ("list",), ("x",))
    await proxy.answer_swallowed()
    proxy.cut()
    with pytest.raises(Unavailable) as caught:
        await call
    assert (caught.value.code, caught.value.outcome) == ("redis_unavailable", "unknown")
    assert await redis_client.lrange("list", 0, -1) == [b"x"], "it ran once, and was not sent again"


async def test_a_call_that_was_not_written_is_definite(open_lane, redis_url, redis_client):
    """Calls of the same turn as the loss never left this process, those before them may have run."""
    lane = await open_lane(redis_url)
    written = lane.call("append", ("list",), ("written",))
    await asyncio.sleep(0)
    unwritten = lane.call("append", ("list",), ("unwritten",))
    lane._connection.abort("pulled")
    results = await asyncio.gather(written, unwritten, return_exceptions=True)
    assert [(error.code, error.outcome) for error in results] == [
        ("redis_unavailable", "unknown"),
        ("redis_unavailable", "definite"),
    ]
    await connected(lane)
    assert b"unwritten" not in await redis_client.lrange("list", 0, -1)


async def test_what_back_pressure_kept_back_is_definite(open_lane, proxy):
    """When Redis reads no more, calls stay here, and the loss of the connection shows which."""
    lane = await open_lane(proxy.url)
    proxy.hold_requests = True
    big = bytes(4_000_000)
    out = [lane.call("echo", (), (big,))]
    while not lane._connection._paused:
        await asyncio.sleep(0)
    kept = [lane.call("echo", (), (b"small",)) for _ in range(3)]
    await asyncio.sleep(0)
    lane._connection.abort("pulled")
    results = await asyncio.gather(*out, *kept, return_exceptions=True)
    assert [error.outcome for error in results] == ["unknown", "definite", "definite", "definite"]


async def test_kept_back_calls_leave_when_redis_reads_again(open_lane, proxy):
    """Back-pressure delays calls and changes nothing else."""
    lane = await open_lane(proxy.url)
    proxy.hold_requests = True
    texts = [b"%d" % n for n in range(5)]
    big = asyncio.create_task(echo(lane, bytes(4_000_000)))
    while lane._connection is None or not lane._connection._paused:
        await asyncio.sleep(0)
    small = [asyncio.create_task(echo(lane, text)) for text in texts]
    await asyncio.sleep(0)
    assert len(lane._connection.unwritten) == 5
    proxy.hold_requests = False
    assert len(await big) == 4_000_000
    assert await asyncio.gather(*small) == texts


async def test_calls_during_a_quick_reconnect_wait_for_it(open_lane, proxy, registry):
    """A dropped connection costs those who come after it a moment, not an error."""
    lane = await open_lane(proxy.url)
    proxy.cut()
    await lane._connection.lost.wait()
    assert await asyncio.gather(*(echo(lane, b"%d" % n) for n in range(50))) == [b"%d" % n for n in range(50)]
    assert proxy.connections == 2
    assert len(registry.pairs) == 1, "the same Redis needs no second look at the ledger"


async def test_who_leaves_while_the_lane_reconnects_has_not_called(open_lane, redis_url, redis_client):
    """A call that was cancelled before it could be sent never is."""
    lane = await open_lane(redis_url)
    lane._connection.abort("pulled")
    left = lane.call("append", ("list",), ("left",))
    stayed = lane.call("append", ("list",), ("stayed",))
    left.cancel()
    assert (await stayed)[2] == 1


async def test_while_redis_is_away_calls_are_refused_at_once(open_lane, proxy):
    """After a failed try there is no waiting, and the refusal is definite; later the lane is back by itself."""
    lane = await open_lane(proxy.url)
    proxy.refuse = True
    proxy.cut()
    await lane._connection.lost.wait()
    with pytest.raises(Unavailable) as caught:
        await echo(lane, b"x")
    assert (caught.value.code, caught.value.outcome) == ("redis_unavailable", "definite")
    with pytest.raises(Unavailable, match=r"cannot be reached|was lost|closes"):
        lane.call("echo", (), ("y",))
    proxy.refuse = False
    assert await connected(lane) == b"here?"


async def test_a_lane_starts_without_redis(open_lane, tmp_path):
    """The process comes up, says so, and refuses calls."""
    lane = await open_lane(f"unix://{tmp_path}/nobody.sock")
    assert lane.trouble.code == "redis_unavailable"
    with pytest.raises(Unavailable):
        lane.call("echo", (), ("x",))
    assert lane.now_ms() == 0


async def test_a_call_before_the_start_is_refused(registry, redis_url):
    """A lane that nobody started says that, rather than wait for ever."""
    lane = Lane(redis_url, tiny_scripts, part="test", identify=registry.identify)
    with pytest.raises(Unavailable, match="not started"):
        lane.call("echo", (), ("x",))


async def test_a_silent_redis_is_given_up(open_lane, proxy, quick_ticks):
    """A server that reads nothing more fails its callers as unknown; nobody waits for ever."""
    lane = await open_lane(proxy.url)
    proxy.hold_requests = True
    with pytest.raises(Unavailable, match="does not answer") as caught:
        await asyncio.wait_for(lane.call("echo", (), ("x",)), 5)
    assert caught.value.outcome == "unknown"


async def test_a_busy_but_answering_redis_is_kept(open_lane, proxy, quick_ticks):
    """Slow answers are answers: the connection stays."""
    proxy.chunk = 3
    lane = await open_lane(proxy.url)
    for _ in range(20):
        await echo(lane, b"x" * 200)
        await asyncio.sleep(0.01)
    assert proxy.connections == 1


async def test_an_answer_that_nobody_asked_for_ends_the_connection(open_lane, redis_url):
    """Out of step is out: better unknown than another's answer."""
    lane = await open_lane(redis_url)
    connection = lane._connection
    connection.data_received(b"+surprise\r\n")
    assert connection.lost.is_set()
    assert await connected(lane) == b"here?"


async def test_what_is_no_redis_protocol_ends_the_connection(open_lane, redis_url):
    """Garbage fails the calls that are out as unknown."""
    lane = await open_lane(redis_url)
    call = lane.call("echo", (), ("x",))
    await asyncio.sleep(0)
    lane._connection.data_received(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(Unavailable) as caught:
        await call
    assert caught.value.outcome == "unknown"

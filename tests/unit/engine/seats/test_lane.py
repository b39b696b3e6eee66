"""The lane against a real Valkey: answers in order, a bounded queue, scripts that Redis forgot, time, the end."""

import asyncio
import random

import pytest

from engine.errors import Unavailable
from engine.limits import LANE_WRITE_COMMANDS
from engine.seats.lane import Lane
from engine.seats.redis_errors import RedisError
from tests.lanes import echo
from tests.tiny_scripts import tiny_scripts


async def test_every_caller_gets_its_own_answer(open_lane, redis_url):
    """A thousand calls of one turn: each answer belongs to its question, binary safe."""
    lane = await open_lane(redis_url)
    texts = [random.randbytes(20) + b"\r\n\x00" for _ in range(1_000)]
    assert await asyncio.gather(*(echo(lane, text) for text in texts)) == texts


@pytest.fixture
def spied():
    """Gives what a lane writes to its socket, from now on."""

    def spy(lane):
        writes, connection = [], lane._connection
        real = connection._transport

        class Spy:
            def write(self, data):
                writes.append(data)
                real.write(data)

            def abort(self):
                real.abort()

        connection._transport = Spy()
        return writes

    return spy


async def test_few_calls_of_one_turn_leave_in_one_write(open_lane, redis_url, spied):
    """Each write is a call of the system's, here and in Redis."""
    lane = await open_lane(redis_url)
    writes = spied(lane)
    await asyncio.gather(*(echo(lane, str(n)) for n in range(LANE_WRITE_COMMANDS - 1)))
    assert len(writes) == 1


async def test_the_first_of_many_calls_leave_before_the_last_are_made(open_lane, redis_url, spied):
    """Redis works on them meanwhile; the others follow when the turn is over."""
    lane = await open_lane(redis_url)
    writes = spied(lane)
    calls = [lane.call("echo", (), (b"%d" % n,)) for n in range(2 * LANE_WRITE_COMMANDS + 3)]
    assert [data.count(b"EVALSHA") for data in writes] == [LANE_WRITE_COMMANDS, LANE_WRITE_COMMANDS]
    answers = await asyncio.gather(*calls)
    assert [data.count(b"EVALSHA") for data in writes[2:]] == [3]
    assert [answer[2] for answer in answers] == [b"%d" % n for n in range(len(calls))]


@pytest.mark.parametrize("seed", range(5))
async def test_a_storm_of_cancellations_shifts_no_answer(open_lane, proxy, seed):
    """Of 1,000 callers half are cancelled at odd moments; every survivor gets its own answer."""
    rng = random.Random(seed)
    proxy.chunk = 97  # Answers arrive in pieces, so that cancellations fall between them.
    lane = await open_lane(proxy.url)
    callers = [asyncio.create_task(echo(lane, b"%d" % n)) for n in range(1_000)]
    doomed = set(rng.sample(range(1_000), 500))
    for n in rng.sample(sorted(doomed), 500):
        callers[n].cancel()
        if rng.random() < 0.1:
            await asyncio.sleep(0)
    answers = await asyncio.gather(*callers, return_exceptions=True)
    for n, answer in enumerate(answers):
        # One that was cancelled too late may have its answer; nobody may have another's.
        assert answer == b"%d" % n or (n in doomed and isinstance(answer, asyncio.CancelledError))
    assert await echo(lane, b"after") == b"after"


async def test_a_cancelled_call_still_runs(open_lane, redis_url, redis_client):
    """Who gives up after the call has left cannot take it back; the next caller is not disturbed."""
    lane = await open_lane(redis_url)
    given_up = lane.call("append", ("list",), ("first",))
    second = lane.call("append", ("list",), ("second",))
    given_up.cancel()
    assert (await second)[2] == 2
    assert await redis_client.lrange("list", 0, -1) == [b"first", b"second"]


async def test_answers_may_arrive_byte_by_byte(open_lane, proxy):
    """A frame split anywhere is put together again."""
    proxy.chunk = 1
    lane = await open_lane(proxy.url)
    texts = [b"a", b"", b"\r\n", b"$-1\r\n", bytes(300)]
    assert await asyncio.gather(*(echo(lane, text) for text in texts)) == texts


async def test_the_number_zero_is_an_answer(open_lane, redis_url):
    """0 inside an answer, and answers behind it, are not taken for the end of the input."""
    lane = await open_lane(redis_url)
    first, second = await asyncio.gather(lane.call("zero", (), ()), lane.call("zero", (), ()))
    assert first[2] == second[2] == 0
    assert await lane._connection.command("EXISTS", "nothing") == 0


async def test_a_full_queue_sheds_at_once(open_lane, proxy):
    """The call over the limit is told `overloaded`; those within it are served when Redis comes back."""
    lane = await open_lane(proxy.url, queue_max=10)
    proxy.hold_requests = True
    waiting = [lane.call("echo", (), (str(n),)) for n in range(10)]
    assert lane.in_flight == 10
    with pytest.raises(Unavailable) as caught:
        lane.call("echo", (), ("too much",))
    assert (caught.value.code, caught.value.outcome) == ("overloaded", "definite")
    assert caught.value.retry_after_ms > 0
    proxy.hold_requests = False
    assert [answer[2] for answer in await asyncio.gather(*waiting)] == [b"%d" % n for n in range(10)]
    assert await echo(lane, b"again") == b"again"


async def test_calls_that_wait_for_a_connection_are_counted_too(open_lane, proxy):
    """The bound holds while the lane reconnects."""
    lane = await open_lane(proxy.url, queue_max=3)
    proxy.hold_requests = True
    lane._connection.abort("pulled")
    waiting = [lane.call("echo", (), (str(n),)) for n in range(3)]
    with pytest.raises(Unavailable, match="too many"):
        lane.call("echo", (), ("too much",))
    proxy.hold_requests = False
    assert len(await asyncio.gather(*waiting)) == 3


async def test_forgotten_scripts_are_loaded_again(open_lane, redis_url, redis_client):
    """Under SCRIPT FLUSH in a loop every call is answered, and each ran exactly once."""
    lane = await open_lane(redis_url)
    flushing = True

    async def flush():
        while flushing:
            await redis_client.script_flush()

    flusher = asyncio.create_task(flush())
    for round_number in range(20):
        calls = [lane.call("append", ("list",), (f"{round_number}.{n}",)) for n in range(50)]
        await asyncio.gather(*calls)
    flushing = False
    await flusher
    ran = await redis_client.lrange("list", 0, -1)
    assert len(ran) == len(set(ran)) == 1_000


async def test_many_calls_that_miss_a_script_load_it_once(open_lane, redis_url, redis_client):
    """64 NOSCRIPT answers of one turn cost one SCRIPT LOAD."""
    lane = await open_lane(redis_url)
    await redis_client.script_flush()
    await redis_client.config_resetstat()
    await asyncio.gather(*(echo(lane, str(n)) for n in range(64)))
    stats = await redis_client.info("commandstats")
    assert stats["cmdstat_script|load"]["calls"] == 1


async def test_a_forgotten_script_is_not_repeated_for_who_has_left(open_lane, redis_url, redis_client):
    """NOSCRIPT ran nothing; a caller who was cancelled meanwhile wants nothing to run."""
    lane = await open_lane(redis_url)
    await redis_client.script_flush()
    left = lane.call("append", ("list",), ("left",))
    stayed = lane.call("append", ("list",), ("stayed",))
    left.cancel()
    await stayed
    assert await redis_client.lrange("list", 0, -1) == [b"stayed"]


async def test_an_error_for_who_has_left_disturbs_nobody(open_lane, redis_url):
    """The answer of a cancelled call is thrown away, an error too."""
    lane = await open_lane(redis_url)
    connection = lane._connection
    lane.call("fail", (), ()).cancel()
    assert await echo(lane, b"x") == b"x"
    assert lane._connection is connection


async def test_a_script_that_fails_raises_its_error(open_lane, redis_url):
    """A broken script is our fault and is named; the calls beside it do not suffer."""
    lane = await open_lane(redis_url)
    good, bad, mistyped = await asyncio.gather(
        echo(lane, b"x"), lane.call("fail", (), ()), lane.call("mistype", ("k",), ()), return_exceptions=True
    )
    assert good == b"x"
    assert isinstance(bad, RedisError)
    assert "boo" in str(bad)
    assert isinstance(mistyped, RedisError)
    assert mistyped.word == "WRONGTYPE"


async def test_out_of_memory_is_a_definite_refusal(open_lane, redis_url, redis_client):
    """A first write refused at maxmemory changed nothing, and the caller is told so."""
    lane = await open_lane(redis_url)
    await redis_client.config_set("maxmemory", 1)
    with pytest.raises(Unavailable, match="OOM") as caught:
        await lane.call("append", ("list",), ("x",))
    assert (caught.value.code, caught.value.outcome) == ("redis_unavailable", "definite")


async def test_its_clock_is_never_ahead_of_redis(open_lane, proxy, redis_client):
    """The estimate lies between the time before the last answer and the time now, on a slow way too."""
    lane = await open_lane(proxy.url)
    proxy.chunk = 2
    for _ in range(20):
        seconds, micros = await redis_client.time()
        before_ms = seconds * 1_000 + micros // 1_000
        await echo(lane, b"x" * 100)
        estimate_ms = lane.now_ms()
        seconds, micros = await redis_client.time()
        assert before_ms <= estimate_ms <= seconds * 1_000 + micros // 1_000


async def test_closing_waits_for_what_is_out(registry, proxy, redis_client):
    """Calls made before the end are answered, however slowly; later ones are refused, definite."""
    proxy.chunk = 1
    lane = Lane(proxy.url, tiny_scripts, part="test", identify=registry.identify)
    await lane.start()
    calls = [lane.call("append", ("list",), (str(n),)) for n in range(100)]
    await lane.close()
    assert [(await call)[2] for call in calls] == list(range(1, 101))
    with pytest.raises(Unavailable, match="shutting down") as caught:
        lane.call("append", ("list",), ("late",))
    assert caught.value.outcome == "definite"
    assert await redis_client.llen("list") == 100

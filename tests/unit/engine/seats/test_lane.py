"""The lane against a real Valkey: order, loss, reconnecting, and knowing which Redis it speaks to."""

import asyncio
import contextlib
import random
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from engine import limits
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import CommandError, Unavailable
from engine.seats.lane import Lane
from engine.seats.redis_errors import RedisError
from tests.conftest import find_redis
from tests.proxy import open_proxy
from tests.tiny_scripts import tiny_scripts


class Registry:
    """Stands for the ledger's list of Redis servers: one number per pair, counted up."""

    def __init__(self):
        self.pairs = []
        self.away = False

    async def identify(self, run_id, replication_id):
        if self.away:
            raise Unavailable("ledger_unavailable", "PostgreSQL is away")
        self.pairs.append((run_id, replication_id))
        return len(self.pairs)


@pytest.fixture
def registry():
    """A ledger that numbers what it is shown."""
    return Registry()


@pytest.fixture
async def open_lane(registry):
    """Open lanes that are closed at the end of the test."""
    async with contextlib.AsyncExitStack() as stack:

        async def opener(url, **options):
            lane = Lane(url, tiny_scripts, part="test", identify=registry.identify, **options)
            stack.push_async_callback(lane.close)
            await lane.start()
            return lane

        yield opener


@pytest.fixture
async def proxy(redis_server, redis_url, tmp_path):
    """A network between us and the server."""
    async with open_proxy(redis_server.socket, tmp_path / "proxy.sock") as proxy:
        yield proxy


@pytest.fixture
def quick_ticks(monkeypatch):
    """A lane that looks after its connection every 20 ms."""
    monkeypatch.setattr(limits, "LANE_TICK_MS", 20)


async def echo(lane, text):
    """Give what comes back for `text`."""
    word, now_ms, answer = await lane.call("echo", (), (text,))
    assert word == b"echo"
    assert now_ms > 1_600_000_000_000
    return answer


async def connected(lane):
    """Wait until calls go through again."""
    while True:
        try:
            return await echo(lane, "here?")
        except Unavailable:
            await asyncio.sleep(0.005)


# --- Order


async def test_every_caller_gets_its_own_answer(open_lane, redis_url):
    """A thousand calls of one turn: each answer belongs to its question, binary safe."""
    lane = await open_lane(redis_url)
    texts = [random.randbytes(20) + b"\r\n\x00" for _ in range(1_000)]
    assert await asyncio.gather(*(echo(lane, text) for text in texts)) == texts


async def test_calls_of_one_turn_leave_in_one_write(open_lane, redis_url, monkeypatch):
    """64 callers cost one write to the socket."""
    lane = await open_lane(redis_url)
    writes = []
    connection = lane._connection

    class Spy:
        def write(self, data):
            writes.append(data)
            real.write(data)

        def abort(self):
            real.abort()

    real, connection._transport = connection._transport, Spy()
    await asyncio.gather(*(echo(lane, str(n)) for n in range(64)))
    assert len(writes) == 1


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


# --- Loss


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
    assert len(lane._connection._unwritten) == 5
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


# --- The queue


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


# --- Scripts


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


# --- Which Redis is it?


async def test_the_connection_has_a_name(open_lane, redis_url, redis_client):
    """CLIENT LIST tells which part and process a connection belongs to."""
    lane = await open_lane(redis_url)
    names = [client["name"] for client in await redis_client.client_list()]
    assert lane._client_name in names
    assert lane._client_name.startswith("seatlock-test-")


async def test_a_redis_that_evicts_is_refused(open_lane, redis_url, redis_client):
    """With another policy than noeviction the lane says what to set, and comes up once it is set."""
    await redis_client.config_set("maxmemory-policy", "allkeys-lru")
    try:
        lane = await open_lane(redis_url)
        with pytest.raises(Unavailable, match=r"allkeys-lru.*set it to noeviction"):
            lane.call("echo", (), ("x",))
    finally:
        await redis_client.config_set("maxmemory-policy", "noeviction")
    assert await connected(lane) == b"here?"


async def test_without_the_ledger_nothing_is_called(open_lane, redis_url, registry):
    """Nobody can say which Redis this is: `ledger_unavailable`, definite, until somebody can."""
    registry.away = True
    lane = await open_lane(redis_url)
    with pytest.raises(Unavailable) as caught:
        lane.call("echo", (), ("x",))
    assert (caught.value.code, caught.value.outcome) == ("ledger_unavailable", "definite")
    assert lane.generation == 0
    registry.away = False
    await connected(lane)
    assert lane.generation == 1


async def test_a_ledger_that_never_answers_is_away(redis_url, monkeypatch):
    """The question has a limit in time, so a lane never hangs in its start."""
    monkeypatch.setattr(limits, "LANE_CONNECT_MAX_MS", 50)

    async def never(run_id, replication_id):
        await asyncio.Event().wait()

    lane = Lane(redis_url, tiny_scripts, part="test", identify=never)
    await lane.start()
    assert lane.trouble.code == "ledger_unavailable"
    await lane.close()


@pytest.fixture
def own_valkey(tmp_path):
    """A server that a test may stop and start; its data survives."""
    server = EmbeddedValkey(tmp_path / "valkey", find_redis("valkey"))
    server.start()
    yield server
    server.stop()


async def test_a_restarted_redis_has_another_generation(own_valkey, open_lane, registry):
    """A new run id is asked about before anything is called, and calls made for the old one never run."""
    lane = await open_lane(own_valkey.url)
    await lane.call("append", ("list",), ("before",))
    assert lane.generation == 1
    await asyncio.to_thread(own_valkey.stop)
    await asyncio.to_thread(own_valkey.start)
    await connected(lane)
    assert lane.generation == 2
    assert registry.pairs[0][0] != registry.pairs[1][0]
    assert (await lane.call("append", ("list",), ("after",)))[2] == 2


async def test_a_call_made_for_the_redis_before_never_runs_on_the_next(own_valkey, redis_url, registry, tmp_path):
    """What waited while the lane reconnected carries the old generation: it is refused, not sent."""
    async with open_proxy(own_valkey.socket, tmp_path / "proxy.sock") as proxy:
        lane = Lane(proxy.url, tiny_scripts, part="test", identify=registry.identify)
        await lane.start()
        proxy.upstream = Path(redis_url.removeprefix("unix://"))  # As after a failover.
        lane._connection.abort("pulled")
        with pytest.raises(Unavailable, match="replaced") as caught:
            await lane.call("append", ("list",), ("stale",))
        assert caught.value.outcome == "definite"
        await connected(lane)
        assert (await lane.call("append", ("list",), ("fresh",)))[2] == 1
        await lane.close()


async def test_a_replica_is_refused(own_valkey, open_lane, quick_ticks):
    """A master demoted under a living connection is left; promoted again it has another history."""
    lane = await open_lane(own_valkey.url)
    await lane._connection.command("REPLICAOF", "127.0.0.1", 1)
    await lane._connection.lost.wait()
    while lane.trouble is None:
        await asyncio.sleep(0.005)
    assert "replica" in lane.trouble.detail
    proxy_free = await asyncio.open_unix_connection(own_valkey.socket)
    proxy_free[1].write(b"REPLICAOF NO ONE\r\n")
    assert await proxy_free[0].readline() == b"+OK\r\n"
    proxy_free[1].close()
    await connected(lane)
    assert lane.generation == 2


async def test_a_write_refused_by_a_replica_leaves_it_at_once(own_valkey, open_lane, registry):
    """READONLY is definite, and the lane does not wait for its next tick to look again."""
    lane = await open_lane(own_valkey.url)
    connection = lane._connection
    demoted = connection.command("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(Unavailable, match="READONLY") as caught:
        await lane.call("append", ("list",), ("x",))
    assert await demoted == b"OK"
    assert caught.value.outcome == "definite"
    await asyncio.wait_for(connection.lost.wait(), 0.5)


# --- Time, addresses, ending


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


async def test_a_url_may_name_user_password_and_database(open_lane, redis_server, redis_url, redis_client):
    """AUTH with a user, and SELECT."""
    await redis_client.execute_command("ACL", "SETUSER", "lane", "on", ">s3cret", "~*", "&*", "+@all")
    lane = await open_lane(f"unix://lane:s3cret@{redis_server.socket}?db=3")
    await lane.call("append", ("list",), ("x",))
    assert await redis_client.exists("list") == 0
    await redis_client.select(3)
    assert await redis_client.exists("list") == 1


async def test_a_wrong_password_is_told_without_it(open_lane, redis_server, redis_url, redis_client):
    """The trouble names what Redis said, never the secret."""
    await redis_client.execute_command("ACL", "SETUSER", "lane", "on", ">s3cret", "~*", "&*", "+@all")
    lane = await open_lane(f"unix://lane:wr0ng@{redis_server.socket}")
    assert "WRONGPASS" in lane.trouble.detail
    assert "wr0ng" not in str(lane.trouble)


async def test_tcp_with_tls(open_lane, redis_server, redis_url, tmp_path):
    """`rediss://` checks the certificate against the named authority, and refuses another's."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("no openssl here")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"),
            *("-keyout", key, "-out", cert, "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    async with open_proxy(redis_server.socket, tls=context) as proxy:
        lane = await open_lane(f"{proxy.url}?ssl_ca_certs={cert}")
        assert await asyncio.gather(*(echo(lane, b"%d" % n) for n in range(100))) == [b"%d" % n for n in range(100)]
        stranger = await open_lane(proxy.url)
        assert "certificate verify failed" in stranger.trouble.detail
        trusting = await open_lane(f"{proxy.url}?ssl_cert_reqs=none")
        assert await echo(trusting, b"x") == b"x"


@pytest.mark.parametrize("url", ["http://x", "redis+cluster://x", "redis://x:port"])
def test_a_url_of_another_kind_is_one_clear_line(url, registry):
    """What the lane cannot speak to is said at once."""
    with pytest.raises(CommandError, match="SEATLOCK_REDIS_URL"):
        Lane(url, tiny_scripts, part="test", identify=registry.identify)


async def test_closing_waits_for_what_is_out(registry, redis_url, redis_client):
    """Calls made before the end are answered; later ones are refused, definite."""
    lane = Lane(redis_url, tiny_scripts, part="test", identify=registry.identify)
    await lane.start()
    calls = [lane.call("append", ("list",), (str(n),)) for n in range(100)]
    await lane.close()
    assert [(await call)[2] for call in calls] == list(range(1, 101))
    with pytest.raises(Unavailable, match="shutting down") as caught:
        lane.call("append", ("list",), ("late",))
    assert caught.value.outcome == "definite"
    assert await redis_client.llen("list") == 100

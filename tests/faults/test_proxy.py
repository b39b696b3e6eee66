"""The proxy of the fault tests does what its switches say: else a fault would be a calm day, and prove nothing."""

import asyncio
import random
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis.asyncio

from tests.proxy import open_ledger_proxy, open_proxy


class Echo:
    """A server that answers with what it was sent, and remembers it."""

    def __init__(self):
        self.heard = b""
        self.said_last = b""

    async def serve(self, reader, writer):
        """Answer one connection until its end."""
        while data := await reader.read(65536):
            self.heard += data
            writer.write(data)
            if self.said_last:
                writer.write(self.said_last)
                break
        writer.close()


@asynccontextmanager
async def stand(tmp_path, kind):
    """Give an echo server behind a proxy, and a way to connect; of TCP or of unix sockets on both sides."""
    echo = Echo()
    if kind == "tcp":
        server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
        upstream, listen = server.sockets[0].getsockname()[:2], None
    else:
        server = await asyncio.start_unix_server(echo.serve, tmp_path / "echo.sock")
        upstream, listen = tmp_path / "echo.sock", tmp_path / "proxy.sock"
    async with open_proxy(upstream, listen) as proxy:

        async def connect():
            if listen:
                return await asyncio.open_unix_connection(listen)
            return await asyncio.open_connection("127.0.0.1", int(proxy.url.rpartition(":")[2]))

        yield echo, proxy, connect
    server.close()


@pytest.fixture(params=["tcp", "unix"])
async def network(request, tmp_path):
    """An echo server, the proxy before it, and a way to connect."""
    async with stand(tmp_path, request.param) as parts:
        yield parts


@pytest.fixture
async def tcp(tmp_path):
    """The same over TCP only."""
    async with stand(tmp_path, "tcp") as parts:
        yield parts


async def exchange(ends, data):
    """Say something, and give what comes back."""
    reader, writer = ends
    writer.write(data)
    return await asyncio.wait_for(reader.readexactly(len(data)), 5)


async def silent(reader, seconds=0.1):
    """Whether nothing comes for a while."""
    try:
        await asyncio.wait_for(reader.read(1), seconds)
    except TimeoutError:
        return True
    return False


async def heard(echo, data):
    """Wait until the server has heard exactly this."""
    async with asyncio.timeout(5):
        while echo.heard != data:
            await asyncio.sleep(0.001)


async def test_a_sound_network_carries_everything_both_ways(network):
    """Megabytes pass unchanged, and connections are counted."""
    _, proxy, connect = network
    data = random.Random(1).randbytes(1_500_000)
    ends = await connect()
    assert await exchange(ends, data) == data
    assert (proxy.connections, proxy.open_connections) == (1, 1)


async def test_one_way_cuts_lose_bytes_without_a_word(network):
    """Requests vanish, or answers; the other side hears nothing, and after healing no stream has a hole."""
    echo, proxy, connect = network
    reader, writer = await connect()
    proxy.swallow_requests = True
    writer.write(b"lost")
    assert await silent(reader)
    assert echo.heard == b""
    proxy.heal()
    await gone(reader)
    second, writer = await connect()
    proxy.swallow_answers = True
    writer.write(b"ran")
    await proxy.answer_swallowed()
    assert echo.heard == b"ran"
    assert await silent(second)
    proxy.heal()
    await gone(second)
    assert await exchange(await connect(), b"sound") == b"sound"


async def gone(reader):
    """Wait for the end of a connection, however it comes."""
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(1), 5) == b""


async def test_what_lost_nothing_outlives_the_healing(network):
    """Held bytes are late, not lost: the same connection goes on."""
    echo, proxy, connect = network
    reader, writer = await connect()
    proxy.hold_requests = True
    writer.write(b"one")
    assert await silent(reader)
    proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(3), 5) == b"one"
    proxy.hold_answers = True
    writer.write(b"two")
    await heard(echo, b"onetwo")
    assert await silent(reader)
    proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(3), 5) == b"two"


async def test_delay_with_jitter_keeps_the_order(network):
    """Every piece is late by at least the delay, each way, and none overtakes another."""
    echo, proxy, connect = network
    reader, writer = await connect()
    proxy.delay_s, proxy.jitter_s = 0.05, 0.05
    began = asyncio.get_running_loop().time()
    for number in range(20):
        writer.write(b"%02d" % number)
        await asyncio.sleep(0)
    said = b"".join(b"%02d" % number for number in range(20))
    assert await asyncio.wait_for(reader.readexactly(40), 5) == said
    assert asyncio.get_running_loop().time() - began >= 0.1
    assert echo.heard == said


async def test_frames_are_split_into_single_bytes(network):
    """Both ways; whoever reads meets pieces, and the stream is the same."""
    echo, proxy, connect = network
    reader, writer = await connect()
    proxy.chunk = proxy.request_chunk = 1
    writer.write(b"abcdef")
    pieces = []
    while sum(map(len, pieces)) < 6:
        pieces.append(await asyncio.wait_for(reader.read(6), 5))
    assert b"".join(pieces) == b"abcdef" == echo.heard
    assert len(pieces) > 1


async def test_an_answer_stalls_in_the_middle(network):
    """Its first bytes arrive, the rest stays on the way until the network is sound."""
    _, proxy, connect = network
    reader, writer = await connect()
    proxy.stall_at = 2
    writer.write(b"answer")
    assert await asyncio.wait_for(reader.readexactly(2), 5) == b"an"
    assert await silent(reader)
    proxy.heal()
    assert await asyncio.wait_for(reader.readexactly(4), 5) == b"swer"


async def test_a_reset_is_no_goodbye(tcp):
    """Over TCP the client meets RST, not an orderly end, with `reset` and with a lost answer; `cut` is softer."""
    echo, proxy, connect = tcp
    for end in ("reset", "lose"):
        reader, writer = await connect()
        assert await exchange((reader, writer), b"here") == b"here"
        if end == "reset":
            proxy.reset()
        else:
            proxy.lose_answers = 1.0
            writer.write(b"lost")
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(reader.read(1), 5)
        proxy.heal()
    assert echo.heard == b"hereherelost", "the server had the request whose answer was lost"
    reader, writer = await connect()
    assert await exchange((reader, writer), b"here") == b"here"
    proxy.cut()
    await gone(reader)


async def test_a_share_of_answers_is_lost(tcp):
    """Neither none nor all of them."""
    _, proxy, connect = tcp
    proxy.lose_answers, lost = 0.5, 0
    for _ in range(40):
        try:
            await exchange(await connect(), b"x")
        except (ConnectionError, asyncio.IncompleteReadError):
            lost += 1
    assert 5 < lost < 35


async def test_half_open_connections_are_taken_and_never_answered(network):
    """To connect succeeds, and nothing follows; the server never hears of it. Refused ones end at once."""
    echo, proxy, connect = network
    proxy.mute = True
    reader, writer = await connect()
    writer.write(b"hello")
    assert await silent(reader)
    assert echo.heard == b""
    proxy.heal()
    await gone(reader)
    proxy.refuse = True
    reader, _ = await connect()
    await gone(reader)


async def test_a_server_that_is_away_ends_its_clients(network):
    """Nobody waits before a proxy whose server is down."""
    _, proxy, connect = network
    proxy.upstream = "/nobody/is/here"
    reader, _ = await connect()
    await gone(reader)


async def test_a_servers_last_words_arrive(network):
    """What it said just before it closed is not lost with the connection."""
    echo, _, connect = network
    echo.said_last = b"too many clients" * 1000
    reader, writer = await connect()
    writer.write(b"?")
    assert await asyncio.wait_for(reader.read(-1), 5) == b"?" + echo.said_last


async def test_redis_and_postgresql_are_served_through_it(redis_server, database_url):
    """Over TCP in front of their unix sockets, byte by byte even."""
    async with open_proxy(redis_server.socket) as line, redis.asyncio.Redis.from_url(line.url) as client:
        line.chunk = line.request_chunk = 1
        assert await client.echo("whole") == b"whole"
    async with open_ledger_proxy(database_url) as line:
        line.chunk = 1
        connection = await asyncpg.connect(line.url)
        assert await connection.fetchval("SELECT current_database()") == urlsplit(database_url).path[1:]
        await connection.close()

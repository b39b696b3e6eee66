"""The lane knows which Redis it speaks to: addresses, names, generations, roles, and servers that it refuses."""

import asyncio
import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from engine import limits
from engine.errors import CommandError, Unavailable
from engine.seats.lane import Lane
from tests.lanes import connected, echo
from tests.proxy import open_proxy
from tests.tiny_scripts import tiny_scripts


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
    async with asyncio.timeout(10):
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


async def test_a_new_history_under_a_living_connection_is_seen(own_valkey, open_lane, quick_ticks):
    """Demoted and promoted between two ticks, it is a master whenever we look; but its data may be another's."""
    lane = await open_lane(own_valkey.url)
    connection = lane._connection
    turns = [connection.command("REPLICAOF", *words) for words in (("127.0.0.1", 1), ("NO", "ONE"))]
    assert [await turn for turn in turns] == [b"OK", b"OK"]
    await asyncio.wait_for(connection.lost.wait(), 5)
    await connected(lane)
    assert lane.generation == 2


async def test_a_write_refused_by_a_replica_leaves_it_at_once(own_valkey, open_lane, monkeypatch):
    """READONLY is definite, and the lane does not wait for its next tick to look again."""
    monkeypatch.setattr(limits, "LANE_TICK_MS", 60_000)
    lane = await open_lane(own_valkey.url)
    connection = lane._connection
    demoted = connection.command("REPLICAOF", "127.0.0.1", 1)
    with pytest.raises(Unavailable, match="READONLY") as caught:
        await lane.call("append", ("list",), ("x",))
    assert await demoted == b"OK"
    assert caught.value.outcome == "definite"
    await asyncio.wait_for(connection.lost.wait(), 5)


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

"""redis-py's connections as the engine has them: whatever ends one is an error of Redis."""

import asyncio
import contextlib

import pytest
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.redis_clients import open_redis
from tests.proxy import open_proxy


@pytest.mark.parametrize("loop", [asyncio.SelectorEventLoop, uvloop.new_event_loop])
@pytest.mark.parametrize("by", ["tcp", "unix"])
def test_writing_to_a_closed_transport_is_a_lost_connection(redis_server, tmp_path, by, loop):
    """A reset that comes between two calls: the next one says that the connection is gone, and the one after works."""

    async def speak():
        listen = tmp_path / "proxy.sock" if by == "unix" else None
        async with open_proxy(redis_server.socket, listen) as proxy, open_redis(proxy.url) as client:
            assert await client.ping()
            (connection,) = client.connection_pool._available_connections
            connection._writer.transport.abort()
            await asyncio.sleep(0)
            with contextlib.suppress(RedisConnectionError):
                await connection.send_packed_command(b"*1\r\n$4\r\nPING\r\n")
            assert await client.ping()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(speak())

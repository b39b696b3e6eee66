"""redis-py's connections, with one word for a connection that is gone."""

from collections.abc import Mapping
from typing import Any

from redis.asyncio.connection import (
    AbstractConnection,
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
    parse_url,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from engine.limits import CALL_BUDGET_MS, REDIS_POOL_MAX, SECOND_MS

WAIT_S = CALL_BUDGET_MS / SECOND_MS


class _Closing(AbstractConnection):
    async def send_packed_command(self, *args: Any, **options: Any) -> None:
        """Send; on uvloop a transport that was closed meanwhile says so by an error that redis-py does not know."""
        try:
            await super().send_packed_command(*args, **options)
        except RuntimeError as error:
            if "closed" not in str(error):
                raise
            await self.disconnect(nowait=True)
            raise RedisConnectionError(str(error)) from error


class ByTcp(_Closing, Connection):
    """Over TCP."""


class ByTls(_Closing, SSLConnection):
    """Over TLS."""


class ByUnixSocket(_Closing, UnixDomainSocketConnection):
    """Over a socket of this machine."""


KINDS: Mapping[Any, type[AbstractConnection]] = {
    Connection: ByTcp,
    SSLConnection: ByTls,
    UnixDomainSocketConnection: ByUnixSocket,
}


def open_pool(
    url: str,
    options: Mapping[str, Any],
    *,
    kinds: Mapping[Any, type[AbstractConnection]] = KINDS,
    connections_max: int = REDIS_POOL_MAX,
) -> BlockingConnectionPool:
    """Make a pool; it connects when first used.

    Args:
        url: `redis://`, `rediss://` or `unix://`.
        options: of every connection.
        kinds: what stands in for redis-py's own classes.
        connections_max: one more call waits.

    Raises:
        ValueError: the URL is unreadable.
    """
    found: dict[str, Any] = {**parse_url(url), **options}
    kind = kinds[found.pop("connection_class", Connection)]
    return BlockingConnectionPool(max_connections=connections_max, timeout=WAIT_S, connection_class=kind, **found)

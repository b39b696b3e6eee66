"""A Redis whose master is named by Sentinel: asked before every connection, so that a failover is followed."""

from collections.abc import Callable
from typing import Any

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from engine.errors import Unavailable
from engine.limits import SECOND_MS, SENTINEL_ASK_MAX_MS
from engine.seats.address import Address, P, SentinelUrl


class SentinelAddress(Address):
    """Where the master is, whoever that is now.

    Args:
        url: `redis+sentinel://user:pass@host:26379,host:26379/mymaster/0`; see `SentinelUrl`.

    Raises:
        CommandError: no such URL.
    """

    def __init__(self, url: str) -> None:
        self._sentinels = SentinelUrl(url)
        super().__init__(self._sentinels.redis_url)

    def __str__(self) -> str:
        return f"{self._sentinels.name} of {len(self._sentinels.places)} sentinels"

    async def find_master(self) -> tuple[str, int]:
        """Ask the sentinels, one after another, until one names the master.

        Raises:
            Unavailable: none does.
        """
        timeout_s = SENTINEL_ASK_MAX_MS / SECOND_MS
        options: dict[str, Any] = {
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            **self._sentinels.options,
        }
        try:
            manager: Any = Sentinel(self._sentinels.places, sentinel_kwargs=options)  # type: ignore[no-untyped-call]
            async with manager as sentinels:
                host, port = await sentinels.discover_master(self._sentinels.name)
        except (TimeoutError, RedisError, OSError):
            name = self._sentinels.name
            raise Unavailable("redis_unavailable", f"the sentinels that answer name no master for {name}") from None
        return str(host), int(port)

    async def connect(self, protocol: Callable[[], P]) -> P:
        """Open a connection to the master; see `Address.connect`.

        Raises:
            Unavailable: no sentinel names one.
        """
        return await self.elsewhere(*await self.find_master()).open(protocol)

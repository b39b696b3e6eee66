"""Connections to Redis by what `SEATLOCK_REDIS_URL` names: one server, a cluster, or a master that sentinels know."""

from typing import Any

import redis.asyncio
from redis.asyncio.connection import BlockingConnectionPool, Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.maint_notifications import MaintNotificationsConfig

from engine.cluster_client import ClusterClient
from engine.errors import Unavailable
from engine.ledger.generations import Generations
from engine.redis_connections import WAIT_S, ByTcp, ByTls, open_pool
from engine.seats.address import Address, SentinelUrl, cluster_seeds
from engine.seats.lane import Lane
from engine.seats.lanes import Lanes
from engine.seats.scripts import load_scripts
from engine.seats.sentinels import SentinelAddress
from engine.settings import CLUSTER, SENTINEL

OPTIONS: dict[str, Any] = {
    "socket_connect_timeout": WAIT_S,
    # The callers know what may be sent twice; the client does not.
    "retry": Retry(NoBackoff(), 0),
    # Of a managed Redis that we do not have; with them on, a pool hands out connections that the server has closed.
    "maint_notifications_config": MaintNotificationsConfig(enabled=False),
}


def open_lane(url: str, part: str, generations: Generations) -> Lane | Lanes:
    """Make what carries script calls; it is to be started and closed.

    Args:
        url: `redis://`, `rediss://`, `unix://`, `redis+cluster://` or `redis+sentinel://`.
        part: of the system; names the connections.
        generations: the ledger's.

    Raises:
        CommandError: the URL is unreadable.
    """
    if url.startswith(CLUSTER):
        seeds = [Address(seed) for seed in cluster_seeds(url)]
        return Lanes(seeds, load_scripts, part=part, house=generations.house)
    address = SentinelAddress(url) if url.startswith(SENTINEL) else Address(url)
    return Lane(address, load_scripts, part=part, identify=generations.identify)


def open_redis(url: str) -> redis.asyncio.Redis:
    """Make the client for all that is no script: streams, wake-ups, probes. It connects when first used.

    Raises:
        CommandError: the URL is unreadable.
    """
    if url.startswith(CLUSTER):
        return ClusterClient(cluster_seeds(url), OPTIONS)
    if url.startswith(SENTINEL):
        return redis.asyncio.Redis.from_pool(_master_pool(url))
    return redis.asyncio.Redis.from_pool(open_pool(url, OPTIONS))


class _ToMaster(ByTcp):
    """A connection to the master that the sentinels name at the moment of connecting."""

    def __init__(self, *, address: SentinelAddress, **options: Any) -> None:
        self._address = address
        super().__init__(**options)

    async def _connect(self) -> None:
        try:
            self.host, self.port = await self._address.find_master()
        except Unavailable as error:
            raise RedisConnectionError(str(error)) from None
        await super()._connect()  # type: ignore[no-untyped-call]

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read an answer; whoever is no master any more is left, so that the next call asks the sentinels."""
        try:
            return await super().read_response(*args, **options)
        except ReadOnlyError as error:
            await self.disconnect()
            raise RedisConnectionError("this Redis is no master any more") from error


class _ToMasterByTls(_ToMaster, ByTls):
    pass


def _master_pool(url: str) -> BlockingConnectionPool:
    address = SentinelAddress(url)
    kinds = {Connection: _ToMaster, SSLConnection: _ToMasterByTls}
    return open_pool(SentinelUrl(url).redis_url, {**OPTIONS, "address": address}, kinds=kinds)

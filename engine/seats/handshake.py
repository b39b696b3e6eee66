"""The first words on a new connection: log in, give a name, and learn what kind of Redis this is."""

from time import monotonic
from typing import Any

import msgspec

from engine.errors import Unavailable
from engine.seats.address import Address
from engine.seats.connection import Connection
from engine.seats.redis_clock import RedisClock


class Identity(msgspec.Struct, frozen=True):
    """Which history of data a Redis has; a restarted, restored or promoted one says something else."""

    run_id: str
    replication_id: str


class Greeting(msgspec.Struct, frozen=True):
    """What a Redis that we can use said of itself. `version` is that of the Redis it is compatible with."""

    version: tuple[int, ...]
    identity: Identity


async def greet(connection: Connection, address: Address, client_name: str, clock: RedisClock) -> Greeting:
    """Log in and look around.

    Raises:
        Unavailable: this Redis is a replica, is still loading, or may evict keys; or the connection was lost.
        RedisError: it does not let us in.
    """
    credentials = address.credentials()
    if credentials:
        await connection.command("AUTH", *credentials)
    await connection.command("SELECT", address.database)
    await connection.command("CLIENT", "SETNAME", client_name)
    info = parse_info(await connection.command("INFO"))
    require_usable(info)
    read_time(await connection.command("TIME"), clock)
    return Greeting(
        version=tuple(int(part) for part in info["redis_version"].split(".")),
        identity=Identity(run_id=info["run_id"], replication_id=info["master_replid"]),
    )


def parse_info(text: bytes) -> dict[str, str]:
    """Read the answer of INFO: lines of `name:value`, headings left out."""
    lines = text.decode("utf-8", "replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def require_usable(info: dict[str, str]) -> None:
    """Check what no script can check for itself.

    Raises:
        Unavailable: with the reason in words.
    """
    policy = info["maxmemory_policy"]
    if policy != "noeviction":
        raise Unavailable(
            "redis_unavailable",
            f"Redis has maxmemory-policy {policy}: it may throw seats away; set it to noeviction",
        )
    if info.get("loading") == "1":
        raise Unavailable("redis_unavailable", "Redis is still loading its data")
    if info["role"] != "master":
        raise Unavailable("redis_unavailable", "this Redis is a replica; seats are changed on the master only")


def read_time(answer: list[Any], clock: RedisClock) -> None:
    """Give the clock what TIME answered: seconds and microseconds."""
    clock.sample(int(answer[0]) * 1_000 + int(answer[1]) / 1_000, monotonic())

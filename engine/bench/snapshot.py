"""All that a server has at one moment, put back as often as it is wanted: quicker than to make it anew."""

from typing import Any

from redis import Redis

Snapshot = list[tuple[Any, int, Any]]
"""(key, the time in ms when it expires or -1, its dump) of each key."""


def take(redis: Redis) -> Snapshot:
    """Give what is in a server now."""
    keys = redis.scan_iter(count=1_000)
    return [(key, int(redis.execute_command("PEXPIRETIME", key)), redis.dump(key)) for key in keys]  # type: ignore[no-untyped-call]


def put_back(redis: Redis, snapshot: Snapshot) -> None:
    """Have exactly that in the server again."""
    redis.flushdb()
    with redis.pipeline(transaction=False) as pipeline:
        for key, until_ms, raw in snapshot:
            pipeline.restore(key, max(0, until_ms), raw, absttl=until_ms > 0)
        pipeline.execute()

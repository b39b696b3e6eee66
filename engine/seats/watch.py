"""Looking after a living connection: does Redis still answer, is it still the same, what time is it there?"""

import asyncio
from functools import partial
from typing import Any

from engine import limits
from engine.seats.connection import Connection, Slot
from engine.seats.handshake import Identity, parse_info, read_time
from engine.seats.redis_clock import RedisClock


async def watch(connection: Connection, identity: Identity | None, clock: RedisClock) -> None:
    """Look once a tick; return when the connection is lost.

    Gives the connection up when its oldest call stays without an answer, so that nobody waits for ever for a frozen
    server, and when Redis was demoted or promoted while the connection lived: then it has another history.
    """
    oldest: Slot | None = None
    silent_ticks = 0
    while not await happens(connection.lost, limits.LANE_TICK_MS / 1_000):
        if connection.slots and connection.slots[0] is oldest:
            silent_ticks += 1
            if silent_ticks >= limits.LANE_SILENT_TICKS_MAX:
                connection.abort("Redis does not answer")
            continue
        silent_ticks = 0
        connection.command("TIME").add_done_callback(partial(_on_time, clock))
        connection.command("INFO", "replication").add_done_callback(partial(_on_replication, connection, identity))
        oldest = connection.slots[0]


def was_answered(future: "asyncio.Future[Any]") -> bool:
    """Tell whether a command of our own was answered; a failure is seen by the connection too, so it is no news."""
    return not future.cancelled() and future.exception() is None


def _on_time(clock: RedisClock, future: "asyncio.Future[Any]") -> None:
    if was_answered(future):
        read_time(future.result(), clock)


def _on_replication(connection: Connection, identity: Identity | None, future: "asyncio.Future[Any]") -> None:
    if was_answered(future):
        info = parse_info(future.result())
        if info["role"] != "master" or identity is None or info["master_replid"] != identity.replication_id:
            connection.abort("Redis changed its role")


async def happens(event: asyncio.Event, timeout_s: float) -> bool:
    """Wait for an event, but not longer than `timeout_s`; tell whether it happened."""
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
    except TimeoutError:
        # It may have happened in the very turn in which the time was over.
        return event.is_set()
    return True

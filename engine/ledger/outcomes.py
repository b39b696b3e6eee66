"""Waking up whoever waits for the outcome of a payment. A wake-up is only a hint: waiters also look by themselves."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from engine.limits import OUTCOME_POLL_MS

log = structlog.get_logger()

CHANNEL = "sl:outcomes"
RECONNECT_S = 0.5
T = TypeVar("T")


async def publish_outcomes(client: redis.asyncio.Redis, sessions: Iterable[str]) -> None:
    """Tell every process which payment sessions have an outcome. Losing the message costs a waiter 250 ms."""
    if text := " ".join(sessions):
        try:
            await client.publish(CHANNEL, text)
        except RedisError as error:
            log.warning("wake_up_lost", error=str(error))


class Outcomes:
    """One subscription per process, shared by all its waiters."""

    def __init__(self, client: redis.asyncio.Redis) -> None:
        self._redis = client
        self._waiters: dict[str, set[asyncio.Event]] = defaultdict(set)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to listen; Redis may be away."""
        self._task = asyncio.create_task(self._listen(), name="outcomes")

    async def close(self) -> None:
        """Stop listening."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def wait_for(self, session_id: str, look: Callable[[], Awaitable[T | None]], timeout_ms: int) -> T | None:
        """Look now, at each wake-up for that session, and every 250 ms, until there is something to see.

        Args:
            session_id: the payment session.
            look: reads the ledger; None while there is no outcome. What it raises, this raises.
            timeout_ms: how long to go on.

        Returns:
            What `look` found, or None when the time is over.
        """
        woken = asyncio.Event()
        self._waiters[session_id].add(woken)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        try:
            while (found := await look()) is None and (left := deadline - loop.time()) > 0:
                try:
                    await asyncio.wait_for(woken.wait(), min(left, OUTCOME_POLL_MS / 1000))
                except TimeoutError:
                    continue
                woken.clear()
            return found
        finally:
            self._waiters[session_id].discard(woken)
            if not self._waiters[session_id]:
                del self._waiters[session_id]

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CHANNEL)
                    async for message in subscription.listen():
                        self._wake(message["data"])
            except (RedisError, OSError) as error:
                log.warning("wake_ups_away", error=str(error))
            await asyncio.sleep(RECONNECT_S)

    def _wake(self, data: bytes | str) -> None:
        for session in (data.decode() if isinstance(data, bytes) else data).split():
            for event in self._waiters.get(session, ()):
                event.set()

"""Waking up whoever waits for the outcome of a payment. A wake-up is only a hint: waiters also look by themselves."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from engine.cancellation import end_if_cancelled
from engine.ledger.captures import Captures
from engine.ledger.records import CaptureOutcome
from engine.limits import OUTCOME_POLL_MS, WEBHOOK_WAIT_MS

log = structlog.get_logger()

CHANNEL = "sl:outcomes"
RECONNECT_S = 0.5


async def publish_outcomes(client: redis.asyncio.Redis, sessions: Iterable[str]) -> None:
    """Tell every process which payment sessions have an outcome. Losing the message costs a waiter 250 ms."""
    if text := " ".join(sessions):
        try:
            await client.publish(CHANNEL, text)
        except RedisError as error:
            log.warning("wake_up_lost", error=str(error))


class Outcomes:
    """One subscription per process, shared by all its waiters.

    Args:
        client: for the subscription; it has one connection of the client's pool to itself.
        ledger: where outcomes are read.
    """

    def __init__(self, client: redis.asyncio.Redis, ledger: Captures) -> None:
        self._redis = client
        self._ledger = ledger
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

    async def wait(self, gateway: str, session_id: str, timeout_ms: int = WEBHOOK_WAIT_MS) -> CaptureOutcome | None:
        """Read the outcome of money now, at each wake-up for its session, and every 250 ms.

        Returns:
            The outcome as the ledger has it, or None when the time is over.

        Raises:
            Refusal: `not_found`, there is no such capture.
            Unavailable: `ledger_unavailable`.
        """
        woken = asyncio.Event()
        self._waiters[session_id].add(woken)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_ms / 1000
        try:
            while True:
                outcome = await self._ledger.read_outcome(gateway, session_id)
                left = deadline - loop.time()
                if outcome is not None or left <= 0:
                    return outcome
                with suppress(TimeoutError):
                    async with asyncio.timeout(min(left, OUTCOME_POLL_MS / 1000)):
                        await woken.wait()
                woken.clear()
        finally:
            self._waiters[session_id].discard(woken)
            if not self._waiters[session_id]:
                del self._waiters[session_id]

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(CHANNEL)
                    end_if_cancelled()
                    async for message in subscription.listen():
                        self._wake(message["data"])
            except (RedisError, OSError) as error:
                log.warning("wake_ups_away", error=str(error))
            except Exception:
                # Whatever it was: without wake-ups every payment of this process would take longer, for ever.
                log.exception("wake_ups_failed")
            await asyncio.sleep(RECONNECT_S)

    def _wake(self, data: bytes) -> None:
        for session in data.decode(errors="replace").split():
            for event in self._waiters.get(session, ()):
                event.set()

"""Brings events to the webhook until it says 2xx, and lets sessions end when their time has come."""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable

import httpx
import msgspec
import structlog

from api.fake_gateway.faults import Faults
from api.fake_gateway.refunds import Refunds
from api.fake_gateway.store import EventRow, Store
from engine.limits import GATEWAY_DELIVERY_TIMEOUT_S, GATEWAY_RETRY_MAX_MS, GATEWAY_RETRY_MIN_MS, SECOND_MS
from engine.orders.gateways.protocol import PaymentEvent
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign

log = structlog.get_logger()


def now_ms() -> int:
    """Give the Unix time in ms."""
    return time.time_ns() // 1_000_000


class Courier:
    """One task that wakes when something is due; deliveries run beside it.

    Two deliveries of one event never run at once, but where a fault makes them.
    """

    def __init__(
        self,
        store: Store,
        refunds: Refunds,
        webhook_url: str,
        secret: str,
        faults: Faults,
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], int] = now_ms,
    ) -> None:
        """Prepare; `secret` signs the events, `clock` gives Unix time in ms."""
        self._faults = faults
        self._store = store
        self._refunds = refunds
        self._webhook_url = webhook_url
        self._secret = secret
        self._clock = clock
        self._client = httpx.AsyncClient(transport=transport, trust_env=False, timeout=GATEWAY_DELIVERY_TIMEOUT_S)
        self._under_way: dict[str, asyncio.Task[int | None]] = {}
        self._forgeries: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Do what is due, for ever; what a former process left undone comes first."""
        try:
            while True:
                self._wake.clear()
                now = self._clock()
                self._store.end_due_sessions(now)
                self._refunds.end_due(now)
                for event_id in self._store.due_events(now):
                    self._start(event_id)
                await self._sleep()
        finally:
            for task in (*self._under_way.values(), *self._forgeries):
                task.cancel()
            await self._client.aclose()

    def wake(self) -> None:
        """Look again now: something new may be due."""
        self._wake.set()

    async def deliver(self, event_id: str, *, asked: bool = False) -> int | None:
        """Bring one event to the webhook once; give the status of its answer, None without one.

        If it was not 2xx, the event stays queued. One that a fault holds back is brought only if it is `asked` for.
        """
        due_ms = self._store.read_event(event_id).due_ms
        if not asked and (due_ms is None or due_ms > self._clock()):
            return None
        return await asyncio.shield(self._start(event_id))

    def forge(self, event: PaymentEvent) -> None:
        """Tell the webhook what a stranger would tell, once, signed with a secret that is not ours."""
        task = asyncio.create_task(self._forge(event))
        self._forgeries.add(task)
        task.add_done_callback(self._forgeries.discard)

    async def _forge(self, event: PaymentEvent) -> None:
        status = await self._send(msgspec.json.encode(event), f"not {self._secret}")
        if status is not None and 200 <= status < 300:
            log.error("forged_event_accepted", session_id=event.session_id)

    def _start(self, event_id: str) -> asyncio.Task[int | None]:
        task = self._under_way.get(event_id)
        if task is None:
            task = asyncio.create_task(self._deliver(event_id))
            self._under_way[event_id] = task
            task.add_done_callback(lambda _: self._finish(event_id))
        return task

    def _finish(self, event_id: str) -> None:
        del self._under_way[event_id]
        self._wake.set()

    async def _deliver(self, event_id: str) -> int | None:
        row = self._store.read_event(event_id)
        told = row.event
        double = self._faults.doubles(told.type, told.refund_id or told.session_id)
        copies = 2 if double == "at_once" and row.attempts == 0 else 1
        status, *_ = await asyncio.gather(*(self._send(row.body) for _ in range(copies)))
        accepted = status is not None and 200 <= status < 300
        if not accepted:
            self._put_off(event_id, row, status)
        elif double == "later" and row.accepted == 0:
            self._store.note_delivery(event_id, self._clock() + GATEWAY_RETRY_MIN_MS, accepted=True)
        else:
            self._store.note_delivery(event_id, None, accepted=True)
        return status

    def _put_off(self, event_id: str, row: EventRow, status: int | None) -> None:
        pause_ms = min(GATEWAY_RETRY_MIN_MS << min(row.attempts, 16), GATEWAY_RETRY_MAX_MS)
        # Jitter, so that events held up by one outage do not all come back in the same instant.
        due_ms = self._clock() + round(pause_ms * random.uniform(0.75, 1.25))  # noqa: S311 - no secret hangs on it
        self._store.note_delivery(event_id, due_ms, accepted=False)
        log.warning(
            "event_not_accepted", event_id=event_id, status=status, attempts=row.attempts + 1, pause_ms=pause_ms
        )

    async def _send(self, body: bytes, secret: str = "") -> int | None:
        headers = {
            SIGNATURE_HEADER: sign(secret or self._secret, body, self._clock() // SECOND_MS),
            "Content-Type": "application/json",
        }
        try:
            return (await self._client.post(self._webhook_url, content=body, headers=headers)).status_code
        except httpx.HTTPError as error:
            log.warning("webhook_unreachable", error=type(error).__name__)
            return None

    async def _sleep(self) -> None:
        """Wait until something is due that is not under way, or somebody wakes us."""
        due_ms = self._store.next_due_ms()
        timeout_s = None
        if due_ms is not None and not self._under_way:
            timeout_s = max(due_ms - self._clock(), 0) / SECOND_MS
        elif due_ms is not None:
            timeout_s = GATEWAY_RETRY_MIN_MS / SECOND_MS
        # Not `wait_for`: on 3.11 it swallows a cancellation that comes together with the wake-up.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()

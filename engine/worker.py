"""The worker: reads facts into the ledger and runs the duties. Several may run; they share the work."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence

import structlog

from engine import limits
from engine.cancellation import end_if_cancelled
from engine.cancelling import Cancelling
from engine.catalogue.catalogue import Catalogue
from engine.duties import Duties
from engine.errors import Unavailable
from engine.ledger.archive import Archive
from engine.ledger.database import LOST
from engine.ledger.migrations import check_deployment
from engine.ledger.projector import Describe
from engine.ledger.reader import FactReader
from engine.ledger.turns import Turns
from engine.memory import settle_in
from engine.notifications.post import notification_duties
from engine.runtime import Runtime, open_runtime
from engine.settings import Settings
from engine.webhooks.delivering import Delivering

log = structlog.get_logger()

Work = Callable[[], Awaitable[int]]
"""One round of a duty: gives how many things it took up."""


async def work_until_stopped(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT; a batch under way is rolled back, and the next reader finds it pending.

    Raises:
        CommandError: the settings or the database do not fit this version.
    """
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_runtime(settings, "worker") as runtime:
        await _until_ready(runtime, stop)
        settle_in()
        if not stop.is_set():
            await work(runtime, stop)


async def work(runtime: Runtime, stop: asyncio.Event) -> None:
    """Run the readers and all duties until `stop` is set.

    Raises:
        RuntimeError: one of them ended by itself; a worker that looks alive and reads no facts is worse than none.
    """
    turns, describe = Turns(), layout_reader(runtime.catalogue)
    readers = [
        FactReader(runtime.settings.database_url, runtime.redis, describe, turns=turns)
        for _ in range(runtime.settings.fact_readers)
    ]
    duties = Duties(
        runtime.ledger,
        runtime.seats,
        runtime.restorer,
        runtime.redis,
        runtime.orders.payments.settle_capture,
        lambda: [partition for reader in readers for partition in reader.partitions],
    )
    delivering = Delivering(runtime.pool, runtime.webhooks.addresses)
    plan: list[tuple[Work, int]] = [
        (duties.expire_holds, limits.EXPIRE_HOLDS_EVERY_MS),
        (duties.drop_strangers, limits.DUTY_EVERY_MS),
        (duties.rebuild_showtimes, limits.REBUILD_EVERY_MS),
        (duties.settle_captures, limits.DUTY_EVERY_MS),
        (duties.restock_seats, limits.DUTY_EVERY_MS),
        (Cancelling(runtime.ledger, runtime.seats).work_off_cancellations, limits.DUTY_EVERY_MS),
        (runtime.orders.refunds.send_refunds, limits.DUTY_EVERY_MS),
        (runtime.orders.reconciler.reconcile_payments, limits.DUTY_EVERY_MS),
        (duties.expire_bookings, limits.DUTY_EVERY_MS),
        (duties.apply_blocks, limits.DUTY_EVERY_MS),
        (duties.forget_requests, limits.FORGET_REQUESTS_EVERY_MS),
        (duties.find_lost_facts, limits.FIND_LOST_FACTS_EVERY_MS),
        (Archive(runtime.pool).archive_bookings, limits.ARCHIVE_EVERY_MS),
        (Archive(runtime.pool).forget_words, limits.ARCHIVE_EVERY_MS),
        *notification_duties(runtime),
        (delivering.deliver_webhooks, limits.DUTY_EVERY_MS),
        (delivering.forget_deliveries, limits.FORGET_DELIVERIES_EVERY_MS),
    ]
    tasks = [asyncio.create_task(reader.run(), name="reader") for reader in readers]
    tasks += [asyncio.create_task(repeat(duty, every_ms), name=duty.__name__) for duty, every_ms in plan]
    log.info("worker_started", readers=[str(reader.worker) for reader in readers])
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    fallen = [task.get_name() for task in tasks if task.done()]
    for task in (stopped, *tasks):
        task.cancel()
    endings = await asyncio.gather(*tasks, return_exceptions=True)
    if fallen:
        log.error("worker_fell", tasks=fallen, errors=[repr(ending) for ending in endings])
        raise RuntimeError(f"the worker's {', '.join(fallen)} ended, and nothing of it may be missing")
    log.info("worker_stopped")


async def repeat(duty: Work, every_ms: int) -> None:
    """Run a duty for ever: at once again while there is plenty to do, later and later while it fails."""
    failures = 0
    while True:
        end_if_cancelled()
        pause_ms = every_ms
        try:
            if await duty() >= limits.DUTY_BATCH_MAX:
                pause_ms = 0
            failures = 0
        except Exception as error:  # noqa: BLE001 (a duty that fails never stops, and never stops the others)
            failures += 1
            pause_ms = min(every_ms * 2**failures, limits.DUTY_BACKOFF_MAX_MS)
            log.warning("duty_failed", duty=getattr(duty, "__name__", "duty"), error=f"{type(error).__name__}: {error}")
        await asyncio.sleep(pause_ms / 1000)


def layout_reader(catalogue: Catalogue) -> Describe:
    """Give what tells the projector labels and tiers of seats; layouts never change, so they stay in memory."""

    async def describe(showtime: int, seats: Sequence[int]) -> list[tuple[str, str]]:
        layout = await catalogue.layout((await catalogue.showtime(showtime)).layout_id)
        return [(layout.seats[index].seat, layout.seats[index].tier) for index in seats]

    return describe


async def _until_ready(runtime: Runtime, stop: asyncio.Event) -> None:
    """Wait for a PostgreSQL that can be asked whether it fits."""
    while not stop.is_set():
        try:
            await check_deployment(runtime.pool)
        except (Unavailable, *LOST) as error:
            log.warning("worker_waits_for_ledger", error=str(error))
            await asyncio.sleep(limits.DUTY_EVERY_MS / 1000)
        else:
            return

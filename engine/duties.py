"""What the worker does beside reading facts: each duty brings something to an end that a request left open.

All of them are driven by rows of the ledger or hints in Redis, may run in several workers at once, and may be repeated.
Each gives how many things it took up, so that a full load is followed by another at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import ResponseError

from engine import limits
from engine.blocking import lift_block, put_block
from engine.errors import Refusal, SeatlockError
from engine.ledger.bookkeeping import ask_rebuilds
from engine.ledger.database import reading, transaction
from engine.ledger.drained import Drain
from engine.ledger.ledger import Ledger
from engine.ledger.queries import query
from engine.ledger.records import Block, Capture, CaptureOutcome, SoldSeats
from engine.ledger.requests import forget_old
from engine.ledger.restore import Restorer
from engine.restocking import restock_sale
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_key, showtime_key
from engine.seats.redis_errors import RedisError
from engine.seats.seat_engine import SeatEngine

log = structlog.get_logger()

TROUBLE = (SeatlockError, RedisError)
"""What one showtime or booking may fail with; the others of a round must not wait for it."""
Settle = Callable[[Capture], Awaitable[CaptureOutcome | None]]
"""Sells the seats of a capture or refuses it; engine.orders has it. None: sold, and the ledger will know soon."""


class Duties:
    """The worker's duties.

    Args:
        ledger: says what is due.
        seats: where it is done.
        restorer: builds showtimes anew.
        client: reads the hints.
        settle: of the payments.
        partitions: gives the partitions that this worker reads; only their timers are its business.
    """

    def __init__(
        self,
        ledger: Ledger,
        seats: SeatEngine,
        restorer: Restorer,
        client: redis.asyncio.Redis,
        settle: Settle,
        partitions: Callable[[], Sequence[int]],
    ) -> None:
        self._ledger = ledger
        self._seats = seats
        self._restorer = restorer
        self._redis: Any = client
        self._settle = settle
        self._partitions = partitions
        self._drain = Drain(client, ledger.pool)

    async def settle_captures(self) -> int:
        """Bring money to its outcome that nobody else brought there within 10 s."""
        captures = await self._ledger.due_captures(limits.DUTY_BATCH_MAX)
        await asyncio.gather(*(self._settle_one(capture) for capture in captures))
        return len(captures)

    async def _settle_one(self, capture: Capture) -> None:
        try:
            outcome = await self._settle(capture)
            log.info("capture_settled", session_id=capture.session_id, outcome=outcome or "sold")
        except TROUBLE as error:
            log.warning("capture_unsettled", session_id=capture.session_id, error=error.code)
            if isinstance(error, Refusal):
                # No rule says what to do with it: a person must.
                name = f"capture_stuck:{capture.gateway}:{capture.session_id}"
                details = {"refusal": error.code, "amount_minor": capture.amount_minor, "currency": capture.currency}
                await self._ledger.open_case(
                    "capture_stuck",
                    name,
                    details,
                    showtime=capture.showtime,
                    booking_id=capture.booking_id,
                    session_id=capture.session_id,
                )

    async def expire_holds(self) -> int:
        """End lapsed holds, so that viewers are told. Nothing depends on it: a lapsed hold is gone anyway."""
        ended = 0
        partitions = self._partitions()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition in partitions:
                key = partition_key(partition, "lapses")
                now_ms = self._seats.lane_for(partition).now_ms()
                pipeline.zrangebyscore(key, 0, now_ms, start=0, num=limits.DUTY_BATCH_MAX)
            answers = await pipeline.execute()
        for partition, showtimes in zip(partitions, answers, strict=True):
            for showtime in showtimes:
                ended += await self._expire_one(partition, int(showtime))
        return ended

    async def drop_strangers(self) -> int:
        """Remove what somebody has put in the place of a partition's stream or hint: it stops all of the partition.

        Facts that the stream had are lost with it; money that waits for them finds that out (`find_lost_facts`).
        """
        partitions = self._partitions()
        async with self._redis.pipeline(transaction=False) as pipeline:
            for partition in partitions:
                pipeline.xlen(partition_key(partition, "facts"))
                pipeline.zcard(partition_key(partition, "lapses"))
            answers = iter(await pipeline.execute(raise_on_error=False))
        for partition in partitions:
            for name in ("facts", "lapses"):
                answer = next(answers)
                if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
                    log.error("key_of_another_type", key=partition_key(partition, name))
                    await self._redis.delete(partition_key(partition, name))
        return 0

    async def _expire_one(self, partition: int, showtime: int) -> int:
        try:
            return await self._seats.expire_holds(showtime, limits.LAPSES_PER_CALL_MAX)
        except Refusal:
            # The showtime has ended for good; nothing else takes its hint away.
            await self._redis.zrem(partition_key(partition, "lapses"), showtime)
        except TROUBLE as error:
            log.warning("holds_not_expired", showtime=showtime, error=error.code)
        return 0

    async def restock_seats(self) -> int:
        """Give back seats of refunded tickets. The fact of it clears the due time; so do we if they are free."""
        async with transaction(self._ledger.pool) as connection:
            due = await connection.fetch(query("due_restocks"), limits.RESTOCKED_TICKETS_PER_ROUND_MAX)
        sales = [SoldSeats(*row.values()) for row in due]
        for first in range(0, len(sales), limits.RESTOCKS_AT_ONCE_MAX):
            await asyncio.gather(*map(self._restock_one, sales[first : first + limits.RESTOCKS_AT_ONCE_MAX]))
        return sum(len(sale.seats) for sale in sales)

    async def _restock_one(self, sale: SoldSeats) -> None:
        try:
            await restock_sale(self._seats, self._ledger.pool, sale)
        except TROUBLE as error:
            log.warning("seats_not_restocked", booking=str(sale.booking_id), error=error.code)

    async def expire_bookings(self) -> int:
        """End bookings in the ledger whose hold is gone, e.g. with the memory of Redis."""
        overdue = await self._ledger.overdue_bookings(limits.DUTY_BATCH_MAX)
        for booking_id in overdue:
            try:
                hold = await self._seats.read_hold(parse_hold_id(booking_id))
                await self._ledger.move_deadline(booking_id, hold.deadline_ms)
            except Refusal as refusal:
                # One that ends with its showtime is CANCELLED, by whoever works that off.
                cancelled = refusal.details.get("showtime_status") == "CANCELLED"
                if not cancelled and await self._ledger.expire_booking(booking_id):
                    log.info("booking_expired", booking=booking_id)
            except TROUBLE as error:
                log.warning("booking_not_expired", booking=booking_id, error=error.code)
        return len(overdue)

    async def apply_blocks(self) -> int:
        """Tell Redis of blocks, and of their ends, that it was not told of; end those whose time has come."""
        for block_id in await self._ledger.due_releases(limits.DUTY_BATCH_MAX):
            await self._apply_block(await self._ledger.release_block(block_id))
        due = await self._ledger.due_blocks(limits.DUTY_BATCH_MAX)
        for block in due:
            await self._apply_block(block)
        return len(due)

    async def _apply_block(self, block: Block) -> None:
        try:
            if block.released_at_ms is None:
                block = await self._put_block(block)
            if block.released_at_ms is not None:
                await lift_block(self._seats, self._ledger, block)
        except Refusal:
            pass  # the showtime has left Redis for good, and its blocks with it
        except TROUBLE as error:
            log.warning("block_not_applied", block=block.id, error=error.code)
            return
        await self._ledger.finish_block(block)

    async def _put_block(self, block: Block) -> Block:
        """Tell Redis of a block; one that it cannot have is released, with a case. Gives the block as it is then."""
        try:
            await put_block(self._seats, block)
        except Refusal as refusal:
            taken = refusal.details.get("seats", ())
            if not taken:
                raise
            details = {"block": block.id, "taken": list(taken)}
            await self._ledger.open_case("block_refused", f"block_refused:{block.id}", details, showtime=block.showtime)
            # A load may have brought some of its seats to Redis, so its end must be told there.
            return await self._ledger.release_block(block.id)
        return block

    async def forget_requests(self) -> int:
        """Remove what requests with an Idempotency-Key were answered more than a day ago."""
        return await forget_old(self._ledger.pool, limits.DUTY_BATCH_MAX)

    async def rebuild_showtimes(self) -> int:
        """Freeze the showtimes that are not to be trusted, and build those anew that need no person to look first."""
        async with transaction(self._ledger.pool) as connection:
            due = await connection.fetch(query("due_rebuilds"), limits.DUTY_BATCH_MAX)
        for row in due:
            try:
                if row["automatic"]:
                    await self._restorer.rebuild(row["showtime_id"])
                else:
                    await self._seats.freeze_showtime(row["showtime_id"], "rebuilding")
            except TROUBLE as error:
                log.warning("showtime_not_rebuilt", showtime=row["showtime_id"], error=error.code)
        return len(due)

    async def find_lost_facts(self) -> int:
        """Notice facts that never reached the ledger: Redis has counted further, and the stream is drained."""
        async with reading(self._ledger.pool) as connection:
            rows = await connection.fetch(query("list_unsettled_showtimes"), limits.DUTY_BATCH_MAX)
        for row in rows:
            try:
                await self._find_lost_one(row["showtime_id"])
            except (ResponseError, ValueError) as error:
                # Its keys are damaged: the next script says so, and a load mends them. The others are looked at.
                log.warning("showtime_unreadable", showtime=row["showtime_id"], error=str(error))
        return 0

    async def _find_lost_one(self, showtime: int) -> None:
        generation, seq = await self._redis.hmget(showtime_key(showtime, "meta"), "generation", "seq")
        if generation is None or seq is None or not await self._drain.drained(showtime):
            return
        async with transaction(self._ledger.pool) as connection:
            head = await connection.fetchval(query("read_fact_head"), showtime, int(generation)) or 0
            if int(seq) > head:
                log.error("facts_lost", showtime=showtime, redis_seq=int(seq), ledger_seq=head)
                await ask_rebuilds(connection, {showtime: "facts_missing"}, automatic=True)

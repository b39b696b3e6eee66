"""Bringing a showtime's seats in Redis in line with the ledger: load what is missing, adopt what is whole, or rebuild.

A load is only seen at its end, which needs the nonce of its beginning: whoever closes or freezes the showtime
meanwhile takes the nonce away, and the load is begun anew with what the ledger says then.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import asyncpg
import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.records import Showtime
from engine.errors import Refusal, Unavailable
from engine.ledger.database import reading, transaction
from engine.ledger.drained import Drain
from engine.ledger.lost_sales import append_lost_sales
from engine.ledger.queries import query
from engine.limits import CUSTOMERS_PER_PART_MAX, LOAD_BEAT_MS, LOAD_POLL_MS, LOAD_WAIT_MS
from engine.seats.keys import partition_of, showtime_key
from engine.seats.partition_lane import PartitionLane
from engine.seats.records import MetaStatus, ShowtimeLoad
from engine.seats.seat_engine import SeatEngine
from engine.seats.seat_string import read_seat_string

log = structlog.get_logger()

META_STATUS: dict[str, MetaStatus] = {"OPEN": "open", "FROZEN": "frozen", "CANCELLED": "cancelled"}


class Restorer:
    """Restores showtimes. Loading needs a worker only when facts of the showtime are still on their way.

    Args:
        pool: of the ledger.
        client: for reading streams and raw keys.
        seats: whose steps a load is made of.
        catalogue: gives policy and layout.
    """

    def __init__(
        self, pool: asyncpg.Pool, client: redis.asyncio.Redis, seats: SeatEngine, catalogue: Catalogue
    ) -> None:
        self._pool = pool
        self._redis: Any = client
        self._seats = seats
        self._catalogue = catalogue
        self._drain = Drain(client, pool)

    async def restore(self, showtime: int, why: str, said_ms: int) -> None:
        """Make a showtime usable again.

        Args:
            showtime: its number.
            why: the word that a script gave: `not_loaded`, `stale_generation`, `damaged`.
            said_ms: when it did, by Redis' clock; 0 if that is not known.

        Raises:
            Refusal: `not_found`; `showtime_closed {showtime_status}`, its keys have ended for good.
            Unavailable: `showtime_frozen` when facts of the showtime do not reach the ledger in time, or somebody
                else's load does not end; `ledger_unavailable`, `redis_unavailable`, `overloaded`.
        """
        deadline = time.monotonic() + LOAD_WAIT_MS / 1000
        try:
            facts = await self._catalogue.read_showtime(showtime)
            policy = self._catalogue.policy(facts)
            if self._lane(showtime).now_ms() >= policy.keys_until_ms:
                raise Refusal("showtime_closed", showtime_status="ENDED")
            if why == "stale_generation" and await self._adopt(facts, deadline):
                return
            if why == "damaged":
                # The ledger first: else nobody would go on if we ended now, for readers may see nothing to restore.
                async with transaction(self._pool) as connection:
                    noted_at = await connection.fetchval(query("note_damage"), showtime)
                if not await self._stop_writers(showtime, said_ms or None):
                    async with transaction(self._pool) as connection:
                        await connection.execute(query("end_rebuild"), showtime, noted_at)
                    return
            await self._load(showtime, deadline, force=why != "not_loaded", again=False)
        except RedisError as error:
            raise Unavailable("redis_unavailable", str(error)) from error

    async def rebuild(self, showtime: int) -> None:
        """Build a showtime anew from the ledger although Redis has it; all its holds are lost.

        Sales that Redis knows and whose facts were lost are put into the stream again first.

        Raises:
            As `restore`.
        """
        deadline = time.monotonic() + LOAD_WAIT_MS / 1000
        try:
            await self._stop_writers(showtime)
            await self._renew(showtime)
            await self._drain.wait(showtime, deadline)
            if await append_lost_sales(self._pool, self._redis, self._lane(showtime).generation, showtime):
                await self._drain.wait(showtime, deadline)
            await self._load(showtime, deadline, force=True, again=True)
        except RedisError as error:
            raise Unavailable("redis_unavailable", str(error)) from error

    def _lane(self, showtime: int) -> Any:
        return self._seats.lane_for(partition_of(showtime))

    async def _renew(self, showtime: int) -> None:
        """Load under no generation that the showtime has outlived, or facts of it would be taken for old ones.

        On a cluster its partition may have been on another node in between without our knowing.
        """
        lane = self._lane(showtime)
        if not isinstance(lane, PartitionLane):
            return
        async with reading(self._pool) as connection:
            heads = await connection.fetch(query("list_fact_heads"), showtime)
        newest = max((row["generation"] for row in heads), default=0)
        if newest > lane.generation:
            await lane.renew(newest)

    async def _stop_writers(self, showtime: int, damaged_ms: int | None = None) -> bool:
        """Let no script change the showtime any more; a load in progress elsewhere is not disturbed.

        False if somebody else has loaded it since it was found damaged: it is sound, and has holds again.
        """
        try:
            status = await self._redis.hget(showtime_key(showtime, "meta"), "status")
            if status not in (b"rebuilding", b"cancelled"):
                return await self._seats.stop_writers(showtime, damaged_ms)
        except (Refusal, ResponseError) as error:
            # What is damaged beyond this cannot be changed by scripts either.
            log.warning("showtime_not_stopped", showtime=showtime, error=str(error))
        return True

    async def _adopt(self, facts: Showtime, deadline: float) -> bool:
        """Keep a showtime with its holds after a Redis restart, if nothing of it was lost.

        On a cluster it may have come from another node, and those who have not heard of it yet may go on selling there
        under its old stamp: what changes while it is compared is compared again.
        """
        while True:
            seen = await self._look(facts.id)
            if seen is None:
                return False
            stamp, seq, status, blocked, sold = seen
            lane = self._lane(facts.id)
            if stamp > lane.generation and (await self._later_life(facts.id, stamp))["known"]:
                await lane.renew(stamp)
            generation = lane.generation
            if stamp == generation:
                return True
            await self._drain.wait(facts.id, deadline)
            known = await self._read_ledger(facts.id, stamp)
            # Data of an earlier life can be as the ledger was at that life's end: sales of lives since then lack in it.
            superseded = stamp > generation or (await self._later_life(facts.id, stamp))["later"]
            whole = known["seq"] == seq and known["status"] == status and known["blocked"] == blocked
            # What was given back in a later life may have been free there, and so have left no fact.
            whole &= known["sold"].keys() <= sold <= known["sold"].keys() | known["leaving"]
            if whole and not superseded:
                loads = await self._count_load(facts.id)
                if await self._seats.adopt_showtime(facts.id, stamp, seq, loads, generation):
                    break
            if await self._look(facts.id) == seen:
                log.warning("showtime_incomplete", showtime=facts.id, seq=seq, ledger_seq=known["seq"])
                return False
            if time.monotonic() > deadline:
                raise Unavailable("showtime_frozen", "The showtime changes while it is being adopted.")
        await self._renew_policy(facts)
        log.info("showtime_adopted", showtime=facts.id, generation=generation, seq=seq)
        return True

    async def _look(self, showtime: int) -> tuple[int, int, str, frozenset[int], frozenset[int]] | None:
        """Read what Redis has of a showtime: stamp, seq, status, blocked, sold seats; None if it cannot be adopted."""
        try:
            stamp, seq, status = await self._redis.hmget(showtime_key(showtime, "meta"), "generation", "seq", "status")
            seats = read_seat_string(await self._redis.get(showtime_key(showtime, "seats")))
            if seats is None or None in (stamp, seq, status):
                return None
            return int(stamp), int(seq), status.decode(), seats.blocked, seats.sold
        except (ResponseError, ValueError):
            return None  # of another type, or no numbers

    async def _later_life(self, showtime: int, generation: int) -> Any:
        async with reading(self._pool) as connection:
            return await connection.fetchrow(query("find_later_life"), showtime, generation)

    async def _renew_policy(self, facts: Showtime) -> None:
        """Tell Redis the rules: a change of them leaves no fact, so the end of one may be what was lost.

        Told again if they were changed while we told them: the operator's own call may have come before ours.
        """
        told = None
        while told != self._catalogue.policy(facts):
            told = self._catalogue.policy(facts)
            await self._seats.change_policy(facts.id, told)
            facts = await self._catalogue.read_showtime(facts.id)

    async def _load(self, showtime: int, deadline: float, *, force: bool, again: bool) -> None:
        """Load until it stays: `force` what is loaded, `again` even if it is sound."""
        await self._renew(showtime)
        # The wait that may be long comes before the nonce, which would keep others from loading if we gave up.
        await self._drain.wait(showtime, deadline)
        nonce = uuid4().hex  # the same at each try: one that was lost to a fact must not keep the next one waiting
        while True:
            begun = await self._seats.begin_load(showtime, nonce, force=force)
            if begun.word == "loaded":
                return
            if begun.word == "loading":
                if force and not again and await self._is_sound(showtime):
                    return  # somebody else has loaded it since we were told that it is unusable
                async with self._alive(showtime, nonce):
                    installed = await self._install(showtime, nonce, deadline)
                if installed:
                    return
            elif not again and await self._is_sound(showtime):
                return
            if time.monotonic() > deadline:
                raise Unavailable("showtime_frozen", "The showtime is being loaded.")
            await asyncio.sleep(min(begun.wait_ms, LOAD_POLL_MS) / 1000)

    @asynccontextmanager
    async def _alive(self, showtime: int, nonce: str) -> AsyncIterator[None]:
        """Keep a load's nonce alive while it goes on; it ends soon after a process that dies."""

        async def beat() -> None:
            going = True
            while going:
                await asyncio.sleep(LOAD_BEAT_MS / 1000)
                going = await self._seats.install_part(showtime, nonce, {})

        beats = asyncio.create_task(beat())
        try:
            yield
        finally:
            beats.cancel()
            await asyncio.gather(beats, return_exceptions=True)  # its failures show in the load itself

    async def _is_sound(self, showtime: int) -> bool:
        """Whether the showtime can be used: it is read without a restore, and not under rebuilding."""
        try:
            status = await self._redis.hget(showtime_key(showtime, "meta"), "status")
        except ResponseError:
            return False  # of another type: nothing but a load replaces it
        return status != b"rebuilding" and await self._seats.peek_seats(showtime) is not None

    async def _install(self, showtime: int, nonce: str, deadline: float) -> bool:
        """Put what the ledger says into Redis; False if the load was lost on the way."""
        began = time.monotonic()
        await self._drain.wait(showtime, deadline)
        facts = await self._catalogue.read_showtime(showtime)
        loads = await self._count_load(showtime)
        generation = self._lane(showtime).generation
        known = await self._read_ledger(showtime, generation)
        bought = list(known["bought"].items())
        for start in range(0, len(bought), CUSTOMERS_PER_PART_MAX):
            part = dict(bought[start : start + CUSTOMERS_PER_PART_MAX])
            if not await self._seats.install_part(showtime, nonce, part):
                return False
        load = ShowtimeLoad(
            status=known["status"],
            seats=known["seats"],
            generation=generation,
            seq=known["seq"],
            loads=loads,
            sold=known["sold"],
            blocked=known["blocked"],
            policy=self._catalogue.policy(facts),
        )
        if not await self._seats.finish_load(showtime, nonce, load):
            return False
        async with transaction(self._pool) as connection:
            await connection.execute(query("end_rebuild"), showtime, known["asked_at"])
        took_ms = round((time.monotonic() - began) * 1000)
        log.info("showtime_loaded", showtime=showtime, sold=len(load.sold), seq=load.seq, loads=loads, took_ms=took_ms)
        return True

    async def _count_load(self, showtime: int) -> int:
        async with transaction(self._pool) as connection:
            return int(await connection.fetchval(query("count_load"), showtime))

    async def _read_ledger(self, showtime: int, generation: int) -> dict[str, Any]:
        """Read, all of one moment, what Redis is to have: its words, seats by index, counts by subject."""
        async with transaction(self._pool, "repeatable_read") as connection:
            row = await connection.fetchrow(query("read_showtime_to_load"), showtime, generation)
            sold = await connection.fetch(query("list_sold_seats"), showtime)
            leaving = await connection.fetch(query("list_leaving_seats"), showtime)
            blocked = await connection.fetch(query("list_blocked_seats"), showtime)
            bought = await connection.fetch(query("count_bought"), showtime)
        if row is None:
            raise Refusal("not_found")
        status = META_STATUS[row["status"]]
        sale_of = {seat["seat_index"]: seat["sale_number"] for seat in sold}
        return {
            # What waits for an operator stays frozen, whatever becomes of Redis.
            "status": "rebuilding" if row["waits"] and status != "cancelled" else status,
            "seats": row["seat_count"],
            "seq": row["seq"],
            "asked_at": row["asked_at"],
            "sold": sale_of,
            "leaving": {seat["seat_index"] for seat in leaving},
            "blocked": frozenset(seat["seat_index"] for seat in blocked) - sale_of.keys(),
            "bought": {seat["subject"]: seat["bought"] for seat in bought},
        }

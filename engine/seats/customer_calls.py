"""A customer across showtimes: where the live holds are, and a hold that goes over to another customer.

Each showtime knows its own customers. What tells in which showtimes to look is a hint beside them: written after a
claim, in the same turn and without waiting for it, and proved by asking the showtime itself.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import lru_cache

from engine import limits
from engine.errors import Unavailable
from engine.seats.answers import NEEDS_RESTORE, hold_of, refusal_of
from engine.seats.connection import Argument
from engine.seats.ids import HoldId, subject_key
from engine.seats.keys import customer_key, customer_partition
from engine.seats.lane import Lane
from engine.seats.lanes import Lanes
from engine.seats.partition_lane import PartitionLane
from engine.seats.records import Hold, Request
from engine.seats.redis_errors import RedisError
from engine.seats.script_calls import Restore, ScriptCalls
from engine.seats.scripts import Script


class CustomerCalls(ScriptCalls):
    """What concerns a customer and not one showtime. Raises Unavailable as `ScriptCalls` says."""

    def __init__(self, lane: Lane | Lanes, scripts: Mapping[str, Script], restore: Restore) -> None:
        super().__init__(lane, scripts, restore)
        self._hint_of = lru_cache(limits.SUBJECTS_REMEMBERED_MAX)(self._find_hint)

    async def holds_of(self, subject: str) -> tuple[HoldId, ...]:
        """Find the subject's live holds, checked out or not, of all showtimes, newest first.

        A hold whose hint was lost is not found; it lives on, and its id still names it.
        """
        showtimes = await self._showtimes_of(subject_key(subject))
        found = await asyncio.gather(*(self.find_holds(showtime, subject) for showtime in showtimes))
        return tuple(sorted((hold for some in found for hold in some), key=str, reverse=True))

    async def find_holds(self, showtime: int, subject: str) -> tuple[HoldId, ...]:
        """Find the subject's live holds of one showtime."""
        args: tuple[Argument, ...] = (subject_key(subject),)
        answer = await self._read_once("find_holds", showtime, args)
        if answer[0] == b"not_loaded":
            return ()  # Redis has lost it with all its holds; nothing is gained by loading it now.
        if answer[0] in NEEDS_RESTORE:
            answer = await self._read("find_holds", showtime, args)
        if answer[0] != b"found":
            raise refusal_of(answer, showtime)
        pairs = zip(answer[2::2], answer[3::2], strict=True)
        return tuple(HoldId(claimed_at_ms, owner, showtime) for owner, claimed_at_ms in pairs)

    async def move_hold(
        self, hold: Hold, subject: str, new_subject: str, checkout: bytes | None, request: Request | None = None
    ) -> Hold:
        """Give a hold to another customer; seats, deadline and prices stay.

        Args:
            hold: as it was read.
            subject: whose it is.
            new_subject: whose it becomes.
            checkout: what to keep instead of `hold.checkout`; None if that is None.
            request: remembers the success.

        Raises:
            Refusal: `not_found, hold_expired`; `hold_changed`: it was checked out since it was read;
                `hold_limit {holds}`, `seat_limit {seats_left}` of the new customer.
        """
        assert (hold.checkout is None) == (checkout is None)
        who = (subject_key(subject), subject_key(new_subject))
        args: tuple[Argument, ...] = (hold.owner, hold.claimed_at_ms, *who, hold.checkout or b"", checkout or b"")
        answer = await self._write("move_hold", hold.showtime, args, request)
        if answer[0] not in (b"moved", b"replayed"):
            raise refusal_of(answer, hold.showtime)
        moved = hold_of(answer, hold.showtime)
        self._note_customer(moved)
        return moved

    def _note_customer(self, hold: Hold) -> None:
        """Leave the hint that this customer has a hold of this showtime, until nothing can make it live any longer."""
        until_ms = max(hold.extendable_until_ms, hold.deadline_ms)
        if hold.status == "PENDING":
            until_ms += limits.PAYMENT_RETRIES_MAX * limits.PAYMENT_RETRY_TTL_MS
        key, lane = self._hint_of(hold.subject_key)
        lane.tell("ZADD", key, "GT", until_ms, hold.showtime)
        # Longer than this hold needs: one of another showtime, noted before, may end a little later.
        lane.tell("PEXPIREAT", key, until_ms + limits.CUSTOMER_HINT_GRACE_MS)

    def _find_hint(self, key_of_subject: bytes) -> tuple[str, Lane | PartitionLane]:
        return customer_key(key_of_subject), self.lane_for(customer_partition(key_of_subject))

    async def _showtimes_of(self, key_of_subject: bytes) -> Sequence[int]:
        key, lane = self._hint_of(key_of_subject)
        now_ms = lane.now_ms()
        limit = limits.CUSTOMER_SHOWTIMES_MAX
        try:
            found = await lane.ask("ZREVRANGEBYSCORE", key, "+inf", f"({now_ms}", "LIMIT", 0, limit)
        except RedisError as error:
            raise Unavailable("redis_unavailable", str(error)) from None
        lane.tell("ZREMRANGEBYSCORE", key, "-inf", now_ms)
        return [int(showtime) for showtime in found]

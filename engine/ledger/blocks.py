"""Seats that operators took out of sale. The rows come first, then Redis, then the note that Redis has it."""

from collections.abc import Sequence
from typing import Any

import msgspec

from engine.errors import Refusal
from engine.ledger.database import moment, reading, transaction
from engine.ledger.part import LedgerPart
from engine.ledger.queries import query
from engine.ledger.records import Block, BlockSeat
from engine.ledger.requests import forget, once
from engine.ledger.rows import to_record
from engine.seats.records import Request


class NewBlock(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator asks for. `release_at_ms` None: until somebody ends it."""

    showtime: int
    seats: tuple[BlockSeat, ...]
    reason: str
    created_by: str
    channel: str | None = None
    evict: bool = False
    release_at_ms: int | None = None


class Blocks(LedgerPart):
    """Blocks of seats."""

    async def add_block(self, block: NewBlock, request: Request | None = None) -> Block:
        """Enter a block and the act of who asked for it; one that an earlier run entered is `replayed`, as it is now.

        Afterwards tell Redis, then `finish_block`; if Redis refuses, `release_block` with the same request.

        Raises:
            Refusal: `seats_taken` with `seats: [{"seat", "reason": "BLOCKED"}]`; `not_found`, no such showtime;
                `idempotency_key_reused`, `idempotency_key_in_flight`.
            Unavailable: `ledger_unavailable`.
        """
        async with once(self.pool, request) as run:
            connection = run.connection
            if run.replayed:
                return msgspec.structs.replace(await _read(connection, run.answer), replayed=True)
            # The showtime's row makes two operators take turns; it must exist, and a reload reads it in the same way.
            if await connection.fetchval(query("find_showtime_status"), block.showtime) is None:
                raise Refusal("not_found")
            release_at = None if block.release_at_ms is None else moment(block.release_at_ms)
            block_id = await connection.fetchval(
                query("insert_block"),
                block.showtime,
                block.reason,
                block.channel,
                block.evict,
                release_at,
                block.created_by,
            )
            indexes, labels = [seat.index for seat in block.seats], [seat.seat for seat in block.seats]
            entered = await connection.fetch(query("insert_block_seats"), block_id, block.showtime, indexes, labels)
            missing = set(indexes) - {row["seat_index"] for row in entered}
            if missing:
                taken = [{"seat": seat.seat, "reason": "BLOCKED"} for seat in block.seats if seat.index in missing]
                raise Refusal("seats_taken", seats=taken)
            details = {"block": block_id, "seats": labels, "evict": block.evict}
            await _record_act(connection, block.created_by, "block_seats", block.showtime, block.reason, details)
            run.answer = block_id
            return await _read(connection, block_id)

    async def read_block(self, block_id: int) -> Block:
        """Read one block, released or not.

        Raises:
            Refusal: `not_found`.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            return await _read(connection, block_id)

    async def list_blocks(self, showtime: int, *, released: bool = False) -> list[Block]:
        """List the blocks of a showtime, oldest first; with the released ones if asked.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            rows = await connection.fetch(query("list_blocks"), showtime, released)
        return [_to_block(row) for row in rows]

    async def release_block(
        self, block_id: int, refused: Request | None = None, *, actor: str | None = None, reason: str = ""
    ) -> Block:
        """End a block in the ledger; a repeat is harmless. Afterwards tell Redis, then `finish_block`.

        Args:
            block_id: its number.
            refused: the request that wanted the block and cannot have it: it is forgotten.
            actor: the operator whose act is written down; None when time has ended it, or the worker.
            reason: of the act.

        Raises:
            Refusal: `not_found`.
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            if await connection.fetchval(query("release_block"), block_id) is not None:
                await connection.execute(query("release_block_seats"), block_id)
                if actor is not None:
                    showtime = (await _read(connection, block_id)).showtime
                    await _record_act(connection, actor, "unblock_seats", showtime, reason, {"block": block_id})
            await forget(connection, refused)
            return await _read(connection, block_id)

    async def finish_block(self, block: Block) -> None:
        """Note that Redis knows the block as it is in `block`: in force, or ended.

        A block that was ended meanwhile is not noted, and the worker tells Redis of its end.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            await connection.execute(query("finish_block"), block.id, block.released_at_ms is not None)

    async def due_blocks(self, limit: int) -> list[Block]:
        """Take blocks that Redis must still be told of; each is given again after 10 s if nobody finishes it.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self.pool) as connection:
            rows = await connection.fetch(query("due_blocks"), limit)
            return [await _read(connection, row["id"]) for row in rows]

    async def seats_to_free(self, block: Block) -> list[int]:
        """Give the seats of an ended block that no other block has taken meanwhile.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        indexes = [seat.index for seat in block.seats]
        async with reading(self.pool) as connection:
            rows = await connection.fetch(query("list_blocked_seats"), block.showtime)
        return sorted(set(indexes) - {row["seat_index"] for row in rows})

    async def tell_again(self, showtime: int, seats: Sequence[int]) -> None:
        """Have the worker tell Redis of the blocks that these seats are in: it may have forgotten them by now.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self.pool) as connection:
            await connection.execute(query("tell_blocks_again"), showtime, seats)

    async def due_releases(self, limit: int) -> list[int]:
        """Give ids of blocks whose agreed end has come.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self.pool) as connection:
            rows = await connection.fetch(query("due_releases"), limit)
        return [row["id"] for row in rows]


async def _record_act(
    connection: Any, actor: str, verb: str, showtime: int, reason: str, details: dict[str, Any]
) -> None:
    await connection.execute(query("insert_act"), actor, verb, f"showtime:{showtime}", reason, details)


async def _read(connection: Any, block_id: int) -> Block:
    row = await connection.fetchrow(query("read_block"), block_id)
    if row is None:
        raise Refusal("not_found")
    return _to_block(row)


def _to_block(row: Any) -> Block:
    return to_record({**row, "seats": [{"index": index, "seat": seat} for index, seat in row["seats"] or ()]}, Block)

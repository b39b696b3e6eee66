"""Sales that Redis knows and the ledger does not, because their facts were lost: appended again under the same ids."""

import time
from typing import Any

import asyncpg
import orjson
import redis.asyncio
import structlog

from engine.ledger.database import reading
from engine.ledger.queries import query
from engine.seats.keys import partition_key, partition_of, showtime_key
from engine.seats.seat_string import read_seat_string

log = structlog.get_logger()


async def append_lost_sales(pool: asyncpg.Pool, client: redis.asyncio.Redis, generation: int, showtime: int) -> int:
    """Append `seats_sold` again for open captures whose seats are sold under their own number in Redis.

    Call it when no script can change the showtime and its stream is drained. A repeat appends facts with the same
    seq and business id, which the projector passes over.

    Returns:
        How many facts were appended.
    """
    raw: Any = client
    async with reading(pool) as connection:
        captures = await connection.fetch(query("list_open_sales"), showtime)
        head = await connection.fetchval(query("read_fact_head"), showtime, generation)
    if not captures:
        return 0
    seats = read_seat_string(await raw.get(showtime_key(showtime, "seats")))
    sale_of = {seat: seats.owners[seat] for seat in seats.sold} if seats else {}
    seq = head or 0
    for capture in captures:
        if all(sale_of.get(seat) == capture["owner_number"] for seat in capture["seats"]):
            seq += 1
            fact = {
                "kind": "seats_sold",
                "showtime": showtime,
                "generation": generation,
                "seq": seq,
                "id": capture["session_id"],
                "at": time.time_ns() // 1_000_000,
                "data": orjson.dumps(
                    {
                        "booking": str(capture["booking_id"]),
                        "gateway": capture["gateway"],
                        "session": capture["session_id"],
                        "sale": capture["owner_number"],
                        "late": False,
                        "seats": capture["seats"],
                    }
                ),
                "trace": "",
            }
            await raw.xadd(partition_key(partition_of(showtime), "facts"), fact)
            log.warning("lost_sale_appended", showtime=showtime, session_id=capture["session_id"], seq=seq)
    return seq - (head or 0)

"""Generations: each life of a Redis node has a number, so that state from another life is recognised."""

import asyncpg

from engine.ledger.database import transaction
from engine.ledger.queries import query


class Generations:
    """Gives the generation of a Redis from what it says about itself."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool

    async def identify(self, run_id: str, replication_id: str) -> int:
        """Give the number of this pair; a pair not seen before gets the next one, the same for all who ask.

        Args:
            run_id: `run_id` of INFO: changes when the server starts.
            replication_id: `master_replid` of INFO: changes when a replica is promoted.

        Raises:
            Unavailable: `ledger_unavailable`; the same call is safe.
        """
        async with transaction(self._pool) as connection:
            known = await connection.fetchval(query("find_generation"), run_id, replication_id)
            if known is None:
                known = await connection.fetchval(query("insert_generation"), run_id, replication_id)
        return int(known)

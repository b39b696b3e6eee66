"""Lanes for tests: a ledger that only counts, and calls that are easy to check."""

import asyncio

from engine.errors import Unavailable


class Registry:
    """Stands for the ledger's list of Redis servers: one number per pair, counted up."""

    def __init__(self):
        self.pairs = []
        self.away = False

    async def identify(self, run_id, replication_id):
        if self.away:
            raise Unavailable("ledger_unavailable", "PostgreSQL is away")
        self.pairs.append((run_id, replication_id))
        return len(self.pairs)


async def echo(lane, text):
    """Give what comes back for `text`."""
    word, now_ms, answer = await lane.call("echo", (), (text,))
    assert word == b"echo"
    assert now_ms > 1_600_000_000_000
    return answer


async def connected(lane):
    """Wait until calls go through again."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await echo(lane, "here?")
            except Unavailable:
                await asyncio.sleep(0.005)

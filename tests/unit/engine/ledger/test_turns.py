"""Turns: small batches of one process one after the other, large ones side by side, and nobody waits for long."""

import asyncio

from engine import limits
from engine.ledger.turns import Turns

SMALL, LARGE = 1, limits.FACTS_WITHOUT_TURN_MIN


async def together(*batches):
    """Let readers of one process commit batches of these sizes at once; give how many were at it at the same time."""
    turns, at_work, most = Turns(), 0, 0

    async def commit(facts):
        nonlocal at_work, most
        async with turns.turn(facts):
            at_work += 1
            most = max(most, at_work)
            await asyncio.sleep(0.01)
            at_work -= 1

    await asyncio.gather(*(commit(facts) for facts in batches))
    return most


async def test_small_batches_go_one_after_the_other():
    """While one commits, facts for the next gather."""
    assert await together(SMALL, SMALL, LARGE - 1) == 1


async def test_large_batches_go_side_by_side():
    """A backlog is worth a core of PostgreSQL's to each, also beside a small batch."""
    assert await together(LARGE, LARGE, SMALL) == 3


async def test_whoever_stands_still_holds_off_no_other_for_long(monkeypatch):
    """A reader that waits for a lock has its turn; the other one goes on without."""
    monkeypatch.setattr(limits, "TURN_WAIT_MAX_MS", 10)
    turns = Turns()
    async with turns.turn(SMALL), asyncio.timeout(5), turns.turn(SMALL):
        pass
    assert await together(SMALL, SMALL) == 1


async def test_a_turn_ends_with_whatever_ends_the_transaction():
    """Schedule: the session is lost amid the transaction, or the worker stops while it waits for its turn."""
    turns = Turns()
    try:
        async with turns.turn(SMALL):
            raise ConnectionResetError
    except ConnectionResetError:
        pass
    async with turns.turn(SMALL):
        waiting = asyncio.create_task(turns.turn(SMALL).__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(limits.TURN_WAIT_MAX_MS / 2000), turns.turn(SMALL):
        pass

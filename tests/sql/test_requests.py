"""What repeated requests were answered: kept with their effect, for a day, and for one body."""

import asyncio

import pytest

from engine.errors import Refusal
from engine.ledger.requests import forget_old, once, recall
from engine.seats.records import Request
from tests.sql.stage import refusal_of

ASKED = Request("key", "print")


async def run(pool, answer, request=ASKED, work=None):
    """Do something once; gives the answer that is kept, and whether it is one from before."""
    async with once(pool, request) as one:
        if not one.replayed:
            if work:
                await work(one.connection)
            one.answer = answer
        return one.answer, one.replayed


async def kept(pool):
    """Give the ids of all that is kept."""
    return {row["id"] for row in await pool.fetch("SELECT id FROM requests")}


async def test_the_first_answer_is_given_again(pool):
    """With the same body only; a request without a key is always new."""
    assert await recall(pool, ASKED) is None
    assert await run(pool, {"id": 1}) == ({"id": 1}, False)
    assert await run(pool, {"id": 2}) == ({"id": 1}, True)
    assert await recall(pool, ASKED) == {"id": 1}
    other = Request("key", "another")
    assert await refusal_of(recall(pool, other)) == "idempotency_key_reused"
    assert await refusal_of(run(pool, 3, other)) == "idempotency_key_reused"
    assert await run(pool, 4, None) == (4, False)
    assert await recall(pool, None) is None


async def test_a_key_is_in_flight_as_long_as_its_first_request_runs(pool):
    """Nobody waits for the other: the second is told at once, and finds the answer afterwards."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(_):
        begun.set()
        await go_on.wait()

    first = asyncio.create_task(run(pool, 1, work=work))
    await begun.wait()
    assert await refusal_of(run(pool, 2)) == "idempotency_key_in_flight"
    assert await run(pool, 5, Request("another key", "print")) == (5, False)
    go_on.set()
    assert await first == (1, False)
    assert await run(pool, 2) == (1, True)


async def test_what_fails_leaves_neither_effect_nor_answer(pool):
    """Both are one transaction, so the key is free for the next try."""

    async def work(connection):
        await connection.execute("INSERT INTO cities (slug, name, timezone) VALUES ('x', 'X', 'UTC')")
        raise Refusal("name_taken")

    assert await refusal_of(run(pool, 1, work=work)) == "name_taken"
    assert await pool.fetchval("SELECT count(*) FROM cities") == 0
    assert await run(pool, 2) == (2, False)


async def test_the_connection_that_dies_lets_go_of_its_key(pool):
    """As after kill -9: PostgreSQL ends the transaction, and whoever comes next is the first."""

    async def work(connection):
        await connection.fetchval("SELECT pg_terminate_backend(pg_backend_pid())")

    assert await refusal_of(run(pool, 1, work=work)) == "ledger_unavailable"
    assert await run(pool, 2) == (2, False)


@pytest.mark.parametrize("removed", [False, True], ids=["still-there", "removed"])
async def test_a_key_is_forgotten_after_a_day(pool, removed):
    """Whether or not the worker has removed it; what is younger stays."""
    await run(pool, 1)
    await pool.execute("UPDATE requests SET made_at = now() - interval '24 hours 1 second'")
    await run(pool, 1, Request("young", "print"))
    if removed:
        assert await forget_old(pool, 50) == 1
        assert await kept(pool) == {"young"}
    assert await recall(pool, ASKED) is None
    assert await run(pool, 2, Request("key", "another")) == (2, False)
    assert await forget_old(pool, 50) == 0

"""Requests that may be repeated: what they were answered is kept for a day, in the transaction of their effect.

async with once(pool, request) as run:    the effect and its answer, committed together
known = await recall(pool, request)       the answer of an earlier run, before any work is done

Everything whose effect is in PostgreSQL goes through here. What lives in Redis alone (a claim, an extension, a
check-out) is remembered by its Lua script, in the same way: see `lua/include/request.lua`.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from engine.errors import Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.seats.records import Request


class Once:
    """One run inside its transaction. Whoever does the work sets `answer`; it is JSON, and never None.

    Attributes:
        connection: of the transaction.
        answer: what is kept. Of a replay it is there already; set it again, and the new one is kept.
        replayed: whether an earlier run was answered.
    """

    def __init__(self, connection: Any, answer: Any = None) -> None:
        self.connection = connection
        self.answer = answer
        self.replayed = answer is not None


@asynccontextmanager
async def once(pool: asyncpg.Pool, request: Request | None) -> AsyncIterator[Once]:
    """Open a transaction for a request that must not have its effect twice.

    A refusal leaves nothing behind, so the same key may be used for a better body. A process that dies leaves nothing
    or everything: PostgreSQL ends the transaction, and the lock with it.

    Args:
        pool: of the ledger.
        request: None when the caller gave no key; then every run is a new one.

    Raises:
        Refusal: `idempotency_key_reused`; `idempotency_key_in_flight` while another transaction works for it.
        Unavailable: `ledger_unavailable`.
    """
    async with transaction(pool) as connection:
        if request is None:
            yield Once(connection)
            return
        if not await connection.fetchval(query("lock_request"), request.id):
            raise Refusal("idempotency_key_in_flight")
        known = await _find(connection, request)
        run = Once(connection, known)
        yield run
        assert run.answer is not None, "who runs a request sets its answer"
        if run.answer != known:
            await connection.execute(query("keep_request"), request.id, request.fingerprint, run.answer)


async def recall(pool: asyncpg.Pool, request: Request | None) -> Any:
    """Give what a request was answered before, None for a new one.

    Raises:
        Refusal: `idempotency_key_reused`.
        Unavailable: `ledger_unavailable`.
    """
    if request is None:
        return None
    async with reading(pool) as connection:
        return await _find(connection, request)


async def forget(connection: Any, request: Request | None) -> None:
    """Take an answer back inside the transaction that undoes its effect: only successes are kept."""
    if request is not None:
        await connection.execute(query("forget_request"), request.id)


async def forget_old(pool: asyncpg.Pool, limit: int) -> int:
    """Remove up to `limit` requests of more than a day ago; gives how many it were.

    Raises:
        Unavailable: `ledger_unavailable`.
    """
    async with transaction(pool) as connection:
        return len(await connection.fetch(query("forget_old_requests"), limit))


async def _find(connection: Any, request: Request) -> Any:
    row = await connection.fetchrow(query("read_request"), request.id)
    if row is None:
        return None
    if row["fingerprint"] != request.fingerprint:
        raise Refusal("idempotency_key_reused")
    return row["answer"]

"""Operators' requests that may be repeated: the effect and its answer are committed together, and given again."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from engine.errors import Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.seats.records import Request


class Once:
    """One run inside its transaction. Whoever does the work sets `answer`, unless `replayed`: then it is there."""

    def __init__(self, connection: Any, answer: Any = None) -> None:
        self.connection = connection
        self.answer = answer
        self.replayed = answer is not None


@asynccontextmanager
async def once(pool: asyncpg.Pool, request: Request | None) -> AsyncIterator[Once]:
    """Open a transaction for a request that must not have its effect twice.

    A repeat that comes while the first still runs waits for it. A refusal leaves nothing behind, so the same key may
    be used for a better body.

    Args:
        pool: of the ledger.
        request: None when the caller gave no key; then every run is a new one.

    Raises:
        Refusal: `idempotency_key_reused`.
        Unavailable: `ledger_unavailable`.
    """
    async with transaction(pool) as connection:
        if request is None:
            yield Once(connection)
            return
        await connection.execute(query("delete_operator_requests"))
        if await connection.fetchval(query("insert_operator_request"), request.id, request.fingerprint) is None:
            row = await connection.fetchrow(query("read_operator_request"), request.id)
            if row["fingerprint"] != request.fingerprint:
                raise Refusal("idempotency_key_reused")
            yield Once(connection, row["answer"])
            return
        run = Once(connection)
        yield run
        assert run.answer is not None, "who runs a request sets its answer"
        await connection.execute(query("answer_operator_request"), request.id, run.answer)


async def recall(pool: asyncpg.Pool, request: Request | None) -> Any:
    """Give what a request was answered before, None for a new one: for work that is more than one transaction.

    Raises:
        Refusal: `idempotency_key_reused`.
        Unavailable: `ledger_unavailable`.
    """
    if request is None:
        return None
    async with reading(pool) as connection:
        row = await connection.fetchrow(query("read_operator_request"), request.id)
    if row is None:
        return None
    if row["fingerprint"] != request.fingerprint:
        raise Refusal("idempotency_key_reused")
    return row["answer"]


async def remember(pool: asyncpg.Pool, request: Request | None, answer: Any) -> None:
    """Keep the answer of a request whose work is done; see `recall`."""
    if request is not None:
        async with once(pool, request) as run:
            run.answer = answer

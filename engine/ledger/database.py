"""The connection pool of PostgreSQL, and what its failures mean to a caller.

async with reading(pool) as connection:       one or more reads; a failure is always definite
async with transaction(pool) as connection:   all or nothing; only a lost COMMIT leaves the outcome unknown
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import asyncpg
import orjson
import structlog

from engine import limits, timings
from engine.errors import CommandError, Unavailable
from engine.settings import Settings

log = structlog.get_logger()

ACQUIRE_TIMEOUT_S = 3.0
COMMAND_TIMEOUT_S = 5.0
JSONB_VERSION = b"\x01"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

Isolation = Literal["read_committed", "repeatable_read"]

AWAY = (
    OSError,
    TimeoutError,
    asyncio.IncompleteReadError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.LockNotAvailableError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.InternalClientError,
)
"""What says that the database cannot serve now; anything else is a mistake of ours and rises as it is."""

LOST = (*AWAY, asyncpg.InterfaceError)
"""The same while connecting. Later an InterfaceError means a lost connection only if the connection is closed."""


def moment(ms: int) -> datetime:
    """Turn Unix time in ms into what PostgreSQL takes for a timestamptz; exact."""
    return EPOCH + timedelta(milliseconds=ms)


def to_ms(value: datetime) -> int:
    """Turn a timestamptz into Unix time in ms, rounded down."""
    return (value - EPOCH) // timedelta(milliseconds=1)


def storable(text: str) -> str:
    """Turn what a stranger says into text that PostgreSQL has: without U+0000 and halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "\ufffd")


async def prepare_connection(connection: Any) -> None:
    """Teach a new connection that jsonb is Python data."""
    # COPY takes binary only: the format's version, then the text.
    await connection.set_type_codec(
        "jsonb",
        schema="pg_catalog",
        format="binary",
        encoder=lambda value: JSONB_VERSION + orjson.dumps(value),
        decoder=lambda raw: orjson.loads(raw[len(JSONB_VERSION) :]),
    )


async def _hand_on(_connection: Any) -> None:
    """Put a connection that comes back in order: there is nothing to do.

    Who borrows one sets, listens and locks nothing beyond a transaction, and an open one is rolled back all the same.
    asyncpg's own way asks PostgreSQL each time: a round trip per loan.
    """


async def open_pool(settings: Settings, *, application: str = "seatlock") -> asyncpg.Pool:
    """Make the pool. It connects when it is first used, so that a process can start while PostgreSQL is away.

    Args:
        settings: `database_url` (also a unix socket: `postgresql://user@/name?host=/folder`), `database_pool_max`.
        application: what `pg_stat_activity` shows, at most 63 bytes.

    Raises:
        CommandError: the URL is missing or unreadable.
    """
    if not settings.database_url:
        raise CommandError("SEATLOCK_DATABASE_URL is not set, and no `seatlock dev` is running")
    if not settings.database_url.startswith(("postgresql://", "postgres://")):
        raise CommandError("SEATLOCK_DATABASE_URL must begin with postgresql://")
    try:
        return await asyncpg.create_pool(
            settings.database_url,
            min_size=0,
            max_size=settings.database_pool_max,
            timeout=ACQUIRE_TIMEOUT_S,
            command_timeout=COMMAND_TIMEOUT_S,
            init=prepare_connection,
            reset=_hand_on,
            server_settings=session_settings(application),
        )
    except (ValueError, asyncpg.ClientConfigurationError) as error:
        raise CommandError(f"SEATLOCK_DATABASE_URL: {error}") from None


def session_settings(application: str) -> dict[str, str]:
    """Give what each session asks of PostgreSQL."""
    return {
        "application_name": application,
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": str(limits.LEDGER_IDLE_MAX_MS),
    }


@asynccontextmanager
async def reading(pool: asyncpg.Pool) -> AsyncIterator[Any]:
    """Lend a connection for reads.

    Raises:
        Unavailable: `ledger_unavailable`, definite.
    """
    connection = await _acquire(pool)
    try:
        with timings.spent("ledger"):
            yield connection
    except LOST as error:
        _raise_if_lost(error, connection)
        raise
    finally:
        await _give_back(pool, connection)


@asynccontextmanager
async def transaction(pool: asyncpg.Pool, isolation: Isolation = "read_committed") -> AsyncIterator[Any]:
    """Lend a connection inside one transaction: COMMIT at the end of the block, ROLLBACK on any exception.

    Raises:
        Unavailable: `ledger_unavailable`; definite, but unknown when the connection was lost during COMMIT.
    """
    connection = await _acquire(pool)
    try:
        with timings.spent("ledger"):
            async with committing(connection, isolation):
                yield connection
    finally:
        await _give_back(pool, connection)


@asynccontextmanager
async def committing(connection: Any, isolation: Isolation = "read_committed") -> AsyncIterator[None]:
    """Run a block as one transaction on a connection that the caller owns; errors as in `transaction`."""
    try:
        block = connection.transaction(isolation=isolation)
    except asyncpg.InterfaceError as error:
        # The session was ended between two transactions.
        _raise_if_lost(error, connection)
        raise
    try:
        await block.start()
        yield
    except BaseException as error:
        _raise_if_lost(error, connection)
        await _roll_back(connection, block)
        raise
    try:
        await block.commit()
    except (asyncpg.DeadlockDetectedError, asyncpg.SerializationError) as error:
        raise _unavailable(error) from error
    except LOST as error:
        _terminate(connection)
        raise Unavailable("ledger_unavailable", f"COMMIT was lost: {error}", outcome="unknown") from error


async def _acquire(pool: asyncpg.Pool) -> Any:
    try:
        with timings.spent("queue"):
            return await pool.acquire(timeout=ACQUIRE_TIMEOUT_S)
    except LOST as error:
        raise _unavailable(error) from error


def _raise_if_lost(error: BaseException, connection: Any) -> None:
    """Raise Unavailable if `error` means that the database cannot serve; then the connection is ended."""
    if isinstance(error, AWAY) or (isinstance(error, asyncpg.InterfaceError) and _is_closed(connection)):
        # A ROLLBACK could hang on a dead peer; the server rolls back by itself when the connection ends.
        _terminate(connection)
        raise _unavailable(error) from error


async def _roll_back(connection: Any, block: Any) -> None:
    try:
        await block.rollback()
    except Exception:  # noqa: BLE001 (whatever the reason: this connection cannot be used again)
        _terminate(connection)


def _is_closed(connection: Any) -> bool:
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True  # the pool has taken a lost connection back already


def _terminate(connection: Any) -> None:
    with suppress(asyncpg.InterfaceError):
        connection.terminate()


async def _give_back(pool: asyncpg.Pool, connection: Any) -> None:
    try:
        await pool.release(connection, timeout=ACQUIRE_TIMEOUT_S)
    except LOST as error:
        log.warning("ledger_connection_lost", error=str(error))


def _unavailable(error: BaseException) -> Unavailable:
    log.warning("ledger_unavailable", error=f"{type(error).__name__}: {error}")
    return Unavailable("ledger_unavailable", str(error) or type(error).__name__)

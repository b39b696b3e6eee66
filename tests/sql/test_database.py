"""What a failing PostgreSQL means to a caller: definite, but unknown when the COMMIT itself was lost."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import asyncpg
import pytest

from engine import limits
from engine.errors import CommandError, Unavailable
from engine.ledger.database import committing, moment, open_pool, reading, to_ms, transaction
from engine.settings import Settings
from tests.proxy import Proxy

INSERT = "INSERT INTO generations (run_id, replication_id) VALUES ('a', 'b')"


@asynccontextmanager
async def proxied(database_url, tmp_path):
    """A pool that reaches PostgreSQL through a proxy."""
    url = urlsplit(database_url)
    socket = ".s.PGSQL.5432"
    proxy = Proxy(Path(parse_qs(url.query)["host"][0]) / socket)
    server = await asyncio.start_unix_server(proxy.serve, tmp_path / socket)
    pool = await open_pool(
        Settings(database_url=f"postgresql://{url.netloc}{url.path}?host={quote(str(tmp_path))}", database_pool_max=2)
    )
    yield pool, proxy
    pool.terminate()
    server.close()
    proxy.cut()


@pytest.fixture
async def reached(database_url, tmp_path):
    """A pool and its proxy."""
    async with proxied(database_url, tmp_path) as pair:
        yield pair


async def test_times_are_exact_to_the_millisecond():
    """From ms to PostgreSQL and back, far in the past and in the future."""
    for ms in (0, 1, 1_795_249_276_134, 4_102_444_799_999, 253_402_300_799_999):
        assert to_ms(moment(ms)) == ms


async def test_a_pool_opens_while_postgresql_is_away(tmp_path):
    """The process starts; its calls say definitely no."""
    pool = await open_pool(Settings(database_url=f"postgresql://u@/d?host={quote(str(tmp_path))}"))
    for use in (reading, transaction):
        with pytest.raises(Unavailable) as raised:
            async with use(pool):
                pass
        assert (raised.value.code, raised.value.outcome) == ("ledger_unavailable", "definite")


@pytest.mark.parametrize("url", ["", "not a url", "mysql://x/y"])
async def test_a_url_that_names_no_postgresql_is_one_clear_line(url):
    """A start-up error names the setting."""
    with pytest.raises(CommandError, match="SEATLOCK_DATABASE_URL"):
        await open_pool(Settings(database_url=url))


async def test_a_connection_lost_within_a_transaction_is_definite(reached):
    """Nothing was committed; the pool recovers by itself."""
    pool, proxy = reached

    async def be_cut_off():
        async with transaction(pool) as connection:
            await connection.execute(INSERT)
            proxy.cut()
            await connection.fetchval("SELECT 1")

    with pytest.raises(Unavailable) as raised:
        await be_cut_off()
    assert raised.value.outcome == "definite"
    async with reading(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM generations") == 0


async def test_a_lost_answer_to_commit_is_unknown(reached):
    """It may have happened, and here it has."""
    pool, proxy = reached

    async def lose_the_answer():
        async with transaction(pool) as connection:
            await connection.execute(INSERT)
            proxy.swallow_answers = True
            return asyncio.create_task(cut_after_an_answer(proxy))

    with pytest.raises(Unavailable) as raised:
        await lose_the_answer()
    assert raised.value.outcome == "unknown"
    async with reading(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM generations") == 1


async def cut_after_an_answer(proxy):
    """Break the connection once the server has answered something that the client will never see."""
    await proxy.answer_swallowed()
    proxy.swallow_answers = False
    proxy.cut()


@pytest.mark.parametrize(("held_at", "outcome"), [("statement", "definite"), ("commit", "unknown")])
async def test_a_frozen_postgresql_is_given_up(reached, held_at, outcome):
    """A statement that is not answered in time ends the call and the connection, without waiting for a ROLLBACK."""
    pool, proxy = reached
    pool._connect_kwargs["command_timeout"] = 0.3
    began = asyncio.get_running_loop().time()

    async def meet_a_frozen_server():
        async with transaction(pool) as connection:
            if held_at == "statement":
                proxy.hold_requests = True
                await connection.fetchval("SELECT 1")
            proxy.hold_requests = True

    with pytest.raises(Unavailable) as raised:
        await meet_a_frozen_server()
    proxy.hold_requests = False
    assert raised.value.outcome == outcome
    assert asyncio.get_running_loop().time() - began < 2


async def test_a_mistake_of_ours_is_not_called_an_outage(reached):
    """A wrong statement rises as it is, the transaction is rolled back, and the connection goes on."""
    pool, _ = reached

    async def make_a_mistake():
        async with transaction(pool) as connection:
            await connection.execute(INSERT)
            await connection.execute("SELECT * FROM nothing_of_the_kind")

    with pytest.raises(asyncpg.UndefinedTableError):
        await make_a_mistake()
    with pytest.raises(asyncpg.InterfaceError, match="expects 1 argument"):
        async with reading(pool) as connection:
            await connection.fetchval("SELECT $1::int", 1, 2)
    async with reading(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM generations") == 0


async def test_a_transaction_that_was_left_open_ends_with_the_loan(reached):
    """Whoever borrows the connection next is not inside it."""
    pool, _ = reached
    pids = []
    for statements in (("BEGIN", INSERT), ()):
        async with reading(pool) as connection:
            pids.append(await connection.fetchval("SELECT pg_backend_pid()"))
            assert await connection.fetchval("SELECT count(*) FROM generations") == 0
            for statement in statements:
                await connection.execute(statement)
    assert pids[0] == pids[1]


async def test_a_deadlock_is_an_outage_that_a_repeat_mends(reached):
    """PostgreSQL ends one of the two; that one is told to come again."""
    pool, _ = reached
    await pool.execute("INSERT INTO generations (run_id, replication_id) VALUES ('a', ''), ('b', '')")
    both_hold = asyncio.Barrier(2)

    async def cross(first, second):
        async with transaction(pool) as connection:
            await connection.execute("SELECT 1 FROM generations WHERE run_id = $1 FOR UPDATE", first)
            await both_hold.wait()
            await connection.execute("SELECT 1 FROM generations WHERE run_id = $1 FOR UPDATE", second)

    answers = await asyncio.gather(cross("a", "b"), cross("b", "a"), return_exceptions=True)
    failed = [answer for answer in answers if answer is not None]
    assert [(type(error), error.outcome) for error in failed] == [(Unavailable, "definite")]


async def test_a_session_that_was_ended_between_two_transactions_is_no_fault_of_what_comes_next(database_url):
    """A worker that was taken for frozen must not take its next fact for poison."""
    connection = await asyncpg.connect(database_url)
    try:
        async with committing(connection):
            pass
        connection.terminate()
        with pytest.raises(Unavailable) as raised:
            async with committing(connection):
                pass
        assert (raised.value.code, raised.value.outcome) == ("ledger_unavailable", "definite")
    finally:
        connection.terminate()


async def test_a_process_that_froze_amid_a_transaction_keeps_its_rows_from_nobody_for_long(database_url, monkeypatch):
    """PostgreSQL ends a transaction that does nothing; whoever wakes up late has changed nothing, and is told so."""
    monkeypatch.setattr(limits, "LEDGER_IDLE_MAX_MS", 100)
    pool = await open_pool(Settings(database_url=database_url))
    lock = "LOCK TABLE generations"

    async def freeze():
        async with transaction(pool) as frozen:
            await frozen.execute(INSERT)
            await frozen.execute(lock)
            async with transaction(pool) as other:
                await other.execute(lock)
            await frozen.execute("SELECT 1")

    (error,) = await asyncio.gather(asyncio.wait_for(freeze(), 3), return_exceptions=True)
    assert getattr(error, "outcome", error) == "definite"
    async with reading(pool) as connection:
        assert await connection.fetchval("SELECT count(*) FROM generations") == 0
    await pool.close()

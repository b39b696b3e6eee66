"""Every statement parses on the real schema, and the hot ones use their indexes."""

import re

import asyncpg
import pytest

from engine.ledger.database import open_pool
from engine.ledger.queries import query
from engine.paths import ROOT, SQL_DIR
from engine.settings import Settings
from tests.databases import run_sql

NAMES = sorted(path.stem for path in (SQL_DIR / "queries").glob("*.sql"))
QUERY_CALL = re.compile(r"\bquery\(\s*((?:\"\w+\"(?:\s+if[^\"]+else\s+)?)+)|_(?:execute|fetch)\w*\([^\")]*\"(\w+)\"")

PLANS = {
    "list_live_seats": ("tickets_live_seat", "'{1,2,3}', '{1,2,3}'"),
    "list_sold_seats": ("tickets_live_seat", "1"),
    "count_bought": ("tickets_live_seat", "1"),
    "read_booking": ("bookings_pkey", "'00000000-0000-7000-8000-000000000001'"),
    "bookings_of": ("bookings_by_subject", "'anna', NULL, 20"),
    "overdue_bookings": ("bookings_pending", "50"),
    "due_captures": ("captures_open", "50"),
    "due_restocks": ("tickets_restock_due", "50"),
    "due_refunds": ("refunds_due", "8, 'fake', '30 s'"),
    "due_blocks": ("blocks_apply_due", "50"),
    "due_releases": ("blocks_release_due", "50"),
    "find_live_payment": ("payments_by_booking", "'00000000-0000-7000-8000-000000000001', 0"),
    "find_gateway_payment": ("payment_events_by_session", "'g', 's'"),
    "list_unknown_events": ("payment_events_pkey", "'g', '{e}'"),
    "find_working_capture": ("captures_by_booking", "'00000000-0000-7000-8000-000000000001', 'g', 's'"),
    "list_ticketed_sessions": ("tickets_gateway_session_id_seat_index_key", "'{g}', '{s}'"),
    "lock_captures": ("captures_pkey", "'g', '{s}'"),
    "lock_fact_heads": ("fact_heads_pkey", "'{1}', '{1}'"),
    "list_fact_names": ("facts_pkey", "'{1}', '{1}', '{1}'"),
    "list_blocked_seats": ("block_seats_live", "1"),
    "list_open_sales": ("captures_open", "1"),
    "list_open_cases": ("cases_open", "NULL, 50"),
    "take_announcements": ("announcements_unspread", "500"),
    "due_notifications": ("notifications_due", "'mail', 80, 1000"),
    "due_reminders": ("reminders_due", "50"),
    "read_request": ("requests_pkey", "'key'"),
    "queue_deliveries": ("announcements_pkey", "'{1}', 1000"),
    "list_due_endpoints": ("webhook_deliveries_due", "4"),
    "due_delivery": ("webhook_deliveries_due", "1, 1000"),
    "bury_deliveries": ("webhook_deliveries_due", "50"),
    "forget_deliveries": ("webhook_deliveries_ended", "50, 1000"),
    "list_webhook_deliveries": ("webhook_deliveries_by_endpoint", "1, NULL, NULL, 50"),
    "forget_old_requests": ("requests_by_age", "50"),
    "due_cancellations": ("cancellations_due", "50"),
    "lock_paid_bookings": ("bookings_by_showtime", "1, 100"),
    "lock_short_bookings": ("bookings_by_showtime", "1, 100"),
    "read_cancellation": ("bookings_by_showtime", "1"),
    "due_archives": ("bookings_to_archive", "'30 days', 50"),
    "forget_announcements": ("announcements_spread", "'90 days', 50"),
    "forget_notifications": ("notifications_ended", "'90 days', 50"),
    "forget_reminders": ("reminders_done", "'90 days', 50"),
}
"""The index that a statement must use, and values to ask it with."""


@pytest.fixture(scope="module")
def fresh_url(postgres, migrated_template):
    """The URL of a database that no test has written to: what the planner chooses depends on the size of tables."""
    run_sql(postgres, "postgres", f"CREATE DATABASE fresh TEMPLATE {migrated_template}")
    yield postgres.url("fresh")
    run_sql(postgres, "postgres", "DROP DATABASE fresh WITH (FORCE)")


@pytest.fixture
async def connection(fresh_url):
    """A connection to a migrated database, for looking only."""
    pool = await open_pool(Settings(database_url=fresh_url))
    async with pool.acquire() as connection:
        yield connection
    pool.terminate()


@pytest.mark.parametrize("name", sorted({*NAMES} - {"lock_partitions", "unlock_partitions"}))
def test_a_statement_leaves_nothing_behind_in_its_session(name):
    """Sessions are handed on as they are. The reader, which locks partitions, has one of its own."""
    statements = re.sub(r"(?m)^\s*--.*$", "", query(name)).split(";")
    first_words = {words[0] for words in map(str.split, statements) if words}
    assert first_words <= {"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}
    assert not re.search(r"advisory_(un)?lock|set_config", query(name))


@pytest.mark.parametrize("name", NAMES)
def test_a_query_file_is_one_statement_under_a_comment(name):
    """The comment says what it does; the semicolon ends the file."""
    text = query(name)
    assert text.startswith("-- ")
    assert text.rstrip().endswith(";")
    statement = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("--"))
    assert statement.count(";") == 1


async def test_every_query_fits_the_schema(connection):
    """PostgreSQL parses and types each of them."""
    wrong = {}
    for name in NAMES:
        try:
            await connection.prepare(query(name))
        except asyncpg.PostgresError as error:
            wrong[name] = str(error)
    assert wrong == {}


def test_every_query_file_is_used_and_every_used_one_exists():
    """A statement is loaded by a name that stands in the code."""
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "engine").rglob("*.py"))
    code += "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "api").rglob("*.py"))
    assert [name for name in NAMES if f'"{name}"' not in code] == []
    asked = {name for call in re.findall(r"\bquery\(([^()]*)\)", code) for name in re.findall(r'"(\w+)"', call)}
    assert sorted(asked - set(NAMES)) == []


@pytest.mark.covers("001.28", "004.35")
@pytest.mark.parametrize("name", PLANS)
async def test_a_hot_query_uses_its_index(connection, name):
    """With sequential scans made unattractive, as on big tables, the plan names the index made for it."""
    index, values = PLANS[name]
    await connection.execute("SET enable_seqscan = off")
    await connection.execute("SET enable_bitmapscan = off")
    await connection.execute(f"PREPARE hot AS {query(name)}")
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN EXECUTE hot({values})"))
    assert re.search(rf"Index (Only )?Scan using {index}\b", plan), plan

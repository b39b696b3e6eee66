"""Idempotency-Key on every POST: a repeat gives the first success again and changes nothing, also without Redis."""

import asyncio
import json
import time
from uuid import uuid4

import asyncpg
import pytest

from api.routes import ENDPOINTS
from engine.limits import IDEMPOTENCY_KEY_LENGTH_MAX
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from tests.flow.posts import SCENARIOS, Call, Shop, user
from tests.flow.town import WEBHOOK_SECRET, open_town, until

pytestmark = pytest.mark.one_redis("what is kept in Redis is replayed on every kind in tests/lua")

POSTS = [endpoint.path for endpoint in ENDPOINTS if endpoint.method == "POST"]
NOT_KEPT = {
    "/auth/login": "tokens are never kept, so they cannot be given again; a repeat logs in again",
    "/auth/guest": "a guest is only a token; a repeat makes another one, who has nothing",
    "/auth/refresh": "tokens are never kept; the same refresh token may be used again for a moment",
    "/payments/webhook": "the gateway's event id is the key: a repeat is processed, and nothing follows",
}
"""POSTs whose success is not given again, and why. All others must honour the key."""
UNSTEADY = {"server_time", "expires_in_ms", "expires_in", "access_token", "refresh_token"}
"""Members that a replay computes anew."""
DUMP = """
    SELECT table_name, string_agg(quote_ident(column_name), ', ' ORDER BY ordinal_position) AS columns
    FROM information_schema.columns
    JOIN information_schema.tables USING (table_schema, table_name)
    WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name NOT IN ('workers', 'schema_migrations',
                                                                                    'gateway_cursors', 'deployment')
      AND column_name <> 'load_count'
    GROUP BY table_name
"""
"""Every table but what workers note of themselves and of gateways, every column but the count of loads into Redis."""

BUSY = """
    SELECT 1 WHERE EXISTS (SELECT FROM refunds WHERE due_at IS NOT NULL)
                OR EXISTS (SELECT FROM tickets WHERE restock_due IS NOT NULL)
                OR EXISTS (SELECT FROM announcements WHERE spread_at IS NULL)
                OR EXISTS (SELECT FROM webhook_deliveries WHERE due_at IS NOT NULL)
                OR EXISTS (SELECT FROM cancellations WHERE due_at IS NOT NULL)
"""
"""What the worker does not do at once, and not only when it is asked."""


@pytest.fixture(scope="module")
def quiet_town(redis_server, postgres, migrated_template, tmp_path_factory):
    """A town in which nothing happens but what these tests do, so that a whole ledger can be compared."""
    with open_town(tmp_path_factory.mktemp("quiet"), redis_server.kind, postgres, migrated_template) as town:
        yield town


async def dump(town):
    """Give every row of the whole ledger, through one connection: making one takes longer than reading a table."""
    connection = await asyncpg.connect(town.database_url)
    try:
        tables = {table["table_name"]: table["columns"] for table in await connection.fetch(DUMP)}
        return {
            name: await connection.fetch(f"SELECT {columns} FROM {name} ORDER BY 1, 2, 3")
            for name, columns in tables.items()
        }
    finally:
        await connection.close()


async def calm(town):
    """Give the whole ledger once the worker has nothing left to write."""
    before = await dump(town)

    async def steady():
        nonlocal before
        last, before = before, await dump(town)
        return last == before and not await town.fetch(BUSY)

    for _ in range(3):
        await until(steady, "a ledger at rest")
    return before


def steady_part(answer):
    """Give what a replay must give again."""

    def strip(value):
        if isinstance(value, dict):
            return {name: strip(part) for name, part in value.items() if name not in UNSTEADY}
        return [strip(part) for part in value] if isinstance(value, list) else value

    return answer.status_code, strip(answer.json())


def test_every_post_of_the_route_table_has_its_scenario():
    """A new POST fails here until somebody says how it succeeds once, and that it honours the key."""
    assert sorted(SCENARIOS) == sorted(POSTS)
    assert set(NOT_KEPT) <= set(POSTS)


@pytest.mark.covers("004.18")
@pytest.mark.parametrize("path", POSTS)
async def test_a_post_honours_its_key(quiet_town, path):
    """The first success again, marked; not a row more; another body is refused; a malformed key is named."""
    async with quiet_town.customer() as buyer:
        call, key = await SCENARIOS[path](Shop(quiet_town, buyer)), uuid4().hex
        client = buyer.client
        anonymous = quiet_town.client() if call.token is None else client
        first = await call.send(anonymous, key)
        assert first.status_code in (200, 201, 202), first.text
        assert "Idempotency-Replayed" not in first.headers
        before = await calm(quiet_town)
        again, quoted = await call.send(anonymous, key), await call.send(anonymous, f'"{key}"')
        assert await calm(quiet_town) == before
        if path in NOT_KEPT:
            assert again.status_code == quoted.status_code == first.status_code
            assert "Idempotency-Replayed" not in again.headers
        else:
            assert steady_part(again) == steady_part(quoted) == steady_part(first)
            assert again.headers["Idempotency-Replayed"] == "true"
            if call.other is not None:
                reused = await call.send(anonymous, key, call.other)
                assert (reused.status_code, reused.json()["code"]) == (422, "idempotency_key_reused"), reused.text
        if path != "/payments/webhook":
            for malformed in ("", "x" * (IDEMPOTENCY_KEY_LENGTH_MAX + 1)):
                refused = await call.send(anonymous, malformed)
                assert (refused.status_code, refused.json()["code"]) == (422, "invalid_field")
                assert refused.json()["errors"][0]["pointer"] == "?Idempotency-Key"


async def test_the_key_belongs_to_its_subject_and_its_route(quiet_town):
    """The same key of somebody else, or for something else, is another request."""
    showtime, key = await quiet_town.open_showtime(), uuid4().hex
    async with quiet_town.customer() as one, quiet_town.customer() as other:
        first = await one.call(
            "POST", f"/showtimes/{showtime}/holds", 201, json={"seats": ["A1"]}, headers={"Idempotency-Key": key}
        )
        theirs = await other.call(
            "POST", f"/showtimes/{showtime}/holds", 201, json={"seats": ["A2"]}, headers={"Idempotency-Key": key}
        )
        booking = await one.call(
            "POST", "/bookings", 201, json={"hold_id": first["id"]}, headers={"Idempotency-Key": key}
        )
    assert (theirs["id"] != first["id"], booking["id"] == first["id"]) == (True, True)


async def test_a_repeated_freeze_does_not_undo_what_was_decided_since(quiet_town):
    """The key's answer is given again, and the showtime stays as the later act left it."""
    async with quiet_town.customer() as buyer:
        shop = Shop(quiet_town, buyer)
        _, showtime = await shop.showtime()
        freeze = Call(f"/admin/showtimes/{showtime}/freeze", {"reason": "smoke"}, token=shop.admin)
        opened = Call(f"/admin/showtimes/{showtime}/unfreeze", {"reason": "air"}, token=shop.admin)
        first = await freeze.send(buyer.client, "freeze")
        assert (await opened.send(buyer.client, None)).status_code == 200
        again = await freeze.send(buyer.client, "freeze")
        assert (again.json()["stored_status"], steady_part(again)) == ("FROZEN", steady_part(first))
        assert again.headers["Idempotency-Replayed"] == "true"
        await buyer.claim(showtime, "A1")


async def test_only_successes_are_kept(quiet_town):
    """A block that Redis refuses leaves its key free: once the seat is free, the same request is a new one."""
    async with quiet_town.customer() as buyer:
        shop, key = Shop(quiet_town, buyer), uuid4().hex
        _, showtime = await shop.showtime()
        hold = await buyer.claim(showtime, "A1")
        call = Call(f"/admin/showtimes/{showtime}/blocks", {"seats": ["A1"], "reason": "broken"}, token=shop.admin)
        refused = await call.send(buyer.client, key)
        assert (refused.status_code, refused.json()["code"]) == (409, "seats_taken")
        await buyer.call("DELETE", f"/holds/{hold['id']}", 204)
        made = await call.send(buyer.client, key)
        assert (made.status_code, "Idempotency-Replayed" in made.headers) == (201, False)
    assert (await quiet_town.seat_statuses(showtime))["A1"] == "BLOCKED"


@pytest.mark.covers("004.18")
@pytest.mark.parametrize("flushed", [False, True], ids=["with-redis", "after-FLUSHALL"])
async def test_every_post_of_a_whole_purchase_is_repeated_and_nothing_changes(quiet_town, flushed):
    """Register, claim, extend, check out, pay, webhook; another booking cancelled: the same ledger, row by row.

    After FLUSHALL, what lives in Redis alone (the claim, its extension, the check-out) is gone with its holds; the
    rest is repeated.
    """
    town, durable, fleeting = quiet_town, [], []
    async with town.customer() as buyer:
        shop = Shop(town, buyer)

        async def post(path, body, status, kept, token=shop.token, headers=None):
            call = Call(path, body, token=token, headers=headers or {})
            key = uuid4().hex
            answer = await call.send(buyer.client, key)
            assert answer.status_code == status, answer.text
            kept.append((call, key, answer))
            return answer.json()

        session = await post("/auth/register", user(), 201, durable)
        token = session["access_token"]
        showtime = await town.open_showtime()
        made = []
        for seat in ("A1", "A2"):
            hold = await post(f"/showtimes/{showtime}/holds", {"seats": [seat]}, 201, fleeting, token)
            await post(f"/holds/{hold['id']}/extend", None, 200, fleeting, token)
            await post("/bookings", {"hold_id": hold["id"]}, 201, fleeting, token)
            made.append((hold["id"], await post(f"/bookings/{hold['id']}/payments", {}, 201, durable, token)))
        (_, payment), (cancelled, _) = made
        event = {"id": uuid4().hex, "type": "payment.success", "session_id": payment["session_id"]}
        body = json.dumps(event | {"amount": payment["amount"], "currency": payment["currency"]}).encode()
        signature = {SIGNATURE_HEADER: sign(WEBHOOK_SECRET, body, int(time.time()))}
        await post("/payments/webhook", body, 200, durable, None, signature)
        await post(f"/bookings/{cancelled}/cancel", {"reason": "rain"}, 200, durable, token)

        before = await calm(town)
        assert len(before["tickets"]) > 0
        if flushed:
            await asyncio.to_thread(town.forget)
        for call, key, first in durable if flushed else durable + fleeting:
            again = await call.send(buyer.client, key)
            assert steady_part(again) == steady_part(first), call.path
        assert await calm(town) == before
        statuses = await town.seat_statuses(showtime)
    assert (statuses["A1"], statuses["A2"]) == ("SOLD", "AVAILABLE")

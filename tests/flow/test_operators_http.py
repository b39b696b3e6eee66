"""The operators' desk over HTTP: the catalogue is made and changed, showtimes frozen, seats blocked, holds ended."""

from datetime import UTC, datetime, timedelta

import pytest

from engine.accounts.tokens import Identity
from engine.catalogue.demo_halls import DATA
from tests.flow.conftest import guest
from tests.flow.test_holds_http import claim, refused, statuses

pytestmark = pytest.mark.one_redis("the scripts behind it run on every kind in tests/lua")

ADMIN = "/api/v1/admin"


def sign(client, **fields):
    """Give the headers of an operator."""
    tokens = client.app.state.runtime.accounts.tokens
    return {"Authorization": f"Bearer {tokens.issue(Identity(**fields), 'access')}"}


@pytest.fixture
def admin(app_client):
    """An administrator's headers."""
    return sign(app_client, subject="admin", role="admin")


@pytest.fixture
def staff(app_client, small):
    """Headers of somebody who works at the small catalogue's cinema."""
    return sign(app_client, subject="staff", role="staff", cinemas=frozenset({small.cinema}))


@pytest.fixture
def manager(app_client, small):
    """Headers of that cinema's manager."""
    own = frozenset({small.cinema})
    return sign(app_client, subject="manager", role="staff", cinemas=own, managed=own)


def stranger(client):
    """Give the headers of another cinema's manager."""
    return sign(client, subject="eve", role="staff", cinemas=frozenset({999}), managed=frozenset({999}))


async def send(client, headers, method, path, body=None, status=200, **more):
    """Send a request that is answered as expected; gives the decoded body."""
    answer = await client.request(method, ADMIN + path, json=body, headers=headers | more)
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def in_days(days):
    """Give a time some days from now as operators write it."""
    return (datetime.now(UTC) + timedelta(days=days)).isoformat()


@pytest.mark.covers("004.40")
async def test_an_admin_builds_a_cinema_from_a_seating_plan_and_a_seat_is_sold_there(app_client, admin):
    """Cinema, hall from a file, film, fifty showtimes in one request; a customer gets a seat of the last one."""
    cinema = await send(
        app_client, admin, "POST", "/cinemas", {"name": "Baru", "city": "Ambon", "timezone": "Asia/Jayapura"}, 201
    )
    plan = (DATA / "teater-kencana.json").read_text()
    body = f'{{"cinema_id": {cinema["id"]}, "name": "Kencana", "seating_plan": {plan}, "tiers": {{"Premium": "VIP"}}}}'
    answer = await app_client.post(
        f"{ADMIN}/auditoriums", content=body, headers=admin | {"Content-Type": "application/json"}
    )
    assert answer.status_code == 201, answer.text
    hall = answer.json()
    assert (hall["seat_count"], hall["tiers"]) == (230, ["REGULAR", "VIP"])
    movie = await send(app_client, admin, "POST", "/movies", {"title": "Baru", "duration_minutes": 90}, 201)
    shows = [
        {
            "auditorium_id": hall["id"],
            "movie_id": movie["id"],
            "starts_at": in_days(1 + step / 10),
            "prices": {"REGULAR": 4_000_000, "VIP": 8_000_000},
        }
        for step in range(50)
    ]
    made = await send(app_client, admin, "POST", "/showtimes", {"items": shows}, 201)
    assert len(made["items"]) == 50
    hold = await claim(app_client, made["items"][-1]["id"], await guest(app_client), "Balkon-A1")
    assert (hold.status_code, hold.json()["amount"]) == (201, 8_000_000)


async def test_one_showtime_is_answered_whole(app_client, small, manager):
    """A single body makes one showtime; its repeat under the same key makes no other."""
    body = {
        "auditorium_id": small.other_auditorium,
        "movie_id": small.movie,
        "starts_at": in_days(3),
        "prices": {"REGULAR": 1_000_000},
    }
    key = {"Idempotency-Key": "one"}
    made = await send(app_client, manager, "POST", "/showtimes", body, 201, **key)
    again = await app_client.post(f"{ADMIN}/showtimes", json=body, headers=manager | key)
    assert (again.status_code, again.json()["id"]) == (201, made["id"])
    assert again.headers["idempotency-replayed"] == "true"
    body["starts_at"] = in_days(4)
    refused(
        await app_client.post(f"{ADMIN}/showtimes", json=body, headers=manager | key), 422, "idempotency_key_reused"
    )
    assert made["redis_key"].endswith(f":{made['id']}:meta")
    refused(
        await app_client.post(f"{ADMIN}/showtimes", json=body | {"starts_at": made["starts_at"]}, headers=manager),
        409,
        "auditorium_busy",
    )


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"items": []}, "/items"),
        ({"items": [{}] * 501}, "/items"),
        ({"items": [{"auditorium_id": 1}]}, "/items/0/movie_id"),
        ({"starts_at": "2020-01-01T10:00:00Z"}, "/starts_at"),
        ({"starts_at": "2027-01-01T10:00:00"}, "/starts_at"),
        ({"prices": {"GOLD": 1}}, "/prices"),
        ({"prices": {"REGULAR": 0}}, "/prices"),
        ({"prices": {"REGULAR": "1"}}, "/prices"),
        ({"colour": "red"}, "/colour"),
        ({"policy": {"seats_per_hold_max": 99}}, "/policy/seats_per_hold_max"),
        ({"currency": "Rp"}, "/currency"),
    ],
)
async def test_a_wrong_showtime_is_refused_with_a_pointer(app_client, small, manager, body, pointer):
    """Empty and oversized lists, the past, times without a zone, odd prices, unknown fields."""
    if "items" not in body:
        good = {"auditorium_id": small.auditorium, "movie_id": small.movie, "starts_at": in_days(3)}
        body = good | {"prices": {"REGULAR": 1, "PREMIUM": 1, "VIP": 1}} | body
    answer = await app_client.post(f"{ADMIN}/showtimes", json=body, headers=manager)
    found = refused(answer, 422, "invalid_field")["errors"][0]["pointer"]
    assert found.startswith(pointer)


READS = ("/cinemas/{cinema}", "/auditoriums/{auditorium}", "/showtimes/{showtime}", "/showtimes/{showtime}/blocks")
WRITES = (
    ("PATCH", "/cinemas/{cinema}", {"address": "x"}),
    ("POST", "/auditoriums", {"cinema_id": 1, "name": "x", "layout_id": 1}),
    ("PATCH", "/auditoriums/{auditorium}", {"name": "x"}),
    ("PATCH", "/showtimes/{showtime}", {"prices": {"REGULAR": 1, "PREMIUM": 2, "VIP": 3}}),
    ("POST", "/showtimes/{showtime}/freeze", {"reason": "x"}),
    ("POST", "/showtimes/{showtime}/blocks", {"seats": ["A1"], "reason": "x"}),
    ("POST", "/freeze", {"reason": "x", "cinema": 1}),
    ("POST", "/freeze", {"reason": "x"}),
)


async def test_nobody_operates_what_is_not_theirs(app_client, small):
    """Customers and guests get 403 everywhere, no token 401, and another cinema's manager 403; nothing changes."""
    names = {"cinema": small.cinema, "auditorium": small.auditorium, "showtime": small.showtime}
    customer = await guest(app_client)
    for method, path, body in [*(("GET", path, None) for path in READS), *WRITES]:
        url = ADMIN + path.format(**names)
        refused(await app_client.request(method, url, json=body), 401, "token_missing")
        for headers in (customer, stranger(app_client)):
            refused(await app_client.request(method, url, json=body, headers=headers), 403, "forbidden")
    assert await statuses(app_client, small.showtime) == {}


async def test_staff_see_their_cinema_and_leave_money_to_the_manager(app_client, small, staff, manager, admin):
    """Lists show one's own cinemas only; prices need the manager, making cinemas the admin."""
    other = {"name": "Lain", "city": "Jakarta"}
    refused(await app_client.post(f"{ADMIN}/cinemas", json=other, headers=manager), 403, "forbidden")
    await send(app_client, admin, "POST", "/cinemas", other, 201)
    assert len((await send(app_client, admin, "GET", "/cinemas"))["items"]) == 2
    assert [item["id"] for item in (await send(app_client, staff, "GET", "/cinemas"))["items"]] == [small.cinema]
    assert (await send(app_client, stranger(app_client), "GET", "/showtimes"))["items"] == []
    assert (await send(app_client, stranger(app_client), "GET", "/auditoriums"))["items"] == []
    path, prices = f"/showtimes/{small.showtime}", {"prices": {"REGULAR": 1, "PREMIUM": 2, "VIP": 3}}
    refused(await app_client.patch(ADMIN + path, json=prices, headers=staff), 403, "forbidden")
    changed = await send(app_client, manager, "PATCH", path, prices)
    assert changed["prices"] == prices["prices"]


async def test_a_changed_policy_counts_for_the_next_claim(app_client, small, manager):
    """Once the answer is there, Redis has the cinema's and the showtime's new numbers."""
    customer = await guest(app_client)
    assert (await claim(app_client, small.showtime, customer, "A1", "A2", "A3")).status_code == 201
    await send(app_client, manager, "PATCH", f"/cinemas/{small.cinema}", {"policy": {"seats_per_hold_max": 2}})
    refused(await claim(app_client, small.showtime, customer, "B1", "B2", "B3"), 422, "too_many_seats")
    path = f"/showtimes/{small.showtime}"
    await send(app_client, manager, "PATCH", path, {"policy": {"seats_per_hold_max": 4, "hold_ttl_s": 60}})
    hold = (await claim(app_client, small.showtime, customer, "B1", "B2", "B3")).json()
    assert 0 < hold["expires_in_ms"] <= 60_000


async def test_a_showtime_is_not_moved_under_a_hold(app_client, small, manager):
    """A hold is no sale in the ledger, and yet 409 `has_sales`; once it is gone the showtime moves."""
    customer, path = await guest(app_client), f"/showtimes/{small.showtime}"
    hold = (await claim(app_client, small.showtime, customer, "A1")).json()
    move = {"starts_at": in_days(5)}
    refused(await app_client.patch(ADMIN + path, json=move, headers=manager), 409, "has_sales")
    await app_client.delete(f"/api/v1/holds/{hold['id']}", headers=customer)
    moved = await send(app_client, manager, "PATCH", path, move)
    assert moved["starts_at"][:16] == move["starts_at"][:16]


async def test_a_frozen_showtime_takes_no_claims_until_it_is_opened(app_client, small, staff):
    """Freeze refuses the next claim, shows FROZEN everywhere, and unfreeze ends it; each may be repeated."""
    customer, path = await guest(app_client), f"/showtimes/{small.showtime}"
    reason = {"reason": "leak in the roof"}
    for _ in range(2):
        frozen = await send(app_client, staff, "POST", f"{path}/freeze", reason)
        assert (frozen["status"], frozen["status_reason"]) == ("FROZEN", reason["reason"])
    refused(await claim(app_client, small.showtime, customer, "A1"), 409, "showtime_closed")
    assert (await app_client.get(f"/api/v1{path}")).json()["status"] == "FROZEN"
    for _ in range(2):
        assert (await send(app_client, staff, "POST", f"{path}/unfreeze", reason))["status"] == "ON_SALE"
    assert (await claim(app_client, small.showtime, customer, "A1")).status_code == 201


async def test_a_cinema_is_frozen_whole(app_client, small, staff, admin):
    """One request freezes all showtimes to come, loaded in Redis or not, and one opens them again."""
    customer, other = await guest(app_client), await small.add_showtime(days=3)
    assert (await claim(app_client, small.showtime, customer, "A1")).status_code == 201
    body = {"reason": "flood", "cinema": small.cinema}
    assert await send(app_client, staff, "POST", "/freeze", body) == {"frozen": 2}
    for number in (small.showtime, other):
        refused(await claim(app_client, number, customer, "A2"), 409, "showtime_closed")
    assert await send(app_client, admin, "POST", "/unfreeze", {"reason": "dry"}) == {"open": 2}
    for number in (small.showtime, other):
        assert (await claim(app_client, number, customer, "A2")).status_code == 201


async def test_blocked_seats_are_out_of_sale_until_the_block_ends(app_client, small, staff):
    """All or none: a held seat refuses unless `evict`; map, claim and list say BLOCKED; deleting ends it."""
    customer, path = await guest(app_client), f"/showtimes/{small.showtime}/blocks"
    await claim(app_client, small.showtime, customer, "A1", "A2")
    body = {"seats": ["A1", "B1"], "reason": "broken"}
    problem = refused(await app_client.post(ADMIN + path, json=body, headers=staff), 409, "seats_taken")
    assert problem["seats"] == [{"seat": "A1", "reason": "LOCKED"}]
    assert await statuses(app_client, small.showtime) == {"A1": "LOCKED", "A2": "LOCKED"}
    assert (await send(app_client, staff, "GET", path))["items"] == []

    key = {"Idempotency-Key": "block"}
    block = await send(app_client, staff, "POST", path, body | {"evict": True}, 201, **key)
    again = await send(app_client, staff, "POST", path, body | {"evict": True}, 201, **key)
    assert again["id"] == block["id"]
    assert await statuses(app_client, small.showtime) == {"A1": "BLOCKED", "B1": "BLOCKED"}
    problem = refused(await claim(app_client, small.showtime, customer, "A1"), 409, "seats_taken")
    assert problem["seats"] == [{"seat": "A1", "reason": "BLOCKED"}]
    refused(await app_client.post(ADMIN + path, json=body, headers=staff), 409, "seats_taken")
    assert [item["seats"] for item in (await send(app_client, staff, "GET", path))["items"]] == [["A1", "B1"]]

    for _ in range(2):
        await send(app_client, staff, "DELETE", f"/blocks/{block['id']}", status=204)
    assert await statuses(app_client, small.showtime) == {}
    assert (await claim(app_client, small.showtime, customer, "A1")).status_code == 201


async def test_a_block_stands_where_the_end_of_another_is_still_to_be_told(app_client, small, staff):
    """Redis shows a seat BLOCKED for a block that ended in the ledger only: the new block gets it, and the rest too."""
    path, ledger = f"/showtimes/{small.showtime}/blocks", app_client.app.state.runtime.ledger
    old = await send(app_client, staff, "POST", path, {"seats": ["A1", "A2"], "reason": "old"}, 201)
    await ledger.release_block(old["id"])
    await send(app_client, staff, "POST", path, {"seats": ["A1", "B1"], "reason": "new"}, 201)
    assert await statuses(app_client, small.showtime) == {"A1": "BLOCKED", "A2": "BLOCKED", "B1": "BLOCKED"}
    await send(app_client, staff, "DELETE", f"/blocks/{old['id']}", status=204)
    assert await statuses(app_client, small.showtime) == {"A1": "BLOCKED", "B1": "BLOCKED"}


async def test_without_redis_a_decision_is_kept_and_the_outcome_unknown(app_client, small, staff, pool):
    """PostgreSQL has the freeze; the operator is told to ask again."""
    path = f"{ADMIN}/showtimes/{small.showtime}/freeze"
    await app_client.app.state.runtime.lane.close()
    answer = await app_client.post(path, json={"reason": "smoke"}, headers=staff)
    assert refused(answer, 503, "redis_unavailable")["outcome"] == "unknown"
    assert "retry-after" in answer.headers
    assert await pool.fetchval("SELECT status FROM showtimes") == "FROZEN"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"seats": ["Z9"], "reason": "x"}, "unknown_seat"),
        ({"seats": ["A1", "A1"], "reason": "x"}, "duplicate_seat"),
        ({"seats": [], "reason": "x"}, "invalid_field"),
        ({"seats": ["A1"]}, "invalid_field"),
        ({"seats": ["A1"], "reason": "x", "release_at": "2020-01-01T00:00:00Z"}, "invalid_field"),
    ],
)
async def test_a_wrong_block_is_refused(app_client, small, staff, body, code):
    """Unknown, doubled and no seats, no reason, an end in the past."""
    refused(await app_client.post(f"{ADMIN}/showtimes/{small.showtime}/blocks", json=body, headers=staff), 422, code)


async def test_staff_see_the_holds_and_may_end_them(app_client, small, staff):
    """The list pages by cursor and names no customer; a hold that staff end is gone, and its seats are free."""
    path = f"/showtimes/{small.showtime}/holds"
    holds = [
        (await claim(app_client, small.showtime, await guest(app_client), seat)).json()["id"] for seat in ("A1", "A2")
    ]
    first = await send(app_client, staff, "GET", f"{path}?limit=1")
    rest = await send(app_client, staff, "GET", f"{path}?limit=1&cursor={first['next_cursor']}")
    assert [line["id"] for line in first["items"] + rest["items"]] == holds
    assert (first["total"], rest["next_cursor"]) == (2, None)
    assert set(first["items"][0]) == {
        "id", "status", "seats", "claimed_at", "payment_open", "expires_at", "expires_in_ms", "server_time",
    }  # fmt: skip
    refused(
        await app_client.request(
            "DELETE", f"{ADMIN}/holds/{holds[0]}", json={"reason": "x"}, headers=stranger(app_client)
        ),
        403,
        "forbidden",
    )
    for _ in range(2):
        await send(app_client, staff, "DELETE", f"/holds/{holds[0]}", {"reason": "left"}, 204)
    assert await statuses(app_client, small.showtime) == {"A2": "LOCKED"}


async def test_acts_tell_who_did_what_and_why(app_client, small, staff, admin):
    """Every act of the desk is listed, newest first, to admins."""
    path = f"/showtimes/{small.showtime}"
    await send(app_client, staff, "POST", f"{path}/freeze", {"reason": "smoke"})
    await send(app_client, staff, "POST", f"{path}/blocks", {"seats": ["A1"], "reason": "broken"}, 201)
    refused(await app_client.get(f"{ADMIN}/acts", headers=staff), 403, "forbidden")
    page = await send(app_client, admin, "GET", "/acts?limit=2")
    told = [(act["actor"], act["verb"], act["subject"], act["reason"]) for act in page["items"]]
    showtime = f"showtime:{small.showtime}"
    assert told == [
        ("staff", "block_seats", showtime, "broken"),
        ("staff", "freeze_showtime", showtime, "smoke"),
    ]
    older = await send(app_client, admin, "GET", f"/acts?cursor={page['next_cursor']}")
    assert older["items"][0]["verb"] == "create_showtimes"
    assert (await send(app_client, admin, "GET", "/cases"))["items"] == []


async def test_a_decision_outlives_the_loss_of_redis(app_client, small, staff, redis_client):
    """Freeze and block are in PostgreSQL first: after all of Redis is gone, the showtime loads with both."""
    path = f"/showtimes/{small.showtime}"
    await send(app_client, staff, "POST", f"{path}/blocks", {"seats": ["A1"], "reason": "broken"}, 201)
    await send(app_client, staff, "POST", f"{path}/freeze", {"reason": "smoke"})
    await redis_client.flushall()
    assert await statuses(app_client, small.showtime) == {"A1": "BLOCKED"}
    refused(await claim(app_client, small.showtime, await guest(app_client), "B1"), 409, "showtime_closed")

"""Holds over HTTP: claim, read, change, extend, release; and everything that is refused."""

import asyncio
import time
from datetime import UTC, datetime, timedelta

import jwt
import pytest

from engine.accounts.tokens import AUDIENCE, ISSUER
from engine.limits import BODY_MAX_BYTES
from tests.flow.conftest import TOKEN_SECRET, guest

pytestmark = pytest.mark.one_redis(
    "its scripts answer alike on every kind in tests/lua; a whole purchase and a storm run on each"
)

HOUR = timedelta(hours=1)


def path_of(showtime, name="holds"):
    """Give a path of a showtime."""
    return f"/api/v1/showtimes/{showtime}/{name}"


async def claim(client, showtime, headers, *seats):
    """Claim seats."""
    return await client.post(path_of(showtime), json={"seats": seats}, headers=headers)


async def statuses(client, showtime, headers=None):
    """Give seat -> status, of the seats that are not AVAILABLE."""
    answer = await client.get(path_of(showtime, "seats"), headers=headers or {})
    assert answer.status_code == 200, answer.text
    return {seat["seat"]: seat["status"] for seat in answer.json()["seats"] if seat["status"] != "AVAILABLE"}


def refused(answer, status, code):
    """Check that an answer is this problem; gives its body."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["type"].endswith(f"/api/problems/{code}")
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["title"]
    assert body["detail"]
    assert body["instance"].startswith("/api/v1/")
    return body


@pytest.mark.covers("000.12", "001.8", "001.9", "001.26", "002.2", "002.3", "002.6")
@pytest.mark.covers("004.4", "004.5", "004.6", "004.10")
async def test_a_claim_holds_the_seats_for_ten_minutes_for_this_customer(app_client, small):
    """The answer has price, deadline and what may be done; the map shows it at once, in the viewer's words."""
    rina, stranger = await guest(app_client), await guest(app_client)
    answer = await claim(app_client, small.showtime, rina, "C7", "E4")

    assert answer.status_code == 201
    hold = answer.json()
    assert answer.headers["location"] == f"/api/v1/holds/{hold['id']}"
    assert hold["seats"] == [
        {"seat": "C7", "tier": "PREMIUM", "price": 7_500_000},
        {"seat": "E4", "tier": "VIP", "price": 12_000_000},
    ]
    assert (hold["amount"], hold["currency"], hold["status"]) == (19_500_000, "IDR", "HELD")
    assert (hold["showtime_id"], hold["extensions_left"], hold["expires_in_ms"]) == (small.showtime, 10, 600_000)
    times = [datetime.fromisoformat(hold[name]) for name in ("server_time", "expires_at", "extendable_until")]
    assert times[1] - times[0] == timedelta(minutes=10)
    assert times[2] - times[0] == timedelta(minutes=30)
    assert await statuses(app_client, small.showtime, rina) == {"C7": "LOCKED_BY_ME", "E4": "LOCKED_BY_ME"}
    assert await statuses(app_client, small.showtime, stranger) == {"C7": "LOCKED", "E4": "LOCKED"}
    assert await statuses(app_client, small.showtime) == {"C7": "LOCKED", "E4": "LOCKED"}


@pytest.mark.covers("002.4", "004.12")
async def test_a_taken_seat_refuses_the_whole_claim_and_says_why(app_client, small):
    """Whose hold it is stays unsaid, but for one's own; nothing of the refused claim stays."""
    rina, budi = await guest(app_client), await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()

    theirs = refused(await claim(app_client, small.showtime, budi, "C6", "C7"), 409, "seats_taken")
    own = refused(await claim(app_client, small.showtime, rina, "C7", "C8"), 409, "seats_taken")

    assert theirs["seats"] == [{"seat": "C7", "reason": "LOCKED"}]
    assert 590_000 < theirs["retry_after_ms"] <= 600_000
    assert own["seats"] == [{"seat": "C7", "reason": "LOCKED_BY_ME", "hold_id": hold["id"]}]
    assert await statuses(app_client, small.showtime) == {"C7": "LOCKED"}


async def test_a_refused_claim_names_free_seats_nearby(app_client, small):
    """As many as were asked for, of the same tiers, and they can be claimed."""
    rina, budi = await guest(app_client), await guest(app_client)
    await claim(app_client, small.showtime, rina, "C4", "C5")

    body = refused(await claim(app_client, small.showtime, budi, "C5", "C6"), 409, "seats_taken")

    assert body["alternatives"][0] == ["C6", "C7"]
    for seats in body["alternatives"]:
        assert len(seats) == 2
        assert not {"C4", "C5"} & set(seats)
    assert (await claim(app_client, small.showtime, budi, *body["alternatives"][0])).status_code == 201


@pytest.mark.covers("002.13", "000.14", "000.16")
async def test_a_released_hold_gives_its_seats_back_at_once(app_client, small):
    """204, and 204 again; the next customer has them in the same moment."""
    rina, budi = await guest(app_client), await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    url = f"/api/v1/holds/{hold['id']}"

    assert (await app_client.delete(url, headers=rina)).status_code == 204
    assert (await claim(app_client, small.showtime, budi, "C7")).status_code == 201
    assert (await app_client.delete(url, headers=rina)).status_code == 204
    refused(await app_client.get(url, headers=rina), 410, "hold_expired")
    assert await statuses(app_client, small.showtime, budi) == {"C7": "LOCKED_BY_ME"}


async def test_a_hold_is_read_changed_and_extended_by_its_owner(app_client, small):
    """A change is all or nothing, keeps the deadline, and its repeat is harmless."""
    rina = await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C6", "C7")).json()
    url = f"/api/v1/holds/{hold['id']}"

    read = await app_client.get(url, headers=rina)
    assert read.json() | {"expires_in_ms": 0, "server_time": ""} == hold | {"expires_in_ms": 0, "server_time": ""}
    for _ in range(2):
        changed = await app_client.patch(url, json={"add": ["A1"], "remove": ["C6"]}, headers=rina)
        assert changed.status_code == 200
        assert [seat["seat"] for seat in changed.json()["seats"]] == ["A1", "C7"]
        assert (changed.json()["amount"], changed.json()["expires_at"]) == (12_500_000, hold["expires_at"])
    extended = await app_client.post(f"{url}/extend", headers=rina)
    assert (extended.status_code, extended.json()["extensions_left"]) == (200, 9)
    assert extended.json()["expires_at"] > hold["expires_at"]
    refused(await app_client.patch(url, json={"remove": ["A1", "C7"]}, headers=rina), 409, "empty_hold")
    assert await statuses(app_client, small.showtime) == {"A1": "LOCKED", "C7": "LOCKED"}


@pytest.mark.covers("004.11")
async def test_a_hold_shows_the_status_of_the_booking_that_it_becomes(app_client, small):
    """After check-out it is PENDING under the same id, cannot be extended, and its release cancels the booking."""
    rina = await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    url = f"/api/v1/holds/{hold['id']}"
    booked = await app_client.post(
        "/api/v1/bookings", json={"hold_id": hold["id"], "email": "rina@example.com"}, headers=rina
    )
    assert booked.status_code == 201, booked.text

    shown = (await app_client.get(url, headers=rina)).json()
    assert (shown["id"], shown["status"], shown["amount"]) == (hold["id"], "PENDING", hold["amount"])
    refused(await app_client.post(f"{url}/extend", headers=rina), 409, "cannot_extend")
    assert (await app_client.delete(url, headers=rina)).status_code == 204
    assert await statuses(app_client, small.showtime) == {}


async def test_a_repeated_request_has_one_effect_and_gives_the_first_answer_again(app_client, small):
    """Claim, change and extension with a key; another body under the same key is refused; keys are per customer."""
    rina, budi = await guest(app_client), await guest(app_client)
    key = {"Idempotency-Key": "the first click"}
    first = await claim(app_client, small.showtime, rina | key, "C7")
    again = await claim(app_client, small.showtime, rina | key, "C7")

    assert (first.status_code, again.status_code) == (201, 201)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json()["id"] == first.json()["id"]
    assert again.json()["expires_at"] == first.json()["expires_at"]
    refused(await claim(app_client, small.showtime, rina | key, "C8"), 422, "idempotency_key_reused")
    assert (await claim(app_client, small.showtime, budi | key, "A1")).status_code == 201
    spaced = await app_client.post(
        path_of(small.showtime),
        content=b'{ "seats" : ["C7"] }',
        headers=rina | key | {"content-type": "application/json"},
    )
    assert spaced.headers["idempotency-replayed"] == "true"

    url = f"/api/v1/holds/{first.json()['id']}"
    extensions = [await app_client.post(f"{url}/extend", headers=rina | key) for _ in range(2)]
    assert [answer.json()["extensions_left"] for answer in extensions] == [9, 9]
    changes = [await app_client.patch(url, json={"add": ["C8"]}, headers=rina | key) for _ in range(2)]
    assert changes[1].headers["idempotency-replayed"] == "true"
    assert await statuses(app_client, small.showtime, rina) == {
        "C7": "LOCKED_BY_ME",
        "C8": "LOCKED_BY_ME",
        "A1": "LOCKED",
    }


def token_header(secret=TOKEN_SECRET, *, key_id="", **changes):
    """Sign a token by hand."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "typ": "access", "iat": now, "exp": now + 60} | changes
    return {"Authorization": "Bearer " + jwt.encode(claims, secret, "HS256", headers={"kid": key_id})}


BAD_CLAIMS = [
    ("unknown seat", {"json": {"seats": ["Z99"]}}, 422, "unknown_seat", "/seats/0"),
    ("unknown among known", {"json": {"seats": ["A1", "Z99"]}}, 422, "unknown_seat", "/seats/1"),
    ("seat of another hall", {"json": {"seats": ["X1"]}}, 422, "unknown_seat", "/seats/0"),
    ("duplicate seat", {"json": {"seats": ["A1", "A2", "A1"]}}, 422, "duplicate_seat", "/seats/2"),
    ("empty list", {"json": {"seats": []}}, 422, "invalid_field", "/seats"),
    ("11 seats", {"json": {"seats": [f"A{n}" for n in range(1, 9)] + ["B1", "B2", "B3"]}}, 422, "too_many_seats", None),
    ("500 seats", {"json": {"seats": ["A1"] * 500}}, 422, "too_many_seats", "/seats"),
    ("number for a label", {"json": {"seats": [7]}}, 422, "invalid_field", "/seats/0"),
    ("string for a list", {"json": {"seats": "A1"}}, 422, "invalid_field", "/seats"),
    ("empty label", {"json": {"seats": [""]}}, 422, "invalid_field", "/seats/0"),
    ("endless label", {"json": {"seats": ["A" * 1000]}}, 422, "invalid_field", "/seats/0"),
    ("null", {"json": {"seats": None}}, 422, "invalid_field", "/seats"),
    ("no seats", {"json": {}}, 422, "invalid_field", "/seats"),
    ("no object", {"json": ["A1"]}, 422, "invalid_field", ""),
    ("unknown field", {"json": {"seats": ["A1"], "user_id": "me"}}, 422, "invalid_field", "/user_id"),
    ("broken JSON", {"content": b'{"seats":["A1"'}, 400, "malformed_json", None),
    ("no body", {"content": b""}, 400, "malformed_json", None),
    ("not UTF-8", {"content": b'{"seats":["\xff"]}'}, 400, "malformed_json", None),
    ("10 MB", {"content": b'{"seats":["' + b"A" * 10_000_000 + b'"]}'}, 413, "body_too_large", None),
    ("form", {"data": {"seats": "A1"}}, 415, "unsupported_media_type", None),
    ("text", {"content": b"{}", "headers": {"content-type": "text/plain"}}, 415, "unsupported_media_type", None),
    ("empty key", {"json": {"seats": ["A1"]}, "headers": {"idempotency-key": ""}}, 422, "invalid_field", None),
    (
        "endless key",
        {"json": {"seats": ["A1"]}, "headers": {"idempotency-key": "k" * 300}},
        422,
        "invalid_field",
        "?Idempotency-Key",
    ),
]


@pytest.mark.covers("004.9", "003.4", "004.2")
async def test_every_bad_claim_is_a_problem_with_a_stable_code_and_changes_nothing(app_client, small):
    """A table of wrong bodies; the version of the map does not move, and nothing is held."""
    rina = await guest(app_client)
    before = (await app_client.get(path_of(small.showtime, "availability"))).json()

    for name, request, status, code, pointer in BAD_CLAIMS:
        headers = {"content-type": "application/json"} if "content" in request else {}
        sent = request | {"headers": rina | headers | request.get("headers", {})}
        answer = await app_client.post(path_of(small.showtime), **sent)
        assert answer.status_code == status, (name, answer.text)
        body = refused(answer, status, code)
        if pointer is not None:
            assert body["errors"][0]["pointer"] == pointer, name
    after = (await app_client.get(path_of(small.showtime, "availability"))).json()
    assert after | {"server_time": ""} == before | {"server_time": ""}


async def test_a_chunked_body_over_the_limit_is_cut_while_it_comes(app_client, small):
    """No length was declared; reading stops soon after the limit, not after 10 MB."""
    rina = await guest(app_client)
    sent = 0

    async def endless():
        nonlocal sent
        for _ in range(640):
            sent += 16_384
            yield b"x" * 16_384

    answer = await app_client.post(
        path_of(small.showtime), content=endless(), headers=rina | {"content-type": "application/json"}
    )
    assert refused(answer, 413, "body_too_large")["limit_bytes"] == BODY_MAX_BYTES
    assert answer.headers["connection"] == "close"
    assert sent <= BODY_MAX_BYTES + 2 * 16_384


async def test_only_a_valid_token_claims(app_client, small):
    """No token, an expired one, a foreign one: 401 with its code, and nothing is held."""
    good = (await guest(app_client))["Authorization"].removeprefix("Bearer ")
    key_id = jwt.get_unverified_header(good)["kid"]
    tries = [
        ({}, "token_missing"),
        (token_header(key_id=key_id, exp=int(time.time()) - 1), "token_expired"),
        (token_header("a foreign secret, which is long enough as well", key_id=key_id), "token_invalid"),
        (token_header(key_id=key_id, aud="another"), "token_invalid"),
        ({"Authorization": f"Bearer {good[:-3]}AAA"}, "token_invalid"),
    ]
    for headers, code in tries:
        refused(await claim(app_client, small.showtime, headers, "A1"), 401, code)
    # A bad token is told also where none is needed, rather than shown somebody else's view.
    refused(await app_client.get(path_of(small.showtime, "seats"), headers=tries[1][0]), 401, "token_expired")
    assert await statuses(app_client, small.showtime) == {}


@pytest.mark.covers("004.9")
async def test_a_showtime_that_sells_nothing_says_why(app_client, small, pool):
    """Unknown, past, cancelled, frozen, not yet on sale: a stable code each, and nothing is held."""
    rina = await guest(app_client)
    past, cancelled, frozen = [await small.add_showtime(days) for days in (2, 3, 4)]
    later = await small.add_showtime(5, sales_open_at=datetime.now(UTC) + HOUR)
    await pool.execute(
        "UPDATE showtimes SET starts_at = now() - interval '3 hours', ends_at = now() - interval '1 hour', "
        "sales_open_at = now() - interval '1 day', sales_stop_at = now() - interval '3 hours' WHERE id = $1",
        past,
    )
    await pool.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", cancelled)
    await pool.execute("UPDATE showtimes SET status = 'FROZEN' WHERE id = $1", frozen)

    for number in (999_999, 0, 2**32, 10**40, "x", "-1", "1.5"):
        refused(await claim(app_client, number, rina, "A1"), 404, "not_found")
    for number, status in ((past, "ENDED"), (cancelled, "CANCELLED"), (frozen, "FROZEN")):
        body = refused(await claim(app_client, number, rina, "A1"), 409, "showtime_closed")
        assert body["showtime_status"] == status
        assert await statuses(app_client, number) == {}
    body = refused(await claim(app_client, later, rina, "A1"), 409, "not_on_sale")
    assert abs(datetime.fromisoformat(body["sales_open_at"]) - datetime.now(UTC) - HOUR) < timedelta(minutes=1)
    assert await statuses(app_client, later) == {}


async def test_a_showtime_under_repair_is_shown_but_not_changed(app_client, small):
    """503 with when to ask again, and that nothing happened; the map is still there."""
    rina = await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    await app_client.app.state.runtime.seats.freeze_showtime(small.showtime, "rebuilding")

    for answer in (
        await claim(app_client, small.showtime, rina, "A1"),
        await app_client.delete(f"/api/v1/holds/{hold['id']}", headers=rina),
    ):
        body = refused(answer, 503, "showtime_frozen")
        assert body["outcome"] == "definite"
        assert int(answer.headers["retry-after"]) >= 1
    assert await statuses(app_client, small.showtime) == {"C7": "LOCKED"}


@pytest.mark.covers("002.4")
async def test_nobody_sees_or_touches_the_hold_of_another(app_client, small):
    """Reading, changing, extending, releasing: 404 as for a hold that never was; the hold stays as it is."""
    rina, budi = await guest(app_client), await guest(app_client)
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    never = hold["id"][:-1] + ("0" if hold["id"][-1] != "0" else "1")

    for hold_id in (hold["id"], never, "00000000-0000-0000-0000-000000000000", "x", "%00", hold["id"] + "0"):
        url = f"/api/v1/holds/{hold_id}"
        for answer in (
            await app_client.get(url, headers=budi),
            await app_client.patch(url, json={"add": ["A1"]}, headers=budi),
            await app_client.post(f"{url}/extend", headers=budi),
            await app_client.delete(url, headers=budi),
        ):
            refused(answer, 404, "not_found")
    assert (await app_client.get(f"/api/v1/holds/{hold['id']}", headers=rina)).json()["seats"] == hold["seats"]
    assert await statuses(app_client, small.showtime) == {"C7": "LOCKED"}


async def test_a_bad_change_points_at_the_field_and_changes_nothing(app_client, small):
    """Nothing named, a seat on both lists, a seat that is not there, a seat that is taken, too many in all."""
    rina, budi = await guest(app_client), await guest(app_client)
    await claim(app_client, small.showtime, budi, "D1")
    hold = (await claim(app_client, small.showtime, rina, *(f"A{n}" for n in range(1, 9)))).json()
    url = f"/api/v1/holds/{hold['id']}"
    tries = [
        ({}, 422, "invalid_field"),
        ({"add": ["B1"], "remove": ["B1"]}, 422, "duplicate_seat"),
        ({"add": ["Z9"]}, 422, "unknown_seat"),
        ({"remove": ["Z9"]}, 422, "unknown_seat"),
        ({"add": ["B1"], "hold_ttl_ms": 1}, 422, "invalid_field"),
        ({"add": ["B1", "D1"]}, 409, "seats_taken"),
        ({"add": ["B1", "B2", "B3"]}, 422, "too_many_seats"),
    ]
    for body, status, code in tries:
        refused(await app_client.patch(url, json=body, headers=rina), status, code)
    shown = (await app_client.get(url, headers=rina)).json()
    assert (shown["seats"], shown["expires_at"]) == (hold["seats"], hold["expires_at"])


async def test_one_customer_has_two_holds_and_twenty_seats_at_most(app_client, small):
    """The third hold is refused with the two that are there; releasing one makes room."""
    rina = await guest(app_client)
    first = (await claim(app_client, small.showtime, rina, "A1")).json()
    second = (await claim(app_client, small.showtime, rina, "A2")).json()

    body = refused(await claim(app_client, small.showtime, rina, "A3"), 409, "hold_limit")
    assert sorted(body["holds"]) == sorted([first["id"], second["id"]])
    await app_client.delete(f"/api/v1/holds/{first['id']}", headers=rina)
    assert (await claim(app_client, small.showtime, rina, "A3")).status_code == 201


async def test_a_storm_inside_one_process_sells_each_seat_once(app_client, small):
    """The same connection carries all claims of a turn; one customer wins, the others learn so."""
    crowd = [await guest(app_client) for _ in range(20)]
    answers = await asyncio.gather(*(claim(app_client, small.showtime, one, "C7") for one in crowd))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19

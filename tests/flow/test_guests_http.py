"""A guest who becomes somebody keeps holds and bookings; one's own holds everywhere, and the end of them."""

import pytest

from tests.flow.conftest import guest

pytestmark = pytest.mark.one_redis("what moves in Redis is moved on every kind in tests/lua")

RINA = {"email": "rina@example.com", "password": "correct horse", "name": "Rina"}


async def claim(client, showtime, headers, *seats):
    """Hold seats; gives the hold's id."""
    answer = await client.post(f"/api/v1/showtimes/{showtime}/holds", json={"seats": seats}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def check_out(client, hold, headers, **body):
    """Make a booking of a hold."""
    answer = await client.post("/api/v1/bookings", json={"hold_id": hold, **body}, headers=headers)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def enter(client, how="register", headers=None):
    """Register or log in as Rina; gives the answer and the headers of the session."""
    body = RINA if how == "register" else {"email": RINA["email"], "password": RINA["password"]}
    answer = await client.post(f"/api/v1/auth/{how}", json=body, headers=headers or {})
    assert answer.status_code in (200, 201), answer.text
    return answer.json(), {"Authorization": f"Bearer {answer.json()['access_token']}"}


async def items(client, what, headers, query=""):
    """Read one of one's own lists."""
    answer = await client.get(f"/api/v1/me/{what}{query}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


@pytest.fixture
async def showtimes(small):
    """Two showtimes on sale."""
    return [await small.add_showtime(days=3), await small.add_showtime(days=4)]


@pytest.mark.covers("004.24")
@pytest.mark.parametrize("how", ["register", "login"])
async def test_a_guest_who_logs_in_keeps_holds_and_bookings(app_client, showtimes, pool, how):
    """Of all showtimes, checked out or not; from then on they are the account's alone."""
    visitor = await guest(app_client)
    if how == "login":
        await enter(app_client)
    held = await claim(app_client, showtimes[0], visitor, "A1", "A2")
    booked = await claim(app_client, showtimes[1], visitor, "A1")
    await check_out(app_client, booked, visitor, email="visitor@example.com")

    session, rina = await enter(app_client, how, visitor)

    assert sorted(session["moved"]["holds"]) == sorted([held, booked])
    assert (session["moved"]["bookings"], session["moved"]["left"]) == (0, [])
    assert [hold["id"] for hold in await items(app_client, "holds", rina)] == [held]
    assert [booking["id"] for booking in await items(app_client, "bookings", rina)] == [booked]
    assert (await app_client.get(f"/api/v1/bookings/{booked}", headers=rina)).json()["status"] == "PENDING"
    assert (await app_client.get(f"/api/v1/holds/{held}", headers=visitor)).status_code == 404
    assert await items(app_client, "holds", visitor) == await items(app_client, "bookings", visitor) == []
    seats = (await app_client.get(f"/api/v1/showtimes/{showtimes[0]}/seats", headers=rina)).json()["seats"]
    assert [seat["seat"] for seat in seats if seat["status"] == "LOCKED_BY_ME"] == ["A1", "A2"]

    # The end of the booking is told in the new buyer's name.
    await app_client.post(f"/api/v1/bookings/{booked}/cancel", headers=rina)
    again, _ = await enter(app_client, "login", visitor)
    assert again["moved"] == {"holds": [], "bookings": 0, "left": []}


async def test_what_the_ledger_has_of_a_guest_goes_over_too(app_client, showtimes, pool, small):
    """Bookings and their tickets, paid or ended; those of others stay."""
    visitor = await guest(app_client)
    subject = (await app_client.get("/api/v1/me", headers=visitor)).json()["id"]
    for number, who in enumerate((subject, subject, "somebody else"), 1):
        await pool.execute(
            "INSERT INTO bookings (id, showtime_id, subject, status, owner_number, claimed_at, amount_minor, currency,"
            " expires_at) VALUES ($1, $2, $3, 'EXPIRED', 1, now(), 0, 'IDR', now())",
            f"01900000-0000-7000-8000-00000000000{number}",
            showtimes[0],
            who,
        )
    session, rina = await enter(app_client, headers=visitor)

    assert session["moved"]["bookings"] == 2
    assert len(await items(app_client, "bookings", rina)) == 2
    owners = [row["subject"] for row in await pool.fetch("SELECT subject FROM bookings ORDER BY id")]
    assert owners == [session["user"]["id"]] * 2 + ["somebody else"]


async def test_holds_beyond_the_accounts_limits_stay_with_the_guest_and_are_told(app_client, showtimes):
    """Two live holds of a showtime are a customer's; bookings go before holds."""
    visitor = await guest(app_client)
    booked = await claim(app_client, showtimes[0], visitor, "A1")
    await check_out(app_client, booked, visitor, email="visitor@example.com")
    held = await claim(app_client, showtimes[0], visitor, "A2")
    _, rina = await enter(app_client)
    await claim(app_client, showtimes[0], rina, "A3")

    session, rina = await enter(app_client, "login", visitor)

    assert session["moved"] == {"holds": [booked], "bookings": 0, "left": [{"id": held, "code": "hold_limit"}]}
    assert (await app_client.get(f"/api/v1/holds/{held}", headers=visitor)).status_code == 200


async def test_only_a_guests_bearer_moves_anything(app_client, showtimes):
    """Another account's token gives nothing away, and a token that is no good keeps nobody out."""
    _, rina = await enter(app_client)
    held = await claim(app_client, showtimes[0], rina, "A1")
    for headers in (rina, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"}, {}):
        answer = await app_client.post(
            "/api/v1/auth/register", json={**RINA, "email": f"{len(str(headers))}@example.com"}, headers=headers
        )
        assert answer.status_code == 201
        assert "moved" not in answer.json()
    assert [hold["id"] for hold in await items(app_client, "holds", rina)] == [held]


@pytest.mark.covers("004.24")
async def test_all_own_holds_are_given_back_at_once(app_client, showtimes):
    """One's own only, of every showtime; a booking stays; a repeat is harmless."""
    visitor, other = await guest(app_client), await guest(app_client)
    for showtime in showtimes:
        await claim(app_client, showtime, visitor, "A1")
        await claim(app_client, showtime, other, "B1")
    booked = await claim(app_client, showtimes[0], visitor, "A2")
    await check_out(app_client, booked, visitor, email="visitor@example.com")
    assert len(await items(app_client, "holds", visitor)) == 2

    for _ in range(2):
        assert (await app_client.delete("/api/v1/me/holds", headers=visitor)).status_code == 204

    assert await items(app_client, "holds", visitor) == []
    assert [booking["id"] for booking in await items(app_client, "bookings", visitor)] == [booked]
    assert len(await items(app_client, "holds", other)) == 2
    free = (await app_client.get(f"/api/v1/showtimes/{showtimes[0]}/seats")).json()["seats"]
    statuses = {seat["seat"]: seat["status"] for seat in free}
    assert (statuses["A1"], statuses["A2"], statuses["B1"]) == ("AVAILABLE", "LOCKED", "LOCKED")


async def test_unpaid_bookings_have_their_place_in_the_pages(app_client, showtimes, pool):
    """Newest first through all pages, whether the ledger knows a booking or only Redis does; each once."""
    visitor = await guest(app_client)
    subject = (await app_client.get("/api/v1/me", headers=visitor)).json()["id"]
    expected = []
    for showtime, seat in [(showtimes[0], "A1"), (showtimes[1], "A1"), (showtimes[0], "A2"), (showtimes[1], "A2")]:
        hold = await claim(app_client, showtime, visitor, seat)
        await check_out(app_client, hold, visitor, email="visitor@example.com")
        expected.append(hold)
    for old in ("01900000-0000-7000-8000-000000000001", "01900000-0000-7000-8000-000000000002"):
        await pool.execute(
            "INSERT INTO bookings (id, showtime_id, subject, status, owner_number, claimed_at, amount_minor, currency,"
            " expires_at) VALUES ($1, $2, $3, 'EXPIRED', 1, now(), 0, 'IDR', now())",
            old,
            showtimes[0],
            subject,
        )
        expected.append(old)
    seen, query = [], "?limit=2"
    while query:
        page = (await app_client.get(f"/api/v1/me/bookings{query}", headers=visitor)).json()
        assert len(page["items"]) <= 2
        seen += [booking["id"] for booking in page["items"]]
        query = page["next_cursor"] and f"?limit=2&cursor={page['next_cursor']}"
    assert seen == sorted(expected, reverse=True)

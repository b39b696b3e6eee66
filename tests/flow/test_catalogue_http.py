"""The catalogue over HTTP: what customers browse, and layouts that never change."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.flow.conftest import guest
from tests.flow.test_holds_http import claim, refused

pytestmark = pytest.mark.one_redis("what it shows comes from PostgreSQL")

API = "/api/v1"


async def get(client, path, **query):
    """Read a path that answers 200."""
    answer = await client.get(API + path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.covers("001.3", "001.4", "001.5", "004.40")
async def test_a_customer_browses_to_a_showtime(app_client, small):
    """City, cinema, film, day: each list gives what the next one asks for."""
    (city,) = (await get(app_client, "/cities"))["items"]
    (cinema,) = (await get(app_client, "/cinemas", city=city["slug"]))["items"]
    day = (datetime.now(UTC) + timedelta(days=1)).astimezone(ZoneInfo(city["timezone"])).date()
    (movie,) = (await get(app_client, "/movies", city=city["slug"], date=day.isoformat()))["items"]
    found = await get(app_client, "/showtimes", cinema=cinema["slug"], movie=movie["slug"], date=day.isoformat())
    (item,) = found["items"]
    assert (city["cinemas"], cinema["auditoriums"], movie["showtimes"]) == (1, 2, 1)
    assert "policy" not in cinema
    assert item["id"] == small.showtime
    assert (item["status"], item["timezone"]) == ("ON_SALE", "Asia/Jakarta")
    assert (item["seats"], item["seats_available"], item["lowest_price"]) == (40, 40, 5_000_000)
    assert item["currency"] == "IDR"
    assert found["next_cursor"] is None
    one = await get(app_client, f"/showtimes/{small.showtime}")
    assert {key: one[key] for key in item if key != "server_time"} == item


async def test_the_list_counts_free_seats_without_loading_showtimes(app_client, small, redis_client):
    """A list reads what Redis has and leaves the rest there unloaded; a hold is counted once the showtime is loaded."""
    assert (await get(app_client, "/showtimes"))["items"][0]["seats_available"] == 40
    assert await redis_client.keys(f"*:{small.showtime}:meta") == []
    await claim(app_client, small.showtime, await guest(app_client), "A1", "A2")
    app_client.app.state.runtime.catalogue._seat_counts._known.clear()
    assert (await get(app_client, "/showtimes"))["items"][0]["seats_available"] == 38


async def test_the_list_comes_while_redis_is_away(app_client, small):
    """Without Redis the films are still listed, with null for the seats."""
    await app_client.app.state.runtime.lane.close()
    (item,) = (await get(app_client, "/showtimes"))["items"]
    assert item["seats_available"] is None


@pytest.mark.covers("004.26")
async def test_a_layout_is_given_once(app_client, small):
    """The layout has every seat in index order; with its ETag it costs a 304; both paths give the same."""
    first = await app_client.get(f"{API}/showtimes/{small.showtime}/layout")
    body = first.json()
    assert [seat["index"] for seat in body["seats"]] == list(range(40))
    assert set(body["seats"][0]) == {
        "index", "seat", "row", "number", "tier", "zone", "x", "y", "accessible", "companion",
    }  # fmt: skip
    assert body["seats"][32]["accessible"]
    assert "immutable" in first.headers["cache-control"]
    again = await app_client.get(
        f"{API}/showtimes/{small.showtime}/layout", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    of_hall = await app_client.get(f"{API}/auditoriums/{small.auditorium}/layout")
    assert of_hall.json() == body
    assert "immutable" not in of_hall.headers["cache-control"]


@pytest.mark.parametrize(
    "path",
    [
        "/showtimes?date=tomorrow", "/showtimes?date=2026-02-30", "/movies?date=20260101", "/showtimes?date=1999-01-01",
        "/showtimes?limit=0", "/showtimes?limit=201", "/showtimes?limit=x", "/showtimes?cursor=x",
        "/showtimes?cursor=WzEsOTk5OTk5OTk5OTk5OTk5OTk5OTk5XQ", "/cities?cursor=WyJhXHUwMDAwIiwxXQ",
        "/cities?cursor=WzFd", "/cinemas?city=%00", "/movies?cursor=WyJhIiw5OTk5OTk5OTk5OTk5XQ",
    ],
)  # fmt: skip
async def test_a_wrong_question_is_refused(app_client, path):
    """Days that are none, limits out of bounds and cursors that nobody gave out are 422, never 500."""
    refused(await app_client.get(API + path), 422, "invalid_field")


@pytest.mark.parametrize(
    "path", ["/showtimes/999", "/showtimes/0", "/showtimes/99999999999/layout", "/auditoriums/99999999999/layout"]
)
async def test_what_does_not_exist_is_not_found(app_client, path):
    """Unknown and impossible numbers are 404."""
    refused(await app_client.get(API + path), 404, "not_found")


async def test_lists_page_by_cursor(app_client, small):
    """Two pages of one showtime each, and an end."""
    second = await small.add_showtime(days=2)
    page = await get(app_client, "/showtimes", limit=1)
    rest = await get(app_client, "/showtimes", limit=1, cursor=page["next_cursor"])
    assert [item["id"] for item in page["items"] + rest["items"]] == [small.showtime, second]
    assert rest["next_cursor"] is None

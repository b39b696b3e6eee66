"""Seats over HTTP: the map, its entity tag, what is free, the compact form."""

import asyncio
import base64

import pytest

from tests.flow.conftest import guest
from tests.flow.test_holds_http import claim, path_of, statuses
from tests.small_catalogue import PRICES, SEATS


@pytest.mark.covers("001.6", "004.3", "004.34", "000.11")
async def test_the_map_shows_every_seat_with_price_and_status(app_client, small):
    """In layout order, with a summary that adds up and the server's time."""
    rina = await guest(app_client)
    await claim(app_client, small.showtime, rina, "C7")
    answer = await app_client.get(path_of(small.showtime, "seats"))
    body = answer.json()

    assert [seat["seat"] for seat in body["seats"]] == SEATS
    assert {seat["tier"]: seat["price"] for seat in body["seats"]} == PRICES
    assert body["seats"][22] == {
        "seat": "C7",
        "row": "C",
        "number": "7",
        "tier": "PREMIUM",
        "price": 7_500_000,
        "status": "LOCKED",
    }
    assert body["summary"] == {"available": 39, "locked": 1, "sold": 0, "blocked": 0, "in_review": 0}
    assert (body["showtime_id"], body["currency"]) == (small.showtime, "IDR")
    assert body["server_time"].endswith("Z")


async def test_the_entity_tag_moves_with_every_change_and_only_then(app_client, small):
    """304 while nothing changes; 200 after a claim, a release, and a change of price."""
    rina = await guest(app_client)
    url = path_of(small.showtime, "seats")
    tag = (await app_client.get(url)).headers["etag"]
    unchanged = await app_client.get(url, headers={"If-None-Match": tag})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", tag)

    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    after_claim = await app_client.get(url, headers={"If-None-Match": tag})
    await app_client.delete(f"/api/v1/holds/{hold['id']}", headers=rina)
    after_release = await app_client.get(url, headers={"If-None-Match": after_claim.headers["etag"]})

    assert (after_claim.status_code, after_release.status_code) == (200, 200)
    tags = {tag, after_claim.headers["etag"], after_release.headers["etag"]}
    assert len(tags) == 3
    assert after_release.json()["version"] > after_claim.json()["version"]


async def test_each_viewer_has_a_tag_and_a_cache_of_its_own(app_client, small):
    """What one sees as LOCKED_BY_ME must never be another's 304, nor lie in a shared cache."""
    rina, budi = await guest(app_client), await guest(app_client)
    url = path_of(small.showtime, "seats")
    await claim(app_client, small.showtime, rina, "C7")
    hers, his, anonymous = [await app_client.get(url, headers=headers) for headers in (rina, budi, {})]

    assert len({answer.headers["etag"] for answer in (hers, his, anonymous)}) == 3
    assert hers.headers["cache-control"].startswith("private")
    assert not anonymous.headers["cache-control"].startswith("private")
    assert all("Authorization" in answer.headers["vary"] for answer in (hers, his, anonymous))
    crossed = await app_client.get(url, headers={**budi, "If-None-Match": hers.headers["etag"]})
    own = await app_client.get(url, headers={**rina, "If-None-Match": hers.headers["etag"]})
    assert (crossed.status_code, own.status_code) == (200, 304)


async def test_what_was_written_for_one_viewer_is_shown_to_no_other(app_client, small):
    """Maps are kept for whoever asks next: never one's own seats, never the seats of a moment ago."""
    rina, budi = await guest(app_client), await guest(app_client)

    async def all_see():
        return [await statuses(app_client, small.showtime, who) for who in (budi, rina, budi, {}, rina)]

    assert await all_see() == [{}] * 5
    hold = (await claim(app_client, small.showtime, rina, "C7")).json()
    hers, others = {"C7": "LOCKED_BY_ME"}, {"C7": "LOCKED"}
    assert await all_see() == [others, hers, others, others, hers]
    await app_client.delete(f"/api/v1/holds/{hold['id']}", headers=rina)
    assert await all_see() == [{}] * 5


async def test_a_tag_of_somebody_else_or_of_nobody_is_no_tag(app_client, small):
    """Made-up tags, weak or strong, lists, stars: a whole answer, never a crash."""
    url = path_of(small.showtime, "seats")
    tag = (await app_client.get(url)).headers["etag"]
    for made_up in ('"x"', "W/", "1.2.3", '"' + "9" * 400 + tag[tag.index(".") :], tag.replace(".", ".0"), "\xe9"):
        answer = await app_client.get(url, headers={"If-None-Match": made_up.encode("latin-1")})
        assert answer.status_code == 200, made_up
    assert (await app_client.get(url, headers={"If-None-Match": f'"x", {tag}'})).status_code == 304


@pytest.mark.covers("004.26", "004.2")
async def test_the_quick_list_has_the_free_seats_by_tier(app_client, small):
    """A held seat is not on it."""
    rina = await guest(app_client)
    await claim(app_client, small.showtime, rina, "C7", "A1")
    body = (await app_client.get(path_of(small.showtime, "seats/available"))).json()

    assert list(body["available"]) == ["REGULAR", "PREMIUM", "VIP"]
    assert body["available"]["PREMIUM"] == [seat for seat in SEATS if seat[0] in "CD" and seat != "C7"]
    assert sum(len(seats) for seats in body["available"].values()) == 38


async def test_the_compact_form_follows_the_map(app_client, small):
    """Bitmaps in layout order; with `since` only what changed; the whole for a version that nobody remembers."""
    rina = await guest(app_client)
    url = path_of(small.showtime, "availability")
    start = (await app_client.get(url)).json()
    hold = (await claim(app_client, small.showtime, rina, "A1", "C7")).json()

    whole = (await app_client.get(url)).json()
    locked = base64.b64decode(whole["locked"])
    assert [i for i in range(40) if locked[i >> 3] & 0x80 >> (i & 7)] == [0, 22]
    assert base64.b64decode(whole["in_review"]) == base64.b64decode(whole["sold"]) == bytes(5)
    since = (await app_client.get(url, params={"since": start["version"]})).json()
    assert since["changes"] == [[0, "LOCKED"], [22, "LOCKED"]]
    assert "locked" not in since
    same = (await app_client.get(url, params={"since": whole["version"]})).json()
    assert same["changes"] == []
    await app_client.delete(f"/api/v1/holds/{hold['id']}", headers=rina)
    freed = (await app_client.get(url, params={"since": whole["version"]})).json()
    assert freed["changes"] == [[0, "AVAILABLE"], [22, "AVAILABLE"]]
    forgotten = (await app_client.get(url, params={"since": 7})).json()
    assert "locked" in forgotten
    for bad in ("x", "-1", "1.5", "9" * 30):
        answer = await app_client.get(url, params={"since": bad})
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field")


class TestLapse:
    """A hold of one second, and no worker anywhere."""

    @pytest.fixture
    def policy_changes(self):
        """One second."""
        return {"hold_ttl_s": 1}

    @pytest.mark.covers("001.15", "001.27", "001.31", "004.30", "004.31")
    async def test_a_lapse_moves_the_tag_and_frees_the_seat_with_no_worker(self, app_client, small):
        """The old tag gives 200 with the seat AVAILABLE, the next claim succeeds, the owner learns the end."""
        rina, budi = await guest(app_client), await guest(app_client)
        hold = (await claim(app_client, small.showtime, rina, "C7")).json()
        assert hold["expires_in_ms"] == 1000
        url = path_of(small.showtime, "seats")
        held = await app_client.get(url)
        compact = (await app_client.get(path_of(small.showtime, "availability"))).json()
        assert (await app_client.get(url, headers={"If-None-Match": held.headers["etag"]})).status_code == 304

        async with asyncio.timeout(5):
            while True:
                seen = await app_client.get(url, headers={"If-None-Match": held.headers["etag"]})
                if seen.status_code == 200:
                    break
                await asyncio.sleep(0.05)
        assert {seat["status"] for seat in seen.json()["seats"]} == {"AVAILABLE"}
        assert seen.json()["version"] > held.json()["version"]
        changes = await app_client.get(path_of(small.showtime, "availability"), params={"since": compact["version"]})
        assert changes.json()["changes"] == [[22, "AVAILABLE"]]
        gone = await app_client.get(f"/api/v1/holds/{hold['id']}", headers=rina)
        assert (gone.status_code, gone.json()["code"]) == (410, "hold_expired")
        extended = await app_client.post(f"/api/v1/holds/{hold['id']}/extend", headers=rina)
        assert (extended.status_code, extended.json()["code"]) == (410, "hold_expired")

        assert (await claim(app_client, small.showtime, budi, "C7")).status_code == 201
        after = await app_client.get(url, headers=budi)
        assert after.json()["version"] > seen.json()["version"]
        assert await statuses(app_client, small.showtime, budi) == {"C7": "LOCKED_BY_ME"}

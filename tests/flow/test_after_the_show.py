"""A day after its end a showtime leaves Redis by itself, for good; what was booked stays readable."""

import pytest

from engine.accounts.tokens import Identity, Tokens
from engine.limits import DAY_MS
from engine.seats.keys import SHOWTIME_KEYS, showtime_key, showtime_prefix
from tests.flow.conftest import open_client
from tests.flow.town import TOKEN_SECRET
from tests.houses import ANNA, BUDI, open_house
from tests.ledgers import eventually
from tests.showtimes import refused

pytestmark = pytest.mark.one_redis("keys end alike on each of them; tests/lua looks at every key on every kind")
LEFT_MS = 700
"""How long the keys of the showtime still live when it is moved into the past."""


async def keys_of(house):
    """Give what is left in Redis of the showtime, with the ms that each key still lives."""
    names = await house.runtime.redis.keys(showtime_prefix(house.showtime) + "*")
    return {name: await house.runtime.redis.pttl(name) for name in names}


async def end_the_show(house, pool):
    """Move the showtime into the past, so that a day after its end is nearly over."""
    await pool.execute(
        "UPDATE showtimes SET starts_at = t - interval '2 hours', ends_at = t, sales_stop_at = t - interval '2 hours', "
        "sales_open_at = t - interval '9 days' FROM (SELECT now() - $1::integer * interval '1 ms' AS t) AS ended",
        DAY_MS - LEFT_MS,
    )
    facts = await house.small.catalogue.read_showtime(house.showtime)
    await house.seats.change_policy(house.showtime, house.small.catalogue.policy(facts))


@pytest.mark.covers("002.8")
async def test_a_showtime_leaves_redis_a_day_after_its_end_and_never_comes_back(settings, small, pool):
    """Every key has the same end and nothing sweeps them; no claim, sale or look loads the showtime again."""
    async with open_house(settings, small) as house:
        async with house.worker():
            await house.ticketed([0, 1])
        held, capture = await house.check_out([2], BUDI), await house.pay([3], "guest:late")
        lasting = {name for name in SHOWTIME_KEYS if name != "loading"}
        assert set(await keys_of(house)) >= {showtime_key(house.showtime, name).encode() for name in lasting}
        await end_the_show(house, pool)
        ends = (await keys_of(house)).values()
        assert 0 < min(ends) <= max(ends) <= LEFT_MS

        async def is_gone():
            return await keys_of(house) == {}

        await eventually(is_gone)
        for _ in range(2):
            for call in (house.map(), house.seats.claim_seats(house.showtime, BUDI, [9]), house.check_out([8])):
                with refused("showtime_closed"):
                    await call
        await house.fetch("UPDATE captures SET settle_due = now()")
        await house.duties.settle_captures()
        assert await house.ledger.read_outcome("fake", capture.session_id) == "REFUND"
        await house.duties.expire_holds()
        assert await keys_of(house) == {}
        assert await house.ledger.read_booking(held.id) is None


async def test_bookings_of_an_ended_show_are_read_from_the_ledger(settings, small, pool):
    """Over HTTP, with its keys gone: tickets with seats and prices, the list, and one that lost its seats long ago."""
    async with open_house(settings, small) as house:
        async with house.worker():
            ticketed = (await house.ticketed([0, 1])).booking_id
        expired = (await house.pay([2])).booking_id
        await house.runtime.redis.flushall()
    await pool.execute(
        "UPDATE showtimes SET starts_at = now() - interval '4 days', ends_at = now() - interval '3 days', "
        "sales_stop_at = now() - interval '4 days', sales_open_at = now() - interval '9 days'"
    )
    await pool.execute("DELETE FROM captures WHERE booking_id = $1", expired)
    await pool.execute("UPDATE bookings SET status = 'EXPIRED', archived_at = now() WHERE id = $1", expired)
    await pool.execute("DELETE FROM booking_seats WHERE booking_id = $1", expired)
    token = Tokens(TOKEN_SECRET.encode(), 3600).issue(Identity(subject=ANNA, guest=False, email=None), "access")
    headers = {"Authorization": f"Bearer {token}"}
    async with open_client(settings) as client:
        booking = (await client.get(f"/api/v1/bookings/{ticketed}", headers=headers)).json()
        assert (booking["status"], booking["amount"], booking["movie"]) == ("CONFIRMED", 10_000_000, "The Test")
        assert [(one["seat"], one["status"]) for one in booking["tickets"]] == [("A1", "SOLD"), ("A2", "SOLD")]
        archived = (await client.get(f"/api/v1/bookings/{expired}", headers=headers)).json()
        assert (archived["status"], archived["seats"], archived["amount"]) == ("EXPIRED", [], 5_000_000)
        listed = (await client.get("/api/v1/me/bookings", headers=headers)).json()["items"]
        assert {one["id"]: one["amount"] for one in listed} == {ticketed: 10_000_000, expired: 5_000_000}

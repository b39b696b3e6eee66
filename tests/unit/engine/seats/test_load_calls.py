"""Loading a showtime into Redis, step by step, and adopting what was proved complete."""

from engine import limits
from engine.seats.keys import showtime_key
from engine.seats.seat_map import summary
from tests.showtimes import ANNA, BUDI, load_showtime, refused


async def test_a_load_brings_sales_blocks_and_counts_back(engine):
    """Sold seats with their sale numbers, blocks, and what customers have bought."""
    await load_showtime(engine, 8, sold={0: 77, 99: 78}, blocked={50}, bought={ANNA: 19, BUDI: 2})
    seat_map = await engine.read_seats(8)
    assert summary(seat_map) == {"available": 97, "locked": 0, "sold": 2, "blocked": 1, "in_review": 0}
    assert await engine.restock_seats(8, BUDI, "b", 77, "refund:2", [0, 99]) == (0,)
    with refused("seat_limit") as caught:
        await engine.claim_seats(8, ANNA, [1, 2])
    assert caught.value.details == {"seats_left": 1}


async def test_a_load_is_lost_by_closing(engine):
    """The last step stands only if nothing happened meanwhile; another's load is waited for."""
    assert (await engine.begin_load(9, "one")).word == "loading"
    elsewhere = await engine.begin_load(9, "two")
    assert elsewhere.word == "loading_elsewhere"
    assert 0 < elsewhere.wait_ms <= limits.LOAD_NONCE_TTL_MS
    await engine.close_showtime(9)
    assert await engine.install_part(9, "one", {ANNA: 1}) is False
    assert (await engine.begin_load(42, "three")).word == "loaded"


async def test_proved_data_is_adopted(engine, redis_lane, redis_client):
    """A stamp of an earlier generation is taken over only from exactly the proved place."""
    await redis_client.hset(showtime_key(42, "meta"), mapping={"generation": 7, "seq": 12})
    assert await engine.adopt_showtime(42, 7, 11, 5) is False
    assert await engine.adopt_showtime(42, 7, 12, 5) is True
    assert await redis_client.hmget(showtime_key(42, "meta"), "generation", "seq", "fence") == [
        b"%d" % redis_lane.generation,
        b"0",
        b"%d" % (5 << 24),
    ]
    assert await engine.adopt_showtime(999, 7, 12, 5) is False

"""Whole showtimes through their real scripts: maps, freezes, cancellations, blocks, rules."""

import asyncio
import contextlib
import random

import pytest

from engine import limits
from engine.errors import Refusal, Unavailable
from engine.seats.keys import showtime_key
from engine.seats.seat_map import statuses, summary
from tests.showtimes import ANNA, BUDI, load_showtime, make_policy, named, refused


@pytest.mark.covers("004.3")
async def test_the_map_shows_each_viewer_their_own(engine):
    """`mine` are the asking subject's locked seats; a known version costs no bitmaps."""
    await engine.claim_seats(42, BUDI, [1])
    hold = await engine.claim_seats(42, ANNA, [2, 3])
    seat_map = await engine.read_seats(42, ANNA)
    assert (seat_map.version, seat_map.seats, seat_map.mine) == (hold.version, 100, (2, 3))
    assert statuses(seat_map)[:4] == ["AVAILABLE", "LOCKED", "LOCKED_BY_ME", "LOCKED_BY_ME"]
    assert statuses(await engine.read_seats(42))[:4] == ["AVAILABLE", "LOCKED", "LOCKED", "LOCKED"]
    unchanged = await engine.read_seats(42, ANNA, known_version=seat_map.version)
    assert (unchanged.unchanged, unchanged.version) == (True, seat_map.version)
    assert not (await engine.read_seats(42, ANNA, known_version=seat_map.version - 1)).unchanged


async def test_changes_since_a_seen_version(engine):
    """From the snapshot of that version, whoever read it here; an unknown version gives the whole map."""
    first = await engine.read_seats(42)
    hold = await engine.claim_seats(42, ANNA, [2, 3])
    await engine.block_seats(42, [9])
    seat_map, changes = await engine.read_changes(42, first.version)
    assert changes == [(2, "LOCKED"), (3, "LOCKED"), (9, "BLOCKED")]
    _, mine = await engine.read_changes(42, first.version, ANNA)
    assert mine == [(2, "LOCKED_BY_ME"), (3, "LOCKED_BY_ME"), (9, "BLOCKED")]
    unchanged, changes = await engine.read_changes(42, seat_map.version)
    assert (unchanged.unchanged, unchanged.version, changes) == (True, seat_map.version, [])
    whole, changes = await engine.read_changes(42, hold.version)
    assert changes is None
    assert whole.seats == 100


async def test_a_cancelled_showtime_never_sells_again(engine):
    """Closing is for ever; freezing and opening cannot undo it."""
    await engine.close_showtime(42)
    await engine.close_showtime(42)
    with refused("showtime_closed"):
        await engine.freeze_showtime(42, "open")
    with refused("showtime_closed"):
        await engine.claim_seats(42, ANNA, [1])
    await engine.close_showtime(999)
    await engine.freeze_showtime(999, "frozen")


async def test_a_frozen_showtime_opens_again(engine):
    """Frozen refuses claims, until an operator opens the showtime."""
    await engine.freeze_showtime(42, "frozen")
    with refused("showtime_closed"):
        await engine.claim_seats(42, ANNA, [1])
    assert (await engine.read_seats(42)).status == "FROZEN"
    await engine.freeze_showtime(42, "open")
    assert (await engine.claim_seats(42, ANNA, [1])).seats == (1,)


async def test_no_operator_opens_a_showtime_under_rebuilding(engine):
    """Everything that writes waits for the load, reading goes on."""
    for state in ("rebuilding", "open"):
        await engine.freeze_showtime(42, state)
        with pytest.raises(Unavailable) as caught:
            await engine.claim_seats(42, ANNA, [1])
        assert (caught.value.code, caught.value.outcome) == ("showtime_frozen", "definite")
    assert (await engine.read_seats(42)).status == "FROZEN"


async def test_a_changed_policy_holds_for_the_next_claim(engine, redis_client):
    """All eleven numbers arrive in their order, and the keys live as long as the new rules say."""
    policy = make_policy(hold_ttl_ms=60_000, seats_per_hold_max=1)
    await engine.change_policy(42, policy)
    hold = await engine.claim_seats(42, ANNA, [1])
    assert hold.deadline_ms == hold.claimed_at_ms + 60_000
    with refused("too_many_seats"):
        await engine.claim_seats(42, ANNA, [2, 3])
    assert await redis_client.pexpiretime(showtime_key(42, "seats")) == policy.keys_until_ms


async def test_blocks_wait_for_holds_unless_they_evict(engine):
    """All or nothing; evicting ends whole holds; blocked seats come back."""
    hold = await engine.claim_seats(42, ANNA, [1, 2])
    with refused("seats_taken"):
        await engine.block_seats(42, [2, 3])
    await engine.block_seats(42, [2, 3], evict=True)
    assert statuses(await engine.read_seats(42))[:4] == ["AVAILABLE", "AVAILABLE", "BLOCKED", "BLOCKED"]
    with refused("hold_expired"):
        await engine.read_hold(named(hold), ANNA)
    await engine.unblock_seats(42, [2, 3, 4])
    assert summary(await engine.read_seats(42))["available"] == 100


async def test_a_block_of_the_largest_size_is_refused_whole(engine):
    """A conflict over every seat of the largest block is told, not an error of the interpreter."""
    await load_showtime(engine, 5, seats=2_500, sold=dict.fromkeys(range(2_000), 7))
    with refused("seats_taken") as caught:
        await engine.block_seats(5, range(limits.SEATS_PER_BLOCK_MAX))
    assert len(caught.value.details["seats"]) == limits.SEATS_PER_BLOCK_MAX
    await engine.block_seats(5, range(2_000, 2_500))


@pytest.mark.parametrize("seed", range(3))
async def test_what_a_viewer_sees_by_changes_is_what_is(engine, seed):
    """I11 over the real scripts: an equal version is an equal map, and changes lead to the fresh one, lapses too."""
    rng = random.Random(seed)
    await load_showtime(engine, 7, seats=60, hold_ttl_ms=25, seats_per_customer_max=1_000)
    seen = await engine.read_seats(7)
    screen = statuses(seen)
    for step in range(150):
        await random_act(engine, rng, f"guest:{rng.randrange(20)}:{step}")
        if rng.random() < 0.2:
            await asyncio.sleep(0.01)  # Some holds lapse: time is what changes the map here.
        seat_map, changes = await engine.read_changes(7, seen.version)
        if seat_map.unchanged:
            seat_map = await engine.read_seats(7)
            assert seat_map.version > seen.version or statuses(seat_map) == screen
            continue
        fresh = statuses(seat_map)
        assert seat_map.version > seen.version
        for seat, status in changes:
            screen[seat] = status
        assert screen == fresh
        seen = seat_map


async def random_act(engine, rng, guest):
    """Do something to some seats; a refusal is as good."""
    seats = rng.sample(range(60), rng.randint(1, 4))
    with contextlib.suppress(Refusal):
        match rng.choice(["claim", "claim", "release", "sell", "block", "unblock"]):
            case "block":
                await engine.block_seats(7, seats, evict=rng.random() < 0.5)
            case "unblock":
                await engine.unblock_seats(7, seats)
            case act:
                hold = await engine.claim_seats(7, guest, seats)
                if act == "release":
                    await engine.release_hold(named(hold), guest)
                elif act == "sell":
                    await engine.sell_seats(named(hold), guest, gateway="fake", session_id=hold.id, seats=hold.seats)


async def count_reads(redis_client):
    """Give how many scripts Redis was asked to run."""
    return int((await redis_client.info("commandstats"))["cmdstat_evalsha"]["calls"])


async def test_those_who_look_in_the_same_turn_cost_redis_one_call(engine, redis_client):
    """The same showtime, viewer and known version; any other look is a call of its own."""
    await load_showtime(engine, 43)
    hold = await engine.claim_seats(42, ANNA, [2])
    before = await count_reads(redis_client)
    looks = [engine.read_seats(42) for _ in range(50)] + [engine.read_seats(42, ANNA) for _ in range(2)]
    looks += [engine.read_seats(43), engine.read_seats(42, BUDI), engine.read_seats(42, None, hold.version)]
    *anybody, annas, annas_too, _, budis, known = await asyncio.gather(*looks)
    assert await count_reads(redis_client) == before + 5
    assert {(one.version, one.mine) for one in anybody} == {(hold.version, ())}
    assert annas.mine == annas_too.mine == (2,)
    assert (budis.mine, known.unchanged) == ((), True)


async def test_nobody_joins_a_look_that_has_left(engine, redis_lane):
    """What was told to anybody by then is in what one sees: here a claim that ran after the first look."""
    first = asyncio.ensure_future(engine.read_seats(42))
    await asyncio.sleep(0)  # the call is made, and its write is due in the next turn
    claim = asyncio.ensure_future(engine.claim_seats(42, ANNA, [2]))
    await asyncio.sleep(0)
    assert not first.done()
    second = asyncio.ensure_future(engine.read_seats(42))
    hold = await claim
    assert (await first).version < hold.version == (await second).version


@pytest.mark.parametrize("way", ["cancelled", "failed"])
async def test_a_look_that_ends_early_takes_nobody_with_it(engine, redis_lane, monkeypatch, way):
    """Who had joined asks for himself."""
    look = engine._read_seats
    failing = [True]

    async def read(*asked):
        if failing and failing.pop():
            if way == "failed":
                raise Unavailable("overloaded")
            await asyncio.Event().wait()
        return await look(*asked)

    monkeypatch.setattr(engine, "_read_seats", read)
    first, second, third = (asyncio.ensure_future(engine.read_seats(42)) for _ in range(3))
    await asyncio.sleep(0)
    if way == "cancelled":
        first.cancel()
    assert [(await one).seats for one in (second, third)] == [100, 100]
    with pytest.raises(asyncio.CancelledError if way == "cancelled" else Unavailable):
        await first
    assert engine._looks == {}

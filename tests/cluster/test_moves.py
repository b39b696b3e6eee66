"""Slots that move to another node of a cluster: what is on its way is refused, what has arrived goes on."""

import asyncio
from time import monotonic

import pytest

from engine.errors import Unavailable
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_of, showtime_key
from tests.cluster.conftest import Crowd, slot
from tests.houses import ANNA, BUDI
from tests.showtimes import refused

pytestmark = pytest.mark.long


def elsewhere(cluster, showtime):
    """Give the master that has the showtime, and another one."""
    here = cluster.owner(slot(showtime))
    return here, next(node for node in cluster.nodes if node is not here and node.is_master)


def generation(house):
    """Give the generation of the showtime's partition, as this process knows it."""
    return house.seats.lane_for(partition_of(house.showtime)).generation


async def test_a_showtime_moves_there_and_back_with_its_holds(cluster, cluster_house):
    """Each stay is a generation of its own, always a higher one; holds and sales go with it, and sales go on."""
    house = cluster_house
    here, there = elsewhere(cluster, house.showtime)
    await house.ticketed([0])
    hold = await house.seats.claim_seats(house.showtime, BUDI, [5])
    seen = [generation(house)]
    for sold, target in enumerate((there, here, there), 1):
        cluster.move(slot(house.showtime), target)
        assert (await house.seats.read_hold(parse_hold_id(hold.id), BUDI)).seats == (5,)
        await house.ticketed([sold])
        seen.append(generation(house))
        assert await house.map() == (set(range(sold + 1)), {5}, set())
    assert seen == sorted(set(seen))
    stamp = there.client.hget(showtime_key(house.showtime, "meta"), "generation")
    assert int(stamp) == seen[-1]
    assert await Crowd(house, house.showtimes).audit() == ()


async def test_on_their_way_seats_are_shown_and_not_claimed(cluster, cluster_house):
    """The node that gets them serves readers (ASK); a writer waits, and is refused for sure when it takes too long."""
    house = cluster_house
    here, there = elsewhere(cluster, house.showtime)
    await house.ticketed([0])
    cluster.begin_move(slot(house.showtime), here, there)
    cluster.move_keys(slot(house.showtime), here, there)
    assert await house.map() == ({0}, set(), set())
    began = monotonic()
    with pytest.raises(Unavailable) as caught:
        await house.seats.claim_seats(house.showtime, ANNA, [1])
    assert (caught.value.code, caught.value.outcome) == ("redis_unavailable", "definite")
    assert monotonic() - began > 1
    waiting = asyncio.create_task(house.seats.claim_seats(house.showtime, ANNA, [1]))
    await asyncio.sleep(0.2)
    cluster.end_move(slot(house.showtime), there)
    assert (await waiting).seats == (1,)


async def test_seats_that_are_half_here_and_half_there_are_neither(cluster, cluster_house):
    """A script runs with all of its keys or not at all (TRYAGAIN); whole again, everything is as it was."""
    house = cluster_house
    here, there = elsewhere(cluster, house.showtime)
    await house.ticketed([0])
    cluster.begin_move(slot(house.showtime), here, there)
    assert cluster.move_keys(slot(house.showtime), here, there, at_once=3, most=3) == 3
    with pytest.raises(Unavailable) as caught:
        await house.seats.claim_seats(house.showtime, ANNA, [1])
    assert caught.value.outcome == "definite"
    cluster.move_keys(slot(house.showtime), here, there)
    cluster.end_move(slot(house.showtime), there)
    assert (await house.seats.claim_seats(house.showtime, ANNA, [1])).seats == (1,)
    assert await house.map() == ({0}, {1}, set())


async def test_a_slot_whose_keys_were_left_behind_is_loaded_anew(cluster, cluster_house):
    """Whoever reshards by hand may forget the keys: what was sold is in the ledger."""
    house = cluster_house
    here, there = elsewhere(cluster, house.showtime)
    await house.ticketed([0])
    there.client.execute_command("CLUSTER", "SETSLOT", slot(house.showtime), "IMPORTING", cluster.id_of(here))
    keys = here.client.execute_command("CLUSTER", "GETKEYSINSLOT", slot(house.showtime), 1000)
    here.client.delete(*keys)
    cluster.end_move(slot(house.showtime), there)
    with refused("seats_taken"):
        await house.seats.claim_seats(house.showtime, BUDI, [0])
    await house.ticketed([1], BUDI)


@pytest.mark.parametrize("seed", range(2))
async def test_slots_move_under_load(cluster, cluster_house, seed):
    """Showtimes wander over the nodes while a crowd buys: no seat is sold twice, and all money finds its outcome."""
    house = cluster_house
    crowd = Crowd(house, house.showtimes, seed)
    async with crowd.buying():
        await crowd.claim_again()
        for _ in range(3):
            for showtime in house.showtimes:
                _, there = elsewhere(cluster, showtime)
                await asyncio.to_thread(cluster.move, slot(showtime), there, crowd.chance.choice((1, 7, 100)))
            await crowd.back()
    outcomes = await crowd.check()
    assert "TICKETS" in outcomes.values()
    crowd.tell("slots move")

"""Everybody at once, through two API processes: one owner per seat, all or nothing, no matter who comes when."""

import asyncio
import json
import os
import random
from dataclasses import replace
from itertools import count

import pytest
from redis import Redis

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.policies import PolicyOverrides
from engine.ledger.database import open_pool
from tests.conftest import run_sql
from tests.flow.conftest import make_settings, run_parts
from tests.flow.crowd import gather_crowd
from tests.flow.town import TOKEN_SECRET
from tests.small_catalogue import SEATS, small_catalogue

CROWD = 500
DAYS = count(2)


@pytest.fixture(scope="module")
def world(redis_server, postgres, migrated_template, tmp_path_factory):
    """Two API processes for all tests of this file: settings, catalogue, and the addresses of both."""
    with Redis.from_url(redis_server.url) as redis:
        redis.flushall()
    name = f"storm_{redis_server.kind}"
    run_sql(postgres, "postgres", f"CREATE DATABASE {name} TEMPLATE {migrated_template} STRATEGY file_copy")
    settings = make_settings(tmp_path_factory.mktemp("storm"), redis_server.url, postgres.url(name))
    made = asyncio.run(_make_catalogue(settings))
    with run_parts(settings, "api", "api") as parts:
        yield settings, made, tuple(part.url for part in parts)
    run_sql(postgres, "postgres", f"DROP DATABASE {name} WITH (FORCE)")


async def _make_catalogue(settings):
    async with await open_pool(settings) as pool:
        return await small_catalogue(pool, settings)


@pytest.fixture
async def arrive(world):
    """A function that lets a crowd of some size arrive at both processes; they leave when the test ends."""
    everybody = []

    async def arrive(size):
        crowd = await gather_crowd(TOKEN_SECRET, world[2], size)
        everybody.extend(crowd)
        return crowd

    yield arrive
    for customer in everybody:
        customer.writer.close()


@pytest.fixture
async def showtime(world):
    """A showtime that nobody has asked for yet: the storm has to load it, too."""
    settings, made, _ = world
    async with await open_pool(settings) as pool:
        catalogue = Catalogue(pool, settings)
        return await replace(made, catalogue=catalogue).add_showtime(days=next(DAYS))


async def claim_all(crowd, showtime, wishes):
    """Let each of the crowd claim its wish, all at once; gives the answers in order."""
    return await asyncio.gather(*(customer.claim(showtime, wish) for customer, wish in zip(crowd, wishes, strict=True)))


@pytest.mark.covers("004.36", "004.37", "000.3", "000.4", "004.42", "004.8")
@pytest.mark.parametrize("size", [10, 50])
async def test_of_many_claims_for_one_seat_exactly_one_wins(arrive, showtime, size):
    """Ten, then fifty, for one seat in the same instant: one 201, all others are told that it is taken."""
    crowd = await arrive(size)
    answers = await claim_all(crowd, showtime, [["C7"]] * size)

    assert sorted(answer.status for answer in answers) == [201] + [409] * (size - 1)
    losers = [answer.body for answer in answers if answer.status == 409]
    assert {(loser["code"], loser["seats"][0]["reason"]) for loser in losers} == {("seats_taken", "LOCKED")}
    for customer, answer in zip(crowd, answers, strict=True):
        mine = "LOCKED_BY_ME" if answer.status == 201 else "LOCKED"
        assert await customer.statuses(showtime) == {"C7": mine}


@pytest.mark.covers("004.36", "000.5")
async def test_different_seats_are_all_given(arrive, showtime):
    """Forty customers, forty seats, in the same instant: forty times 201."""
    crowd = await arrive(len(SEATS))
    answers = await claim_all(crowd, showtime, [[seat] for seat in SEATS])

    assert [answer.status for answer in answers] == [201] * len(SEATS)
    shown = await crowd[0].statuses(showtime)
    assert shown == dict.fromkeys(SEATS, "LOCKED") | {SEATS[0]: "LOCKED_BY_ME"}


@pytest.mark.covers("004.36", "004.12", "004.37")
async def test_five_hundred_with_overlapping_groups_share_forty_seats(arrive, showtime):
    """Groups of one to six: no seat in two holds, every hold whole, and the map shows exactly what was given."""
    seed = int(os.environ.get("STORM_SEED", random.randrange(2**32)))
    print(f"STORM_SEED={seed}")
    dice = random.Random(seed)
    wishes = [dice.sample(SEATS, dice.randint(1, 6)) for _ in range(CROWD)]
    crowd = await arrive(CROWD)
    answers = await claim_all(crowd, showtime, wishes)

    assert [answer for answer in answers if answer.status not in (201, 409)] == []
    given: dict[str, int] = {}
    for customer, (answer, wish) in enumerate(zip(answers, wishes, strict=True)):
        if answer.status == 201:
            seats = [seat["seat"] for seat in answer.body["seats"]]
            assert sorted(seats) == sorted(wish), "all or nothing"
            for seat in seats:
                assert seat not in given, f"{seat} has two owners"
                given[seat] = customer
    # Nobody was refused without a reason: a seat of each lost wish was named, and somebody has it.
    for answer in answers:
        if answer.status == 409:
            assert {seat["seat"] for seat in answer.body["seats"]} & given.keys()
    for customer in {0, CROWD - 1, *given.values()}:
        seen = await crowd[customer].statuses(showtime)
        assert seen == {seat: "LOCKED_BY_ME" if owner == customer else "LOCKED" for seat, owner in given.items()}


async def test_both_processes_show_the_same_map_and_tags(arrive, showtime):
    """A viewer may be sent to another process with each request: its entity tag holds there too."""
    rina, other = await arrive(2)
    rina_elsewhere = replace(other, token=rina.token)
    await rina.claim(showtime, ["C7"])
    path = f"/api/v1/showtimes/{showtime}/seats"
    one, two = await rina.send("GET", path), await rina_elsewhere.send("GET", path)

    assert one.headers["etag"] == two.headers["etag"]
    assert one.body["seats"] == two.body["seats"]
    crossed = await rina_elsewhere.send("GET", path, If_None_Match=one.headers["etag"])
    assert crossed.status == 304


@pytest.mark.covers("004.36")
async def test_one_customer_at_both_processes_never_has_more_holds_than_allowed(arrive, showtime):
    """Twenty claims of one customer, all at once through both processes: two holds, eighteen refusals (I13)."""
    crowd = await arrive(20)
    everywhere = [replace(seat, token=crowd[0].token) for seat in crowd]
    answers = await claim_all(everywhere, showtime, [[seat] for seat in SEATS[:20]])

    assert sorted(answer.status for answer in answers) == [201] * 2 + [409] * 18
    assert {answer.body["code"] for answer in answers if answer.status == 409} == {"hold_limit"}
    held = sorted(answer.body["seats"][0]["seat"] for answer in answers if answer.status == 201)
    assert await everywhere[1].statuses(showtime) == dict.fromkeys(held, "LOCKED_BY_ME")


async def test_one_customer_at_both_processes_never_has_more_seats_than_allowed(world, arrive):
    """Claims of two to four seats meet changes that add more: never beyond five, whatever comes first (I13)."""
    settings, made, _ = world
    async with await open_pool(settings) as pool:
        small = replace(made, catalogue=Catalogue(pool, settings))
        policy = PolicyOverrides(seats_per_customer_max=5, holds_per_customer_max=10)
        showtime = await small.add_showtime(days=next(DAYS), policy=policy)
    dice = random.Random(next(DAYS))
    crowd = await arrive(12)
    everywhere = [replace(seat, token=crowd[0].token) for seat in crowd]
    for _ in range(3):
        answers = await claim_all(everywhere, showtime, [dice.sample(SEATS, dice.randint(1, 3)) for _ in everywhere])
        assert {answer.status for answer in answers} <= {201, 409}
        holds = [answer.body["id"] for answer in answers if answer.status == 201]
        add = json.dumps({"add": dice.sample(SEATS, 2)}).encode()
        changes = [
            who.send("PATCH", f"/api/v1/holds/{hold}", add) for who, hold in zip(everywhere, holds, strict=False)
        ]
        assert {answer.status for answer in await asyncio.gather(*changes)} <= {200, 409}
        mine = await everywhere[0].statuses(showtime)
        assert 1 <= len(mine) <= 5
        assert set(mine.values()) == {"LOCKED_BY_ME"}
        for hold in holds[:1]:
            await everywhere[0].send("DELETE", f"/api/v1/holds/{hold}")

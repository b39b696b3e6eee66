"""The network between the processes and their two servers: cut, lossy one way only, slow, torn, half open, stormy."""

import asyncio
import random
import time

from engine.limits import CALL_BUDGET_MS, LANE_SILENT_TICKS_MAX, LANE_TICK_MS, SECOND_MS
from tests.faults.harness.faults import fault
from tests.faults.harness.namespace import open_remote_api
from tests.faults.harness.stage import SEATS, at, open_showtime

GIVEN_UP_S = (LANE_SILENT_TICKS_MAX + 1) * LANE_TICK_MS / SECOND_MS
"""After so long the lane leaves a Redis that does not answer."""
DELAY_S, JITTER_S = 0.2, 0.05

REDIS_AWAY = "calls end as unknown or definite, none runs twice or after its time, and nobody is stuck afterwards"
LEDGER_AWAY = "claims go on, money waits, and no confirmation is told that the ledger does not have"


def draw(line, chance):
    """Let the lines lose and delay as the seed of the fault says."""
    for proxy in line:
        proxy.chance = random.Random(chance.random())


async def cut_off(world, line, seconds):
    """Break everything, and let nobody in for a while."""
    line.refuse = True
    line.cut()
    await world.wait(seconds)
    line.heal()


async def break_again_and_again(world, line, chance, seconds):
    """Reset all connections every now and then for a while; gives how often."""
    ends, times = time.monotonic() + seconds, 0
    while time.monotonic() < ends:
        await world.wait(chance.uniform(0.02, 0.3))
        line.reset()
        times += 1
    return times


async def half_open(world, line, seconds):
    """Break everything, and take every new connection without ever answering it."""
    line.mute = True
    line.reset()
    await world.wait(seconds)
    line.heal()


async def claims_meanwhile(world, least=1):
    """Claim in a showtime that was loaded before, as in any; gives how many claims the buyers got answered besides."""
    before = world.load.seen.counts["claims"]
    await world.claims(least)
    return world.load.seen.counts["claims"] - before


# --- Redis


@fault("redis-line-cut", holds=REDIS_AWAY)
async def cut_redis(world, chance):
    """Everybody's connections to Redis break at once, and new ones are refused for some seconds."""
    await cut_off(world, world.redis_line, chance.uniform(0.5, 4))


@fault("redis-requests-lost", holds=REDIS_AWAY)
async def lose_requests(world, chance):
    """One-way cut: what is asked never arrives; the connections look alive until the lane gives them up."""
    world.redis_line.swallow_requests = True
    await world.wait(GIVEN_UP_S + chance.uniform(0, 2))
    world.redis_line.heal()


@fault("redis-answers-lost", holds="what ran unanswered is found again under its key, and runs once", quick=True)
async def lose_answers(world, chance):
    """One-way cut: every script runs, and nobody learns of it."""
    world.redis_line.swallow_answers = True
    await world.wait(chance.uniform(1, GIVEN_UP_S + 1))
    world.redis_line.heal()


@fault("redis-slow", holds="claims are answered within their budget, in order, by the right answers")
async def delay_redis(world, chance):
    """200 ms each way with jitter: slow is not away."""
    draw(world.redis_line, chance)
    world.redis_line.delay_s, world.redis_line.jitter_s = DELAY_S, JITTER_S
    assert 2 * (DELAY_S + JITTER_S) < CALL_BUDGET_MS / SECOND_MS, "it must be slow, not too late"
    await world.wait(1)
    answered = await claims_meanwhile(world, 5)
    await world.wait(chance.uniform(1, 4))
    world.redis_line.heal()
    return {"claims_while_slow": answered}


@fault("redis-too-slow", holds="a script that comes too late refuses to run, and so leaves no ghost")
async def delay_redis_beyond_the_budget(world, chance):
    """Requests need longer than a caller waits: whatever arrives then must not be done any more."""
    world.redis_line.delay_s = (CALL_BUDGET_MS / SECOND_MS) * chance.uniform(0.9, 1.3)
    await world.wait(chance.uniform(4, 7))
    world.redis_line.heal()


@fault("redis-answers-torn", holds=REDIS_AWAY)
async def tear_answers(world, chance):
    """Now and then an answer is lost together with its connection."""
    draw(world.redis_line, chance)
    world.redis_line.lose_answers = chance.uniform(0.02, 0.2)
    await world.wait(chance.uniform(3, 6))
    world.redis_line.heal()


@fault("redis-resets", holds=REDIS_AWAY)
async def reset_redis(world, chance):
    """Connections are reset several times a second, in the middle of whatever is out."""
    return {"resets": await break_again_and_again(world, world.redis_line, chance, chance.uniform(3, 6))}


@fault("redis-single-bytes", holds="a frame that comes byte by byte is the same frame")
async def split_redis(world, chance):
    """Every frame arrives in single bytes, both ways."""
    world.redis_line.chunk = world.redis_line.request_chunk = 1
    answered = await claims_meanwhile(world, 10)
    await world.wait(chance.uniform(1, 4))
    world.redis_line.heal()
    return {"claims_meanwhile": answered}


@fault("redis-half-open", holds=REDIS_AWAY)
async def half_open_redis(world, chance):
    """Connections are taken and never answered, as by a frozen machine."""
    await half_open(world, world.redis_line, chance.uniform(3, 7))


@fault("redis-stalls-amid-a-frame", holds="half an answer is waited for, or given up with its connection")
async def stall_redis(world, chance):
    """The first bytes of each answer arrive; the rest comes later than the lane waits, or just in time."""
    world.redis_line.stall_at = chance.randint(1, 20)
    await world.wait(chance.uniform(0.5, GIVEN_UP_S + 1))
    world.redis_line.heal()


@fault("redis-reconnect-storm", holds="everybody finds back, and each knows which Redis it found")
async def storm_redis(world, chance):
    """The line flaps: everything breaks, some are let in, and break again, faster than anybody settles."""
    flaps = chance.randint(20, 60)
    for _ in range(flaps):
        for proxy in world.redis_line:
            proxy.refuse = chance.random() < 0.5
        world.redis_line.reset()
        await world.wait(chance.uniform(0.01, 0.12))
    world.redis_line.heal()
    return {"flaps": flaps}


@fault("redis-away-from-one-api", holds="the other API serves everybody, and both agree on every seat")
async def cut_one_api_from_redis(world, chance):
    """One API is cut off from Redis for a while, in one of four ways; all others reach it."""
    line = chance.choice(world.apis).redis_line
    way = chance.choice(("refuse", "swallow_requests", "swallow_answers", "hold_answers"))
    setattr(line, way, True)
    if way == "refuse":
        line.cut()
    await world.wait(1)
    await world.claims(5)
    await world.wait(chance.uniform(1, 4))
    line.heal()
    return {"way": way}


@fault("redis-away-from-one-worker", holds="facts of its partitions arrive later, in order, each once")
async def cut_one_worker_from_redis(world, chance):
    """The worker keeps its heartbeat in PostgreSQL, so nobody takes over what it cannot read meanwhile."""
    line = chance.choice(world.workers).redis_line
    line.swallow_answers = True
    await world.wait(chance.uniform(2, 8))
    line.heal()


@fault(
    "packets-really-dropped", holds="an API whose packets vanish serves nobody and harms nobody", needs=("namespaces",)
)
async def drop_packets(world, chance):
    """No proxy: an API in a network namespace of its own, whose packets to both servers the kernel drops."""
    async with open_remote_api(world) as (_, cable):
        await world.confirmed(3)
        for _ in range(2):
            chance.choice((cable.pull, cable.lose_answers))()
            await world.wait(chance.uniform(3, 8))
            cable.mend()
            await world.claims(5)
        await world.wait(2)


# --- PostgreSQL


@fault("postgres-line-cut", holds=LEDGER_AWAY)
async def cut_postgres(world, chance):
    """Everybody's connections to PostgreSQL break at once, and new ones are refused for some seconds."""
    showtime = await open_showtime(world)
    async with world.town.customer() as buyer:
        for api in world.apis:  # the first brings the showtime to Redis; what an API has never seen it cannot sell now
            async with at(api, buyer) as same:
                await same.call("GET", f"/showtimes/{showtime}/seats", 200)
        outage = asyncio.create_task(cut_off(world, world.postgres_line, chance.uniform(2, 6)))
        await world.wait(1)
        for api in world.apis:
            async with at(api, buyer) as same:
                await same.claim(showtime, SEATS[1 + world.apis.index(api)])
        await outage


@fault("postgres-requests-lost", holds=LEDGER_AWAY)
async def lose_statements(world, chance):
    """One-way cut: statements never arrive, and their connections look alive until somebody's patience ends."""
    world.postgres_line.swallow_requests = True
    await world.wait(chance.uniform(2, 9))
    world.postgres_line.heal()


@fault("postgres-answers-lost", holds="a COMMIT without an answer is looked at, never guessed")
async def lose_answers_of_postgres(world, chance):
    """One-way cut: every statement runs, COMMIT too, and nobody learns of it."""
    world.postgres_line.swallow_answers = True
    await world.wait(chance.uniform(1, 7))
    world.postgres_line.heal()


@fault("postgres-slow", holds="bookings are confirmed, later")
async def delay_postgres(world, chance):
    """200 ms each way with jitter, on every statement of every transaction."""
    draw(world.postgres_line, chance)
    world.postgres_line.delay_s, world.postgres_line.jitter_s = DELAY_S, JITTER_S
    await world.wait(chance.uniform(6, 10))
    world.postgres_line.heal()


@fault("postgres-answers-torn", holds="a lost COMMIT is settled by what is in the ledger")
async def tear_answers_of_postgres(world, chance):
    """Now and then an answer is lost together with its connection; a share of them are answers to COMMIT."""
    draw(world.postgres_line, chance)
    world.postgres_line.lose_answers = chance.uniform(0.01, 0.05)
    await world.wait(chance.uniform(3, 6))
    world.postgres_line.heal()


@fault("postgres-resets", holds=LEDGER_AWAY)
async def reset_postgres(world, chance):
    """Connections are reset several times a second, in the middle of transactions."""
    return {"resets": await break_again_and_again(world, world.postgres_line, chance, chance.uniform(3, 6))}


@fault("postgres-single-bytes", holds="a message that comes byte by byte is the same message")
async def split_postgres(world, chance):
    """Every message arrives in single bytes, both ways."""
    world.postgres_line.chunk = world.postgres_line.request_chunk = 1
    await world.wait(chance.uniform(2, 5))
    world.postgres_line.heal()


@fault("postgres-half-open", holds=LEDGER_AWAY)
async def half_open_postgres(world, chance):
    """Connections are taken and never answered, longer than anybody waits for one."""
    await half_open(world, world.postgres_line, chance.uniform(4, 9))


@fault("postgres-away-from-one-api", holds="no confirmation is told by the one that cannot look, nor lost by the other")
async def cut_one_api_from_postgres(world, chance):
    """One API cannot reach the ledger; its customers are told so, and the gateway's events come again."""
    line = chance.choice(world.apis).postgres_line
    await cut_off(world, line, chance.uniform(2, 6))


@fault("everything-cut-from-one-worker", holds="its partitions are taken over, and no fact is applied twice")
async def cut_one_worker_off(world, chance):
    """Cut off from both servers without a word, for longer than its heartbeat may be old; then it comes back."""
    worker = chance.choice(world.workers)
    lines = (worker.redis_line, worker.postgres_line)
    for line in lines:
        line.hold_requests = line.hold_answers = True
    await world.wait(chance.uniform(11, 14))
    for line in lines:
        line.heal()

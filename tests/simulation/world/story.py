"""One story: drawn from its seed, played, healed, brought to rest, checked."""

import asyncio
import gc
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import blake2b

from engine.errors import SeatlockError
from tests.simulation.world.buyers import Client, Shown, cancel_showtime
from tests.simulation.world.checks import at_rest, check, open_money
from tests.simulation.world.loop import WORLD, Stalled
from tests.simulation.world.patches import inside
from tests.simulation.world.world import NoAnswer, World

DENSE = 3
"""Each third story is one of a crowd that repeats and gives back a lot, while most goes wrong."""
SETTLED_WITHIN_S = 60.0
REST_WITHIN_S = 300.0
READABLE_WITHIN_S = 20.0
"""The note of a load whose process has died keeps others waiting for 15 s."""
LOOK_S = 1.0


@dataclass
class Outcome:
    """What became of a story: broken promises first."""

    seed: int
    broken: list = field(default_factory=list)
    faults: Counter = field(default_factory=Counter)
    totals: Counter = field(default_factory=Counter)
    trace: list = field(default_factory=list)
    digest: str = ""


def play(seed, *, tracing=False):
    """Play one seed to its end."""
    draw = random.Random(seed * 2 + 1)
    dense = seed % DENSE == 0
    world = World(
        seed, rate=draw.choice((0.004, 0.01, 0.02) if dense else (0.0, 0.01, 0.03)), dense=dense, tracing=tracing
    )
    outcome = Outcome(seed, trace=world.trace)
    loop = world.loop
    asyncio.set_event_loop(loop)
    gc.disable()
    try:
        with inside(world):
            shown = Shown()
            try:
                loop.run_until_complete(loop.create_task(_story(world, draw, shown, outcome), context=WORLD.copy()))
            except Stalled:
                outcome.broken.append("stalled: nothing goes on")
            outcome.broken += check(world, shown)
            _take_apart(world)
    finally:
        asyncio.set_event_loop(None)
        loop.close()
        gc.enable()
    outcome.faults = world.chaos.counts
    _count(world, shown, outcome)
    return outcome


async def _story(world, draw, shown, outcome):
    world.seats = draw.randint(5, 12) if world.dense else draw.randint(2, 6)
    world.lost_memory = False
    policy = {"hold_ttl_s": draw.choice((3, 8, 30)), "payment_ttl_s": draw.choice((5, 20, 60))}
    world.build(draw.choice((1, 1, 2)), world.seats, policy, draw.choice((1, 2, 2)), draw.choice((1, 1, 2)))
    length_s = draw.uniform(6, 35)
    loop = world.loop
    clients = [
        loop.create_task(Client(world, number, shown).live(draw.randint(1, 3), length_s / 4), context=WORLD.copy())
        for number in range(draw.randint(6, 8) if world.dense else draw.randint(2, 5))
    ]
    if draw.random() < 0.2:
        cancel = cancel_showtime(world, world.showtimes[0], draw.uniform(1, length_s))
        clients.append(loop.create_task(cancel, context=WORLD.copy()))
    if draw.random() < 0.1:
        loop.call_later(draw.uniform(0, length_s), world.bank.pay_unknown, 7, context=WORLD)
    _plan(world, draw, length_s)
    await asyncio.wait(clients, timeout=length_s)
    world.heal()
    await _until_settled(world, outcome)
    await asyncio.wait(clients)
    await _until_rest(world, outcome)
    await _look(world, outcome)
    await _until_rest(world, outcome)
    for client in clients:
        if client.exception() is not None:
            outcome.broken.append(f"client: {client.exception()!r}")
    world.ended = True


async def _until_settled(world, outcome):
    """Every capture that was open at healing ends within a minute."""
    waiting, since = open_money(world), world.loop.time()
    while waiting := waiting & open_money(world):
        if world.loop.time() - since > SETTLED_WITHIN_S:
            outcome.broken.append(f"late: {sorted(waiting)} without an outcome {SETTLED_WITHIN_S:.0f} s after healing")
            return
        await asyncio.sleep(LOOK_S)
    outcome.totals["settling_s"] = world.loop.time() - since


async def _until_rest(world, outcome):
    since = world.loop.time()
    while (what := at_rest(world)) is not None:
        if world.loop.time() - since > REST_WITHIN_S:
            outcome.broken.append(f"restless: {what} after {REST_WITHIN_S:.0f} s")
            return
        await asyncio.sleep(LOOK_S)


async def _look(world, outcome):
    """Read every map, so that Redis has to have all showtimes as the ledger says."""
    for showtime in world.showtimes:
        since = world.loop.time()
        while True:
            try:
                await world.ask(lambda api, number=showtime: api.seats.read_seats(number))
                break
            except (NoAnswer, SeatlockError) as error:
                if world.loop.time() - since > READABLE_WITHIN_S:
                    outcome.broken.append(f"unreadable: {showtime} {error!r}")
                    break
                await asyncio.sleep(LOOK_S)


# --- Faults at moments of the plan


POINTS = (
    ("lane", "sell_seats"),
    ("lane", "claim_seats"),
    ("lane", "check_out"),
    ("lane", "restock_seats"),
    ("lane", "open_showtime"),
    ("bank", "create_session"),
    ("bank", "refund"),
    ("redis", "XREADGROUP"),
    ("redis", "PIPELINE"),
    ("postgres", "insert_capture"),
    ("postgres", "copy_tickets"),
    ("postgres", "insert_payment"),
    ("postgres", "take_back_tickets"),
    ("postgres", "COMMIT insert_payment_event"),
    ("postgres", "COMMIT lock_fact_heads"),
    ("postgres", "COMMIT find_showtime_status"),
    ("postgres", "COMMIT find_capture_booking"),
    ("postgres", "COMMIT due_refunds"),
    ("postgres", "COMMIT lock_refund"),
    ("postgres", "COMMIT find_booking_showtime"),
)
"""Where a sale and a refund can be cut in two."""


def _plan(world, draw, length_s):
    """Draw what goes wrong: at some time, or right after something was done."""
    kinds = (_restart_redis, _restart_redis, _stop_postgres, _kill, _kill, _freeze, _stop_bank, _jump)
    if world.chaos.rate:
        for _ in range(draw.choice((2, 4, 6) if world.dense else (0, 1, 2, 3))):
            act = draw.choice(kinds)(world, draw)
            if draw.random() < 0.5:
                world.loop.call_later(draw.uniform(0.2, length_s), act, context=WORLD)
            else:
                number = draw.choice((1, 1, 2, 3, 5))
                world.after(draw.choice(POINTS), number, act)
        for _ in range(draw.choice((4, 6, 8) if world.dense else (0, 1, 2))):
            kind = draw.choice(("lost", "lost", "dropped", "die_after", "die_before", "freeze", "long_freeze"))
            world.chaos.aim(draw.choice(POINTS), draw.choice((1, 1, 2, 3)), kind)


def _while_chaos(act):
    """Let nothing of the plan happen after the healing."""

    def guarded(world, draw):
        done = act(world, draw)
        return lambda: done() if world.chaos.on else None

    return guarded


@_while_chaos
def _restart_redis(world, draw):
    state, down_s = draw.choice(("same", "older", "empty")), draw.choice((0.05, 0.5, 3.0))
    # What a backup, or a replica that lagged behind, has: the state of some moment before.
    for _ in range(3 if state == "older" else 0):
        world.after(draw.choice(POINTS), draw.randint(1, 4), world.redis.save)

    def stop():
        if world.redis.up:
            world.chaos.counts[f"redis_{state}"] += 1
            world.note("redis stopped")
            world.lost_memory |= state != "same"
            world.redis.stop()
            world.loop.call_later(down_s, start, context=WORLD)

    def start():
        if not world.redis.up:
            world.note("redis starts", state)
            world.redis.start(state)

    return stop


@_while_chaos
def _stop_postgres(world, draw):
    down_s = draw.choice((0.2, 2.0, 6.0))

    def stop():
        world.chaos.counts["postgres_down"] += 1
        world.note("postgres stopped")
        world.postgres.stop()
        world.loop.call_later(down_s, start, context=WORLD)

    def start():
        world.note("postgres starts")
        world.postgres.up = True

    return stop


@_while_chaos
def _stop_bank(world, draw):
    down_s = draw.choice((0.5, 4.0))

    def stop():
        world.chaos.counts["bank_down"] += 1
        world.bank.up = False
        world.loop.call_later(down_s, setattr, world.bank, "up", True, context=WORLD)

    return stop


def _some_process(world, draw):
    return draw.choice([*world.apis, *world.workers]).process


@_while_chaos
def _kill(world, draw):
    def kill():
        world.chaos.counts["killed"] += 1
        _some_process(world, draw).kill()

    return kill


@_while_chaos
def _freeze(world, draw):
    pause_s = draw.choice((0.5, 3.0, 12.0))

    def freeze():
        world.chaos.counts["frozen"] += 1
        _some_process(world, draw).freeze(pause_s)

    return freeze


@_while_chaos
def _jump(world, draw):
    by_s = draw.choice((-3600.0, -5.0, 5.0, 3600.0))

    def jump():
        world.chaos.counts["clock_jump"] += 1
        _some_process(world, draw).clock_s = by_s

    return jump


# --- After it


def _take_apart(world):
    """Close the frames that never came to their end, here and not whenever the garbage collector comes by."""
    world.end()
    for task in asyncio.all_tasks(world.loop):
        task._log_destroy_pending = False
        with suppress(RuntimeError):  # its frame waits for something in its end; nothing comes of that any more
            task.get_coro().close()


def _count(world, shown, outcome):
    tables = world.postgres.tables
    outcome.totals["virtual_s"] = world.loop.time() - 1000
    outcome.totals["turns"] = world.loop.turns
    outcome.totals["bookings"] = len(tables["bookings"])
    outcome.totals["tickets"] = len(tables["tickets"])
    outcome.totals["captures"] = len(tables["captures"])
    outcome.totals["refunds"] = len(tables["refunds"])
    outcome.totals["confirmed"] = len(shown.confirmed)
    outcome.totals["cases"] = len(tables["cases"])
    # Not the workers, whose rows name the real process.
    kept = {name: rows for name, rows in tables.items() if name != "workers"}
    state = sorted((name, sorted(map(str, rows.items()))) for name, rows in kept.items())
    outcome.digest = blake2b(f"{state}{world.loop.turns}".encode(), digest_size=8).hexdigest()

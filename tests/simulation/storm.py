"""Millions of claims for few seats, each answer held against who has which seat at that moment: `make storm`.

CLAIMS=10000000 SEED=1 python -m tests.simulation.storm

All calls go over one lane, which answers in the order in which Redis ran them. So a plain note of who has what, kept
as the answers come, is exact: a seat given or sold while somebody has it is seen at once, and so is a refusal of seats
that nobody has. The facts are counted against the sales at the end of each round. Holds do not lapse here, and no
answer is lost: that is what `make history` is for, which is slower.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import redis.asyncio
import uvloop

from engine.embedded.valkey import EmbeddedValkey
from engine.errors import Refusal, Unavailable
from engine.logs import configure_logs
from engine.progress import Progress
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_key, partition_of
from engine.seats.lane import Lane
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from tests.conftest import find_redis
from tests.lanes import Registry
from tests.showtimes import load_showtime

SHOWTIMES, SEATS, BUYERS = 4, 60, 24
ROUND = 50_000
"""Claims after which the showtimes are looked at and begun anew."""
CONFLICTS_MIN = 0.2


class Storm:
    """The buyers of one showtime in one round.

    Attributes:
        owned: seat -> hold or sale that has it, as the answers said.
        claims, conflicts, sales: counted so far.
    """

    def __init__(self, seats, showtime, claims):
        self._seats, self.showtime, self._left = seats, showtime, claims
        self.owned = {}
        self.claims = self.conflicts = self.sales = self.restocks = 0

    async def play(self, chance):
        """Let the buyers come until so many claims were made."""
        buyers = [self._buy(f"guest:{number}", random.Random(chance.random())) for number in range(BUYERS)]
        await asyncio.gather(*buyers)

    async def _buy(self, who, chance):
        while self._left > 0:
            self._left -= 1
            with suppress(Unavailable):  # too late or too many at once: not run
                await self._visit(who, chance)

    async def _visit(self, who, chance):
        first = chance.randrange(SEATS - 3)
        wanted = range(first, first + chance.choice((1, 2, 2, 3, 4)))
        self.claims += 1
        try:
            hold = await self._seats.claim_seats(self.showtime, who, wanted)
        except Refusal as refusal:
            if refusal.code != "seats_taken":
                raise
            assert any(seat in self.owned for seat in wanted), f"refused, but free: {self.showtime} {wanted}"
            self.conflicts += 1
            return
        given = [seat for seat in wanted if seat in self.owned]
        assert not given, f"given twice: {self.showtime} {given}"
        self.owned |= dict.fromkeys(wanted, hold.owner)
        if chance.random() < 0.7:
            await self._end(self._seats.release_hold(parse_hold_id(hold.id), who), wanted, hold)
        else:
            await self._sell(hold, who, wanted)

    async def _sell(self, hold, who, wanted):
        hold_id = parse_hold_id(hold.id)
        await _surely(lambda: self._seats.check_out(hold_id, who, b"{}"))
        payment = {"gateway": "fake", "session_id": f"sess_{hold.owner}", "seats": wanted}
        await _surely(lambda: self._seats.sell_seats(hold_id, who, **payment))
        assert all(self.owned[seat] == hold.owner for seat in wanted), "sold, but somebody else's"
        self.sales += 1
        args = (self.showtime, who, hold.id, hold.owner, f"restock:{hold.owner}", wanted)
        await self._end(self._seats.restock_seats(*args), wanted, hold)
        self.restocks += 1

    async def _end(self, call, seats, hold):
        await call
        for seat in seats:
            assert self.owned.pop(seat) == hold.owner


async def _surely(call):
    """Call until it was run."""
    while True:
        with suppress(Unavailable):
            return await call()


async def run(server, version, claims, seed, report):
    """Play rounds until so many claims were made; gives claims, conflicts and sales."""
    scripts, chance, total = load_scripts(version), random.Random(seed), [0, 0, 0]
    lane = Lane(server.url, lambda _: scripts, part="storm", identify=Registry().identify)
    await lane.start()
    engine = SeatEngine(lane, scripts, None)
    try:
        async with redis.asyncio.Redis.from_url(server.url) as client:
            while total[0] < claims:
                await client.flushall()
                each = min(ROUND, claims - total[0]) // SHOWTIMES + 1
                storms = [Storm(engine, number, each) for number in range(1, SHOWTIMES + 1)]
                for storm in storms:
                    rules = {"holds_per_customer_max": 5, "seats_per_customer_max": 50, "seats_per_hold_max": 10}
                    await load_showtime(engine, storm.showtime, seats=SEATS, **rules)
                await asyncio.gather(*(storm.play(chance) for storm in storms))
                for storm in storms:
                    seen = await engine.read_seats(storm.showtime)
                    assert not storm.owned
                    assert not any(bits[: SEATS // 8] != bytes(SEATS // 8) for bits in (seen.sold, seen.locked))
                told = sum([await client.xlen(partition_key(partition_of(s.showtime), "facts")) for s in storms])
                assert told == sum(storm.sales + storm.restocks for storm in storms), "facts and sales differ"
                for at, name in enumerate(("claims", "conflicts", "sales")):
                    total[at] += sum(getattr(storm, name) for storm in storms)
                report("claims", min(total[0], claims), claims)
    finally:
        await lane.close()
    return total


def main():
    """Run as long as asked by CLAIMS; an assertion says what was given twice."""
    configure_logs("critical")
    claims = int(os.environ.get("CLAIMS", "1000000"))
    seed = int(os.environ.get("SEED", random.SystemRandom().getrandbits(32)))
    print(f"SEED={seed} CLAIMS={claims}", flush=True)
    program = find_redis(os.environ.get("REDIS", "valkey"))
    with tempfile.TemporaryDirectory() as folder, Progress() as progress:
        server = EmbeddedValkey(Path(folder), program)
        server.start()
        began = time.monotonic()
        try:
            made, conflicts, sales = uvloop.run(run(server, program.version, claims, seed, progress.report))
        finally:
            server.stop()
        took_s = time.monotonic() - began
    print(
        f"{made:,} claims, {conflicts / made:.0%} met another's seats, {sales:,} sales: no seat given twice; ", end=""
    )
    print(f"{made / took_s:,.0f} claims a second, {took_s:.0f} s")
    sys.exit(conflicts < CONFLICTS_MIN * made)


if __name__ == "__main__":
    main()

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
from engine.errors import Unavailable
from engine.logs import configure_logs
from engine.progress import Progress
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
COUNTS = (1, 2, 2, 3, 4)
"""Seats of a claim."""
CONFLICTS_MIN = 0.2


class Storm:
    """The buyers of one showtime in one round.

    Attributes:
        owned: seat -> hold or sale that has it, as the answers said.
        claims, conflicts, sales: counted so far.
    """

    def __init__(self, engine, showtime, claims):
        self._engine, self.showtime, self._left = engine, showtime, claims
        self.owned = {}
        self.claims = self.conflicts = self.sales = 0

    async def play(self, chance):
        """Let the buyers come until so many claims were made."""
        buyers = [self._buy(b"%016d" % number, random.Random(chance.random())) for number in range(BUYERS)]
        await asyncio.gather(*buyers)

    async def _buy(self, who, chance):
        while self._left > 0:
            self._left -= 1
            await self._visit(who, chance)

    async def _visit(self, who, chance):
        first = int(chance.random() * (SEATS - 3))
        wanted = range(first, first + COUNTS[int(chance.random() * len(COUNTS))])
        self.claims += 1
        answer = await self._call("claim_seats", who, *wanted)
        owned = self.owned
        if answer[0] == b"seats_taken":
            assert any(seat in owned for seat in wanted), f"refused, but free: {self.showtime} {wanted}"
            self.conflicts += 1
            return
        assert answer[0] == b"claimed", answer
        given = [seat for seat in wanted if seat in owned]
        assert not given, f"given twice: {self.showtime} {given}"
        owner, claimed_at_ms = answer[3], answer[4]
        for seat in wanted:
            owned[seat] = owner
        if chance.random() < 0.7:
            await self._end(
                "released", wanted, owner, "release_hold", owner, claimed_at_ms, who, "cancelled", "customer"
            )
            return
        await self._call("check_out", owner, claimed_at_ms, who, b"{}")
        booking, session = f"booking-{owner}", f"sess_{owner}"
        answer = await self._call("sell_seats", owner, claimed_at_ms, who, booking, "fake", session, *wanted)
        assert answer[0] == b"sold", answer
        assert all(owned[seat] == owner for seat in wanted), "sold, but somebody else's"
        self.sales += 1
        await self._end("restocked", wanted, owner, "restock_seats", who, booking, owner, f"restock:{owner}", *wanted)

    async def _end(self, word, seats, owner, *call):
        answer = await self._call(*call)
        assert answer[0] == word.encode(), answer
        for seat in seats:
            assert self.owned.pop(seat) == owner

    async def _call(self, name, *args):
        """Run a script; again if the machine was too busy to run it in time."""
        while True:
            with suppress(Unavailable):
                answer = await self._engine._write_once(name, self.showtime, args)
                if answer[0] != b"too_late":
                    return answer


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
                assert told == 2 * sum(storm.sales for storm in storms), "facts differ from sales and restocks"
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

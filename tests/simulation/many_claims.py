"""Buyers who fight for few seats on a real Redis, through the seat engine; every call is recorded and checked.

CLAIMS=1000000 SEED=1 python -m tests.simulation.many_claims                `make history`

Some showtimes are on at once. When all of them are over, the checker looks for the order of each, they are forgotten,
and the next ones begin, so that a run of any length takes the same memory.
"""

import asyncio
import random
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from redis import Redis

from engine.embedded.valkey import EmbeddedValkey
from engine.errors import Refusal, Unavailable
from engine.seats.ids import parse_hold_id
from engine.seats.lane import Lane
from engine.seats.records import Request
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from tests.lanes import Registry
from tests.showtimes import load_showtime
from tests.simulation.checker import Report, check_showtime
from tests.simulation.history import RecordedSeats, Recorder
from tests.simulation.long_run import long_run

SHOWTIMES = 4
"""How many are on at once."""
BUYERS = 14
"""Of each showtime."""
SEATS = 24
CLAIMS_PER_SHOWTIME = 1_500
TTL_MS, HOLD_MAX_MS, PAYMENT_MS = 25, 60, 40
CONFLICTS_MIN = 0.2
CANCELLED = 0.25
"""The share of showtimes that are cancelled while the buyers are at it."""
LOST_EVERY = 200
"""Of so many claims of a showtime one caller leaves without an answer: counted, for a short run drew none at times."""
LOST_ANSWERS = 0.003
"""The share of releases whose caller leaves without an answer."""
KEPT = Path(".pytest_cache") / "histories"
"""Where a history goes that has no order."""


@dataclass
class Show:
    """One showtime: its buyers, and what they ask.

    Args:
        seats: the seat engine.
        number: of the showtime.
        chance: draws everything.
        claims: how many to make.
    """

    engine: SeatEngine
    number: int
    chance: random.Random
    claims: int
    recorder: Recorder = field(default_factory=Recorder)
    claimed: int = 0
    requests: int = 0

    async def play(self):
        """Let the buyers in until the claims are made; then look at the map a last time."""
        rules = {"hold_ttl_ms": TTL_MS, "hold_max_ms": HOLD_MAX_MS, "payment_ttl_ms": PAYMENT_MS}
        await load_showtime(
            self.engine, self.number, seats=SEATS, claim_max_ms=HOLD_MAX_MS + PAYMENT_MS, **rules,
            holds_per_customer_max=5, seats_per_customer_max=SEATS,
        )  # fmt: skip
        self.seats = RecordedSeats(self.engine, self.recorder)
        self.leaves_at = self.chance.randrange(LOST_EVERY)
        self.closes_at = int(self.claims * 0.9) if self.chance.random() < CANCELLED else None
        buyers = [self._buy(f"buyer {number}", random.Random(self.chance.random())) for number in range(BUYERS)]
        await asyncio.gather(*buyers, self._staff(random.Random(self.chance.random())))
        await self.seats.read_seats(self.number)

    async def _buy(self, who, chance):
        while self.claimed < self.claims:
            with suppress(Unavailable):  # the machine was too busy for a call to run in time; that is recorded, too
                try:
                    await self._visit(who, chance)
                except Refusal:
                    if chance.random() < 0.1:
                        await self.seats.read_seats(self.number, who)

    async def _visit(self, who, chance):
        hold = await self._claim(who, chance)
        if hold is None:
            return
        hold_id = parse_hold_id(hold.id)
        if chance.random() < 0.2:
            await self.seats.extend_hold(hold_id, who, self._request(chance))
        if chance.random() < 0.1:
            await self.seats.change_hold(hold_id, who, [chance.randrange(SEATS)], [hold.seats[0]])
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 2 * TTL_MS / 1000)  # some lapse, some nearly do
        what = chance.random()
        if what < 0.4:
            await self._release(hold_id, who, chance)
        elif what < 0.75:
            await self._pay(hold_id, who, chance)
        # All others leave without a word.

    async def _claim(self, who, chance):
        """Claim seats; sometimes twice under one request id, sometimes without waiting for the answer."""
        self.claimed += 1
        seats = chance.sample(range(SEATS), chance.choice((1, 1, 2, 2, 3, 4)))
        request = self._request(chance)
        claim = self.seats.claim_seats(self.number, who, seats, request)
        if self.claimed % LOST_EVERY == self.leaves_at:
            await self._leave(claim)
            if request is not None:
                return await self.seats.claim_seats(self.number, who, seats, request)
            return None
        if request is not None and chance.random() < 0.2:
            again = self.seats.claim_seats(self.number, who, seats, request)
            answers = await asyncio.gather(claim, again, return_exceptions=True)
            for answer in answers:
                if isinstance(answer, Exception) and not isinstance(answer, Refusal):
                    raise answer
            return next((answer for answer in answers if not isinstance(answer, Exception)), None)
        return await claim

    async def _leave(self, call):
        """Give a call up after it was sent."""
        task = asyncio.ensure_future(call)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _release(self, hold_id, who, chance):
        release = self.seats.release_hold(hold_id, who)
        await (self._leave(release) if chance.random() < LOST_ANSWERS else release)

    async def _pay(self, hold_id, who, chance):
        hold, _ = await self.seats.check_out(hold_id, who, b"{}")
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 2 * PAYMENT_MS / 1000)
        seats, session = hold.seats, f"sess_{hold.owner}"
        payment = {"gateway": "fake", "session_id": session, "seats": seats}
        await self.seats.sell_seats(hold_id, who, **payment)
        if chance.random() < 0.1:
            await self.seats.sell_seats(hold_id, who, **payment)
        for _ in range(chance.choice((1, 1, 1, 2))):  # nearly all is given back, so that there is something to sell
            await self.seats.restock_seats(self.number, who, hold.id, hold.owner, f"restock:{hold.owner}", seats)

    async def _staff(self, chance):
        """Block seats and give them back; look at maps; perhaps cancel it all."""
        while self.claimed < self.claims:
            seats = chance.sample(range(SEATS), 2)
            with suppress(Unavailable):
                try:
                    await self.seats.block_seats(self.number, seats, evict=chance.random() < 0.5)
                    await asyncio.sleep(0.005)
                    await self.seats.unblock_seats(self.number, seats)
                except Refusal:
                    await self.seats.read_seats(self.number)
            if self.closes_at is not None and self.claimed >= self.closes_at:
                await self.seats.close_showtime(self.number)
                return
            await asyncio.sleep(chance.random() * 0.05)

    def _request(self, chance):
        if chance.random() > 0.15:
            return None
        self.requests += 1
        return Request(f"{self.number}-{self.requests}", "print")


async def run(server: EmbeddedValkey, version: tuple[int, ...], claims: int, seed: int, report=None) -> Report:
    """Make claims and check them; stops at the first showtimes that have no order.

    Args:
        server: a running Redis with nothing else on it.
        version: of it.
        claims: how many at least.
        seed: of what the buyers do; when they do it is the machine's.
        report: is told how many claims were checked, of how many.
    """
    scripts = load_scripts(version)
    lane = Lane(server.url, lambda _: scripts, part="history", identify=Registry().identify)
    await lane.start()
    engine = SeatEngine(lane, scripts, _never_restored)
    chance = random.Random(seed)
    total, number = Report(), 0
    try:
        while total.claims < claims and total.correct:
            each = min(CLAIMS_PER_SHOWTIME, max(50, (claims - total.claims) // SHOWTIMES))
            shows = [Show(engine, number + turn + 1, chance, each) for turn in range(SHOWTIMES)]
            number += SHOWTIMES
            await asyncio.gather(*(show.play() for show in shows))
            for show in shows:
                found = check_showtime(show.number, show.recorder.calls)
                if not found.correct:
                    _keep(show)
                total.add(found)
            with Redis.from_url(server.url) as client:
                client.flushall()
            if report:
                report("claims checked", min(total.claims, claims), claims)
    finally:
        await lane.close()
    return total


async def _never_restored(showtime, why):
    raise AssertionError(f"showtime {showtime} is {why}")


def _keep(show):
    KEPT.mkdir(parents=True, exist_ok=True)
    lines = map(msgspec.json.encode, show.recorder.calls)
    (KEPT / f"{show.number}.jsonl").write_bytes(b"\n".join(lines) + b"\n")


def main():
    """Run as long as asked by CLAIMS and say what was seen; status 1 if something has no order."""
    with long_run(100_000) as this:
        total = asyncio.run(run(this.server, this.server.program.version, this.claims, this.seed, this.report))
        took_s = this.took_s
    print(total)
    print(
        f"{'every showtime has its order' if total.correct else f'WRONG, see {KEPT}'}; "
        f"{total.conflicts / total.claims:.0%} of the claims met another's seats; "
        f"{total.claims / took_s:,.0f} claims and {total.calls / took_s:,.0f} calls a second, checked, {took_s:.0f} s"
    )
    sys.exit(not total.correct or total.conflicts < CONFLICTS_MIN * total.claims)


if __name__ == "__main__":
    main()

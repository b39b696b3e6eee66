"""Millions of claims for few seats, each answer held against who has which seat at that moment: `make storm`.

CLAIMS=10000000 SEED=1 python -m tests.simulation.storm

The scripts are called in long pipelines on one connection, which answers in the order in which Redis ran them. So a
plain note of who has what, kept as the answers come, is exact: a seat given or sold while somebody has it is seen at
once, and so is a refusal of seats that nobody has. The facts are counted against the sales at the end of each round.
Holds do not lapse here, and no answer is lost: that is what `make history` is for, which is slower.
"""

import asyncio
import random
import socket
import sys

import hiredis
from redis import Redis

from engine.seats.keys import partition_key, partition_of, script_keys
from engine.seats.lane import Lane
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from tests.lanes import Registry
from tests.showtimes import load_showtime
from tests.simulation.long_run import long_run

SHOWTIMES, SEATS, BUYERS = 8, 60, 24
ROUND = 200_000
"""Claims after which the showtimes are looked at and begun anew."""
COUNTS = (1, 2, 2, 3, 4)
"""Seats of a claim."""
RELEASED = 0.7
"""The share of holds that are given up; all others are paid, and given back."""
CONFLICTS_MIN = 0.2
FAR_OFF_MS = 2**52


class Scripts:
    """The calls of one server's scripts, packed.

    Args:
        client: of the server, which gets the scripts.
        version: of it.
    """

    def __init__(self, client, version):
        self._scripts = load_scripts(version)
        self._heads = {}
        for script in self._scripts.values():
            client.script_load(script.source)

    def pack(self, name, showtime, *args):
        """Give the bytes of a call."""
        head = self._heads.get((name, showtime, len(args)))
        if head is None:
            script = self._scripts[name]
            keys = script_keys(script.keys, showtime)
            words = ("EVALSHA", script.sha, len(keys), *keys, 1, FAR_OFF_MS, "")
            whole = hiredis.pack_command(words)
            head = b"*%d%b" % (len(words) + len(args), whole[whole.index(b"\r\n") :])
            self._heads[name, showtime, len(args)] = head
        texts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
        return head + b"".join([b"$%d\r\n%b\r\n" % (len(text), text) for text in texts])


class Buyer:
    """One customer of one showtime, who claims, and then releases, or buys and gives back.

    Args:
        scripts: packs the calls.
        showtime: where.
        owned: seat -> owner number, as all answers of the showtime said.
        counts: claims, conflicts and sales so far, of everybody.
    """

    def __init__(self, scripts, showtime, number, owned, counts, seed):
        self._scripts, self._showtime, self._owned, self._counts = scripts, showtime, owned, counts
        self._who, self._chance = b"%016d" % number, random.Random(seed)
        self._next, self._seats, self._owner, self._claimed_at_ms = self._claim, (), 0, 0

    def call(self):
        """Give the bytes of what is called next, and what its answer is to be given to."""
        return self._next()

    @property
    def is_idle(self):
        """Whether the next call is a claim."""
        return self._next == self._claim

    def _claim(self):
        first = int(self._chance.random() * (SEATS - 3))
        self._seats = range(first, first + COUNTS[int(self._chance.random() * len(COUNTS))])
        return self._scripts.pack("claim_seats", self._showtime, self._who, *self._seats), self._claimed

    def _claimed(self, answer):
        owned = self._owned
        self._counts["claims"] += 1
        taken = [seat for seat in self._seats if seat in owned]
        if answer[0] == b"seats_taken":
            assert taken, f"refused, but free: {self._showtime} {self._seats}"
            self._counts["conflicts"] += 1
            return
        assert answer[0] == b"claimed", answer
        assert not taken, f"given twice: {self._showtime} {taken}"
        self._owner, self._claimed_at_ms = answer[3], answer[4]
        for seat in self._seats:
            owned[seat] = self._owner
        self._next = self._release if self._chance.random() < RELEASED else self._check_out

    def _release(self):
        return self._pack("release_hold", self._who, "cancelled", "customer"), self._ended

    def _check_out(self):
        self._next = self._sell
        return self._pack("check_out", self._who, "{}"), self._checked_out

    def _checked_out(self, answer):
        assert answer[0] == b"checked_out", answer

    def _sell(self):
        payment = (f"booking-{self._owner}", "fake", f"sess_{self._owner}")
        return self._pack("sell_seats", self._who, *payment, *self._seats), self._sold

    def _sold(self, answer):
        assert answer[0] == b"sold", answer
        assert all(self._owned[seat] == self._owner for seat in self._seats), "sold, but somebody else's"
        self._counts["sales"] += 1
        self._next = self._restock

    def _restock(self):
        sale = (f"booking-{self._owner}", self._owner, f"restock:{self._owner}")
        return self._scripts.pack("restock_seats", self._showtime, self._who, *sale, *self._seats), self._ended

    def _ended(self, answer):
        assert answer[0] in (b"released", b"restocked"), answer
        for seat in self._seats:
            assert self._owned.pop(seat) == self._owner
        self._next = self._claim

    def _pack(self, name, *args):
        return self._scripts.pack(name, self._showtime, self._owner, self._claimed_at_ms, *args)


class Line:
    """One connection; what is sent is answered in its order."""

    def __init__(self, path):
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.connect(str(path))
        self._reader = hiredis.Reader()

    def send(self, buyers):
        """Send the next call of each; gives whom the answers are for."""
        calls = [buyer.call() for buyer in buyers]
        self._socket.sendall(b"".join([packed for packed, _ in calls]))
        return [take for _, take in calls]

    def receive(self, takers):
        """Hand the answers out."""
        for take in takers:
            while (answer := self._reader.gets()) is False:
                self._reader.feed(self._socket.recv(1 << 20))
            if isinstance(answer, Exception):
                raise answer
            take(answer)

    def close(self):
        """Disconnect."""
        self._socket.close()


def play(line, scripts, claims, chance, counts):
    """Let buyers come to fresh showtimes until so many claims were made, and all is given back."""
    buyers = []
    for showtime in range(1, SHOWTIMES + 1):
        owned = {}
        buyers += [Buyer(scripts, showtime, n, owned, counts, chance.random()) for n in range(BUYERS)]
    # Redis works for one half of them while we think about the other.
    halves, until = (buyers[::2], buyers[1::2]), counts["claims"] + claims
    waiting = [line.send(half) for half in halves]
    while counts["claims"] < until:
        for at, half in enumerate(halves):
            line.receive(waiting[at])
            waiting[at] = line.send(half)
    for takers in waiting:
        line.receive(takers)
    while busy := [buyer for buyer in buyers if not buyer.is_idle]:
        line.receive(line.send(busy))
    assert not any(buyer._owned for buyer in buyers)


def look(client, sales):
    """Hold the showtimes and their facts against what was sold; all of it was given back."""
    told = 0
    for showtime in range(1, SHOWTIMES + 1):
        told += client.xlen(partition_key(partition_of(showtime), "facts"))
        for key in script_keys(("seats",), showtime):
            assert client.bitcount(key) == 3, f"{key} has more than its sentinels"
    assert told == 2 * sales, f"{told} facts of {sales} sales that were given back"


async def load(server):
    """Put fresh showtimes in."""
    scripts = load_scripts(server.program.version)
    lane = Lane(server.url, lambda _: scripts, part="storm", identify=Registry().identify)
    await lane.start()
    engine = SeatEngine(lane, scripts, None)
    for showtime in range(1, SHOWTIMES + 1):
        rules = {"holds_per_customer_max": 5, "seats_per_customer_max": 50, "seats_per_hold_max": 10}
        await load_showtime(engine, showtime, seats=SEATS, **rules)
    assert lane.generation == 1
    await lane.close()


def run(server, claims, seed, report):
    """Play rounds until so many claims were made; gives what was counted."""
    chance, counts = random.Random(seed), {"claims": 0, "conflicts": 0, "sales": 0}
    with Redis.from_url(server.url) as client:
        client.config_set("appendonly", "no")
        scripts, line = Scripts(client, server.program.version), Line(server.socket)
        while counts["claims"] < claims:
            client.flushall()
            asyncio.run(load(server))
            sales = counts["sales"]
            play(line, scripts, min(ROUND, claims - counts["claims"]), chance, counts)
            look(client, counts["sales"] - sales)
            report("claims", min(counts["claims"], claims), claims)
        line.close()
    return counts


def main():
    """Run as long as asked by CLAIMS; an assertion says what was given twice."""
    with long_run(1_000_000) as this:
        counts = run(this.server, this.claims, this.seed, this.report)
        took_s = this.took_s
    made, met = counts["claims"], counts["conflicts"] / counts["claims"]
    print(f"{made:,} claims, {met:.0%} met another's seats, {counts['sales']:,} sales: no seat given twice; ", end="")
    print(f"{made / took_s:,.0f} claims a second, {took_s:.0f} s")
    sys.exit(met < CONFLICTS_MIN)


if __name__ == "__main__":
    main()

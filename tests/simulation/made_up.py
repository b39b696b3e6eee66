"""Made-up histories that are correct: buyers of one showtime, one after another inside, overlapping from outside."""

import heapq
from itertools import count
from random import Random

from tests.simulation.history import Call

OFFSET_MS = 1_795_000_000_000.25
"""Redis' ms minus ours."""
TTL_MS, HOLD_MAX_MS, PAYMENT_MS = 60, 150, 80


class MadeUp:
    """One showtime with its buyers; `calls` is the history.

    Args:
        seed: draws everything.
        buyers: how many there are.
        seats: how many there are.
        unknown: the share of calls whose end nobody hears of.
        in_process: answers tell Redis' time and versions, as those of the engine do; else only some of them do.
        showtime: its number.
    """

    def __init__(self, seed, *, buyers=8, seats=12, unknown=0.03, in_process=True, showtime=42):
        self.draw = Random(seed)
        self.buyers = buyers
        self.all_seats = list(range(seats))
        self.unknown = unknown
        self.in_process = in_process
        self.showtime = showtime
        self.calls = []
        self.at = {}
        self.holds = {}
        self.fence = 0
        self.version = 1
        self.now_ms = 0
        self.known = {f"buyer {number}": [] for number in range(buyers)}
        self.remembered = {}
        self.requests = count()
        self.events = []
        self.turns = count()
        self.cancelled = False

    def play(self, calls):
        """Make so many calls; gives them."""
        for who in self.known:
            self._at(self.draw.uniform(0, 10), self._begin, who)
        while self.events and len(self.calls) < calls:
            moment, _, what, args = heapq.heappop(self.events)
            what(moment, *args)
        return self.calls

    def _at(self, moment, what, *args):
        heapq.heappush(self.events, (moment, next(self.turns), what, args))

    def _begin(self, moment, who):
        op, args = self._choose(who)
        reaches = moment + self.draw.expovariate(0.5)
        hears = reaches + self.draw.expovariate(0.5)
        call = Call(op, self.showtime, args, moment)
        if self.draw.random() < self.unknown and op not in ("read_map", "read_hold"):
            self.calls.append(call)
            if self.draw.random() < 0.5:
                self._at(reaches + self.draw.choice((0, 100)), self._happen_unheard, call)
            if args.get("request") and self.draw.random() < 0.7:
                self._at(hears, self._repeat, call, who)
                return
        else:
            self._at(reaches, self._happen, call, hears)
        self._at(hears + self.draw.expovariate(0.3), self._begin, who)

    def _repeat(self, moment, first, who):
        """Ask again under the same request id."""
        call = Call(first.op, first.key, first.args, moment)
        hears = moment + self.draw.uniform(2, 6)
        self._at(moment + 1, self._happen, call, hears)
        self._at(hears + 1, self._begin, who)

    def _happen_unheard(self, moment, call):
        self._do(moment, call)

    def _happen(self, moment, call, hears):
        call.result = self._do(moment, call)
        call.end = hears
        self.calls.append(call)
        if call.result["word"] == "claimed":
            self.known[call.args["who"]].append((call.result["owner"], call.result["seats"]))

    # --- What buyers do

    def _choose(self, who):
        draw, mine = self.draw, self.known[who]
        seats = draw.sample(self.all_seats, min(len(self.all_seats), draw.randint(1, 4)))
        names = ["claim"] * 5 + ["read_map"]
        if mine:
            names += ["extend", "change", "check_out", "release", "release", "read_hold", "sell", "sell", "restock"]
        op = draw.choice(names)
        if draw.random() < 0.01:
            op = draw.choice(["block", "unblock"])
        args = {"who": who}
        if op in ("claim", "block", "unblock"):
            args["seats"] = seats
            if op == "block":
                args = {"seats": seats[:2], "evict": draw.random() < 0.5}
        elif op != "read_map":
            args["owner"], held = draw.choice(mine[-4:])
            if op == "change":
                args |= {"add": seats[:1], "remove": list(held[:1])}
            elif op in ("sell", "restock"):
                args["seats"] = list(held)
        if op in ("claim", "extend") and draw.random() < 0.5:
            args["request"] = str(next(self.requests))
        return op, args

    # --- What Redis does

    def _do(self, moment, call):
        self.now_ms = int(moment + OFFSET_MS)
        request = call.args.get("request")
        if request in self.remembered:
            kept = dict(self.remembered[request], replayed=True)
            return {name: value for name, value in kept.items() if name not in ("now", "version")}
        result = getattr(self, f"_{call.op}")(**call.args)
        if self.in_process or result["word"] in ("claimed", "extended", "changed", "hold"):
            result["now"] = self.now_ms
        if self.in_process and result["word"] in ("claimed", "changed", "released", "map"):
            result["version"] = self.version + sum(self._lapsed(hold) for hold in self.holds.values())
        if request and result["word"] in ("claimed", "extended"):
            self.remembered[request] = result
        return result

    def _lapsed(self, hold):
        return hold["status"] == "live" and hold["deadline"] <= self.now_ms

    def _live(self, owner):
        hold = self.holds.get(owner)
        return hold if hold and hold["status"] == "live" and not self._lapsed(hold) else None

    def _taken(self, seats, who):
        taken = []
        for seat in seats:
            token = self.at.get(seat)
            if token is None:
                continue
            if token == "blocked":
                taken.append((seat, "BLOCKED", None, None))
            elif self.holds[token]["status"] == "sold":
                taken.append((seat, "SOLD", None, None))
            elif not self._lapsed(self.holds[token]):
                hold = self.holds[token]
                mine = hold["who"] == who
                word = "LOCKED_BY_ME" if mine else "LOCKED"
                taken.append((seat, word, token if mine else None, hold["deadline"] if self.in_process else None))
        return taken

    def _end(self, owner):
        for seat in [seat for seat, token in self.at.items() if token == owner]:
            del self.at[seat]
        self.holds[owner]["status"] = "ended"
        self.version += 1

    def _take(self, seats, token):
        for seat in seats:
            if self.at.get(seat) not in (None, token):
                self._end(self.at[seat])
            self.at[seat] = token
        self.version += 1

    def _claim(self, who, seats, request=None):
        if self.cancelled:
            return {"word": "showtime_closed", "closed": "CANCELLED"}
        taken = self._taken(seats, who)
        if taken:
            return {"word": "seats_taken", "taken": taken}
        self.fence += 1
        hold = {"who": who, "deadline": self.now_ms + TTL_MS, "status": "live", "at": self.now_ms, "out": False}
        self.holds[self.fence] = hold
        self._take(seats, self.fence)
        return {"word": "claimed", "owner": self.fence, "deadline": hold["deadline"], "seats": tuple(seats)}

    def _extend(self, who, owner, request=None):
        hold = self._live(owner)
        if not hold:
            return {"word": "hold_expired"}
        deadline = min(self.now_ms + TTL_MS, hold["at"] + HOLD_MAX_MS)
        if hold["out"] or deadline <= hold["deadline"]:
            return {"word": "cannot_extend"}
        hold["deadline"] = deadline
        return {"word": "extended", "owner": owner, "deadline": deadline}

    def _check_out(self, who, owner):
        hold = self._live(owner)
        if not hold:
            return {"word": "hold_expired"}
        if hold["out"]:
            return {"word": "checked_out_before"}
        hold |= {"out": True, "deadline": self.now_ms + PAYMENT_MS}
        return {"word": "checked_out", "owner": owner, "deadline": hold["deadline"]}

    def _change(self, who, owner, add, remove):
        hold = self._live(owner)
        if not hold:
            return {"word": "hold_expired"}
        held = {seat for seat, token in self.at.items() if token == owner}
        added = [seat for seat in add if seat not in held and seat not in remove]
        taken = self._taken(added, who)
        if taken:
            return {"word": "seats_taken", "taken": taken}
        seats = (held | set(added)) - set(remove)
        if not seats:
            return {"word": "empty_hold"}
        for seat in held - seats:
            del self.at[seat]
        self._take(added, owner)
        return {"word": "changed", "owner": owner, "deadline": hold["deadline"], "seats": tuple(seats)}

    def _release(self, who, owner):
        if self.holds[owner]["status"] != "live":
            return {"word": "gone" if self.in_process else "over"}
        self._end(owner)
        return {"word": "released" if self.in_process else "over"}

    def _read_hold(self, who, owner):
        hold = self._live(owner)
        if not hold:
            return {"word": "hold_expired"}
        seats = tuple(seat for seat, token in self.at.items() if token == owner)
        return {"word": "hold", "owner": owner, "deadline": hold["deadline"], "seats": seats}

    def _read_map(self, who):
        return {"word": "map", "status": [(seat, word) for seat, word, *_ in self._taken(self.all_seats, who)]}

    def _sell(self, who, owner, seats):
        hold = self.holds[owner]
        held = {seat for seat, token in self.at.items() if token == owner}
        if hold["status"] == "sold" and held == set(seats):
            return {"word": "sold_already", "late": False}
        if live := self._live(owner):
            if held != set(seats):
                return {"word": "hold_changed"}
            live["status"] = "sold"
            self.version += 1
            return {"word": "sold", "late": False}
        taken = self._taken(seats, who)
        if taken:
            return {"word": "seats_taken", "taken": taken}
        if hold["status"] == "live":
            self._end(owner)
        self._take(seats, owner)
        hold["status"] = "sold"
        return {"word": "sold", "late": True}

    def _restock(self, who, owner, seats):
        sold = self.holds[owner]["status"] == "sold"
        freed = tuple(seat for seat in seats if sold and self.at.get(seat) == owner)
        for seat in freed:
            del self.at[seat]
        self.version += bool(freed)
        return {"word": "restocked", "seats": freed}

    def _block(self, seats, evict):
        taken = self._taken(seats, None)
        taken = [entry for entry in taken if not evict or entry[1] in ("SOLD", "BLOCKED")]
        if taken:
            return {"word": "seats_taken", "taken": taken}
        self._take(seats, "blocked")
        return {"word": "blocked"}

    def _unblock(self, who, seats):
        for seat in seats:
            if self.at.get(seat) == "blocked":
                del self.at[seat]
        self.version += 1
        return {"word": "unblocked"}

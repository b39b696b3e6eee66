"""One showtime played in both worlds: each move is made in Redis, then in the model at the time that Redis told.

Every move takes small numbers only, so that hypothesis can shrink a game and a generator can draw a long one.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

from hiredis import ReplyError

from tests.simulation.model.bits import as_bitmap
from tests.simulation.model.invariants import check_step, check_story
from tests.simulation.model.look import Look, look_of_model
from tests.simulation.model.model import Broken, Model
from tests.simulation.model.real import Command, Real
from tests.simulation.model.records import Fact, Hold

NEVER_MS = 2**52
HOLD_WORDS = frozenset(
    {
        "already_checked_out",
        "changed",
        "checked_out",
        "claimed",
        "extended",
        "moved",
        "payment_closed",
        "payment_opened",
    }
)
"""Words of the answers that show a hold."""
CUSTOMERS = [bytes([0xC0 + number]) * 16 for number in range(5)]
COOL_DOWN_RULES = (b"", b"", b"", b"\x00\x00\x00\x03\xe8", b"\x02\x00\x01\x00\x00")
"""Most claims come without one; then no free lapse and a pause of 1 s, and two free ones and a minute."""
DEADLINES = {"past": -50, "now": 1, "soon": 60_000, "far": 10**9}
"""Relative to now. What is far was written by a clock that has been set back since."""
POLICY = (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, -1_000, 3_600_000, 7_200_000, 90_000_000)
RELATIVE_FROM = 7
"""The last four are relative to now."""
POLICIES = (
    POLICY,
    POLICY,
    (600_000, 600_050, 600_020, 600_060, 3, 2, 5, -1_000, 3_600_000, 7_200_000, 90_000_000),  # caps are near
    (2, 3, 10, 20, 4, 2, 6, -1_000, 3_600_000, 7_200_000, 90_000_000),  # all lapses at once
    (600_000, 900_000, 1_800_000, 2_700_000, 2, 1, 3, -1_000, 3_600_000, 7_200_000, 90_000_000),  # narrow
    (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, -1_000, -1, 7_200_000, 90_000_000),  # sales have stopped
    (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, 50_000, 3_600_000, 7_200_000, 90_000_000),  # not yet on sale
    (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, -1_000, -1, -1, 90_000_000),  # the show is over
)


@dataclass(frozen=True)
class Step:
    """One call as it was made: a repeat makes it again."""

    name: str
    args: tuple[Any, ...]
    request_id: str
    fingerprint: str


class Game:
    """A showtime in both worlds. After every call the answers are the same, and so is everything that is kept."""

    def __init__(self, real: Real, seats: int, tally: Counter[str] | None = None) -> None:
        self.real, self.seats = real, seats
        self.model = Model(42)
        self.now_ms = real.begin(self.model.number)
        self.generation = 3
        self.names: list[tuple[int, int, bytes, tuple[int, ...]]] = []
        self.sales: list[tuple[int, int, bytes, tuple[int, ...]]] = []
        self.buyers: dict[int, bytes] = {}
        self.loads = 0
        self.steps: list[Step] = []
        self.tally: Counter[str] = Counter() if tally is None else tally
        self.log: list[str] = []
        self._ids = count(1)
        self._load: tuple[Any, ...] = ()
        self.facts: list[Fact] = []
        self.look: Look = look_of_model(self.model)
        self.begin_load(0, 0)
        self.finish_load(0)

    # --- Playing a call in both worlds

    def write(self, name: str, *args: Any, request: int = 0) -> list[Any]:
        """Call a writer in both worlds; with `request` 1 under a request id of its own."""
        request_id = f"r{next(self._ids)}" if request else ""
        step = Step(name, args, request_id, "print" if request else "")
        self.steps.append(step)
        return self.play(step)

    def play(self, step: Step, *, generation: int | None = None, not_after_ms: int = NEVER_MS) -> list[Any]:
        """Make a call of a writer in both worlds."""
        stamp = self.generation if generation is None else generation
        text = f"{step.fingerprint} trace-{step.request_id}" if step.fingerprint else ""
        return self.compare(step.name, (stamp, not_after_ms, text, *step.args), step.request_id)

    def read(self, name: str, *args: Any) -> list[Any]:
        """Call a reader in both worlds."""
        return self.compare(name, (self.generation, *args))

    def compare(self, name: str, args: tuple[Any, ...], request_id: str = "", *before: Command) -> list[Any]:
        """Make a call in both worlds, and insist that they agree. Gives the answer."""
        *_, answer = replies = self._turn(*before, self.real.script(name, args, request_id))
        assert len(replies) == len(before) + 1
        if not isinstance(answer, ReplyError):
            self.now_ms = answer[1]
        try:
            expected = self.model.call(name, args, self.now_ms, request_id)
        except Broken as error:
            expected = [error]
        self.log.append(f"{name} {args[2:]} {request_id} -> {answer}")
        if isinstance(answer, ReplyError) or isinstance(expected[0], Broken):
            assert isinstance(answer, ReplyError), f"{name}{args}: {answer}, but {expected}"
            assert isinstance(expected[0], Broken), f"{name}{args}: {answer}, but {expected}"
            self.tally["error"] += 1
        else:
            if answer[0] == b"loading_elsewhere":
                assert abs(answer[2] - expected[2]) < 1_000
                expected = answer
            assert answer == expected, f"{name}{args}:\n{answer}, but by the model\n{expected}"
            self.tally[f"{name} {answer[0].decode()}"] += 1
        return self._settle(name, args, answer)

    def _turn(self, *commands: Command) -> list[Any]:
        replies, self._seen, self._news = self.real.turn(*commands)
        return replies

    def _settle(self, name: str, args: tuple[Any, ...], answer: Any) -> list[Any]:
        """Compare all that is kept, and hold it against the invariants."""
        before, after = self.look, self._seen
        expected = look_of_model(self.model)
        assert after == expected, f"{name}{args} -> {answer}: Redis has, the model has\n{after.differences(expected)}"
        told = self.model.facts[len(self.facts) :]
        assert self._news == told, f"{name}{args}: Redis tells\n{self._news}\nthe model\n{told}"
        self.facts += told
        self.look = after
        result = ["error"] if isinstance(answer, ReplyError) else [answer[0].decode(), *answer[1:]]
        check_story(after)
        check_step(name, args, result, before, after, self._news)
        self._learn(result, args, before)
        return result

    def _learn(self, answer: list[Any], args: tuple[Any, ...], before: Look) -> None:
        """Keep what an outsider knows: names of holds, and sales."""
        if answer[0] in HOLD_WORDS:
            self.names.append((answer[3], answer[4], answer[10], tuple(answer[12:])))
        if answer[0] == "sold":
            self.sales.append((answer[2], args[4], args[5], args[9:]))
            # A hold with an open payment may have moved since the payer began: its seats count for who has it now.
            self.buyers[answer[2]] = args[5] if answer[3] else before.holds[answer[2]][0]

    def set_deadline(self, hold: int, when: str) -> None:
        """Let the deadline of a living hold be past, about now, soon or far: so time moves, in both worlds."""
        kept = self.model.loaded and list(self.model.loaded.holds.values())
        if not kept:
            return
        chosen: Hold = kept[-1 - hold % len(kept)]
        deadline_ms = self.now_ms + DEADLINES[when]
        by_hand = [("ZADD", self.real.key("deadlines"), "XX", deadline_ms, chosen.owner)]
        chosen.deadline_ms = deadline_ms
        if deadline_ms < self.model.loaded.next_lapse_ms:
            self.model.loaded.next_lapse_ms = deadline_ms
            by_hand.append(("HSET", self.real.key("meta"), "next_lapse_ms", deadline_ms))
        self.log.append(f"deadline of {chosen.owner}: {when}")
        self.tally["deadline set"] += 1
        self._turn(*by_hand)
        assert self._seen == look_of_model(self.model)
        self.look = self._seen

    # --- What moves are made of

    def some_seats(self, draw: int) -> list[int]:
        """Make one to four seats of a number: side by side, or with gaps."""
        first, rest = draw % self.seats, draw // self.seats
        size, stride = 1 + rest % 4, 1 + rest // 4 % 3
        return list(dict.fromkeys((first + place * stride) % self.seats for place in range(size)))

    def some_hold(self, draw: int) -> tuple[int, int, bytes, tuple[int, ...]]:
        """Pick a hold that was given once, late ones more often; before there is one, an invented name."""
        if not self.names:
            return (self.model.loaded.fence if self.model.loaded else 0) + draw % 3, self.now_ms, CUSTOMERS[0], (0,)
        return self.names[-1 - draw % min(len(self.names), 6)]

    def who(self, subject: bytes, whose: int) -> bytes:
        """Give the hold's customer; now and then somebody else."""
        return CUSTOMERS[whose] if whose < len(CUSTOMERS) else subject

    # --- Moves: holds

    def claim(self, customer: int, place: int, rule: int, request: int) -> None:
        """Claim seats."""
        subject = CUSTOMERS[customer] + COOL_DOWN_RULES[rule]
        self.tally["claims"] += 1
        answer = self.write("claim_seats", subject, *self.some_seats(place), request=request)
        self.tally["conflicts"] += answer[0] == "seats_taken"

    def change(self, hold: int, add: int, remove: int, whose: int, request: int) -> None:
        """Add seats, and take off some, nothing, or all."""
        owner, at, subject, seats = self.some_hold(hold)
        more = self.some_seats(add)[: add % 3]
        less = [*seats[: remove % 4], *(more[:1] if remove > 8 else ())]
        less = list(dict.fromkeys(less))
        args = (owner, at, self.who(subject, whose), len(more), *more, *less)
        self.write("change_hold", *args, request=request)

    def extend(self, hold: int, times: int, whose: int, request: int) -> None:
        """Extend a hold, each time after most of its time went by."""
        owner, at, subject, _ = self.some_hold(hold)
        for _ in range(times):
            kept = self.model.loaded and list(self.model.loaded.holds)
            if kept and owner in kept and times > 1:
                self.set_deadline(len(kept) - 1 - kept.index(owner), "soon")
            self.write("extend_hold", owner, at, self.who(subject, whose), request=request)

    def release(self, hold: int, ending: int, whose: int, request: int) -> None:
        """Release a hold: its customer, staff, or because its payment timed out."""
        owner, at, subject, _ = self.some_hold(hold)
        way = (("cancelled", "customer"), ("cancelled", "staff"), ("expired", "payment_timeout"))[ending]
        who = self.who(subject, whose) if ending == 0 else b""
        self.write("release_hold", owner, at, who, *way, request=request)

    def move(self, hold: int, to: int, outdated: int, request: int) -> None:
        """Give a hold to somebody, as it was read or as it was before."""
        owner, at, subject, _ = self.some_hold(hold)
        read = self.look.checkouts.get(owner, b"") if not outdated else b"{}"
        self.write("move_hold", owner, at, subject, CUSTOMERS[to], read, read and b'{"now":1}', request=request)

    def expire(self, limit: int, request: int) -> None:
        """Let the timer end lapsed holds."""
        self.write("expire_holds", limit, request=request)

    def end_holds(self, limit: int, request: int) -> None:
        """End holds of a cancelled showtime."""
        self.write("end_holds", limit, request=request)

    # --- Moves: money

    def check_out(self, hold: int, whose: int, request: int) -> None:
        """Check a hold out."""
        owner, at, subject, _ = self.some_hold(hold)
        self.write("check_out", owner, at, self.who(subject, whose), b'{"email":"a/b@c"}', request=request)

    def pay(self, hold: int, failures: int, whose: int, request: int) -> None:
        """Open a payment, which fails some times."""
        owner, at, subject, _ = self.some_hold(hold)
        for _ in range(failures):
            self.write("open_payment", owner, at, self.who(subject, whose), request=request)
            self.write("close_payment", owner, at, request=request)
        self.write("open_payment", owner, at, self.who(subject, whose), request=request)

    def close_payment(self, hold: int, request: int) -> None:
        """A payment failed, whether or not it was opened."""
        owner, at, *_ = self.some_hold(hold)
        self.write("close_payment", owner, at, request=request)

    def sell(self, hold: int, other: int, whose: int, request: int) -> None:
        """Sell the seats of a hold, live, lapsed or gone; now and then other seats under its name."""
        owner, at, subject, seats = self.some_hold(hold)
        asked = seats if other else self.some_seats(hold * 7 + owner)
        self._sell(owner, at, self.who(subject, whose), asked, request)

    def _sell(self, owner: int, at: int, subject: bytes, seats: Any, request: int) -> None:
        if self.model.loaded and owner > self.model.loaded.fence and owner >> 24 == self.model.loaded.fence >> 24:
            return  # Money comes for bookings that were made; a number that a later claim will get is none of them.
        booking = self.model.booking_id(Hold(owner, subject, at, 0, []))
        self.write("sell_seats", owner, at, subject, booking, "fake", f"sess_{owner}", *seats, request=request)

    def sell_again(self, sale: int, request: int) -> None:
        """Sell what was sold once; it may have been restocked since."""
        if self.sales:
            owner, at, subject, seats = self.sales[-1 - sale % len(self.sales)]
            self._sell(owner, at, subject, seats, request)

    def restock(self, sale: int, part: int, other: int, request: int) -> None:
        """Give seats of a sale back, or what another sale may have now."""
        if not self.sales:
            return
        owner, at, subject, seats = self.sales[-1 - sale % len(self.sales)]
        asked = [*seats[part % len(seats) :], *(self.some_seats(part) if other == 0 else ())]
        number = owner if other else owner + 1
        booking = self.model.booking_id(Hold(owner, subject, at, 0, []))
        buyer = self.buyers.get(number, subject)
        asked = list(dict.fromkeys(asked))
        self.write("restock_seats", buyer, booking, number, f"restock:{booking}:{part}", *asked, request=request)

    # --- Moves: operators

    def block(self, place: int, evict: int, request: int) -> None:
        """Take one or two seats out of sale."""
        self.write("block_seats", "block", evict, *self.some_seats(place)[:2], request=request)

    def unblock(self, place: int, request: int) -> None:
        """Give seats back that may be blocked."""
        self.write("block_seats", "unblock", 0, *self.some_seats(place), request=request)

    def freeze(self, state: str, request: int) -> None:
        """Freeze the showtime, open it again, or set it under rebuilding."""
        self.write("freeze_showtime", state, request=request)

    def close(self, request: int) -> None:
        """Cancel the showtime."""
        self.write("close_showtime", request=request)

    def change_policy(self, which: int, request: int) -> None:
        """Give the showtime other rules."""
        self.write("change_policy", *self.policy(which), request=request)

    def policy(self, which: int) -> tuple[int, ...]:
        """Give the numbers of some rules, times made absolute."""
        numbers = POLICIES[which]
        return (*numbers[:RELATIVE_FROM], *(number + self.now_ms for number in numbers[RELATIVE_FROM:]))

    def begin_load(self, nonce: int, new_life: int) -> None:
        """Begin to load the showtime from a ledger that knows what Redis knows now."""
        shown, old = self.model.loaded, self.generation
        self.generation += 1 if new_life and shown else 0
        answer = self.write("open_showtime", "begin", f"nonce{nonce}", 15_000, int(shown is not None))
        if answer[0] != "loading":
            self.generation = old
            return
        sold = shown.sold if shown else {}
        bought = {subject: kept.bought for subject, kept in (shown.customers if shown else {}).items() if kept.bought}
        blocked, status = (set(shown.blocked), shown.status) if shown else (set(), "open")
        self.loads += 1
        loads = self.loads
        cells = b"".join(sold.get(seat, 0).to_bytes(4, "big") for seat in range(self.seats))
        seq = shown.seq if shown and self.generation == shown.generation else 0
        head = (status if status != "rebuilding" else "open", self.seats, seq, loads << 24, loads, len(sold))
        self._load = (f"nonce{nonce}", head, as_bitmap(sold, self.seats), as_bitmap(blocked, self.seats), cells)
        for subject, seats in bought.items():
            self.write("open_showtime", "part", f"nonce{nonce}", subject, seats.to_bytes(2, "big"))

    def finish_load(self, which: int) -> None:
        """End the load that was begun last, if it still stands."""
        if self._load:
            nonce, head, sold, blocked, cells = self._load
            self.write("open_showtime", "finish", nonce, *head, *self.policy(which), sold, blocked, cells)

    def reload(self, new_life: int, between: int) -> None:
        """Load the showtime again; if it is frozen meanwhile, the load is lost, and made once more."""
        self.begin_load(0, new_life)
        if between == 0:
            self.freeze("open", 0)
            self.finish_load(0)
            self.begin_load(0, 0)
        self.finish_load(0)

    def adopt(self, lost: int) -> None:
        """Take the showtime over into a new generation, proved up to its seq or to another."""
        shown = self.model.loaded
        if not shown:
            return
        self.generation += 1
        self.loads += 1
        if self.write("adopt_showtime", shown.generation, shown.seq + lost, self.loads << 24)[0] != "adopted":
            self.generation -= 1

    # --- Moves: readers, and calls that come twice, late, or from another life

    def look_at(self, reader: int, subject: int, hold: int) -> None:
        """Read."""
        owner, at, *_ = self.some_hold(hold)
        who = CUSTOMERS[subject] if subject < len(CUSTOMERS) else b""
        known = self.model.loaded.version if self.model.loaded and hold % 3 == 0 else ""
        calls = (
            ("read_seats", who, known),
            ("read_hold", owner, at, who),
            ("read_holds", hold % 2, 1 + hold % 4),
            ("find_holds", who),
        )
        self.read(*calls[reader])

    def repeat(self, which: int, way: int) -> None:
        """Make a call again that was made before: the same, with another fingerprint, too late, or of another life."""
        step = self.steps[-1 - which % len(self.steps)]
        match way:
            case 0:
                self.play(Step(step.name, step.args, step.request_id, step.fingerprint and "other"))
            case 1:
                self.play(step, not_after_ms=self.now_ms - 1)
            case 2:
                self.play(step, generation=self.generation + 1)
            case _:
                self.play(step)

    def break_contract(self, which: int) -> None:
        """Name seats that are none, or come twice."""
        calls = (
            ("claim_seats", CUSTOMERS[0], 1, 1),
            ("claim_seats", CUSTOMERS[0], self.seats),
            ("block_seats", "block", 0, 2, 2),
            ("freeze_showtime", "gone"),
        )
        self.play(Step(calls[which][0], calls[which][1:], "", ""))

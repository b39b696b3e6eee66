"""Moves of a game. Each takes small numbers only: hypothesis can shrink a game, and a seed can draw a long one."""

from collections import Counter
from random import Random
from typing import Any

from tests.simulation.model.bits import as_bitmap
from tests.simulation.model.both import NEVER_MS, Both, Step
from tests.simulation.model.real import Real
from tests.simulation.model.records import Hold

CUSTOMERS = [bytes([0xC0 + number]) * 16 for number in range(5)]
COOL_DOWN_RULES = (b"", b"", b"", b"\x00\x00\x00\x03\xe8", b"\x02\x00\x01\x00\x00")
"""Most claims come without one; then no free lapse and a pause of 1 s, and two free ones and a minute."""
LOAD_TTL_MS = 600_000
"""Longer than any game: a load ends by what is done, not because a test machine was slow."""
POLICY = (600_000, 900_000, 1_800_000, 2_700_000, 4, 3, 5, -1_000, 3_600_000, 7_200_000, 90_000_000)
RELATIVE_FROM = 7
"""The last four are relative to now."""
POLICIES = (
    POLICY,
    (200_000, 200_000, 200_020, 200_040, 4, 2, 3, -1_000, 3_600_000, 7_200_000, 90_000_000),  # caps are near
    (2, 3, 10, 20, 4, 2, 6, -1_000, 3_600_000, 7_200_000, 90_000_000),  # all lapses at once
    (600_000, 900_000, 1_800_000, 2_700_000, 3, 1, 2, -1_000, 3_600_000, 7_200_000, 90_000_000),  # narrow
    (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, -1_000, -1, 7_200_000, 90_000_000),  # sales have stopped
    (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, 50_000, 3_600_000, 7_200_000, 90_000_000),  # not yet on sale
    (600_000, 900_000, 1_800_000, 2_700_000, 4, 2, 6, -1_000, -1, -1, 90_000_000),  # the show is over
)
"""The first two let everything go on."""


class Game(Both):
    """A showtime that is loaded and on sale, and what anybody may do with it."""

    def __init__(self, real: Real, seats: int, tally: Counter[str] | None = None) -> None:
        super().__init__(real, seats, tally)
        self.loads = 0
        self._load: tuple[Any, ...] = ()
        self.begin_load(0)
        self.finish_load(0)

    # --- What moves are made of

    def some_seats(self, draw: int) -> list[int]:
        """Make one to four seats of a number: side by side, or with gaps."""
        first, rest = draw % self.seats, draw // self.seats
        size, stride = (1, 1, 2, 4)[rest % 4], 1 + rest // 4 % 3
        return list(dict.fromkeys((first + place * stride) % self.seats for place in range(size)))

    def free_seats(self, draw: int) -> list[int]:
        """Make seats of a number that look free to somebody who reads the map; all others if none does."""
        asked = self.some_seats(draw)
        shown = self.model.loaded
        free = [seat for seat in range(self.seats) if shown and not self.look.owners[seat]]
        return list(dict.fromkeys(free[seat % len(free)] for seat in asked)) if free else asked

    def some_hold(self, draw: int) -> tuple[int, int, bytes, tuple[int, ...]]:
        """Pick a live hold, (5, 6) a lapsed one, (7) its number with another moment, or one that was given once.

        Before there is any, a name is invented.
        """
        kept = list(self.model.loaded.holds.values()) if self.model.loaded else []
        if kept and draw < 7:
            lapsed = [hold for hold in kept if hold.deadline_ms <= self.now_ms]
            live = [hold for hold in kept if hold not in lapsed]
            chosen = (live if draw < 5 else lapsed) or kept
            hold = chosen[-1 - draw % len(chosen)]
            return hold.owner, hold.claimed_at_ms, hold.subject, tuple(hold.seats)
        if kept and len(self.names) % 2:
            return kept[0].owner, kept[0].claimed_at_ms - 1, kept[0].subject, tuple(kept[0].seats)
        if self.names:
            return self.names[-1 - draw * 5 % len(self.names)]
        never_given = (self.model.loaded.fence if self.model.loaded else 0) + (0, 1, 1 << 24)[draw % 3]
        return never_given, self.now_ms, CUSTOMERS[0], (0,)

    def some_sale(self, draw: int) -> tuple[int, int, bytes, tuple[int, ...]]:
        """Pick a sale that has seats still, or (4, 5) any that was made."""
        standing = set(self.model.loaded.sold.values()) if self.model.loaded and draw < 4 else set()
        sales = [sale for sale in self.sales if sale[0] in standing] or self.sales
        return sales[-1 - draw % len(sales)]

    def who(self, subject: bytes, whose: int) -> bytes:
        """Give the hold's customer; now and then somebody else."""
        return CUSTOMERS[whose] if whose < len(CUSTOMERS) else subject

    # --- Moves: holds

    def claim(self, customer: int, place: int, rule: int, request: int) -> None:
        """Claim seats: mostly some that look free, else any."""
        subject = CUSTOMERS[customer] + COOL_DOWN_RULES[rule]
        seats = self.free_seats(place) if rule else self.some_seats(place)
        self.write("claim_seats", subject, *seats, request=request)

    def change(self, hold: int, add: int, remove: int, whose: int, request: int) -> None:
        """Add seats, and take off some, nothing, or all."""
        owner, at, subject, seats = self.some_hold(hold)
        more = (self.free_seats(add) if whose % 2 else self.some_seats(add))[: add % 3]
        less = [*seats[: remove % 4], *(more[:1] if remove > 8 else ())]
        less = list(dict.fromkeys(less))
        args = (owner, at, self.who(subject, whose), len(more), *more, *less)
        self.write("change_hold", *args, request=request)

    def extend(self, hold: int, times: int, whose: int, request: int) -> None:
        """Extend a hold, every other time after most of its time went by."""
        owner, at, subject, _ = self.some_hold(hold)
        for turn in range(times):
            kept = self.model.loaded and list(self.model.loaded.holds)
            if kept and owner in kept and turn % 2:
                self.set_deadline(len(kept) - 1 - kept.index(owner), "soon")
            word = self.write("extend_hold", owner, at, self.who(subject, whose), request=request)[0]
            if word not in {"extended", "cannot_extend"}:
                break

    def release(self, hold: int, ending: int, whose: int, request: int) -> None:
        """Release a hold: its customer, staff, or because its payment timed out."""
        owner, at, subject, _ = self.some_hold(hold)
        own = (("cancelled", "customer"), ("given_back", "customer"))
        way = (*own, ("cancelled", "staff"), ("expired", "payment_timeout"))[ending]
        who = self.who(subject, whose) if way in own else b""
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

    def rush(self, calls: int, drawn: int) -> None:
        """Many customers at once: claims for the most part, while some holds are released, checked out or sold."""
        draw, payers = Random(drawn), dict(self.buyers)
        self.compare_many([self._hasty_call(draw, payers) for _ in range(calls)])

    def _hasty_call(self, draw: Random, payers: dict[int, bytes]) -> tuple[str, tuple[Any, ...]]:
        common = (self.generation, NEVER_MS, "")
        owner, at, subject, seats = self.some_hold(draw.randrange(8))
        chance = draw.random()
        if chance < 0.7 or not self.names:
            return "claim_seats", (*common, draw.choice(CUSTOMERS), *self.some_seats(draw.randrange(self.seats * 12)))
        if chance < 0.82:
            return "release_hold", (*common, owner, at, subject, "cancelled", "customer")
        if chance < 0.95:
            return "check_out", (*common, owner, at, subject, b"{}")
        payer = payers.setdefault(owner, subject)
        return "sell_seats", (*common, owner, at, payer, "booking", "fake", f"sess_{owner}", *seats)

    # --- Moves: money

    def check_out(self, hold: int, whose: int, request: int) -> None:
        """Check a hold out."""
        owner, at, subject, _ = self.some_hold(hold)
        self.write("check_out", owner, at, self.who(subject, whose), b'{"email":"a/b@c"}', request=request)

    def pay(self, hold: int, failures: int, whose: int, request: int) -> None:
        """Open a payment, which fails some times."""
        owner, at, subject, _ = self.some_hold(hold)
        for _ in range(failures):
            if self.write("open_payment", owner, at, self.who(subject, whose), request=request)[0] != "payment_opened":
                break
            self.write("close_payment", owner, at, request=request)
        self.write("open_payment", owner, at, self.who(subject, whose), request=request)

    def close_payment(self, hold: int, request: int) -> None:
        """A payment failed, whether or not it was opened."""
        owner, at, *_ = self.some_hold(hold)
        self.write("close_payment", owner, at, request=request)

    def sell(self, hold: int, other: int, whose: int, request: int) -> None:
        """Sell the seats of a hold, live, lapsed or gone; now and then other seats under its name."""
        owner, at, subject, seats = self.some_hold(hold)
        asked = seats if other else self.free_seats(hold * 7 + owner)
        self._sell(owner, at, self.who(subject, whose), asked, request)

    def _sell(self, owner: int, at: int, subject: bytes, seats: Any, request: int) -> None:
        if self.model.loaded and owner > self.model.loaded.fence:
            return  # Money comes for bookings that were made; a number that a later claim will get is none of them.
        subject = self.buyers.get(owner, subject)
        booking = self.model.booking_id(Hold(owner, subject, at, 0, []))
        self.write("sell_seats", owner, at, subject, booking, "fake", f"sess_{owner}", *seats, request=request)

    def sell_again(self, sale: int, request: int) -> None:
        """Sell what was sold once; it may have been restocked since."""
        if self.sales:
            owner, at, subject, seats = self.some_sale(sale)
            self._sell(owner, at, subject, seats, request)

    def restock(self, sale: int, part: int, other: int, request: int) -> None:
        """Give seats of a sale back, or what another sale may have now."""
        if not self.sales:
            return
        owner, at, subject, seats = self.some_sale(sale)
        asked = [*(seats if other > 1 else seats[part % len(seats) :]), *(self.some_seats(part) if other == 0 else ())]
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

    def stop_writers(self, late: int) -> None:
        """Let who met damage set the showtime under rebuilding; `late`: another has loaded it anew in between."""
        damaged_ms = self.now_ms
        if late:
            self.reload(0, 2)
        self.write("freeze_showtime", "rebuilding", damaged_ms)

    def close(self, request: int) -> None:
        """Cancel the showtime; a load that was begun before must not end."""
        self.begin_load(0)
        self.write("close_showtime", request=request)
        self.finish_load(0)
        self.look_at(1, len(CUSTOMERS), 0)

    def change_policy(self, which: int, request: int) -> None:
        """Give the showtime other rules."""
        self.write("change_policy", *self.policy(which), request=request)

    def back_on_sale(self, which: int) -> None:
        """End what stands in the way of all: a freeze, a load that nobody ends, odd rules. A cancellation stays."""
        shown = self.model.loaded
        if not shown or shown.status == "rebuilding" or shown.generation != self.generation:
            self.reload(0, 2)
        if shown and shown.status == "frozen":
            self.freeze("open", 0)
        self.change_policy(which, 0)

    def policy(self, which: int) -> tuple[int, ...]:
        """Give the numbers of some rules, times made absolute."""
        numbers = POLICIES[which]
        return (*numbers[:RELATIVE_FROM], *(number + self.now_ms for number in numbers[RELATIVE_FROM:]))

    def begin_load(self, new_life: int) -> None:
        """Begin to load the showtime from a ledger that knows what Redis knows now."""
        shown, old = self.model.loaded, self.generation
        self.generation += 1 if new_life and shown else 0
        self.loads += 1
        nonce = f"nonce{self.loads}"
        answer = self.write("open_showtime", "begin", nonce, LOAD_TTL_MS, int(shown is not None))
        if answer[0] != "loading":
            self.generation = old
            return
        sold = shown.sold if shown else {}
        bought = {subject: kept.bought for subject, kept in (shown.customers if shown else {}).items() if kept.bought}
        blocked, status = (set(shown.blocked), shown.status) if shown else (set(), "open")
        cells = b"".join(sold.get(seat, 0).to_bytes(4, "big") for seat in range(self.seats))
        seq = shown.seq if shown and self.generation == shown.generation else 0
        head = (status if status != "rebuilding" else "open", self.seats, seq, self.loads << 24, len(sold))
        self._load = (nonce, head, as_bitmap(sold, self.seats), as_bitmap(blocked, self.seats), cells)
        for subject, seats in bought.items():
            self.write("open_showtime", "part", nonce, subject, seats.to_bytes(2, "big"))

    def finish_load(self, which: int) -> None:
        """End the load that was begun last, if it still stands."""
        if self._load:
            nonce, head, sold, blocked, cells = self._load
            self.write("open_showtime", "finish", nonce, *head, *self.policy(which), sold, blocked, cells)

    def reload(self, new_life: int, between: int) -> None:
        """Load the showtime again; if it is opened or seats are sold meanwhile, the load is lost, and made again."""
        if self.model.load:
            self.freeze("open", 0)
        self.begin_load(new_life)
        if between < 2:
            if between == 0:
                self.freeze("open", 0)
            else:
                self.sell(0, 1, len(CUSTOMERS), 0)
            self.finish_load(0)
            self.freeze("open", 0)
            self.begin_load(0)
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
        if step.name == "open_showtime" and step.args[0] != "finish":
            return  # A loader begins once under its nonce, with what it reads then.
        if not self._names_the_buyer(step):
            return
        match way:
            case 0:
                self.play(Step(step.name, step.args, step.request_id, step.fingerprint and "other"))
            case 1:
                self.play(step, not_after_ms=self.now_ms - 1)
            case 2:
                self.play(step, generation=self.generation + 1)
            case _:
                self.play(step)

    def _names_the_buyer(self, step: Step) -> bool:
        """Tell if a sale or restock names who bought: the ledger knows one customer for a booking, ever the same."""
        match step:
            case Step("sell_seats", (owner, _, subject, *_)) | Step("restock_seats", (subject, _, owner, *_)):
                return self.buyers.get(owner, subject) == subject
        return True

    def break_contract(self, which: int) -> None:
        """Name seats that are none, or come twice."""
        calls = (
            ("claim_seats", CUSTOMERS[0], 1, 1),
            ("claim_seats", CUSTOMERS[0], self.seats),
            ("block_seats", "block", 0, 2, 2),
            ("freeze_showtime", "gone"),
        )
        self.play(Step(calls[which][0], calls[which][1:], "", ""))

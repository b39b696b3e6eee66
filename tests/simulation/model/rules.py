"""The rules that several calls share: who may call, what is refused, and how a hold ends."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from tests.simulation.model.records import (
    Broken,
    Call,
    Customer,
    Fact,
    Hold,
    Lapses,
    Load,
    Policy,
    Refused,
    Remembered,
    Showtime,
)

EXTENSIONS_PER_HOLD_MAX = 10
REPLAY_GRACE_MS = 600_000
COOL_DOWN_MEMORY_MS = 3_600_000
COOL_DOWN_MAX_MS = 900_000


@dataclass
class Verdict:
    """What stands in the way of seats that somebody wants.

    Attributes:
        taken: seat, reason, deadline_ms, owner, claimed_at_ms, of each seat that refuses, one after the other; owner
            and claim are told only of the asker's own holds.
        kept: the same of the seats from which nobody can be evicted.
        lapsed: holds that are over, and end before the seats are given.
        live: holds that are not.
    """

    taken: list[Any] = field(default_factory=list)
    kept: list[Any] = field(default_factory=list)
    lapsed: list[Hold] = field(default_factory=list)
    live: list[Hold] = field(default_factory=list)


class Rules:
    """One showtime and what Redis keeps beside it. `facts` and `lapses` may be shared by the showtimes of a partition.

    Args:
        number: the showtime's number.
        facts: the partition's stream, to which facts are appended.
        lapses: showtime -> its earliest deadline: the hint for the worker's timer.
    """

    def __init__(self, number: int, facts: list[Fact] | None = None, lapses: dict[int, int] | None = None) -> None:
        self.number = number
        self.facts = [] if facts is None else facts
        self.lapses = {} if lapses is None else lapses
        self.loaded: Showtime | None = None
        self.load: Load | None = None
        self.requests: dict[str, Remembered] = {}

    def let_time_pass(self, now_ms: int) -> None:
        """Forget what has expired by itself."""
        if self.loaded and now_ms > self.loaded.policy.keys_until_ms:
            self.loaded = None
        if self.load and now_ms > self.load.until_ms:
            self.load = None

    # --- Who may call

    def look(self, call: Call) -> Showtime:
        """Give the showtime to a reader."""
        if self.loaded is None:
            raise Refused("not_loaded")
        if self.loaded.generation != call.generation:
            raise Refused("stale_generation", b"%d" % self.loaded.generation, b"%d" % self.loaded.seq)
        return self.loaded

    def enter(self, call: Call) -> Showtime:
        """Give the showtime to a writer."""
        showtime = self.look(call)
        if showtime.status == "rebuilding":
            raise Refused("rebuilding")
        return showtime

    @staticmethod
    def must_be_on_sale(showtime: Showtime, now_ms: int) -> None:
        """Refuse whoever wants seats anew while none are given."""
        rules = showtime.policy
        if showtime.status == "open" and rules.sales_open_ms <= now_ms < rules.sales_stop_ms:
            return
        if showtime.status == "cancelled":
            raise Refused("showtime_closed", "CANCELLED")
        if now_ms >= rules.sales_stop_ms:
            raise Refused("showtime_closed", "ENDED")
        if showtime.status == "frozen":
            raise Refused("showtime_closed", "FROZEN")
        raise Refused("not_on_sale", rules.sales_open_ms)

    @staticmethod
    def must_not_be_over(showtime: Showtime, now_ms: int) -> None:
        """Refuse even a running check-out, which may finish while operators freeze a showtime."""
        if showtime.status == "cancelled":
            raise Refused("showtime_closed", "CANCELLED")
        if now_ms >= showtime.policy.ends_ms:
            raise Refused("showtime_closed", "ENDED")

    @staticmethod
    def own(showtime: Showtime, name: tuple[int, int], subject: bytes, now_ms: int) -> Hold:
        """Give the live hold of that name (owner number, moment of the claim), to its customer or to nobody (b"")."""
        owner, claimed_at_ms = name
        hold = showtime.holds.get(owner)
        if hold and hold.claimed_at_ms != claimed_at_ms:
            hold = None
        if hold and subject and hold.subject != subject:
            raise Refused("not_found")
        of_this_load = owner >> 24 == showtime.fence >> 24
        if not hold and ((owner > showtime.fence and of_this_load) or claimed_at_ms > now_ms):
            raise Refused("not_found")
        if not hold or hold.deadline_ms <= now_ms:
            raise Refused("hold_expired")
        return hold

    # --- Seats

    @staticmethod
    def seats_of(showtime: Showtime, values: list[bytes]) -> list[int]:
        """Give the seats that a call names, ascending."""
        seats = sorted(int(value) for value in values)
        if len(set(seats)) != len(seats) or not all(0 <= seat < showtime.seats for seat in seats):
            raise Broken("seats must be distinct indexes of the showtime")
        return seats

    @staticmethod
    def judge(showtime: Showtime, seats: list[int], subject: bytes, now_ms: int) -> Verdict:
        """Tell what stands in the way of giving these seats to a subject. A lapsed hold does not."""
        verdict = Verdict()
        for seat in seats:
            hold = showtime.hold_of(seat)
            if seat in showtime.sold or seat in showtime.blocked:
                line = [seat, "SOLD" if seat in showtime.sold else "BLOCKED", 0, 0, 0]
                verdict.taken += line
                verdict.kept += line
            elif hold and hold.deadline_ms <= now_ms:
                verdict.lapsed += [hold] if hold not in verdict.lapsed else []
            elif hold:
                verdict.live += [hold] if hold not in verdict.live else []
                mine = hold.subject == subject
                whose = [hold.owner, hold.claimed_at_ms] if mine else [0, 0]
                reason = "LOCKED_BY_ME" if mine else "LOCKED"
                verdict.taken += [seat, reason, Rules.deadline(showtime, hold, now_ms), *whose]
        return verdict

    # --- Deadlines

    @staticmethod
    def deadline(showtime: Showtime, hold: Hold, now_ms: int) -> int:
        """Give the deadline of a hold as everybody sees it: what a clock, set back since, left is brought down."""
        return min(hold.deadline_ms, now_ms + showtime.policy.ahead_max_ms)

    def set_deadline(self, showtime: Showtime, hold: Hold, deadline_ms: int) -> None:
        """Give a hold its deadline, and move the timer's hint if this one is earlier."""
        hold.deadline_ms = deadline_ms
        if showtime.next_lapse_ms == 0 or deadline_ms < showtime.next_lapse_ms:
            showtime.next_lapse_ms = self.lapses[self.number] = deadline_ms

    def mend(self, showtime: Showtime, holds: list[Hold], now_ms: int) -> None:
        """Rewrite deadlines beyond the maximum, so that no hold is eternal. A refusal may follow."""
        for hold in holds:
            deadline_ms = self.deadline(showtime, hold, now_ms)
            if deadline_ms < hold.deadline_ms:
                self.set_deadline(showtime, hold, deadline_ms)

    def renew_hint(self, showtime: Showtime) -> int:
        """Look for the earliest deadline anew; 0 if there is no hold."""
        self.lapses.pop(self.number, None)
        showtime.next_lapse_ms = min((hold.deadline_ms for hold in showtime.holds.values()), default=0)
        if showtime.holds:
            self.lapses[self.number] = showtime.next_lapse_ms
        return showtime.next_lapse_ms

    @staticmethod
    def by_deadline(showtime: Showtime) -> list[Hold]:
        """Give all holds in the order of the sorted set: by deadline, then by the text of the owner number."""
        return sorted(showtime.holds.values(), key=lambda hold: (hold.deadline_ms, str(hold.owner)))

    @staticmethod
    def seen_version(showtime: Showtime, now_ms: int) -> int:
        """Give the version that everybody sees: each lapsed hold that nobody has ended yet is one more change."""
        return showtime.version + sum(hold.deadline_ms <= now_ms for hold in showtime.holds.values())

    # --- Customers

    @staticmethod
    def holds_of(showtime: Showtime, subject: bytes, now_ms: int, *, lapsed: bool = False) -> list[Hold]:
        """Give a customer's live holds, or the lapsed ones that nobody has ended yet."""
        listed = showtime.customers.get(subject, Customer()).holds
        holds = [showtime.holds[owner] for owner in listed]
        return [hold for hold in holds if (hold.deadline_ms <= now_ms) == lapsed]

    @staticmethod
    def seats_left(showtime: Showtime, subject: bytes, now_ms: int) -> int:
        """Give how many more seats a customer may have: those bought and those in live holds count."""
        bought = showtime.customers.get(subject, Customer()).bought
        held = sum(len(hold.seats) for hold in Rules.holds_of(showtime, subject, now_ms))
        return showtime.policy.seats_per_customer_max - bought - held

    @staticmethod
    def note(showtime: Showtime, subject: bytes, *, gone: Hold | None = None, new: Hold | None = None, bought: int = 0):
        """Write down what changed for a customer: a hold taken off the list, one put at its end, seats bought."""
        customer = showtime.customers.setdefault(subject, Customer())
        customer.bought = max(customer.bought + bought, 0)
        customer.holds = [owner for owner in customer.holds if not gone or owner != gone.owner]
        customer.holds += [new.owner] if new else []
        if customer == Customer():
            del showtime.customers[subject]

    @staticmethod
    def cool_down_ms(showtime: Showtime, subject: bytes, rule: bytes, now_ms: int) -> int:
        """Give how long a customer who let holds lapse has to wait; `rule` is free lapses and the first pause in ms."""
        lapses = showtime.lapses.get(subject)
        if not rule or not lapses:
            return 0
        free, pause_ms = rule[0], int.from_bytes(rule[1:5], "big")
        if lapses.count <= free or now_ms - lapses.last_ms > COOL_DOWN_MEMORY_MS:
            return 0
        pause_ms = min(pause_ms * 2 ** min(lapses.count - free - 1, 20), COOL_DOWN_MAX_MS)
        return max(lapses.last_ms + pause_ms - now_ms, 0)

    # --- Ends of holds

    def expire(self, showtime: Showtime, hold: Hold, call: Call, reason: str = "payment_timeout") -> None:
        """End a hold whose time is over or is declared over; one left to lapse unpaid is counted."""
        lapsed, deadline_ms = hold.deadline_ms <= call.now_ms, self.deadline(showtime, hold, call.now_ms)
        self._free(showtime, hold, call, "booking_expired", reason)
        if lapsed and not hold.payment_open and not hold.retries:
            before = showtime.lapses.get(hold.subject, Lapses(0, 0))
            count = 0 if deadline_ms - before.last_ms > COOL_DOWN_MEMORY_MS else before.count
            showtime.lapses[hold.subject] = Lapses(min(count + 1, 255), max(before.last_ms, deadline_ms))

    def cancel(self, showtime: Showtime, hold: Hold, call: Call, reason: str) -> None:
        """End a hold that somebody gave up or took away."""
        self._free(showtime, hold, call, "booking_cancelled", reason)

    def _free(self, showtime: Showtime, hold: Hold, call: Call, kind: str, reason: str) -> None:
        del showtime.holds[hold.owner]
        self.note(showtime, hold.subject, gone=hold)
        showtime.version += 1
        if hold.status == "P":
            booking = self.booking_id(hold)
            data = {
                "booking": booking,
                "owner": hold.owner,
                "claimed_at_ms": hold.claimed_at_ms,
                "deadline_ms": self.deadline(showtime, hold, call.now_ms),
                "seats": hold.seats,
                "reason": reason,
                "checkout": (hold.checkout or b"").decode(),
            }
            self.emit(showtime, call, kind, booking, data)

    def booking_id(self, hold: Hold) -> str:
        """Give the id of a hold and booking: a UUIDv7 of the claim's ms, the owner number and the showtime's."""
        high, low = hold.owner >> 20, hold.owner & 0xFFFFF
        bits = hold.claimed_at_ms << 80 | 7 << 76 | high << 64 | 2 << 62 | low << 42 | self.number
        return str(UUID(int=bits))

    def emit(self, showtime: Showtime, call: Call, kind: str, id: str, data: dict[str, Any]) -> int:
        """Append a fact; gives its seq."""
        showtime.seq += 1
        # A stamp of another call would be refused: the caller's generation is the showtime's.
        self.facts.append(Fact(kind, self.number, call.generation, showtime.seq, id, call.now_ms, data, call.trace))
        return showtime.seq

    # --- Answers

    @staticmethod
    def hold_answer(word: str, showtime: Showtime, hold: Hold, call: Call, checkout: bytes | None = None) -> list[Any]:
        """Give the one form in which a hold is answered; `checkout` instead of the one that is kept."""
        held = hold.status == "H"
        deadline_ms = Rules.deadline(showtime, hold, call.now_ms)
        return [
            word,
            Rules.seen_version(showtime, call.now_ms),
            hold.owner,
            hold.claimed_at_ms,
            hold.status,
            deadline_ms,
            EXTENSIONS_PER_HOLD_MAX - hold.extensions if held else 0,
            hold.claimed_at_ms + showtime.policy.hold_max_ms if held else deadline_ms,
            int(hold.payment_open),
            hold.subject,
            (hold.checkout or b"") if checkout is None else checkout,
            *hold.seats,
        ]

    def remember(self, call: Call, answer: list[Any], until_ms: int) -> list[Any]:
        """Keep a success under its request until it and the grace have passed. Gives the answer."""
        if call.fingerprint:
            ttl_ms = max(until_ms - call.now_ms, 0) + REPLAY_GRACE_MS
            kept = [answer[0], call.now_ms, *answer[1:]]
            self.requests[call.request_id] = Remembered(call.fingerprint, kept, call.now_ms + ttl_ms)
        return answer

    @staticmethod
    def policy_of(values: list[bytes]) -> Policy:
        """Read the 11 numbers of a policy."""
        if len(values) < 11:
            raise Broken("a policy is 11 numbers")
        return Policy(*(int(value) for value in values[:11]))

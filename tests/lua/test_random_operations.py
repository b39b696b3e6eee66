"""Any mix of calls, in any order, leaves a state that tells one story (I1, I9, I12, I13)."""

import os
import random

import pytest

from engine.seats.scripts import load_scripts
from tests.lua.house import BLOCKED, BOOKING, HoldAnswer, House
from tests.seat_places import read_customer, read_hold

STEPS = 250
CUSTOMERS = [bytes([number]) * 16 for number in range(1, 7)]
SEATS = 24
FACTS_OF = {"sold": "seats_sold", "restocked": "seats_restocked"}


class Player:
    """Draws calls from a seed, and keeps what an outsider would know: holds once given, and sales."""

    def __init__(self, house: House, seed: int) -> None:
        self.house = house
        self.draw = random.Random(seed)
        self.holds: list[HoldAnswer] = []
        self.sales: dict[int, tuple[bytes, list[int]]] = {}
        self.sold_to: dict[int, int] = {}
        self.words: dict[str, int] = {}

    def seats(self) -> list[int]:
        """Draw one to five seats."""
        return self.draw.sample(range(SEATS), self.draw.randint(1, 5))

    def step(self) -> None:
        """Make one call; check what its answer promises."""
        names = ["claim_seats"] * 6 + ["sell_seats"] * 4 + ["check_out"] * 3 + ["restock_seats"] * 3
        names += ["change_hold", "extend_hold", "release_hold", "open_payment", "close_payment", "move_hold"] * 2
        names += ["expire_holds", "block_seats", "unblock", "lapse"]
        name = self.draw.choice(names)
        hold = self.draw.choice(self.holds) if self.holds else None
        if name == "lapse":
            self.lapse()
            return
        if name == "claim_seats":
            answer = self.house.write(name, self.draw.choice(CUSTOMERS), *self.seats())
        elif name in {"block_seats", "unblock"}:
            mode = "block" if name == "block_seats" else "unblock"
            answer = self.house.write("block_seats", mode, self.draw.randint(0, 1), *self.seats()[:2])
        elif name == "expire_holds":
            answer = self.house.write(name, self.draw.randint(1, 3))
        elif name == "restock_seats":
            if not self.sales:
                return
            sale, (subject, seats) = self.draw.choice(sorted(self.sales.items()))
            chosen = self.draw.sample(seats, self.draw.randint(1, len(seats)))
            answer = self.house.write(name, subject, BOOKING, sale, f"{sale}", *chosen)
            self.check_restock(answer, sale)
        elif hold is None:
            return
        else:
            answer = self.on_hold(name, hold)
        self.words[answer[0]] = self.words.get(answer[0], 0) + 1
        if answer[0] in {"claimed", "changed", "extended", "checked_out", "payment_opened", "payment_closed", "moved"}:
            self.holds = [known for known in self.holds if known.owner != answer[3]] + [HoldAnswer(answer)]

    def on_hold(self, name: str, hold: HoldAnswer) -> list:
        """Call a script of one hold, which may be gone since long."""
        subject = hold.subject if self.draw.random() < 0.9 else self.draw.choice(CUSTOMERS)
        rest = {
            "change_hold": lambda: (2, *self.draw.sample(range(SEATS), 2), self.draw.choice(hold.seats)),
            "release_hold": lambda: ("cancelled", "customer"),
            "check_out": lambda: ("{}",),
            "sell_seats": lambda: (BOOKING, "fake", f"sess_{hold.owner}", *hold.seats),
            "move_hold": lambda: (self.draw.choice(CUSTOMERS), hold.checkout, hold.checkout),
        }.get(name, tuple)()
        who = () if name == "close_payment" else (subject,)
        answer = self.house.write(name, *hold.name, *who, *rest)
        if name == "sell_seats" and answer[0] == "sold":
            for seat in hold.seats:
                assert seat not in self.sold_to, "sold twice"
                self.sold_to[seat] = answer[2]
            # Whoever names himself, a live hold's sale is its own customer's; a late one is the caller's.
            self.sales[answer[2]] = (subject if answer[3] else hold.subject, hold.seats)
        return answer

    def check_restock(self, answer: list, sale: int) -> None:
        """A restock frees what that sale had, once."""
        for seat in answer[2:] if answer[0] == "restocked" else ():
            assert self.sold_to.pop(seat) == sale

    def lapse(self) -> None:
        """Let the time of one live hold be over."""
        owners = [owner for owner in self.house.redis.zrange(self.house.key("deadlines"), 0, -1) if owner != b"0"]
        if owners:
            past_ms = self.house.now_ms() - 50
            self.house.redis.zadd(self.house.key("deadlines"), {self.draw.choice(owners): past_ms})
            if int(self.house.meta("next_lapse_ms")) > past_ms:
                self.house.redis.hset(self.house.key("meta"), "next_lapse_ms", past_ms)


@pytest.mark.covers("004.42", "000.4")
@pytest.mark.parametrize("turn", range(2))
def test_random_operations_leave_one_story(client, redis_server, turn):
    """After each of 250 drawn calls the keys agree, sales are as answered, and versions and seqs only grow."""
    seed = int(os.environ.get("SEED", random.SystemRandom().getrandbits(32)))
    print(f"SEED={seed}")
    house = House(client, redis_server.version, seats=SEATS)
    house.open(holds_per_customer_max=3, seats_per_customer_max=9)
    player = Player(house, seed)
    version = 0
    for _ in range(STEPS):
        player.step()
        house.check_consistent()
        assert house.bits("sold") == set(player.sold_to)
        owners = house.owners()
        assert all(owners[seat] == sale for seat, sale in player.sold_to.items())
        seen = house.read()["version"]
        assert seen >= version
        version = seen
    facts = house.facts()
    assert [int(fact["seq"]) for fact in facts] == list(range(1, len(facts) + 1))
    for word, kind in FACTS_OF.items():
        assert player.words.get(word, 0) == sum(fact["kind"] == kind for fact in facts)
    assert BLOCKED not in player.sales
    assert {"claimed", "seats_taken", "sold"} <= player.words.keys(), player.words


@pytest.mark.parametrize("turn", range(2))
def test_limits_hold_under_any_interleaving(client, redis_server, turn):
    """Whatever order claims, changes, lapses and sales come in, no customer passes the limits of a claim (I13)."""
    seed = int(os.environ.get("SEED", random.SystemRandom().getrandbits(32)))
    print(f"SEED={seed}")
    house = House(client, redis_server.version, seats=SEATS)
    house.open(holds_per_customer_max=2, seats_per_customer_max=6)
    player = Player(house, seed)
    for _ in range(STEPS):
        player.step()
        now_ms = house.now_ms()
        deadlines = dict(house.redis.zrange(house.key("deadlines"), 0, -1, withscores=True))
        for subject in CUSTOMERS:
            _, _, owners = read_customer(house.record("customers", subject) or b"\0\0")
            live = [owner for owner in owners if deadlines[str(owner).encode()] > now_ms]
            assert len(live) <= 2
            # A late payment may pass the limit of seats; live holds alone never do.
            assert sum(len(read_hold(house.record("holds", owner))[-1]) for owner in live) <= 6


def test_the_libraries_that_scripts_lean_on_are_the_same_everywhere(house: House):
    """Structs and MessagePack of the oldest server carry ids, times and binary subjects unharmed."""
    subject = bytes(range(240, 256))
    hold = house.claim(subject, 1, request="r1 print")
    replay = house.write("claim_seats", subject, 1, request="r1 print")
    assert replay[3:] == hold.raw[1:]
    assert hold.subject == subject
    assert set(load_scripts((6, 2))) == set(load_scripts((7,)))

"""A showtime in a real Redis, driven through its scripts alone: what the tests of this folder play with."""

from struct import pack, unpack
from typing import Any
from uuid import UUID

from redis import Redis

from engine.seats.keys import partition_key, partition_of, script_keys, showtime_key
from engine.seats.scripts import load_scripts
from engine.seats.seat_string import length_of, split_maps
from tests.seat_places import MAPS, bit_at, cell_at, customer_field, hold_field, read_customer, read_hold

GENERATION = 3
LOADS = 1
FENCE = LOADS << 24
BLOCKED = 2**32 - 1
NEVER_MS = 2**52
BOOKING = "018f0000-0000-7000-8000-000000000000"

ANN, BOB, EVE = (UUID(int=number).bytes for number in (1, 2, 3))

POLICY = {
    "hold_ttl_ms": 600_000,
    "payment_ttl_ms": 900_000,
    "hold_max_ms": 1_800_000,
    "claim_max_ms": 2_700_000,
    "seats_per_hold_max": 10,
    "holds_per_customer_max": 2,
    "seats_per_customer_max": 20,
    "sales_open_ms": -1_000,
    "sales_stop_ms": 3_600_000,
    "ends_ms": 7_200_000,
    "keys_until_ms": 90_000_000,
}
"""The last four are relative to now."""
RELATIVE = ("sales_open_ms", "sales_stop_ms", "ends_ms", "keys_until_ms")

MAP_KEYS = ("meta", "seats", "deadlines", "checkouts")
"""The last one is there only while somebody is checked out."""


class House:
    """One showtime. Answers of scripts come as lists whose first element is the word, as text."""

    def __init__(self, client: Redis, version: tuple[int, ...], showtime: int = 42, seats: int = 40) -> None:
        self.redis = client
        self.scripts = load_scripts(version)
        self.showtime = showtime
        self.seats = seats
        known = client.script_exists(*(script.sha for script in self.scripts.values()))
        for script, is_known in zip(self.scripts.values(), known, strict=True):
            if not is_known:
                client.script_load(script.source)

    # --- Speaking to the scripts
    def call(self, name: str, *args: Any, request: str = "", generation: int = GENERATION) -> list[Any]:
        """Run a reader with `args` after the generation."""
        script = self.scripts[name]
        keys = script_keys(script.keys, self.showtime, request)
        answer = self.redis.execute_command("EVALSHA", script.sha, len(keys), *keys, generation, *args)
        return [answer[0].decode(), *answer[1:]]

    def write(
        self, name: str, *args: Any, request: str = "", generation: int = GENERATION, not_after_ms: int = NEVER_MS
    ) -> list[Any]:
        """Run a writer. `request` is `<id>` or `<id> <fingerprint>`; its id becomes the request key."""
        request_id, _, fingerprint = request.partition(" ")
        text = fingerprint or request_id
        return self.call(name, not_after_ms, text, *args, request=request_id, generation=generation)

    def open(self, sold: dict[int, int] | None = None, **changes: Any) -> list[Any]:
        """Load the showtime. `changes` are policy numbers, or any of blocked, customers, status, seq, force."""
        sold = sold or {}
        nonce = f"nonce of {self.showtime}"
        begun = self.write("open_showtime", "begin", nonce, 15_000, changes.pop("force", 0))
        assert begun[0] == "loading", begun
        customers = changes.pop("customers", {})
        if customers:
            flat = [part for pair in customers.items() for part in pair]
            assert self.write("open_showtime", "part", nonce, *flat)[0] == "installed"
        return self.write("open_showtime", *self.finish(nonce, sold, **changes))

    def finish(self, nonce: str, sold: dict[int, int], **changes: Any) -> list[Any]:
        """Give the arguments of the last step of a load."""
        owners = bytearray(4 * self.seats)
        for seat, sale in sold.items():
            owners[4 * seat : 4 * seat + 4] = pack(">I", sale)
        status, seq = changes.pop("status", "open"), changes.pop("seq", 0)
        loads, blocked = changes.pop("loads", LOADS), changes.pop("blocked", ())
        head = ["finish", nonce, status, self.seats, seq, loads << 24, len(sold)]
        return [*head, *self.policy(**changes), self.bitmap(sold), self.bitmap(blocked), bytes(owners)]

    def policy(self, **changes: int) -> list[int]:
        """Give the policy's numbers; times are moved to now."""
        now_ms = self.now_ms()
        numbers = {**POLICY, **changes}
        assert set(numbers) == set(POLICY), numbers
        return [value + now_ms if name in RELATIVE else value for name, value in numbers.items()]

    def bitmap(self, seats: Any) -> bytes:
        """Give a bitmap in layout order, without the sentinel."""
        bits = bytearray(-(-self.seats // 8))
        for seat in seats:
            bits[seat >> 3] |= 0x80 >> (seat & 7)
        return bytes(bits)

    def claim(self, subject: bytes, *seats: int, **options: Any) -> "HoldAnswer":
        """Claim seats and insist on success."""
        return HoldAnswer(self.write("claim_seats", subject, *seats, **options))

    def check_out(self, hold: "HoldAnswer", **options: Any) -> "HoldAnswer":
        """Check a hold out and insist on an answer that holds a hold."""
        return HoldAnswer(self.write("check_out", *hold.name, hold.subject, '{"email":"a@b.c"}', **options))

    def sell(self, hold: "HoldAnswer", session: str = "sess_1", seats: Any = None, **options: Any) -> list[Any]:
        """Sell a hold's seats, or others under its name."""
        asked = hold.seats if seats is None else seats
        return self.write("sell_seats", *hold.name, hold.subject, BOOKING, "fake", session, *asked, **options)

    def restock(self, sale: int, *seats: int, subject: bytes = ANN, **options: Any) -> list[Any]:
        """Give seats of a sale back."""
        return self.write("restock_seats", subject, BOOKING, sale, f"restock:{sale}", *seats, **options)

    def release(self, hold: "HoldAnswer", subject: bytes | None = None, **options: Any) -> list[Any]:
        """End a hold, for its own customer unless another subject is given."""
        who = hold.subject if subject is None else subject
        return self.write("release_hold", *hold.name, who, "cancelled", "customer", **options)

    def lapse(self, *holds: "HoldAnswer") -> None:
        """Let holds be as if their time were over, with nothing told to anybody but the clock."""
        past_ms = self.now_ms() - 50
        for hold in holds:
            self.set_deadline(hold, past_ms)

    def set_deadline(self, hold: "HoldAnswer", deadline_ms: int) -> None:
        """Write a deadline by hand."""
        self.redis.zadd(self.key("deadlines"), {str(hold.owner): deadline_ms}, xx=True)
        assert self.redis.zscore(self.key("deadlines"), str(hold.owner)) == deadline_ms
        if deadline_ms < int(self.meta("next_lapse_ms")):
            self.redis.hset(self.key("meta"), "next_lapse_ms", deadline_ms)

    # --- Looking at what Redis has
    def key(self, name: str) -> str:
        """Give a key of the showtime."""
        return showtime_key(self.showtime, name)

    def partition(self, name: str) -> str:
        """Give a key of the showtime's partition."""
        return partition_key(partition_of(self.showtime), name)

    def now_ms(self) -> int:
        """Give Redis' time; inside a script it may lag behind by a millisecond."""
        seconds, micros = self.redis.time()
        return seconds * 1000 + micros // 1000

    def meta(self, field: str) -> str:
        """Give a field of meta as text."""
        return (self.redis.hget(self.key("meta"), field) or b"").decode()

    def bits(self, name: str) -> set[int]:
        """Give the seats of a bitmap; its sentinel must stand."""
        raw = self.redis.get(self.key("seats"))
        assert raw is not None
        assert len(raw) == length_of(self.seats)
        raw = split_maps(raw, self.seats)[MAPS.index(name)]
        found = {i for i in range(8 * len(raw)) if raw[i >> 3] & (0x80 >> (i & 7))}
        assert self.seats in found, f"{name} has lost its sentinel"
        return found - {self.seats}

    def owners(self) -> list[int]:
        """Give the owner number of each seat."""
        return list(unpack(f">{self.seats}I", self.redis.get(self.key("seats"))[-4 * self.seats :]))

    def bit_at(self, name: str, seat: int) -> int:
        """Give where the bit of a seat in one of the bitmaps is; that after the last seat is the sentinel."""
        return bit_at(name, seat, self.seats)

    def set_bit(self, name: str, seat: int, bit: int) -> None:
        """Write a bit of one of the bitmaps by hand."""
        self.redis.setbit(self.key("seats"), self.bit_at(name, seat), bit)

    def set_cells(self, seat: int, cells: bytes) -> None:
        """Write owner numbers by hand, 4 bytes for each seat from one on."""
        self.redis.setrange(self.key("seats"), cell_at(seat, self.seats), cells)

    def records(self, name: str) -> dict[Any, bytes]:
        """Give the records in meta of `holds` by owner number, of `customers` by subject."""
        fields = self.redis.hgetall(self.key("meta")).items()
        if name == "holds":
            return {int(field): packed for field, packed in fields if field.isdigit() and len(field) <= 10}
        return {field: packed for field, packed in fields if len(field) == 16}

    def record(self, name: str, of: Any) -> bytes | None:
        """Give one record of `holds` or `customers`."""
        return self.redis.hget(self.key("meta"), self.field(name, of))

    def set_record(self, name: str, of: Any, packed: bytes) -> None:
        """Write one record by hand."""
        self.redis.hset(self.key("meta"), self.field(name, of), packed)

    def drop_record(self, name: str, of: Any) -> None:
        """Take one record away by hand."""
        self.redis.hdel(self.key("meta"), self.field(name, of))

    @staticmethod
    def field(name: str, of: Any) -> bytes:
        """Give the field of meta that has a record: of an owner number, or of a subject."""
        return hold_field(of) if name == "holds" else customer_field(of)

    def facts(self) -> list[dict[str, str]]:
        """Give the partition's facts, oldest first."""
        entries = self.redis.xrange(self.partition("facts"))
        return [{name.decode(): value.decode() for name, value in fields.items()} for _, fields in entries]

    def dump(self) -> dict[str, bytes | None]:
        """Give all keys of this Redis as bytes, to prove that nothing changed."""
        return {key.decode(): self.redis.dump(key) for key in sorted(self.redis.keys())}

    def read(self, subject: bytes = b"", known: Any = "") -> dict[str, Any]:
        """Read the map; `version` is there always, the rest unless it is unchanged."""
        answer = self.call("read_seats", subject, known)
        if answer[0] != "seats":
            return {"word": answer[0], "version": answer[2] if len(answer) > 2 else None}
        names = ("word", "now_ms", "version", "status", "seats", "generation", "maps", "sales_open_ms", "sales_stop_ms")
        fields = dict(zip((*names, "ends_ms", "lapsed_count"), answer, strict=False))
        maps = dict(zip(MAPS, split_maps(fields.pop("maps"), fields["seats"]), strict=True))
        lapsed_end = 11 + fields["lapsed_count"]
        return {**fields, **maps, "lapsed": answer[11:lapsed_end], "mine": answer[lapsed_end:]}

    def check_consistent(self) -> None:
        """Assert I9: the bitmaps are disjoint, and owners, holds, deadlines and customers tell the same story."""
        sold, locked, blocked = self.bits("sold"), self.bits("locked"), self.bits("blocked")
        assert not (sold & locked)
        assert not (sold & blocked)
        assert not (locked & blocked)
        owners = self.owners()
        assert {seat for seat, owner in enumerate(owners) if owner} == sold | locked | blocked
        assert {seat for seat, owner in enumerate(owners) if owner == BLOCKED} == blocked
        records = self.records("holds")
        deadlines = dict(self.redis.zrange(self.key("deadlines"), 0, -1, withscores=True))
        assert deadlines.pop(b"0") == float("inf")
        assert set(records) == {int(owner) for owner in deadlines}
        held: dict[int, bytes] = {}
        owned: dict[bytes, set[int]] = {}
        for owner, record in records.items():
            subject, *_, seats = read_hold(record)
            assert list(seats) == sorted(set(seats)) != []
            assert all(owners[seat] == owner for seat in seats)
            assert not held.keys() & set(seats)
            held |= dict.fromkeys(seats, subject)
            owned.setdefault(subject, set()).add(owner)
        assert set(held) == locked
        customers = {subject: read_customer(raw) for subject, raw in self.records("customers").items()}
        listed = {subject: set(holds) for subject, (_, _, holds) in customers.items()}
        assert {subject: held for subject, held in listed.items() if held} == owned
        assert sum(bought for bought, _, _ in customers.values()) == len(sold)
        assert all(customer != (0, None, ()) for customer in customers.values())
        pending = {owner for owner, record in records.items() if read_hold(record)[2] == b"P"}
        assert {int(owner) for owner in self.redis.hkeys(self.key("checkouts"))} == pending
        next_lapse_ms = int(self.meta("next_lapse_ms"))
        assert not deadlines or 0 < next_lapse_ms <= min(deadlines.values())


class HoldAnswer:
    """The uniform answer of a script that gives a hold."""

    def __init__(self, answer: list[Any]) -> None:
        assert len(answer) > 12, answer
        self.word, self.now_ms, self.version, self.owner, self.claimed_at_ms = answer[:5]
        self.status, self.deadline_ms, self.extensions_left, self.extendable_until_ms = answer[5:9]
        self.payment_open, self.subject, self.checkout = answer[9:12]
        self.seats = answer[12:]
        self.raw = answer

    @property
    def name(self) -> tuple[int, int]:
        """What a hold id says of the hold."""
        return self.owner, self.claimed_at_ms

"""Whether a showtime's keys in Redis agree with each other (I9): every seat has one word, every hold its seats."""

import math
import struct
from typing import NamedTuple

from engine.audit.records import Difference, RedisShowtime
from engine.seats.seat_string import length_of, read_seat_string, split_maps

BLOCKED = 2**32 - 1
HOLD_BYTES = 23
HOLD_STATE, CHECKED_OUT = 22, 128
"""Which byte of a hold is its state, and its bit there of a hold that was checked out."""
SUBJECT_BYTES = 16
OWNER_BYTES = 4
CUSTOMER_BYTES, LAPSES_BYTES = 2, 7
WITH_LAPSES = 2**15
SENTINEL = b"0"
META_FIELDS = (b"status", b"seats_count", b"policy", b"generation", b"seq", b"version", b"fence", b"next_lapse_ms")
NUMBERS = (b"seats_count", b"generation", b"seq", b"version", b"fence", b"next_lapse_ms")
MAPS = ("sold", "locked", "blocked")


class Seats(NamedTuple):
    """The seats of a showtime by the maps of Redis; `cells` is the owner number of each."""

    sold: frozenset[int]
    locked: frozenset[int]
    blocked: frozenset[int]
    cells: tuple[int, ...]


class HoldRecord(NamedTuple):
    """A hold as it is packed (lua/include/formats.lua)."""

    subject: bytes
    checked_out: bool
    seats: tuple[int, ...]


def damage(state: RedisShowtime) -> list[Difference]:
    """Find keys that are missing, of another type, of another length, or without their sentinel."""
    found = [_difference(state, "damaged", f"key {name}", "whole", wrong) for name, wrong in state.wrong.items()]
    lacking = [field.decode() for field in META_FIELDS if field not in state.meta]
    lacking += [field.decode() for field in NUMBERS if not state.meta.get(field, b"0").isdigit()]
    if lacking and "meta" not in state.wrong:
        found.append(_difference(state, "damaged", "key meta", "whole", f"no number or nothing in {' '.join(lacking)}"))
    if found:
        return found
    seats = int(state.meta[b"seats_count"])
    if len(state.seats) != length_of(seats):
        found.append(_difference(state, "damaged", "key seats", f"{length_of(seats)} bytes", f"{len(state.seats)}"))
    else:
        found += [
            _difference(state, "damaged", "key seats", f"the sentinel of {name}", "none")
            for name, bitmap in zip(MAPS, split_maps(state.seats, seats), strict=True)
            if not bitmap[seats >> 3] & 0x80 >> (seats & 7)
        ]
    if SENTINEL not in state.deadlines:
        found.append(_difference(state, "damaged", "key deadlines", "its sentinel", "none"))
    return found


def read_seats(state: RedisShowtime) -> Seats:
    """Read the maps of a showtime without damage."""
    seats = read_seat_string(state.seats)
    assert seats is not None, "the showtime is damaged"
    return Seats(*seats)


def check_seats(state: RedisShowtime, seats: Seats) -> list[Difference]:
    """Compare maps, owners, holds, deadlines, customers and checkouts of a showtime without damage."""
    found: list[Difference] = []
    holds: dict[int, HoldRecord] = {}
    for owner, packed in state.holds.items():
        if not owner.isdigit() or len(packed) <= HOLD_BYTES or (len(packed) - HOLD_BYTES) % 2:
            found.append(
                _difference(state, "hold_unreadable", f"hold {_text(owner)}", "a record", packed.hex() or "''")
            )
        else:
            holds[int(owner)] = _hold(packed)
    found += _check_maps(state, seats, holds)
    found += _check_deadlines(state, holds)
    found += _check_customers(state, holds)
    found += _check_checkouts(state, holds)
    return found


def bought_counts(state: RedisShowtime) -> dict[bytes, int]:
    """Give how many seats Redis says that each customer bought."""
    return {
        subject: int.from_bytes(packed[:CUSTOMER_BYTES], "big") % WITH_LAPSES
        for subject, packed in state.customers.items()
    }


def _check_maps(state: RedisShowtime, seats: Seats, holds: dict[int, HoldRecord]) -> list[Difference]:
    found = []
    for seat in sorted((seats.sold & seats.locked) | (seats.sold & seats.blocked) | (seats.locked & seats.blocked)):
        words = [name for name in MAPS if seat in getattr(seats, name)]
        found.append(_difference(state, "maps_overlap", f"seat {seat}", "one map", " and ".join(words)))
    for seat, cell in enumerate(seats.cells):
        word = _word(seats, seat)
        if word == "locked" and (cell not in holds or seat not in holds[cell].seats):
            found.append(_difference(state, "hold_missing", f"seat {seat}", "a hold that has it", f"owner {cell}"))
        elif word != "locked" and _word_of(cell, word) != word:
            found.append(_difference(state, "owner_differs", f"seat {seat}", f"{word} in owners", f"{cell}"))
    for owner, hold in holds.items():
        for seat in hold.seats:
            if seat not in seats.locked or seats.cells[seat] != owner:
                at = f"{_word(seats, seat)}, owner {seats.cells[seat]}" if seat < len(seats.cells) else "no seat"
                found.append(_difference(state, "hold_without_seat", f"seat {seat}", f"locked by hold {owner}", at))
    return found


def _check_deadlines(state: RedisShowtime, holds: dict[int, HoldRecord]) -> list[Difference]:
    deadlines = {int(owner): at for owner, at in state.deadlines.items() if owner != SENTINEL and owner.isdigit()}
    missing = [("deadline_missing", owner, "a deadline") for owner in sorted(holds.keys() - deadlines.keys())]
    over = [("deadline_without_hold", owner, "a hold") for owner in sorted(deadlines.keys() - holds.keys())]
    found = [_difference(state, kind, f"hold {owner}", wanted, "none") for kind, owner, wanted in missing + over]
    next_lapse_ms = int(state.meta[b"next_lapse_ms"])
    earliest_ms = min(deadlines.values(), default=math.inf)
    if deadlines and (next_lapse_ms == 0 or next_lapse_ms > earliest_ms):
        found.append(
            _difference(
                state, "next_lapse_late", "key meta", f"next_lapse_ms up to {earliest_ms:.0f}", f"{next_lapse_ms}"
            )
        )
    return found


def _check_customers(state: RedisShowtime, holds: dict[int, HoldRecord]) -> list[Difference]:
    found = []
    listed: dict[int, bytes] = {}
    for subject, packed in state.customers.items():
        with_lapses = int.from_bytes(packed[:CUSTOMER_BYTES], "big") >= WITH_LAPSES
        first = CUSTOMER_BYTES + (LAPSES_BYTES if with_lapses else 0)
        whole = packed[first : len(packed) - (len(packed) - first) % OWNER_BYTES]
        listed |= {owner: subject for (owner,) in struct.iter_unpack(">I", whole)}
    for owner in sorted(holds.keys() | listed.keys()):
        hold = holds.get(owner)
        wanted = hold.subject if hold else None
        if listed.get(owner) != wanted:
            found.append(
                _difference(state, "customer_differs", f"hold {owner}", _listed(wanted), _listed(listed.get(owner)))
            )
    return found


def _check_checkouts(state: RedisShowtime, holds: dict[int, HoldRecord]) -> list[Difference]:
    wanted = {b"%d" % owner for owner, hold in holds.items() if hold.checked_out}
    there = state.checkouts
    missing = [("checkout_missing", owner, "what was checked out", "none") for owner in sorted(wanted - there)]
    over = [
        ("checkout_without_booking", owner, "a hold that was checked out", "none") for owner in sorted(there - wanted)
    ]
    return [_difference(state, kind, f"hold {_text(owner)}", *said) for kind, owner, *said in missing + over]


def _hold(packed: bytes) -> HoldRecord:
    seats = struct.unpack(f">{(len(packed) - HOLD_BYTES) // 2}H", packed[HOLD_BYTES:])
    return HoldRecord(packed[:SUBJECT_BYTES], bool(packed[HOLD_STATE] & CHECKED_OUT), seats)


def _word(seats: Seats, seat: int) -> str:
    if seat in seats.sold:
        return "sold"
    if seat in seats.locked:
        return "locked"
    return "blocked" if seat in seats.blocked else "free"


def _word_of(cell: int, word: str) -> str:
    """Give what a cell of owners says of a seat that is not locked; `word` where it may say several things."""
    if cell == 0:
        return "free"
    if cell == BLOCKED:
        return "blocked"
    return word if word == "sold" else "owned"


def _listed(subject: bytes | None) -> str:
    return "in no customer's list" if subject is None else f"in the list of customer {subject.hex()}"


def _text(field: bytes) -> str:
    return field.decode(errors="backslashreplace")


def _difference(state: RedisShowtime, kind: str, place: str, expected: str, found: str) -> Difference:
    return Difference(side="redis", kind=kind, showtime=state.number, place=place, expected=expected, found=found)

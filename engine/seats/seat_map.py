"""Seat maps as viewers want them: status words, counts, compact bitmaps, and what changed since a version.

Where versions are compared: `read_seats.lua` compares the version that a viewer knows with the present one, for
equality, because only Redis knows whether a hold has lapsed meanwhile; an equal one costs no bitmaps. What changed
between two unequal versions is worked out here, from a snapshot that this process still has of the older one. The
order of versions is never used to guess at contents: without the very snapshot the whole map is given.
"""

import re
from base64 import b64encode
from collections import OrderedDict
from typing import Literal

from engine import limits
from engine.seats.records import SeatMap

SeatStatus = Literal["AVAILABLE", "LOCKED", "LOCKED_BY_ME", "SOLD", "BLOCKED"]
Change = tuple[int, SeatStatus]

_WORDS: dict[str, SeatStatus] = {"0": "AVAILABLE", "1": "LOCKED", "2": "SOLD", "3": "BLOCKED"}
_CHANGED = re.compile("[^0]")
_SNAPSHOT_OVERHEAD_BYTES = 400


def statuses(seat_map: SeatMap) -> list[SeatStatus]:
    """Give each seat's status, in layout order."""
    words = [_WORDS[digit] for digit in _digits(_picture(seat_map), seat_map.seats)]
    for seat in seat_map.mine:
        words[seat] = "LOCKED_BY_ME"
    return words


def summary(seat_map: SeatMap) -> dict[str, int]:
    """Count the seats: `available, locked, sold, blocked, in_review`; they add up to all seats."""
    locked, sold, blocked = (bits.bit_count() for bits in _bits(seat_map))
    available = seat_map.seats - locked - sold - blocked
    return {"available": available, "locked": locked, "sold": sold, "blocked": blocked, "in_review": 0}


def compact(sold: bytes, locked: bytes, blocked: bytes, seats: int) -> dict[str, str]:
    """Give bitmaps of a map as `sold, locked, blocked, in_review` in base64.

    One bit per seat, the rest of the last byte 0.
    """
    bitmaps = {"sold": sold, "locked": locked, "blocked": blocked}
    written = {name: _packed(_numbered(bitmap, seats), seats) for name, bitmap in bitmaps.items()}
    return written | {"in_review": _packed(0, seats)}


def changes_between(old: SeatMap, new: SeatMap) -> list[Change]:
    """Give (seat, status in `new`) of each seat whose status differs. A seat of `new.mine` is LOCKED_BY_ME."""
    assert old.seats == new.seats, "one layout per showtime"
    picture = _picture(new)
    differing = _digits(_picture(old) ^ picture, new.seats)
    digits = _digits(picture, new.seats)
    mine = frozenset(new.mine)
    return [
        (seat, "LOCKED_BY_ME" if seat in mine else _WORDS[digits[seat]])
        for seat in (match.start() for match in _CHANGED.finditer(differing))
    ]


class SeatMapHistory:
    """Recent snapshots of this process, by showtime and version, bounded in count and bytes.

    A version that falls back, or comes again with other contents, can only mean that another history of the
    showtime began (a clock set back, data restored): its snapshots are thrown away.
    """

    def __init__(
        self,
        snapshots_per_showtime_max: int = limits.SNAPSHOTS_PER_SHOWTIME_MAX,
        bytes_max: int = limits.SNAPSHOTS_BYTES_MAX,
    ) -> None:
        self._per_showtime_max = snapshots_per_showtime_max
        self._bytes_max = bytes_max
        self._showtimes: OrderedDict[int, dict[int, SeatMap]] = OrderedDict()
        self.bytes_used = 0

    def remember(self, seat_map: SeatMap) -> None:
        """Keep a snapshot; the oldest of its showtime, or of the showtime least asked for, makes room."""
        assert not seat_map.unchanged, "an answer without bitmaps is no snapshot"
        snapshots = self._showtimes.setdefault(seat_map.showtime, {})
        self._showtimes.move_to_end(seat_map.showtime)
        newest = next(reversed(snapshots.values()), None)
        if newest is not None and newest.version == seat_map.version and _same(newest, seat_map):
            return
        if newest is not None and seat_map.version <= newest.version:
            self._forget(snapshots, len(snapshots))
        snapshots[seat_map.version] = seat_map
        self.bytes_used += _size(seat_map)
        self._forget(snapshots, len(snapshots) - self._per_showtime_max)
        while self.bytes_used > self._bytes_max and self._showtimes:
            showtime, oldest = next(iter(self._showtimes.items()))
            self._forget(oldest, 1)
            if not oldest:
                del self._showtimes[showtime]

    def changes_since(self, version: int, present: SeatMap) -> list[Change] | None:
        """Give the changes from `version` to `present`; None if that snapshot is not (or no longer) here."""
        old = self._showtimes.get(present.showtime, {}).get(version)
        return changes_between(old, present) if old is not None and old.seats == present.seats else None

    def _forget(self, snapshots: dict[int, SeatMap], count: int) -> None:
        for version in list(snapshots)[: max(count, 0)]:
            self.bytes_used -= _size(snapshots.pop(version))


def _bits(seat_map: SeatMap) -> tuple[int, int, int]:
    """Give locked, sold, blocked as numbers of `seats` bits, seat 0 the highest; the sentinel is cut off."""
    seats = seat_map.seats
    return _numbered(seat_map.locked, seats), _numbered(seat_map.sold, seats), _numbered(seat_map.blocked, seats)


def _numbered(bitmap: bytes, seats: int) -> int:
    return int.from_bytes(bitmap, "big") >> (8 * len(bitmap) - seats)


def _picture(seat_map: SeatMap) -> int:
    """Draw the map as one number with a hexadecimal digit per seat, see `_WORDS`: then a diff is one XOR.

    The three bitmaps are disjoint (I9), so the digits never carry.
    """
    locked, sold, blocked = (int(f"{bits:b}", 16) for bits in _bits(seat_map))
    return locked + 2 * sold + 3 * blocked


def _digits(picture: int, seats: int) -> str:
    return f"{picture:0{seats}x}"


def _packed(bits: int, seats: int) -> str:
    length = (seats + 7) // 8
    return b64encode((bits << (8 * length - seats)).to_bytes(length, "big")).decode("ascii")


def _same(one: SeatMap, other: SeatMap) -> bool:
    return (one.sold, one.locked, one.blocked) == (other.sold, other.locked, other.blocked)


def _size(seat_map: SeatMap) -> int:
    return _SNAPSHOT_OVERHEAD_BYTES + 3 * len(seat_map.sold)

"""The string `seats` of a showtime, taken apart as lua/include/seat_map.lua puts it together.

Three bitmaps in layout order (sold, locked, blocked), each with a sentinel bit after the last seat; then four bytes per
seat, big-endian: the owner number of the hold or sale that has it.
"""

import struct
from typing import NamedTuple

_SET_BITS = [tuple(bit for bit in range(8) if byte & 0x80 >> bit) for byte in range(256)]


class SeatString(NamedTuple):
    """The seats that each bitmap marks, and the owner number of every seat."""

    sold: frozenset[int]
    locked: frozenset[int]
    blocked: frozenset[int]
    owners: tuple[int, ...]


def length_of(seats: int) -> int:
    """Give how many bytes the string of so many seats has."""
    return 3 * _map_bytes(seats) + 4 * seats


def split_maps(maps: bytes, seats: int) -> tuple[bytes, bytes, bytes]:
    """Give the bitmaps sold, locked and blocked, with their sentinels; they stand one behind the other."""
    size = _map_bytes(seats)
    return maps[:size], maps[size : 2 * size], maps[2 * size : 3 * size]


def read_seat_string(raw: bytes | None) -> SeatString | None:
    """Take the string apart; its length tells the number of seats. None if there is none, or of no such length."""
    if raw is None:
        return None
    least = (len(raw) - 3) * 8 // 35  # 35 eighths of a byte per seat, but for what is cut off three times
    for seats in (least, least + 1):
        if seats > 0 and length_of(seats) == len(raw):
            sold, locked, blocked = (_marked(bitmap, seats) for bitmap in split_maps(raw, seats))
            return SeatString(sold, locked, blocked, struct.unpack_from(f">{seats}I", raw, 3 * _map_bytes(seats)))
    return None


def _marked(bitmap: bytes, seats: int) -> frozenset[int]:
    found = [8 * at + bit for at, byte in enumerate(bitmap) if byte for bit in _SET_BITS[byte]]
    return frozenset(bit for bit in found if bit < seats)


def _map_bytes(seats: int) -> int:
    return seats // 8 + 1

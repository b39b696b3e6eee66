"""Seats as Redis keeps them: bitmaps and cells in layout order."""

from collections.abc import Iterable
from struct import iter_unpack

from tests.simulation.model.records import Broken


def as_bitmap(seats: Iterable[int], count: int) -> bytes:
    """Give the bitmap of seats; one bit more, after the last seat, is always set."""
    bits = bytearray(count // 8 + 1)
    for seat in (*seats, count):
        bits[seat >> 3] |= 0x80 >> (seat & 7)
    return bytes(bits)


def from_bitmap(bits: bytes, count: int) -> set[int]:
    """Give the seats of a bitmap, with or without the bit after the last one."""
    if not -(-count // 8) <= len(bits) <= count // 8 + 1:
        raise Broken("the bitmap is not of the size of the showtime")
    return {seat for seat in range(count) if bits[seat >> 3] & 0x80 >> (seat & 7)}


def from_cells(cells: bytes, count: int) -> dict[int, int]:
    """Give seat -> owner number, of the cells of 4 bytes that are not 0."""
    if len(cells) != 4 * count:
        raise Broken("owners must have 4 bytes per seat")
    return {seat: owner for seat, (owner,) in enumerate(iter_unpack(">I", cells)) if owner}

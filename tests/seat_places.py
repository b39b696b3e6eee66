"""Where things stand in what Redis has of a showtime, for tests that write there by hand."""

from engine.seats.seat_string import length_of

MAPS = ("sold", "locked", "blocked")


def bit_at(bitmap: str, seat: int, seats: int) -> int:
    """Give which bit of the string `seats` is a seat's in one of the bitmaps; that of seat `seats` is the sentinel."""
    return 8 * MAPS.index(bitmap) * (seats // 8 + 1) + seat


def cell_at(seat: int, seats: int) -> int:
    """Give the byte of the string `seats` where a seat's owner number begins."""
    return length_of(seats) - 4 * (seats - seat)


def hold_field(owner: int) -> bytes:
    """Give the field of `meta` that has the record of a hold."""
    return b"h" + owner.to_bytes(4, "big")


def customer_field(subject: bytes) -> bytes:
    """Give the field of `meta` that has the record of a customer."""
    return b"c" + subject


def lapses_field(subject: bytes) -> bytes:
    """Give the field of `meta` that counts a customer's lapses."""
    return b"l" + subject

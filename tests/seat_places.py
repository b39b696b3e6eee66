"""Where things stand in what Redis has of a showtime, for tests that write there by hand."""

from struct import iter_unpack, unpack_from

from engine.seats.seat_string import length_of

HOLD_BYTES = 23
WITH_LAPSES = 2**15
MAPS = ("sold", "locked", "blocked")


def bit_at(bitmap: str, seat: int, seats: int) -> int:
    """Give which bit of the string `seats` is a seat's in one of the bitmaps; that of seat `seats` is the sentinel."""
    return 8 * MAPS.index(bitmap) * (seats // 8 + 1) + seat


def cell_at(seat: int, seats: int) -> int:
    """Give the byte of the string `seats` where a seat's owner number begins."""
    return length_of(seats) - 4 * (seats - seat)


def hold_field(owner: int) -> bytes:
    """Give the field of `meta` that has the record of a hold."""
    return b"%d" % owner


def customer_field(subject: bytes) -> bytes:
    """Give the field of `meta` that has the record of a customer."""
    return subject


def read_customer(packed: bytes) -> tuple[int, tuple[int, int] | None, tuple[int, ...]]:
    """Give of a customer's record: seats bought; lapses and when the latest was; owner numbers of holds."""
    (bought,) = unpack_from(">H", packed)
    if bought < WITH_LAPSES:
        return bought, None, _owners(packed[2:])
    return bought - WITH_LAPSES, (packed[2], int.from_bytes(packed[3:9], "big")), _owners(packed[9:])


def _owners(packed: bytes) -> tuple[int, ...]:
    return tuple(owner for (owner,) in iter_unpack(">I", packed))


def read_policy(packed: bytes) -> tuple[int, ...]:
    """Give the 11 numbers of a policy."""
    whole = b"".join(b"\0\0" + packed[at : at + 6] for at in range(20, 44, 6))
    return (*unpack_from(">4I2BH", packed), *unpack_from(">4Q", whole))


def read_hold(packed: bytes) -> tuple[bytes, int, bytes, int, int, int, tuple[int, ...]]:
    """Give of a hold's record: subject, claimed_at_ms, H or P, extensions, payment retries, payment open, seats."""
    state = packed[22]
    seats = tuple(seat for (seat,) in iter_unpack(">H", packed[HOLD_BYTES:]))
    status = b"P" if state & 128 else b"H"
    return (
        packed[:16],
        int.from_bytes(packed[16:22], "big"),
        status,
        state & 15,
        state >> 4 & 3,
        state >> 6 & 1,
        seats,
    )

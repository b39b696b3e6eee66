"""The string `seats` as Python reads it, held against what the scripts write."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.limits import SEATS_PER_LAYOUT_MAX
from engine.seats.keys import showtime_key
from engine.seats.seat_string import length_of, read_seat_string, split_maps
from tests.showtimes import load_showtime


def put_together(sold, locked, blocked, owners):
    """Give the string of some seats."""
    maps = []
    for marked in (sold, locked, blocked):
        bits = bytearray(len(owners) // 8 + 1)
        for seat in (*marked, len(owners)):
            bits[seat >> 3] |= 0x80 >> (seat & 7)
        maps.append(bytes(bits))
    return b"".join(maps) + struct.pack(f">{len(owners)}I", *owners)


@given(st.integers(1, 100), st.randoms(use_true_random=False))
def test_what_was_put_together_is_taken_apart(seats, draw):
    """Every seat is where it was put, whatever their number; the sentinels are no seats."""
    marked = [frozenset(draw.sample(range(seats), draw.randint(0, seats))) for _ in range(3)]
    owners = tuple(draw.randrange(2**32) for _ in range(seats))
    raw = put_together(*marked, owners)
    assert len(raw) == length_of(seats)
    assert read_seat_string(raw) == (*marked, owners)
    assert b"".join(split_maps(raw[: -4 * seats], seats)) == raw[: -4 * seats]


def test_its_length_tells_the_number_of_seats():
    """No two numbers of seats have strings of one length, and none is taken for another."""
    lengths = [length_of(seats) for seats in range(1, SEATS_PER_LAYOUT_MAX + 1)]
    assert lengths == sorted(set(lengths))
    for seats in (*range(1, 200), SEATS_PER_LAYOUT_MAX):
        found = read_seat_string(bytes(length_of(seats)))
        assert found is not None
        assert len(found.owners) == seats


@pytest.mark.parametrize("raw", [None, b"", b"x", b"\0\0\0", bytes(length_of(40) - 1), bytes(length_of(40) + 2)])
def test_a_string_of_no_such_length_is_none(raw):
    """Lost or cut, it says nothing of any seat."""
    assert read_seat_string(raw) is None


async def test_it_is_what_the_scripts_write(engine, redis_client):
    """Sold, held and blocked seats of a real showtime, with their numbers."""
    await load_showtime(engine, 42, seats=20, sold={3: 7}, blocked={19})
    hold = await engine.claim_seats(42, "guest:1", [8, 9])
    seats = read_seat_string(await redis_client.get(showtime_key(42, "seats")))
    assert seats is not None
    assert (seats.sold, seats.locked, seats.blocked) == ({3}, {8, 9}, {19})
    assert {seat: owner for seat, owner in enumerate(seats.owners) if owner} == {
        3: 7,
        8: hold.owner,
        9: hold.owner,
        19: 2**32 - 1,
    }

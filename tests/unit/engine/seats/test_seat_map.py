"""Seat maps for viewers: words, counts, bitmaps, and that a snapshot with its changes is the fresh snapshot (I11)."""

from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.seats.records import SeatMap
from engine.seats.seat_map import SeatMapHistory, changes_between, compact, statuses, summary

WORDS = ("AVAILABLE", "LOCKED", "SOLD", "BLOCKED")
SEATS = 83
LAYOUTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=200)
PICTURES = st.text("0123", min_size=SEATS, max_size=SEATS).map(lambda digits: [WORDS[int(digit)] for digit in digits])
MAPS_OF_ONE_SHOWTIME = st.lists(PICTURES, min_size=2, max_size=6)


def make_map(words, version=1, mine=(), showtime=42):
    """Build a map as Redis gives it: three bitmaps with a sentinel bit after the last seat."""

    def bitmap(word):
        bits = bytearray(len(words) // 8 + 1)
        for seat in [seat for seat, status in enumerate(words) if status == word] + [len(words)]:
            bits[seat >> 3] |= 0x80 >> (seat & 7)
        return bytes(bits)

    return SeatMap(
        showtime=showtime,
        version=version,
        status="ON_SALE",
        seats=len(words),
        sold=bitmap("SOLD"),
        locked=bitmap("LOCKED"),
        blocked=bitmap("BLOCKED"),
        mine=tuple(mine),
        now_ms=0,
    )


@given(LAYOUTS)
def test_each_seat_has_its_word(words):
    """The words come out as they went in, for every number of seats."""
    assert statuses(make_map(words)) == words


@given(LAYOUTS)
def test_the_summary_counts_every_seat_once(words):
    """Counts by status, and in all the number of seats; the sentinel is nobody's seat."""
    counts = summary(make_map(words))
    assert counts == {word.lower(): words.count(word) for word in WORDS} | {"in_review": 0}
    assert sum(counts.values()) == len(words)


@given(LAYOUTS)
def test_compact_bitmaps_follow_the_contract(words):
    """Seat i is byte i >> 3, mask 0x80 >> (i & 7); no bit stands outside the seats."""
    shown = make_map(words)
    bitmaps = {
        name: b64decode(text) for name, text in compact(shown.sold, shown.locked, shown.blocked, shown.seats).items()
    }
    assert set(bitmaps) == {"sold", "locked", "blocked", "in_review"}
    for name, bits in bitmaps.items():
        assert len(bits) == (len(words) + 7) // 8
        seats = {i for i in range(8 * len(bits)) if bits[i >> 3] & 0x80 >> (i & 7)}
        assert seats == {seat for seat, word in enumerate(words) if word == name.upper()}


@given(LAYOUTS, st.randoms(use_true_random=False))
def test_ones_own_locked_seats_are_shown_as_such(words, rng):
    """LOCKED becomes LOCKED_BY_ME for the viewer, in the map and in the changes."""
    locked = [seat for seat, word in enumerate(words) if word == "LOCKED"]
    mine = rng.sample(locked, len(locked) // 2)
    seen = statuses(make_map(words, mine=mine))
    assert [seat for seat, word in enumerate(seen) if word == "LOCKED_BY_ME"] == sorted(mine)
    changes = changes_between(make_map(["AVAILABLE"] * len(words)), make_map(words, mine=mine))
    assert dict(changes) == {seat: word for seat, word in enumerate(seen) if word != "AVAILABLE"}


@given(MAPS_OF_ONE_SHOWTIME, st.data())
def test_a_snapshot_and_its_changes_are_the_fresh_snapshot(maps, data):
    """I11: from any remembered version, applying the changes gives the present map, and no seat more."""
    history = SeatMapHistory()
    for version, words in enumerate(maps):
        history.remember(make_map(words, version))
    since = data.draw(st.integers(0, len(maps) - 1))
    changes = history.changes_since(since, make_map(maps[-1], len(maps) - 1))
    screen = list(maps[since])
    for seat, status in changes:
        assert screen[seat] != status, "a change changes something"
        screen[seat] = status
    assert screen == maps[-1]
    assert [seat for seat, _ in changes] == sorted({seat for seat, _ in changes})


@given(st.lists(st.tuples(st.integers(1, 5), st.integers(0, 6)), max_size=100), st.integers(0, 3_000))
def test_the_history_stays_in_its_bounds(reads, bytes_max):
    """Never more snapshots of a showtime nor more bytes than allowed, and the count of bytes is true."""
    history = SeatMapHistory(snapshots_per_showtime_max=3, bytes_max=bytes_max)
    for version, (showtime, locked) in enumerate(reads):
        words = ["LOCKED"] * locked + ["AVAILABLE"] * (40 - locked)
        history.remember(make_map(words, version, showtime=showtime))
        assert history.bytes_used <= bytes_max
        assert all(len(kept) <= 3 for kept in history._showtimes.values())
    assert history.bytes_used == sum((400 + 3 * 6) * len(kept) for kept in history._showtimes.values())


def test_the_oldest_snapshot_makes_room():
    """The last three versions are known, older ones give the whole map."""
    history = SeatMapHistory(snapshots_per_showtime_max=3)
    for version in range(5):
        history.remember(make_map(["AVAILABLE"] * 8, version))
    present = make_map(["SOLD"] * 8, 5)
    assert [history.changes_since(version, present) is None for version in range(5)] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_the_showtime_least_asked_for_makes_room():
    """A bound on bytes takes from what nobody looks at."""
    history = SeatMapHistory(bytes_max=2 * (400 + 3 * 2))
    history.remember(make_map(["AVAILABLE"] * 8, 1, showtime=1))
    history.remember(make_map(["AVAILABLE"] * 8, 1, showtime=2))
    history.remember(make_map(["AVAILABLE"] * 8, 1, showtime=1))
    history.remember(make_map(["AVAILABLE"] * 8, 1, showtime=3))
    known = [history.changes_since(1, make_map(["SOLD"] * 8, 2, showtime=n)) is not None for n in (1, 2, 3)]
    assert known == [True, False, True]


@pytest.mark.parametrize("version", [3, 4], ids=["lower", "same-version-other-seats"])
def test_a_version_that_falls_back_begins_a_new_history(version):
    """Snapshots of before a clock was set back are not mixed with those after it."""
    history = SeatMapHistory()
    history.remember(make_map(["SOLD"] * 8, 3))
    history.remember(make_map(["LOCKED"] * 8, 4))
    history.remember(make_map(["AVAILABLE"] * 8, version))
    assert history.changes_since(7 - version, make_map(["SOLD"] * 8, 5)) is None
    assert history.changes_since(version, make_map(["AVAILABLE"] * 8, 5)) == []


def test_a_lapse_is_a_change_like_any_other():
    """The locked bit is gone in the next map under a higher version, and the changes say so."""
    history = SeatMapHistory()
    history.remember(make_map(["LOCKED", "LOCKED", "SOLD"], 10))
    lapsed = make_map(["AVAILABLE", "AVAILABLE", "SOLD"], 11)
    history.remember(lapsed)
    assert history.changes_since(10, lapsed) == [(0, "AVAILABLE"), (1, "AVAILABLE")]


def test_an_unchanged_answer_is_no_snapshot():
    """It has no bitmaps; taking it for a map would say that all seats are free."""
    unchanged = SeatMap(42, 7, None, 0, b"", b"", b"", (), 0, unchanged=True)
    with pytest.raises(AssertionError):
        SeatMapHistory().remember(unchanged)

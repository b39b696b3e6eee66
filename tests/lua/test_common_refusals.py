"""What every script refuses in the same words: late calls, unloaded, stale and damaged showtimes."""

import pytest
from redis.exceptions import RedisError

from engine.paths import LUA_DIR
from engine.seats.scripts import load_scripts
from tests.lua.calls import READERS, SUCCESS, Prepared
from tests.lua.house import BOB, BOOKING, EVE, GENERATION, MAP_KEYS, House
from tests.seat_places import MAPS

EVERY_WRITER = (*SUCCESS, "close_showtime", "freeze_showtime", "adopt_showtime")
KEYS_OF = {name: script.keys for name, script in load_scripts((7,)).items()}


@pytest.mark.parametrize("name", [*EVERY_WRITER, *READERS])
def test_every_call_succeeds_on_the_prepared_showtime(house: House, name):
    """The calls that the rules below disturb do succeed undisturbed, and leave the state consistent."""
    expected = {**SUCCESS, **READERS, "close_showtime": "closed", "freeze_showtime": "frozen"}
    assert Prepared(house).run(name)[0] == expected.get(name, "adopted")
    house.check_consistent()


@pytest.mark.parametrize("name", EVERY_WRITER)
def test_a_late_call_changes_nothing(house: House, name):
    """A writer that Redis reaches after its time refuses, whatever it was to do."""
    prepared = Prepared(house)
    before = house.dump()
    assert prepared.run(name, not_after_ms=house.now_ms() - 1_000)[0] == "too_late"
    assert house.dump() == before


@pytest.mark.parametrize("name", [*SUCCESS, *READERS])
def test_a_stale_generation_is_refused(house: House, name):
    """A showtime stamped by another life of Redis answers with its stamp and seq, to be judged."""
    prepared = Prepared(house)
    before = house.dump()
    answer = prepared.run(name, generation=GENERATION + 1)
    assert (answer[0], answer[2:]) == ("stale_generation", [b"3", b"1"])
    assert house.dump() == before


@pytest.mark.parametrize("name", [name for name in (*SUCCESS, *READERS) if name != "expire_holds"])
def test_a_showtime_without_meta_is_not_loaded(house: House, name):
    """Whatever else is there, without meta the showtime has to be loaded."""
    prepared = Prepared(house)
    house.redis.delete(house.key("meta"))
    before = house.dump()
    assert prepared.run(name)[0] == "not_loaded"
    assert house.dump() == before


@pytest.mark.parametrize("name", SUCCESS)
def test_a_showtime_under_rebuilding_takes_no_writes(house: House, name):
    """While a showtime is rebuilt only readers are served."""
    prepared = Prepared(house)
    house.write("freeze_showtime", "rebuilding")
    before = house.dump()
    assert prepared.run(name)[0] == "rebuilding"
    assert house.dump() == before
    assert all(prepared.run(reader)[0] == word for reader, word in READERS.items())


def damages(house: House, key: str):
    """Give the ways in which a key may be damaged, each with what a claim of seats 10 and 11 cannot see of it."""
    real = house.key(key)
    kind = house.redis.type(real)
    wrong = (lambda: house.redis.set(real, "x")) if kind != b"string" else (lambda: house.redis.hset(real, "x", "y"))
    if key != "checkouts":
        yield lambda: house.redis.delete(real), False
    yield lambda: (house.redis.delete(real), wrong()), key == "checkouts"
    if kind == b"string":
        whole = house.redis.get(real)
        for length in (2, house.bit_at("blocked", house.seats) // 8 + 1, len(whole) - 4, len(whole) - 1):
            yield lambda length=length: house.redis.set(real, whole[:length]), length >= len(whole) - 4
        yield lambda: house.redis.append(real, b"\0"), True
        # Lost and begun anew by a write far behind: of the whole length, all free.
        yield lambda: house.redis.set(real, bytes(len(whole))), False
        for name in MAPS:
            yield lambda name=name: house.set_bit(name, house.seats, 0), name != "locked"
    if kind == b"zset":
        yield lambda: house.redis.zrem(real, "0"), True


@pytest.mark.parametrize("name", [*SUCCESS, *READERS])
def test_a_damaged_key_is_told_before_anything_is_written(house: House, name):
    """Each key of a script, lost, mistyped, cut short or without its sentinel: `damaged`, and nothing written.

    A claim looks at the cells that it is asked for and at the end of the map that it writes; of other keys it asks
    whether they are there, and their type where it writes.
    """
    prepared = Prepared(house)
    for key in (word for word in KEYS_OF[name] if word in MAP_KEYS):
        whole = house.redis.dump(house.key(key))
        for damage, unseen in damages(house, key):
            damage()
            before = house.dump()
            if key == "meta" and not house.redis.exists(house.key("meta")):
                house.redis.restore(house.key(key), 0, whole, replace=True)
                continue
            if not (name == "claim_seats" and unseen):
                assert prepared.run(name)[0] == "damaged", (name, key)
                assert house.dump() == before, (name, key)
            house.redis.restore(house.key(key), 0, whole, replace=True)


@pytest.mark.parametrize("whole_key", [True, False], ids=["key", "field"])
def test_a_lost_check_out_is_damage_to_whoever_reads_its_booking(house: House, whole_key):
    """The key `checkouts` is there only while somebody is checked out, so that each booking tells its loss itself."""
    prepared = Prepared(house)
    booking = prepared.booking
    if whole_key:
        house.redis.delete(house.key("checkouts"))
    else:
        house.redis.hdel(house.key("checkouts"), booking.owner)
    of_booking = {
        "read_hold": (*booking.name, BOB),
        "check_out": (*booking.name, BOB, "{}"),
        "open_payment": (*booking.name, BOB),
        "close_payment": booking.name,
        "change_hold": (*booking.name, BOB, 0, 3),
        "move_hold": (*booking.name, BOB, EVE, booking.checkout, "{}"),
        "release_hold": (*booking.name, BOB, "cancelled", "customer"),
        "sell_seats": (*booking.name, BOB, BOOKING, "fake", "sess_1", 3, 4),
        "claim_seats": (EVE, 3, 4),
        "block_seats": ("block", 1, 3),
        "expire_holds": (10,),
    }
    house.lapse(booking)
    for name, arguments in of_booking.items():
        if name != "expire_holds":
            house.set_deadline(booking, house.now_ms() + 60_000)
            before = house.dump()
            assert prepared.call(name, *arguments)[0] == "damaged", name
            assert house.dump() == before, name
        house.lapse(booking)
        before = house.dump()
        assert prepared.call(name, *arguments)[0] == "damaged", name
        assert house.dump() == before, name
    assert prepared.run("claim_seats")[0] == "claimed"


@pytest.mark.parametrize("key", MAP_KEYS)
def test_a_lost_map_never_reads_as_all_free(house: House, key):
    """With a key lost, cut short or begun anew, no taken seat can be claimed."""
    Prepared(house)
    house.write("block_seats", "block", 0, 6)
    for damage, _ in damages(house, key):
        whole = house.redis.dump(house.key(key))
        damage()
        before = house.dump()
        for seat in (1, 3, 5, 6):
            answer = house.write("claim_seats", b"e" * 16, seat)[0]
            assert answer in {"damaged", "seats_taken", "not_loaded" if key == "meta" else ""}
        assert house.dump() == before
        house.redis.restore(house.key(key), 0, whole, replace=True)


def test_what_an_older_release_has_left_is_damage(house: House):
    """Its meta spells the number of seats otherwise, whatever else of a showtime stands beside it.

    No script of now uses it, so that it is loaded anew; nor does one of then use what is loaded now.
    """
    prepared = Prepared(house)
    for key in ("sold", "locked", "blocked"):
        house.redis.setbit(house.key("seats")[: -len("seats")] + key, house.seats, 1)
    house.redis.hset(house.key("meta"), "seats", house.seats)
    house.redis.hdel(house.key("meta"), "seats_count")
    before = house.dump()
    for name in (*SUCCESS, *READERS, "adopt_showtime"):
        assert prepared.run(name)[0] == "damaged", name
    assert house.dump() == before
    assert house.open({5: 9}, force=1, customers={EVE: b"\0\1"})[0] == "opened"
    house.check_consistent()


@pytest.mark.parametrize("bitmap", MAPS)
def test_a_map_without_its_sentinel_is_damaged(house: House, bitmap):
    """A map that was lost and begun anew may have its whole length; its last bit tells that it is another one."""
    prepared = Prepared(house)
    house.set_bit(bitmap, house.seats, 0)
    before = house.dump()
    for name in (*SUCCESS, *READERS):
        seen = "seats" in KEYS_OF[name] and (name != "claim_seats" or bitmap == "locked")
        if seen:
            assert prepared.run(name)[0] == "damaged", name
    assert house.dump() == before


@pytest.mark.parametrize("name", ["release_hold", "sell_seats", "expire_holds", "claim_seats", "restock_seats"])
def test_a_stream_of_another_type_is_met_before_the_first_write(house: House, name):
    """A fact that cannot be appended stops the change that needs it."""
    prepared = Prepared(house)
    house.lapse(prepared.booking)
    house.redis.delete(house.partition("facts"))
    house.redis.set(house.partition("facts"), "x")
    arguments = {
        "claim_seats": (b"e" * 16, 3),
        "release_hold": (*prepared.booking.name, b"", "expired", "payment_timeout"),
    }.get(name, prepared.arguments(name))
    before = house.dump()
    assert house.write(name, *arguments)[0] == "damaged"
    assert house.dump() == before


@pytest.mark.parametrize("field", ["generation", "seats_count", "version", "fence", "next_lapse_ms", "policy"])
def test_a_field_missing_in_meta_is_told(house: House, field):
    """Half a meta is no meta that anything may be built on."""
    prepared = Prepared(house)
    house.redis.hdel(house.key("meta"), field)
    expected = "stale_generation" if field == "generation" else "damaged"
    assert {prepared.run(name)[0] for name in ("claim_seats", "sell_seats", "read_seats")} == {expected}


@pytest.mark.parametrize("name", ["claim_seats", "change_hold", "release_hold", "sell_seats", "expire_holds"])
def test_records_that_contradict_each_other_stop_the_script(house: House, name):
    """A hold without its seats' cells is not ended, sold or changed on a guess."""
    prepared = Prepared(house)
    house.lapse(prepared.held)
    arguments = prepared.arguments(name)
    if name == "claim_seats":
        arguments = (b"e" * 16, 1)
    if name == "sell_seats":
        arguments = (*prepared.held.name, prepared.held.subject, "b", "fake", "s", 1, 2)
    if name == "change_hold":
        house.set_deadline(prepared.held, house.now_ms() + 60_000)
    house.set_cells(2, b"\0\0\0\x09")
    before = house.dump()
    assert house.write(name, *arguments)[0] == "damaged"
    assert house.dump() == before


def test_a_broken_script_names_its_file_and_line(house: House):
    """The error of a rendered script is read back to the file and line it came from."""
    script = house.scripts["claim_seats"]
    with pytest.raises(RedisError) as failure:
        house.write("claim_seats", b"e" * 16, "nonsense")
    line = next(
        number
        for number, text in enumerate((LUA_DIR / "include" / "seat_map.lua").read_text().splitlines(), 1)
        if "error('seats must be" in text
    )
    assert f"seat_map.lua:{line}" in script.locate(str(failure.value))


@pytest.mark.parametrize("bitmap", MAPS)
@pytest.mark.parametrize("bit", [0, 1])
def test_bitmaps_that_contradict_the_owners_free_nothing(house: House, bitmap, bit):
    """A seat whose bit and cell differ is nobody's to take: a claim or late sale of it answers `damaged`."""
    Prepared(house)
    house.write("block_seats", "block", 0, 6)
    seat = {"sold": 5, "locked": 3, "blocked": 6}[bitmap]
    late = house.check_out(house.claim(EVE, 8))
    house.lapse(late)
    if bit:
        seat = {"sold": 3, "locked": 5, "blocked": 5}[bitmap]
    house.set_bit(bitmap, seat, bit)
    before = house.dump()
    assert house.write("claim_seats", b"n" * 16, seat)[0] == "damaged"
    assert house.sell(late, seats=[seat, 8])[0] == "damaged"
    assert house.dump() == before


@pytest.mark.parametrize("name", ["claim_seats", "check_out", "extend_hold", "close_payment", "expire_holds"])
def test_a_hint_of_another_type_is_met_before_the_first_write(house: House, name):
    """The timer's hint is the partition's; if it cannot be written the change is not begun."""
    prepared = Prepared(house)
    house.redis.hset(house.key("meta"), "next_lapse_ms", 0)
    house.redis.delete(house.partition("lapses"))
    house.redis.set(house.partition("lapses"), "x")
    before = house.dump()
    assert prepared.run(name)[0] == "damaged"
    assert house.dump() == before


@pytest.mark.parametrize("owner", [0, 2**32 - 1])
def test_a_number_of_nobody_is_no_hold_and_no_damage(house: House, owner):
    """0 is the sentinel of `deadlines`: whoever makes up an id with it must not have the showtime loaded anew."""
    prepared = Prepared(house)
    before = house.dump()
    name = (owner, prepared.booking.claimed_at_ms)
    answers = {
        "read_hold": prepared.call("read_hold", *name, BOB)[0],
        "release_hold": prepared.call("release_hold", *name, BOB, "cancelled", "customer")[0],
        "extend_hold": prepared.call("extend_hold", *name, BOB)[0],
        "open_payment": prepared.call("open_payment", *name, BOB)[0],
    }
    assert set(answers.values()) <= {"not_found", "hold_expired", "gone"}, answers
    assert house.dump() == before

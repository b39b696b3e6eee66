"""Loading a showtime: steps, races, adoption, TTLs, size."""

import pytest

from tests.lua.house import ANN, BOB, FENCE, GENERATION, MAP_KEYS, House


def begin(house: House, nonce: str, ttl_ms: int = 15_000, force: int = 0):
    """Begin a load; give the word."""
    return house.write("open_showtime", "begin", nonce, ttl_ms, force)[0]


def finish(house: House, nonce: str, sold=None, **changes):
    """Finish a load; give the word."""
    return house.write("open_showtime", *house.finish(nonce, sold or {}, **changes))[0]


def test_a_load_brings_everything_at_its_last_step(closed_house: House):
    """Before the last step nothing is seen; after it sold, blocked, owners and customers are there."""
    house = closed_house
    assert begin(house, "n") == "loading"
    assert house.write("open_showtime", "part", "n", ANN, b"\0\2", BOB, b"\0\1")[0] == "installed"
    assert house.call("read_seats", "", "")[0] == "not_loaded"
    assert finish(house, "n", {1: 7, 2: 7, 3: 8}, blocked=(5, 39), seq=12, loads=1) == "opened"
    seen = house.read()
    assert (seen["status"], seen["seats"], seen["generation"]) == (b"open", 40, 3)
    assert 0 <= seen["now_ms"] - seen["version"] < 10_000
    assert (house.bits("sold"), house.bits("blocked"), house.bits("locked")) == ({1, 2, 3}, {5, 39}, set())
    assert (house.meta("seq"), house.meta("fence")) == ("12", str(FENCE))
    assert house.redis.exists(house.key("loading")) == 0
    house.check_consistent()


def test_the_loader_may_set_the_sentinel_itself(closed_house: House):
    """Bitmaps of the size with the sentinel bit are as good as those without."""
    begin(closed_house, "n")
    closed_house.write("open_showtime", "part", "n", ANN, b"\0\2")
    arguments = closed_house.finish("n", {0: 5, 39: 6})
    with_sentinel = [bytes([*part, 0x80]) if len(part) == 5 else part for part in arguments[-3:-1]]
    assert closed_house.write("open_showtime", *arguments[:-3], *with_sentinel, arguments[-1])[0] == "opened"
    assert closed_house.bits("sold") == {0, 39}
    closed_house.check_consistent()


def test_a_loaded_showtime_is_loaded_again_only_by_force(house: House):
    """A second loader finds the work done; a rebuild says that it means it, and the version grows."""
    version = house.claim(ANN, 1).version
    assert begin(house, "n") == "loaded"
    opened = house.open({3: 9}, force=1, customers={BOB: b"\0\1"})
    assert opened[0] == "opened"
    assert opened[2] > version
    assert (house.bits("sold"), house.bits("locked")) == ({3}, set())
    house.check_consistent()


def test_versions_grow_over_a_load_though_the_clock_was_set_back(house: House):
    """A rebuild never shows a version that was already passed (I11)."""
    ahead = house.now_ms() + 10**9
    house.redis.hset(house.key("meta"), "version", ahead)
    assert house.open(force=1)[2] > ahead


def test_two_loaders_do_not_meet(closed_house: House):
    """While one loads the other is told to wait; when the first's time is over it can neither go on nor finish."""
    house = closed_house
    assert begin(house, "first") == "loading"
    word, _, left_ms = house.write("open_showtime", "begin", "second", 15_000, 0)
    assert word == "loading_elsewhere"
    assert 0 < left_ms <= 15_000
    assert begin(house, "first") == "loading"
    house.redis.delete(house.key("loading"))  # as time would
    assert begin(house, "second") == "loading"
    assert house.write("open_showtime", "part", "first", ANN, b"\0\1")[0] == "load_lost"
    assert finish(house, "first") == "load_lost"
    assert finish(house, "second") == "opened"
    assert finish(house, "second") == "load_lost"


def test_a_loader_that_is_gone_leaves_no_trace(closed_house: House):
    """The nonce and what was brought expire together."""
    begin(closed_house, "n", ttl_ms=60_000)
    closed_house.write("open_showtime", "part", "n", ANN, b"\0\1")
    assert 0 < closed_house.redis.pttl(closed_house.key("loading")) <= 60_000
    assert closed_house.redis.keys() == [closed_house.key("loading").encode()]


@pytest.mark.parametrize("act", [("close_showtime",), ("freeze_showtime", "frozen"), ("freeze_showtime", "open")])
def test_closing_or_freezing_during_a_load_loses_the_load(closed_house: House, act):
    """A load that read the ledger before the act must not bring the state of before back."""
    begin(closed_house, "n")
    assert closed_house.write(*act)[2] == 0
    assert finish(closed_house, "n") == "load_lost"
    assert closed_house.redis.keys() == []


def test_a_fact_during_a_load_loses_the_load(house: House):
    """Schedule: a cancelled showtime is rebuilt; a seat of it is restocked after the loader has read the ledger."""
    sale = house.sell(house.check_out(house.claim(ANN, 1, 2)))[2]
    house.write("close_showtime")
    assert begin(house, "n", force=1) == "loading"
    assert house.restock(sale, 1)[0] == "restocked"
    assert finish(house, "n", {1: sale, 2: sale}, status="cancelled", seq=1) == "load_lost"
    assert house.bits("sold") == {2}
    assert begin(house, "n", force=1) == "loading"
    assert finish(house, "n", {2: sale}, status="cancelled", seq=2) == "opened"
    assert (house.bits("sold"), house.meta("seq")) == ({2}, "2")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda parts: [*parts[:-1], parts[-1][:-4]], "4 bytes per seat"),
        (lambda parts: [*parts[:-1], b"\x00\x00\x00\x01" + parts[-1][4:]], "owners and the sold bitmap differ"),
        (lambda parts: [*parts[:-3], b"\xc0" + parts[-3][1:], *parts[-2:]], "differ"),
        (lambda parts: [*parts[:-2], b"@" + parts[-2][1:], parts[-1]], "sold and blocked"),
        (lambda parts: [*parts[:-2], b"", parts[-1]], "size of the showtime"),
        (lambda parts: [*parts[:6], 5, *parts[7:]], "another number of seats"),
    ],
)
def test_a_load_that_contradicts_itself_raises(closed_house: House, change, match):
    """Maps that do not fit each other or the ledger's count are not installed."""
    begin(closed_house, "n")
    arguments = closed_house.finish("n", {1: 7})
    with pytest.raises(Exception, match=match):
        closed_house.write("open_showtime", *change(arguments))
    assert closed_house.call("read_seats", "", "")[0] == "not_loaded"


def test_nothing_is_loaded_after_the_keys_end(closed_house: House):
    """Past the end of its keys a showtime is over for good."""
    begin(closed_house, "n")
    word = closed_house.write("open_showtime", *closed_house.finish("n", {}, keys_until_ms=-1_000))
    assert word[::2] == ["showtime_closed", b"ENDED"]


@pytest.mark.covers("002.8")
def test_every_key_of_a_showtime_ends_by_itself(closed_house: House):
    """All keys live until 24 h after the show, whatever was emptied and filled since."""
    house = closed_house
    house.open(keys_until_ms=500_000)
    for _ in range(2):
        hold = house.check_out(house.claim(ANN, 1, 2))
        sale = house.sell(hold, session="s")[2]
        house.restock(sale, 1, 2)
        house.release(house.claim(BOB, 3))
        house.write("block_seats", "block", 0, 7)
        house.write("block_seats", "unblock", 0, 7)
    house.claim(ANN, 5, request="r1 print")
    house.check_out(house.claim(BOB, 9))
    partition = {house.partition("facts").encode(), house.partition("lapses").encode()}
    keys = set(house.redis.keys()) - partition
    assert {house.key(name).encode() for name in MAP_KEYS} < keys
    for key in keys:
        left_ms = house.redis.pttl(key)
        assert (490_000 < left_ms <= 500_000) or (b":request:" in key and left_ms > 0), key


def test_a_damaged_showtime_is_healed_by_a_forced_load(house: House):
    """Whatever became of its keys, a load makes the showtime whole."""
    for name in MAP_KEYS:
        house.redis.delete(house.key(name))
        house.redis.rpush(house.key(name), "x")
    assert house.write("claim_seats", ANN, 1)[0] == "damaged"
    house.redis.rpush(house.key("loading"), "x")
    assert house.open({1: 5}, force=1, customers={ANN: b"\0\1"})[0] == "opened"
    house.check_consistent()


def test_a_showtime_is_adopted_only_as_it_was_proved(house: House):
    """Into a new generation go the very data that were proved: same old stamp, same seq; holds stay."""
    hold = house.check_out(house.claim(ANN, 1))
    house.sell(house.check_out(house.claim(BOB, 2)))
    new = GENERATION + 1
    fence = 2 << 24
    for old in ((GENERATION, 0), (GENERATION - 1, 1)):
        answer = house.write("adopt_showtime", *old, fence, generation=new)
        assert (answer[0], answer[2:]) == ("stale_generation", [b"3", b"1"])
        assert house.meta("generation") == str(GENERATION)
    assert house.write("adopt_showtime", GENERATION, 1, fence, generation=new)[0] == "adopted"
    assert (house.meta("generation"), house.meta("seq"), house.meta("fence")) == (str(new), "0", str(fence))
    assert house.call("read_hold", *hold.name, ANN, generation=new)[0] == "hold"
    assert house.write("adopt_showtime", GENERATION, 1, fence, generation=new)[0] == "stale_generation"
    house.redis.delete(house.key("seats"))
    assert house.write("adopt_showtime", new, 0, fence, generation=new + 1)[0] == "damaged"


def test_a_showtime_that_is_gone_cannot_be_adopted(closed_house: House):
    """Without meta there is nothing to adopt."""
    assert closed_house.write("adopt_showtime", 1, 0, 0)[0] == "not_loaded"


def test_a_stadium_of_20000_seats_is_loaded_and_sold(client, redis_server):
    """A big hall loads in one last step, and its last seats behave like any."""
    house = House(client, redis_server.version, seats=20_000)
    sold = {seat: 1 + seat // 2 for seat in range(10_000)}
    house.open(sold, blocked=range(15_000, 15_100))
    assert len(house.bits("sold")) == 10_000
    assert house.write("claim_seats", ANN, 9_999)[0] == "seats_taken"
    assert house.write("claim_seats", ANN, 15_050)[0] == "seats_taken"
    hold = house.check_out(house.claim(ANN, 19_998, 19_999))
    assert house.sell(hold)[0] == "sold"
    seats = list(range(17_000, 18_999, 2))
    assert house.write("block_seats", "block", 0, *seats)[3:] == seats
    assert house.write("block_seats", "block", 0, *seats)[0] == "seats_taken"
    assert len(house.bits("blocked")) == 1_100

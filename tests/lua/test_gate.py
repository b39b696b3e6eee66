"""When a showtime takes which work: not yet, no more, frozen, cancelled."""

import pytest

from tests.lua.calls import Prepared
from tests.lua.house import ANN, House

NEW_WORK = ("claim_seats", "change_hold", "extend_hold", "check_out")
RUNNING_CHECKOUT = ("open_payment", "sell_seats")
ALWAYS = ("release_hold", "close_payment", "restock_seats", "expire_holds", "block_seats")


def change_policy(house: House, **changes: int) -> None:
    """Move the showtime's times."""
    assert house.write("change_policy", *house.policy(**changes))[0] == "policy_changed"


@pytest.mark.parametrize("name", NEW_WORK)
def test_nothing_new_before_sales_open(house: House, name):
    """Before sales open the refusal tells when they do."""
    prepared = Prepared(house)
    change_policy(house, sales_open_ms=60_000)
    word, now_ms, opens_ms = prepared.run(name)
    assert word == "not_on_sale"
    assert 59_000 < opens_ms - now_ms <= 60_000


@pytest.mark.parametrize("name", NEW_WORK)
@pytest.mark.covers("004.9")
def test_nothing_new_after_sales_stop(house: House, name):
    """After the start of the show nothing new begins."""
    prepared = Prepared(house)
    change_policy(house, sales_stop_ms=-1_000)
    assert prepared.run(name)[::2] == ["showtime_closed", b"ENDED"]


@pytest.mark.parametrize("name", NEW_WORK)
def test_nothing_new_while_frozen(house: House, name):
    """An operator's freeze stops claims, and the opening lets them go on."""
    prepared = Prepared(house)
    house.write("freeze_showtime", "frozen")
    assert prepared.run(name)[::2] == ["showtime_closed", b"FROZEN"]
    house.write("freeze_showtime", "open")
    assert prepared.run(name)[0] != "showtime_closed"


@pytest.mark.parametrize("name", RUNNING_CHECKOUT)
def test_a_running_checkout_finishes_after_sales_stop_and_while_frozen(house: House, name):
    """A checkout begun in time may open its payment and be sold."""
    prepared = Prepared(house)
    change_policy(house, sales_stop_ms=-1_000)
    house.write("freeze_showtime", "frozen")
    assert prepared.run(name)[0] in {"payment_opened", "sold"}


@pytest.mark.parametrize("name", [*NEW_WORK, *RUNNING_CHECKOUT])
@pytest.mark.covers("000.18")
def test_a_cancelled_showtime_never_sells_again(house: House, name):
    """After a cancellation nothing is claimed, paid or sold, and no state but cancelled can be set (I12)."""
    prepared = Prepared(house)
    assert house.write("close_showtime")[0] == "closed"
    assert prepared.run(name)[::2] == ["showtime_closed", b"CANCELLED"]
    assert house.write("freeze_showtime", "open")[::2] == ["showtime_closed", b"CANCELLED"]
    assert prepared.run(name)[::2] == ["showtime_closed", b"CANCELLED"]


@pytest.mark.parametrize("name", [*NEW_WORK, *RUNNING_CHECKOUT])
def test_an_ended_showtime_never_sells_again(house: House, name):
    """After the end a checkout that is still running cannot finish either (I12)."""
    prepared = Prepared(house)
    change_policy(house, sales_stop_ms=-1_000, ends_ms=-1_000)
    assert prepared.run(name)[::2] == ["showtime_closed", b"ENDED"]


@pytest.mark.parametrize("name", ALWAYS)
def test_seats_can_be_given_back_at_any_time(house: House, name):
    """Releases, restocks, lapses and blocks go on when the showtime is cancelled and over."""
    prepared = Prepared(house)
    change_policy(house, sales_stop_ms=-1_000, ends_ms=-1_000)
    house.write("close_showtime")
    expected = {"release_hold": "released", "close_payment": "payment_closed", "restock_seats": "restocked"}
    assert prepared.run(name)[0] == expected.get(name, {"expire_holds": "expired", "block_seats": "blocked"}.get(name))
    house.check_consistent()


def test_a_freeze_moves_the_version(house: House):
    """Viewers learn of a freeze and of its end; setting the same state again is no change."""
    version = house.read()["version"]
    assert house.write("freeze_showtime", "frozen")[2] == version + 1
    assert house.write("freeze_showtime", "frozen")[2] == version + 1
    assert house.read()["status"] == b"frozen"
    assert house.write("freeze_showtime", "open")[2] == version + 2
    assert house.write("close_showtime")[2] == version + 3 == house.write("close_showtime")[2]


@pytest.mark.parametrize("state", ["frozen", "open"])
def test_an_operators_freeze_lets_no_writer_into_a_rebuild(house: House, state):
    """Schedule: a rebuild has stopped the writers and drained; an operator freezes; a sale slips in before the load.

    That sale would be in the ledger and not on the map that the load installs. Only a load ends rebuilding.
    """
    hold = house.check_out(house.claim(ANN, 1))
    assert house.write("freeze_showtime", "rebuilding")[0] == "frozen"
    version = house.read()["version"]
    assert house.write("open_showtime", "begin", "n", 15_000, 1)[0] == "loading"
    assert house.write("freeze_showtime", state)[::2] == ["frozen", version]
    assert house.sell(hold)[0] == "rebuilding"
    assert house.write("open_showtime", *house.finish("n", {}))[0] == "load_lost"
    assert house.open(force=1, status=state)[0] == "opened"
    assert house.read()["status"] == state.encode()


def test_damage_that_a_load_has_mended_stops_nobody(house: House):
    """Schedule: two callers meet damage; one has loaded and holds were made when the other comes to stop writers."""
    damaged_ms = house.now_ms()
    assert house.open(force=1)[0] == "opened"
    hold = house.claim(ANN, 1)
    before = house.dump()
    assert house.write("freeze_showtime", "rebuilding", damaged_ms)[0] == "loaded_since"
    assert house.dump() == before
    loaded_ms = int(house.meta("loaded_ms"))
    assert house.write("freeze_showtime", "rebuilding", loaded_ms + 1)[0] == "frozen", "met in what was loaded"
    assert house.sell(hold)[0] == "rebuilding"


def test_damage_is_mended_after_the_clock_was_set_back(house: House):
    """Schedule: loaded; the clock is set back; damage is met, at an earlier time than the load's."""
    house.redis.hset(house.key("meta"), "loaded_ms", house.now_ms() + 60_000)
    assert house.write("freeze_showtime", "rebuilding", house.now_ms())[0] == "frozen"


def test_an_unknown_state_raises(house: House):
    """Only three states can be set by a freeze."""
    before = house.dump()
    with pytest.raises(Exception, match="a state is open, frozen or rebuilding"):
        house.write("freeze_showtime", "cancelled")
    assert house.dump() == before


def test_a_changed_policy_rules_at_once(house: House):
    """New numbers hold for the next claim, given deadlines stay, and all keys get the new end."""
    hold = house.claim(ANN, 1)
    word, now_ms, _ = house.write(
        "change_policy", *house.policy(hold_ttl_ms=5_000, seats_per_hold_max=1, keys_until_ms=1_000_000)
    )
    assert word == "policy_changed"
    assert house.redis.zscore(house.key("deadlines"), str(hold.owner)) == hold.deadline_ms
    assert house.write("claim_seats", ANN, 2, 3)[0] == "too_many_seats"
    later = house.claim(ANN, 2)
    assert later.deadline_ms == later.now_ms + 5_000
    assert 990_000 < house.redis.pttl(house.key("seats")) <= 1_000_000
    with pytest.raises(Exception, match="a policy is 11 numbers"):
        house.write("change_policy", 1, 2, 3)
    assert now_ms > 0

"""Replays: the same request gives the same answer and has no second effect (I7)."""

import pytest

from tests.lua.calls import SUCCESS, Prepared
from tests.lua.house import ANN, BOB, House

REPLAYED = (*SUCCESS, "close_showtime", "freeze_showtime")


@pytest.mark.parametrize("name", REPLAYED)
def test_a_replay_gives_the_first_answer_and_changes_nothing(house: House, name):
    """The second call of the same request brings the first answer back, marked, and writes nothing."""
    prepared = Prepared(house)
    arguments = prepared.arguments(name)
    first = house.write(name, *arguments, request="r1 print")
    before = house.dump()
    word, now_ms, original, *rest = house.write(name, *arguments, request="r1 print")
    assert (word, [original.decode(), *rest]) == ("replayed", first)
    assert now_ms >= first[1]
    assert house.dump() == before


@pytest.mark.parametrize("name", REPLAYED)
def test_another_body_under_the_same_id_is_refused(house: House, name):
    """A request id that comes with another fingerprint is a mistake of the client's and changes nothing."""
    prepared = Prepared(house)
    arguments = prepared.arguments(name)
    house.write(name, *arguments, request="r1 print")
    before = house.dump()
    assert house.write(name, *arguments, request="r1 other")[0] == "idempotency_key_reused"
    assert house.dump() == before


def test_a_replay_may_come_with_another_trace(house: House):
    """The trace context behind the fingerprint does not make it another request."""
    house.claim(ANN, 1, request="r1 print trace-1")
    assert house.write("claim_seats", ANN, 1, request="r1 print trace-2")[0] == "replayed"


def test_only_successes_are_remembered(house: House):
    """A refused request may be asked again with the same id, and then succeed."""
    hold = house.claim(BOB, 1)
    assert house.write("claim_seats", ANN, 1, request="r1 print")[0] == "seats_taken"
    house.release(hold)
    assert house.claim(ANN, 1, request="r1 print").word == "claimed"


def test_a_replay_is_given_though_the_showtime_has_closed_since(house: House):
    """The first success stays what was answered, whatever happened after it."""
    house.claim(ANN, 1, request="r1 print")
    house.write("close_showtime")
    assert house.write("claim_seats", ANN, 1, request="r1 print")[0] == "replayed"


def test_a_success_is_kept_until_ten_minutes_after_the_deadline(house: House):
    """The memory of a claim outlives its hold by ten minutes, and then goes by itself."""
    hold = house.claim(ANN, 1, request="r1 print")
    (key,) = house.redis.keys("*:request:r1")
    left_ms = house.redis.pttl(key)
    assert 0 <= hold.deadline_ms + 600_000 - house.now_ms() - left_ms + 50 < 1_000


def test_without_a_request_nothing_is_remembered(house: House):
    """No key is written for calls that are not to be remembered."""
    Prepared(house)
    assert house.redis.keys("*:request:*") == []


def test_one_request_id_of_two_showtimes_is_two_requests(house: House, client, redis_server):
    """Request ids belong to their showtime."""
    other = House(client, redis_server.version, showtime=43)
    other.open()
    assert house.claim(ANN, 1, request="r1 print").word == "claimed"
    assert other.claim(ANN, 1, request="r1 print").word == "claimed"

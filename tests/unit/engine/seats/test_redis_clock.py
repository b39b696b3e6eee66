"""The estimate of Redis' time, under any delays of the network."""

from hypothesis import given
from hypothesis import strategies as st

from engine.seats.redis_clock import RedisClock

START_MS = 1_790_000_000_000.0
STEPS = st.lists(
    st.tuples(
        st.floats(0, 3, allow_nan=False),  # time between two answers, s
        st.floats(0, 0.5, allow_nan=False),  # the answer's way back, s
    ),
    min_size=1,
    max_size=30,
)


@given(STEPS, st.floats(0, 5, allow_nan=False))
def test_it_is_never_ahead_and_behind_by_the_way_back_at_most(steps, later_s):
    """Whatever the delays, the estimate lies between Redis' time and that less the longest way back."""
    clock = RedisClock()
    sent_s = 0.0
    received_s = 0.0
    for pause_s, way_s in steps:
        sent_s = max(sent_s + pause_s, received_s)
        received_s = sent_s + way_s
        clock.sample(START_MS + sent_s * 1_000, received_s)
    now_s = received_s + later_s
    truth_ms = START_MS + now_s * 1_000
    longest_ms = max(way_s for _, way_s in steps) * 1_000
    assert truth_ms - longest_ms - 2 <= clock.now_ms(now_s) <= truth_ms + 1


def test_a_slow_answer_does_not_spoil_a_quick_one():
    """The sample with the shortest way counts for a second."""
    clock = RedisClock()
    clock.sample(START_MS, 10.0)
    clock.sample(START_MS + 100, 10.5)
    assert clock.now_ms(11.0) == START_MS + 1_000


def test_a_clock_set_back_in_redis_is_believed_after_a_second():
    """A quick sample does not hold for ever against newer ones."""
    clock = RedisClock()
    clock.sample(START_MS, 10.0)
    clock.sample(START_MS - 60_000, 10.5)
    assert clock.now_ms(10.5) == START_MS + 500
    clock.sample(START_MS - 59_000, 11.5)
    assert clock.now_ms(11.5) == START_MS - 59_000


def test_a_clock_set_forward_in_redis_is_believed_at_once():
    """Else all calls would come too late."""
    clock = RedisClock()
    clock.sample(START_MS, 10.0)
    clock.sample(START_MS + 60_000, 10.1)
    assert clock.now_ms(10.1) == START_MS + 60_000


def test_before_the_first_answer_it_is_the_beginning_of_time():
    """Whatever is measured by it is too late, and so refused."""
    clock = RedisClock()
    assert clock.now_ms(5.0) == 0
    clock.sample(START_MS, 5.0)
    clock.reset()
    assert clock.now_ms(6.0) == 0

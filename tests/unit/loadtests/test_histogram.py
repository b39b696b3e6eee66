"""Percentiles that can be believed."""

import random

import pytest

from loadtests.histogram import Histogram


def filled(times_s):
    """Give a histogram of these times."""
    histogram = Histogram()
    for took_s in times_s:
        histogram.add(took_s)
    return histogram


def test_percentiles_are_right_within_a_sixtieth():
    """Whatever the size of the times; never too low."""
    chance = random.Random(1)
    times_s = sorted(10 ** chance.uniform(-5, 2) for _ in range(5_000))
    histogram = filled(times_s)
    for percent in (1, 50, 90, 99, 99.9):
        exact = times_s[max(0, -(-int(percent * 50) // 1) - 1)]
        assert exact * 0.999 <= histogram.percentile_s(percent) <= exact * 1.03 + 2e-6


def test_the_longest_is_exact():
    """A bucket's end beyond the longest time would be a time that nobody waited."""
    histogram = filled([0.001, 1.23456])
    assert histogram.percentile_s(100) == histogram.max_s == 1.23456


def test_nothing_takes_no_time():
    """An empty one answers, too."""
    assert (Histogram().percentile_s(99), Histogram().curve()) == (0.0, [])


@pytest.mark.parametrize("us", [0, 1, 63, 64, 127, 128, 129, 255, 256, 1_000, 65_535, 65_536, 10**9])
def test_every_time_is_in_a_bucket_that_ends_behind_it(us):
    """Also at the borders, where buckets double."""
    ((end_ms, number),) = filled([us / 1e6 + 1e-9]).curve()
    assert number == 1
    assert us < end_ms * 1e3 <= us * (1 + 1 / 64) + 1

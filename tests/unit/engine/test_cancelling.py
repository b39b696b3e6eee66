"""Rounds of the duty that works cancellations off; what it does for one showtime is tested in tests/flow."""

import pytest

from engine.cancelling import Cancelling


class Due:
    """A ledger with two cancellations that are due."""

    async def due_cancellations(self, _limit):
        """Give them."""
        return {1: True, 2: True}


async def test_a_showtime_that_fails_keeps_no_other_waiting(monkeypatch):
    """Whatever is wrong with the first one: the second is worked at, and then the round says what was wrong."""
    worked = []

    async def work_off(_self, showtime, *, closed):
        assert closed
        worked.append(showtime)
        if showtime == 1:
            raise ValueError("a mistake")
        return False

    monkeypatch.setattr(Cancelling, "_work_off", work_off)
    with pytest.raises(ValueError, match="a mistake"):
        await Cancelling(Due(), None).work_off_cancellations()
    assert worked == [1, 2]

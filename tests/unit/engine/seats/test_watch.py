"""Watching a living connection."""

import asyncio

from engine.seats.watch import happens


class SetWhileCancelled(asyncio.Event):
    """An event that happens in the very turn in which its waiter's time is over."""

    async def wait(self) -> bool:
        """Wait; happen when given up."""
        try:
            return await super().wait()
        except asyncio.CancelledError:
            self.set()
            raise


async def test_a_loss_in_the_turn_in_which_the_tick_ends_is_seen() -> None:
    """Else the watch would ask a lost connection for the time, fail, and leave the lane without its keeper."""
    assert await happens(SetWhileCancelled(), 0.001)


async def test_a_tick_without_a_loss_ends_by_itself() -> None:
    """Nothing happened, and the watch looks at the connection."""
    assert not await happens(asyncio.Event(), 0.001)

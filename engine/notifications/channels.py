"""What every way of reaching somebody has in common: lines that are opened, and how sending can end.

`Declined`: the other side says no to this very letter, for good; only a person may try again. `Failed`: it did not go
this time, and may the next. `Away`: nobody was reached; it is not the letter's fault, however often it happens.
"""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from engine.notifications.records import ChannelName, Letter


class Declined(Exception):
    """The other side refuses the letter for good."""


class Failed(Exception):
    """The letter was not taken; whether it arrived may be unknown."""


class Away(Exception):
    """The other side cannot be reached, or does not let us in."""


class Line(Protocol):
    """An open line; letters go over it one after another."""

    async def send(self, letter: Letter) -> None:
        """Give a letter over; back when it was accepted.

        Raises:
            Declined: see above.
            Failed: see above; the line may be broken.
            Away: see above.
        """


class Channel(Protocol):
    """One way of reaching people."""

    name: ChannelName

    def line(self) -> AbstractAsyncContextManager[Line]:
        """Open a line for the length of a block.

        Raises:
            Away: on entering.
        """

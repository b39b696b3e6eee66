"""How others keep seats: the designs that the seat engine is measured against, each as good as we can make it.

A design is a class with

    await open(url, connections)         connect
    await prepare(showtimes, seats)      make that many showtimes, numbered from 1, of so many free seats
    await claim(showtime, seats, who)    True if all of the seats are this person's now, False if none is
    await release(showtime, seats, who)  give them back
    await close()

Seats are numbers from 0. Every hold ends by itself after `HOLD_S`. `loadtests.contest` drives any of them.
"""

from typing import Any

HOLD_S = 600


async def hand_on(_connection: Any) -> None:
    """Put a connection of an asyncpg pool back in order: none of these leaves anything behind in it, nor do we."""

"""One cinema, two halls, a movie and a showtime: enough to sell a seat, made through the operators' desk."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.layouts import Layout
from engine.catalogue.policies import PolicyOverrides
from engine.catalogue.records import DrawnLayout, NewAuditorium, NewCinema, NewMovie, NewShowtime

HALL = ("A RRRRRRRR", "B RRRRRRRR", "C PPPPPPPP", "D PPPPPPPP", "E wcVVVVcw")
"""40 seats: A1 to B8 REGULAR, C1 to D8 PREMIUM, E1 to E8 VIP but for the wheelchair places and their companions."""
OTHER_HALL = ("X RRRR", "Y RRRR")
PRICES = {"REGULAR": 5_000_000, "PREMIUM": 7_500_000, "VIP": 12_000_000}
SEATS = [f"{row}{number}" for row in "ABCDE" for number in range(1, 9)]


@dataclass
class SmallCatalogue:
    """What `small_catalogue` made: ids, and the layout of the first hall."""

    catalogue: Catalogue
    cinema: int
    auditorium: int
    other_auditorium: int
    movie: int
    showtime: int
    layout: Layout

    async def add_showtime(self, days: float = 1, auditorium: int | None = None, **fields) -> int:
        """Put a showtime on, so many days from now; `fields` as of `NewShowtime`. Gives its number."""
        hall = auditorium or self.auditorium
        tiers = {"REGULAR"} if hall == self.other_auditorium else set(PRICES)
        new = NewShowtime(
            auditorium_id=hall,
            movie_id=self.movie,
            starts_at=fields.pop("starts_at", datetime.now(UTC) + timedelta(days=days)),
            prices={tier: price for tier, price in PRICES.items() if tier in tiers},
            **fields,
        )
        (number,), _ = await self.catalogue.desk.create_showtimes("tests", [new], lambda _: None)
        return number


async def small_catalogue(pool, settings, **policy) -> SmallCatalogue:
    """Make the catalogue in an empty database.

    Args:
        pool: of the ledger.
        settings: of the test.
        policy: numbers of `PolicyOverrides` for the cinema, e.g. `hold_ttl_s=1`.
    """
    catalogue = Catalogue(pool, settings)
    desk = catalogue.desk
    cinema, _ = await desk.create_cinema(
        "tests", NewCinema(name="Test", city="Jakarta", timezone="Asia/Jakarta", policy=PolicyOverrides(**policy))
    )
    halls = []
    for name, lines in (("One", HALL), ("Two", OTHER_HALL)):
        plan = DrawnLayout(name=name, lines=lines)
        new = NewAuditorium(cinema_id=cinema, name=name, floor_plan=plan)
        halls.append((await desk.create_auditorium("tests", new, lambda _: None))[0])
    movie, _ = await desk.create_movie("tests", NewMovie(title="The Test", duration_minutes=100))
    made = SmallCatalogue(catalogue, cinema, halls[0], halls[1], movie, 0, None)
    made.showtime = await made.add_showtime()
    made.layout = await catalogue.layout((await catalogue.showtime(made.showtime)).layout_id)
    return made

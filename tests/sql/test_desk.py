"""The operators' desk on a real PostgreSQL: cinemas, halls, films, acts, freezing, and requests that are repeated."""

import pytest

from engine.catalogue.records import (
    AuditoriumChange,
    CinemaChange,
    DrawnLayout,
    MovieChange,
    NewAuditorium,
    NewCinema,
    NewMovie,
    ShowtimeChange,
)
from engine.errors import Refusal
from engine.seats.records import Request
from tests.sql.stage import HALL, anybody, build, count, noon, refusal_of


async def test_a_foreign_cinema_is_refused_before_anything_is_said(catalogue, stage, pool):
    """Who may not run the cinema changes nothing there."""

    def nobody(cinema):
        raise Refusal("forbidden")

    (number,) = await stage.add(stage.show())
    desk = catalogue.desk
    new = NewAuditorium(cinema_id=stage.cinema, name="Studio 2", floor_plan=HALL)
    rename = AuditoriumChange(name="X")
    change = ShowtimeChange(starts_at=noon(2))
    assert await refusal_of(desk.create_auditorium("eve", new, nobody)) == "forbidden"
    assert await refusal_of(desk.change_auditorium("eve", stage.auditorium, rename, nobody)) == "forbidden"
    assert await refusal_of(desk.create_showtimes("eve", [stage.show(noon(2))], nobody)) == "forbidden"
    assert await refusal_of(desk.change_showtime("eve", number, change, nobody)) == "forbidden"
    assert (await count(pool, "auditoriums"), await count(pool, "showtimes")) == (1, 1)


async def test_a_new_layout_leaves_old_showtimes_alone(catalogue, stage):
    """Showtimes keep the seats that they were made with; new ones get the new seats."""
    (old,) = await stage.add(stage.show(noon(1)))
    change = AuditoriumChange(floor_plan=DrawnLayout(name="Hall", lines=("A RR",)))
    await catalogue.desk.change_auditorium("boss", stage.auditorium, change, anybody)
    (new,) = await stage.add(stage.show(noon(2)))
    assert [(await catalogue.showtime(number)).seat_count for number in (old, new)] == [6, 2]


async def test_equal_layouts_are_stored_once(catalogue, stage, pool):
    """Two halls of the same drawing share a layout."""
    new = NewAuditorium(cinema_id=stage.cinema, name="Studio 2", floor_plan=HALL)
    await catalogue.desk.create_auditorium("boss", new, anybody)
    assert await count(pool, "layouts") == 1


@pytest.mark.parametrize(
    ("source", "pointer"),
    [
        ({}, ""),
        ({"layout_id": 1, "floor_plan": HALL}, ""),
        ({"layout_id": 999}, "/layout_id"),
        ({"floor_plan": HALL, "tiers": {"A": "VIP"}}, "/tiers"),
        ({"floor_plan": DrawnLayout(name="H", lines=("A X",))}, "/floor_plan/lines/0"),
        ({"seating_plan": {"name": "H"}}, "/seating_plan/categories"),
    ],
)
async def test_an_auditorium_has_one_source_of_seats(catalogue, stage, source, pointer):
    """None, two, or a wrong one is refused with a pointer into the request."""
    new = NewAuditorium(cinema_id=stage.cinema, name="Studio 2", **source)
    assert await refusal_of(catalogue.desk.create_auditorium("boss", new, anybody)) == pointer


async def test_names_are_taken_once(catalogue, stage):
    """A second cinema, hall or film of the same name is refused."""
    desk = catalogue.desk
    assert await refusal_of(desk.create_cinema("boss", NewCinema(name="MENTENG!", city="Jakarta"))) == "name_taken"
    same = NewAuditorium(cinema_id=stage.cinema, name="Studio 1", floor_plan=HALL)
    assert await refusal_of(desk.create_auditorium("boss", same, anybody)) == "name_taken"
    film = NewMovie(title="Laut Menteng", duration_minutes=1)
    assert await refusal_of(desk.create_movie("boss", film)) == "name_taken"


@pytest.mark.parametrize(
    ("new", "pointer"),
    [
        (NewCinema(name="Braga", city="Bandung"), "/timezone"),
        (NewCinema(name="Braga", city="Bandung", timezone="Asia/Bandung"), "/timezone"),
        (NewCinema(name="Braga", city="Bandung", timezone="Factory"), "/timezone"),
        (NewCinema(name="!!!", city="Jakarta"), "/name"),
        (NewCinema(name="Braga", city="?", timezone="Asia/Jakarta"), "/city"),
    ],
)
async def test_a_wrong_cinema_is_pointed_at(catalogue, stage, new, pointer):
    """A new city needs a time zone that exists, and names need a letter."""
    assert await refusal_of(catalogue.desk.create_cinema("boss", new)) == pointer


async def test_every_write_leaves_its_act(catalogue, stage, pool):
    """Who did what to what is written down with the change."""
    (number,) = await stage.add(stage.show())
    desk = catalogue.desk
    await desk.change_movie("boss", stage.movie, MovieChange(synopsis="x"))
    await desk.change_cinema("boss", stage.cinema, CinemaChange(address="y"))
    await desk.set_status("boss", number, "FROZEN", "leak in the roof")
    rows = await pool.fetch("SELECT actor, verb, subject, reason FROM acts ORDER BY id")
    assert [tuple(row)[:3] for row in rows] == [
        ("boss", "create_cinema", f"cinema:{stage.cinema}"),
        ("boss", "create_auditorium", f"auditorium:{stage.auditorium}"),
        ("boss", "create_movie", f"movie:{stage.movie}"),
        ("boss", "create_showtimes", f"showtime:{number}"),
        ("boss", "change_movie", f"movie:{stage.movie}"),
        ("boss", "change_cinema", f"cinema:{stage.cinema}"),
        ("boss", "freeze_showtime", f"showtime:{number}"),
    ]
    assert rows[-1]["reason"] == "leak in the roof"


async def test_a_chain_is_frozen_and_opened_again(catalogue, stage, pool):
    """All showtimes to come of one cinema, again on a repeat; one that waits to be built again stays frozen."""
    other = await build(catalogue, name="Braga", city="Bandung")
    one, two = await stage.add(stage.show(noon(1)), stage.show(noon(2)))
    (third,) = await other.add(other.show(noon(1)))
    desk = catalogue.desk
    assert (await desk.freeze_showtimes("boss", stage.cinema, "flood"))[0] == [one, two]
    assert (await desk.freeze_showtimes("boss", stage.cinema, "flood"))[0] == [one, two]
    assert (await catalogue.read_showtime(third)).status == "OPEN"
    assert (await desk.freeze_showtimes("boss", None, "flood"))[0] == [one, two, third]
    await pool.execute("INSERT INTO rebuilds (showtime_id, reason, automatic) VALUES ($1, 'x', true)", two)
    assert (await desk.unfreeze_showtimes("boss", None, "dry"))[0] == [one, third]
    assert await refusal_of(desk.set_status("boss", two, "OPEN", "")) == "showtime_frozen"


async def test_a_repeat_makes_nothing_more(catalogue, stage, pool):
    """The same key gives the same showtimes; another body is refused."""
    request, other = Request("key", "print"), Request("key", "other")
    make = catalogue.desk.create_showtimes
    first, _ = await make("boss", [stage.show()], anybody, request)
    again, replayed = await make("boss", [stage.show()], anybody, request)
    assert first == again
    assert replayed
    assert await count(pool, "showtimes") == 1
    assert await refusal_of(make("boss", [stage.show(noon(3))], anybody, other)) == "idempotency_key_reused"


async def test_a_refused_request_leaves_its_key_free(catalogue, stage):
    """Only successes are kept: the corrected request may use the key again."""
    make, request = catalogue.desk.create_showtimes, Request("key", "print")
    assert await refusal_of(make("boss", [stage.show(movie_id=999)], anybody, request)) == "/items/0/movie_id"
    _, replayed = await make("boss", [stage.show()], anybody, Request("key", "better"))
    assert not replayed

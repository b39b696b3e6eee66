"""The operators' desk: every write to the catalogue, each with its act in the same transaction.

The desk changes PostgreSQL only. Who calls it tells Redis afterwards, so that a reload never forgets what was decided.
"""

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from typing import Any, Literal

import asyncpg
import msgspec

from engine.catalogue import scheduling
from engine.catalogue.floor_plans import draw_layout
from engine.catalogue.layouts import Layout, make_layout
from engine.catalogue.policies import check_policy
from engine.catalogue.records import (
    AuditoriumChange,
    CinemaChange,
    LayoutSource,
    MovieChange,
    NewAuditorium,
    NewCinema,
    NewMovie,
    NewShowtime,
    ShowtimeChange,
)
from engine.catalogue.scheduling import Permit
from engine.catalogue.seating_plans import read_seating_plan
from engine.errors import InvalidInput, Refusal, Unavailable
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.ledger.requests import Once, once
from engine.seats.records import Request
from engine.settings import Settings

Decided = Literal["OPEN", "FROZEN"]
"""What operators decide about selling; a showtime is cancelled in another way."""


class Desk:
    """Operator writes. What makes something takes the request, and says whether it was made by an earlier one.

    Args:
        pool: of the ledger.
        settings: the defaults under every policy.
    """

    def __init__(self, pool: asyncpg.Pool, settings: Settings) -> None:
        self._pool = pool
        self._settings = settings

    async def create_cinema(self, actor: str, new: NewCinema, request: Request | None = None) -> tuple[int, bool]:
        """Make a cinema, and its city if it is new; gives the cinema's id.

        Raises:
            InvalidInput: unknown time zone, a new city without one, contradicting policy.
            Refusal: `name_taken`.
        """
        check_policy(self._settings, new.policy, at="/policy")
        async with once(self._pool, request) as run:
            if not run.replayed:
                run.answer = await self._insert_cinema(run.connection, actor, new)
            return run.answer, run.replayed

    async def _insert_cinema(self, connection: Any, actor: str, new: NewCinema) -> int:
        city, timezone = await self._find_city(connection, new)
        row = await connection.fetchval(
            query("insert_cinema"), city, slug_of(new.name), new.name, new.address, timezone, new.policy.to_json()
        )
        if row is None:
            raise Refusal("name_taken")
        await record_act(connection, actor, "create_cinema", f"cinema:{row}", details={"name": new.name})
        return int(row)

    async def _find_city(self, connection: Any, new: NewCinema) -> tuple[int, str]:
        slug = slug_of(new.city, "/city")
        city = await connection.fetchrow(query("read_city"), slug)
        timezone = new.timezone or (city["timezone"] if city else None)
        if timezone is None:
            raise InvalidInput("/timezone", "is needed for a city that is new here, e.g. Asia/Jakarta")
        if new.timezone and not await connection.fetchval(query("find_timezone"), timezone):
            raise InvalidInput(
                "/timezone", "must be a region's name of the time zone database, e.g. Asia/Jakarta, or UTC"
            )
        if city is None:
            await connection.fetchval(query("insert_city"), slug, new.city, timezone)
            city = await connection.fetchrow(query("read_city"), slug)
        return int(city["id"]), timezone

    async def change_cinema(self, actor: str, cinema: int, change: CinemaChange) -> list[int]:
        """Change a cinema; gives the showtimes to come whose policy changed with it.

        Raises:
            InvalidInput: contradicting policy.
            Refusal: `not_found`.
        """
        policy = None
        if change.policy is not None:
            check_policy(self._settings, change.policy, at="/policy")
            policy = change.policy.to_json()
        async with transaction(self._pool) as connection:
            if await connection.fetchval(query("update_cinema"), cinema, change.name, change.address, policy) is None:
                raise Refusal("not_found")
            await record_act(connection, actor, "change_cinema", f"cinema:{cinema}", details=_changes(change))
            if policy is None:
                return []
            return [row["id"] for row in await connection.fetch(query("list_showtimes_to_come"), cinema)]

    async def create_auditorium(
        self, actor: str, new: NewAuditorium, permit: Permit, request: Request | None = None
    ) -> tuple[int, bool]:
        """Make an auditorium; gives its id.

        Raises:
            InvalidInput: no such cinema or layout, not exactly one source of seats, or what is wrong in the layout.
            Refusal: `name_taken`, `forbidden`.
        """
        permit(new.cinema_id)
        layout = await asyncio.to_thread(_build_layout, new)
        async with once(self._pool, request) as run:
            if not run.replayed:
                run.answer = await self._insert_auditorium(run.connection, actor, new, layout)
            return run.answer, run.replayed

    async def _insert_auditorium(self, connection: Any, actor: str, new: NewAuditorium, layout: Layout | int) -> int:
        layout_id = await _store_or_find(connection, layout)
        try:
            row = await connection.fetchval(query("insert_auditorium"), new.cinema_id, new.name, layout_id)
        except asyncpg.ForeignKeyViolationError:
            raise InvalidInput("/cinema_id", f"there is no cinema {new.cinema_id}") from None
        if row is None:
            raise Refusal("name_taken")
        details = {"name": new.name, "layout": layout_id}
        await record_act(connection, actor, "create_auditorium", f"auditorium:{row}", details=details)
        return int(row)

    async def change_auditorium(self, actor: str, auditorium: int, change: AuditoriumChange, permit: Permit) -> None:
        """Rename an auditorium or give it other seats, for showtimes that are made from now on.

        Raises:
            InvalidInput: as in `create_auditorium`.
            Refusal: `not_found`, `name_taken`, `forbidden`.
        """
        source = any(getattr(change, field) is not None for field in LayoutSource.__struct_fields__)
        layout = await asyncio.to_thread(_build_layout, change) if source else None
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(query("lock_auditoriums"), [auditorium])
            if not rows:
                raise Refusal("not_found")
            permit(rows[0]["cinema_id"])
            layout_id = None if layout is None else await _store_or_find(connection, layout)
            try:
                await connection.fetchval(query("update_auditorium"), auditorium, change.name, layout_id)
            except asyncpg.UniqueViolationError:
                raise Refusal("name_taken") from None
            details = {"name": change.name, "layout": layout_id}
            await record_act(connection, actor, "change_auditorium", f"auditorium:{auditorium}", details=details)

    async def create_movie(self, actor: str, new: NewMovie, request: Request | None = None) -> tuple[int, bool]:
        """Make a movie; gives its id.

        Raises:
            Refusal: `name_taken`.
        """
        slug, genres = slug_of(new.title, "/title"), list(new.genres)
        values = (slug, new.title, new.synopsis, new.duration_minutes, new.rating, genres)
        async with once(self._pool, request) as run:
            if not run.replayed:
                run.answer = await run.connection.fetchval(query("insert_movie"), *values)
                if run.answer is None:
                    raise Refusal("name_taken")
                subject = f"movie:{run.answer}"
                await record_act(run.connection, actor, "create_movie", subject, details={"title": new.title})
            return run.answer, run.replayed

    async def change_movie(self, actor: str, movie: int, change: MovieChange) -> None:
        """Change what is said of a movie; showtimes that exist keep their times.

        Raises:
            Refusal: `not_found`.
        """
        genres = None if change.genres is None else list(change.genres)
        async with transaction(self._pool) as connection:
            row = await connection.fetchval(
                query("update_movie"),
                movie,
                change.title,
                change.synopsis,
                change.duration_minutes,
                change.rating,
                genres,
            )
            if row is None:
                raise Refusal("not_found")
            await record_act(connection, actor, "change_movie", f"movie:{movie}", details=_changes(change))

    async def create_showtimes(
        self,
        actor: str,
        items: Sequence[NewShowtime],
        permit: Permit,
        request: Request | None = None,
        *,
        bulk: bool = True,
    ) -> tuple[list[int], bool]:
        """Make showtimes, all or none; gives their numbers in the order of `items`.

        Raises:
            InvalidInput, Refusal: see `scheduling.create_showtimes`; pointers begin with `/items/<n>` if `bulk`.
        """
        async with once(self._pool, request) as run:
            if not run.replayed:
                run.answer = await scheduling.create_showtimes(
                    run.connection, self._settings, items, permit, at=lambda place: f"/items/{place}" if bulk else ""
                )
                subject = f"showtime:{run.answer[0]}" if len(run.answer) == 1 else "showtimes"
                details = {"showtimes": run.answer}
                await record_act(run.connection, actor, "create_showtimes", subject, details=details)
            return run.answer, run.replayed

    async def change_showtime(self, actor: str, number: int, change: ShowtimeChange, permit: Permit) -> bool:
        """Change a showtime; says whether its film or times moved.

        Raises:
            InvalidInput, Refusal: see `scheduling.change_showtime`.
        """
        async with transaction(self._pool) as connection:
            moved = await scheduling.change_showtime(connection, self._settings, number, change, permit)
            await record_act(connection, actor, "change_showtime", f"showtime:{number}", details=_changes(change))
        return moved

    async def set_status(
        self, actor: str, number: int, status: Decided, reason: str, request: Request | None = None
    ) -> bool:
        """Freeze a showtime or open it again; says whether an earlier request did, and then does nothing.

        Raises:
            Refusal: `showtime_closed` for a cancelled one.
            Unavailable: `showtime_frozen`: it cannot be opened before its seats were built again from the ledger.
        """
        async with once(self._pool, request) as run:
            if not run.replayed:
                await self._set_status(run.connection, actor, number, status, reason)
                run.answer = [number]
        return run.replayed

    async def _set_status(self, connection: Any, actor: str, number: int, status: Decided, reason: str) -> None:
        if status == "OPEN" and await connection.fetchval(query("find_rebuild"), number):
            raise Unavailable("showtime_frozen", "its seats must be built again from the ledger first")
        frozen_for = reason if status == "FROZEN" else None
        if await connection.fetchval(query("update_showtime_status"), number, status, frozen_for) is None:
            raise Refusal("showtime_closed", showtime_status="CANCELLED")
        verb = "freeze_showtime" if status == "FROZEN" else "unfreeze_showtime"
        await record_act(connection, actor, verb, f"showtime:{number}", reason)

    async def standing(self, numbers: Sequence[int], status: Decided) -> list[int]:
        """Give those of some showtimes that still have a status, and do not wait to be built again.

        A repeated request tells Redis of these only: whoever changed the others since has told it already.
        """
        async with reading(self._pool) as connection:
            rows = await connection.fetch(query("list_standing_showtimes"), list(numbers), status)
        return [row["id"] for row in rows]

    async def freeze_showtimes(
        self, actor: str, cinema: int | None, reason: str, request: Request | None = None
    ) -> tuple[list[int], bool]:
        """Freeze all showtimes to come, of one cinema or of all; gives the numbers of all that are frozen then."""
        async with once(self._pool, request) as run:
            await _set_all(run, query("freeze_showtimes"), (cinema, reason), actor, "freeze_showtimes", reason)
        return run.answer, run.replayed

    async def unfreeze_showtimes(
        self, actor: str, cinema: int | None, reason: str, request: Request | None = None
    ) -> tuple[list[int], bool]:
        """Open all frozen showtimes to come again, of one cinema or of all; gives the numbers of all that are open.

        Showtimes whose seats wait to be built again from the ledger stay frozen.
        """
        async with once(self._pool, request) as run:
            await _set_all(run, query("unfreeze_showtimes"), (cinema,), actor, "unfreeze_showtimes", reason)
        return run.answer, run.replayed


async def _set_all(run: Once, statement: str, values: tuple[Any, ...], actor: str, verb: str, reason: str) -> None:
    if run.replayed:
        return
    run.answer = [row["id"] for row in await run.connection.fetch(statement, *values)]
    subject = "all" if values[0] is None else f"cinema:{values[0]}"
    await record_act(run.connection, actor, verb, subject, reason, {"count": len(run.answer)})


async def record_act(
    connection: Any, actor: str, verb: str, subject: str, reason: str = "", details: dict[str, Any] | None = None
) -> None:
    """Write down who did what to what, and why, inside the transaction that does it."""
    await connection.execute(query("insert_act"), actor, verb, subject, reason, details or {})


async def store_layout(connection: Any, layout: Layout) -> int:
    """Store a layout, once per digest; gives its id."""
    body = bytes(layout.to_json()).decode()
    return int(
        await connection.fetchval(
            query("insert_layout"), layout.digest, layout.name, len(layout.seats), list(layout.tiers), body
        )
    )


async def _store_or_find(connection: Any, layout: Layout | int) -> int:
    if isinstance(layout, Layout):
        return await store_layout(connection, layout)
    if await connection.fetchrow(query("read_layout"), layout) is None:
        raise InvalidInput("/layout_id", f"there is no layout {layout}")
    return layout


def _build_layout(source: LayoutSource) -> Layout | int:
    """Build what the operator sent, or give the id of a layout that exists."""
    given = [
        name for name in ("layout_id", "layout", "floor_plan", "seating_plan") if getattr(source, name) is not None
    ]
    if len(given) != 1:
        raise InvalidInput("", "give exactly one of layout_id, layout, floor_plan, seating_plan")
    if source.tiers is not None and source.seating_plan is None:
        raise InvalidInput("/tiers", "names the categories of a seating_plan; there is none")
    if source.layout is not None:
        return make_layout(
            source.layout.name, source.layout.width, source.layout.height, source.layout.seats, at="/layout"
        )
    if source.floor_plan is not None:
        plan = source.floor_plan
        return draw_layout(plan.name, plan.lines, zone=plan.zone, at="/floor_plan")
    if source.seating_plan is not None:
        return read_seating_plan(source.seating_plan, source.tiers, at="/seating_plan")
    assert source.layout_id is not None
    return source.layout_id


def slug_of(name: str, at: str = "/name") -> str:
    """Give the name as it stands in links: `Bioskop Élan 2` is `bioskop-elan-2`.

    Raises:
        InvalidInput: the name has no letter and no digit.
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if not unicodedata.combining(c))
    slug = "-".join(re.findall(r"[^\W_]+", plain))
    if not slug:
        raise InvalidInput(at, "must have a letter or a digit")
    return slug


def _changes(change: msgspec.Struct) -> dict[str, Any]:
    """Give the fields that a change sets, as JSON."""
    fields: dict[str, Any] = msgspec.to_builtins(change)
    return {name: value for name, value in fields.items() if value is not None}

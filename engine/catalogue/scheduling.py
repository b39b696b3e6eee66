"""Putting showtimes on the programme, and moving them: race-free, all or nothing.

The auditorium's row is the lock: whoever adds to or moves what is shown there holds it, so the overlap that is looked
for is the overlap that counts. The exclusion constraint `showtimes_apart` stands behind it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import asyncpg

from engine import limits
from engine.catalogue.policies import check_policy
from engine.catalogue.records import NewShowtime, ShowtimeChange
from engine.errors import InvalidInput, Refusal
from engine.ledger.queries import query
from engine.settings import Settings

Permit = Callable[[int], None]
"""Raises Refusal `forbidden` unless the actor may run the cinema of this id."""


class Slot(NamedTuple):
    """A showtime's times, settled and checked."""

    starts_at: datetime
    ends_at: datetime
    sales_open_at: datetime
    sales_stop_at: datetime


async def create_showtimes(
    connection: Any, settings: Settings, items: Sequence[NewShowtime], permit: Permit, *, at: Callable[[int], str]
) -> list[int]:
    """Insert showtimes inside the caller's transaction; gives their numbers in the order of `items`.

    Args:
        connection: in a transaction.
        settings: for the policy that a showtime inherits.
        items: at most `SHOWTIMES_PER_BULK_MAX`.
        permit: asked once for each cinema.
        at: gives the JSON pointer of an item by its place.

    Raises:
        InvalidInput: unknown auditorium or movie, a start in the past, times in a wrong order, a tier without price.
        Refusal: `auditorium_busy {conflicts: [{item, showtime_id?, starts_at, ends_at}]}`, `forbidden`.
    """
    halls = {
        row["id"]: row
        for row in await connection.fetch(query("lock_auditoriums"), sorted({item.auditorium_id for item in items}))
    }
    durations = dict(await connection.fetch(query("list_durations"), sorted({item.movie_id for item in items})))
    for cinema in sorted({row["cinema_id"] for row in halls.values()}):
        permit(cinema)
    slots: list[Slot] = []
    prices: list[dict[str, int]] = []
    for place, item in enumerate(items):
        pointer, hall = at(place), halls.get(item.auditorium_id)
        if hall is None:
            raise InvalidInput(f"{pointer}/auditorium_id", f"there is no auditorium {item.auditorium_id}")
        if item.movie_id not in durations:
            raise InvalidInput(f"{pointer}/movie_id", f"there is no movie {item.movie_id}")
        slots.append(_settle_new(item, durations[item.movie_id], hall["now"], pointer))
        prices.append(settle_prices(item.prices, hall["tiers"], pointer))
        check_policy(settings, item.policy, hall["cinema_policy"], at=f"{pointer}/policy")
    auditoriums = [item.auditorium_id for item in items]
    _refuse_overlaps_among(auditoriums, slots)
    await refuse_overlaps(connection, auditoriums, slots)
    try:
        rows = await connection.fetch(
            query("insert_showtimes"),
            auditoriums,
            [item.movie_id for item in items],
            *([slot[column] for slot in slots] for column in range(4)),
            prices,
            [item.currency for item in items],
            [item.policy.to_json() for item in items],
        )
    except asyncpg.ExclusionViolationError:
        raise Refusal("auditorium_busy") from None
    return [row["id"] for row in rows]


async def change_showtime(
    connection: Any, settings: Settings, number: int, change: ShowtimeChange, permit: Permit
) -> bool:
    """Change one showtime inside the caller's transaction; says whether the film or its times moved.

    Raises:
        InvalidInput: as in `create_showtimes`.
        Refusal: `not_found`, `forbidden`, `showtime_closed {showtime_status}`, `has_sales`, `auditorium_busy`.
    """
    row = await connection.fetchrow(query("lock_showtime"), number)
    if row is None:
        raise Refusal("not_found")
    permit(row["cinema_id"])
    if row["status"] == "CANCELLED" or row["ends_at"] <= row["now"]:
        raise Refusal("showtime_closed", showtime_status="CANCELLED" if row["status"] == "CANCELLED" else "ENDED")
    movie = change.movie_id or row["movie_id"]
    slot = await _settle_change(connection, row, change, movie)
    moved = (movie, slot.starts_at, slot.ends_at) != (row["movie_id"], row["starts_at"], row["ends_at"])
    if moved:
        if await connection.fetchval(query("find_sales"), number):
            raise Refusal("has_sales")
        await connection.fetch(query("lock_auditoriums"), [row["auditorium_id"]])
        await refuse_overlaps(connection, [row["auditorium_id"]], [slot], but=number)
    prices = row["prices"] if change.prices is None else settle_prices(change.prices, row["tiers"], "")
    policy = row["policy"]
    if change.policy is not None:
        check_policy(settings, change.policy, row["cinema_policy"], at="/policy")
        policy = change.policy.to_json()
    try:
        await connection.execute(query("update_showtime"), number, movie, *slot, prices, policy)
    except asyncpg.ExclusionViolationError:
        raise Refusal("auditorium_busy") from None
    return moved


async def refuse_overlaps(connection: Any, auditoriums: list[int], slots: Sequence[Slot], *, but: int = 0) -> None:
    """Refuse slots that meet showtimes which are there already; `but` is a showtime that does not count.

    Raises:
        Refusal: `auditorium_busy`.
    """
    rows = await connection.fetch(
        query("find_overlaps"), auditoriums, [slot.starts_at for slot in slots], [slot.ends_at for slot in slots], but
    )
    if rows:
        raise _busy(
            [
                {
                    "item": row["place"] - 1,
                    "showtime_id": row["showtime_id"],
                    "starts_at": row["starts_at"].isoformat(),
                    "ends_at": row["ends_at"].isoformat(),
                }
                for row in rows
            ]
        )


def _refuse_overlaps_among(auditoriums: Sequence[int], slots: Sequence[Slot]) -> None:
    order = sorted(range(len(slots)), key=lambda place: (auditoriums[place], slots[place].starts_at))
    for before, after in pairwise(order):
        if auditoriums[before] == auditoriums[after] and slots[before].ends_at > slots[after].starts_at:
            other = slots[before]
            raise _busy(
                [
                    {
                        "item": after,
                        "other_item": before,
                        "starts_at": other.starts_at.isoformat(),
                        "ends_at": other.ends_at.isoformat(),
                    }
                ]
            )


def _busy(conflicts: list[dict[str, Any]]) -> Refusal:
    return Refusal("auditorium_busy", "another showtime runs in the auditorium then", conflicts=conflicts)


def settle_prices(prices: Mapping[Any, int], tiers: Sequence[str], pointer: str) -> dict[str, int]:
    """Keep the prices of the tiers that the layout has.

    Raises:
        InvalidInput: a tier has no price.
    """
    for tier in tiers:
        if tier not in prices:
            raise InvalidInput(f"{pointer}/prices", f"the auditorium has {tier} seats; give their price")
    return {tier: prices[tier] for tier in tiers}


def _settle_new(item: NewShowtime, duration_minutes: int, now: datetime, pointer: str) -> Slot:
    starts_at = _settle_start(item.starts_at, now, pointer)
    ends_at = _utc(item.ends_at, pointer) if item.ends_at else starts_at + timedelta(minutes=duration_minutes)
    return _in_order(
        Slot(
            starts_at,
            ends_at,
            _utc(item.sales_open_at, pointer) if item.sales_open_at else _utc(now, pointer),
            _utc(item.sales_stop_at, pointer) if item.sales_stop_at else starts_at,
        ),
        pointer,
    )


async def _settle_change(connection: Any, row: Any, change: ShowtimeChange, movie: int) -> Slot:
    starts_at, shift = row["starts_at"], timedelta(0)
    if change.starts_at is not None and _utc(change.starts_at, "") != starts_at:
        starts_at = _settle_start(change.starts_at, row["now"], "")
        shift = starts_at - row["starts_at"]
    ends_at = row["ends_at"] + shift
    if movie != row["movie_id"]:
        durations = dict(await connection.fetch(query("list_durations"), [movie]))
        if movie not in durations:
            raise InvalidInput("/movie_id", f"there is no movie {movie}")
        ends_at = starts_at + timedelta(minutes=durations[movie])
    slot = Slot(
        starts_at,
        _utc(change.ends_at, "") if change.ends_at else ends_at,
        _utc(change.sales_open_at, "") if change.sales_open_at else row["sales_open_at"],
        _utc(change.sales_stop_at, "") if change.sales_stop_at else row["sales_stop_at"] + shift,
    )
    return _in_order(slot, "")


def _settle_start(starts_at: datetime, now: datetime, pointer: str) -> datetime:
    settled = _utc(starts_at, pointer)
    if settled <= now:
        raise InvalidInput(f"{pointer}/starts_at", "lies in the past")
    if settled > now + timedelta(days=limits.SHOWTIMES_AHEAD_MAX_DAYS):
        raise InvalidInput(f"{pointer}/starts_at", f"lies more than {limits.SHOWTIMES_AHEAD_MAX_DAYS} days ahead")
    return settled


def _in_order(slot: Slot, pointer: str) -> Slot:
    if not slot.starts_at < slot.ends_at <= slot.starts_at + timedelta(minutes=limits.SHOWTIME_LENGTH_MAX_MINUTES):
        raise InvalidInput(
            f"{pointer}/ends_at", f"must be after the start, by {limits.SHOWTIME_LENGTH_MAX_MINUTES} minutes at most"
        )
    if slot.sales_stop_at > slot.ends_at:
        raise InvalidInput(f"{pointer}/sales_stop_at", "must not be after the end of the show")
    if slot.sales_open_at >= slot.sales_stop_at:
        raise InvalidInput(f"{pointer}/sales_open_at", "must be before sales stop")
    return slot


def _utc(moment: datetime, pointer: str) -> datetime:
    """Give the moment in UTC in whole milliseconds: what Redis, the ledger and page cursors can all hold."""
    try:
        moment = moment.astimezone(UTC)
    except OverflowError:
        raise InvalidInput(pointer, f"{moment.isoformat()} is no usable time") from None
    return moment.replace(microsecond=moment.microsecond // 1_000 * 1_000)

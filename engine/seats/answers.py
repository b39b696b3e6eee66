"""What the scripts answer, made into records and refusals: the one place that knows the order of their values.

The headers in `lua/` are the authority. Every answer begins with a word and Redis' time; a replayed one has
`replayed` and the time before the first answer, word and time included.
"""

from collections.abc import Sequence
from typing import Any

from engine.errors import Refusal, Unavailable
from engine.seats.ids import HoldId
from engine.seats.records import Hold, HoldLine, HoldPage, MetaStatus, SeatMap, ShowtimeStatus
from engine.seats.seat_string import split_maps

Answer = list[Any]

NEEDS_RESTORE = frozenset({b"not_loaded", b"stale_generation", b"damaged"})
"""Words of a showtime whose state in Redis is not, or not surely, what the ledger says."""

_PLAIN_REFUSALS = frozenset(
    {
        "cannot_extend",
        "empty_hold",
        "hold_changed",
        "hold_expired",
        "idempotency_key_reused",
        "not_cancelled",
        "not_checked_out",
        "not_found",
        "payment_open",
    }
)
_ONE_NUMBER = {
    "cool_down": "retry_after_ms",
    "not_on_sale": "sales_open_ms",
    "seat_limit": "seats_left",
    "too_many_seats": "seats_per_hold_max",
}
"""Refusals that tell one number -> what it is."""


def refusal_of(answer: Answer, showtime: int) -> Refusal | Unavailable:
    """Give what to raise for an answer that is no success.

    Returns:
        Refusal: a rule said no, with what the script told about it as `details`.
        Unavailable: `overloaded` (the call came too late), `showtime_frozen` (rebuilding, or still not restored).
    """
    word = answer[0].decode()
    details = answer[2:]
    match word:
        case "too_late":
            return Unavailable("overloaded", "the call reached Redis too late and was not run")
        case "rebuilding" | "not_loaded" | "stale_generation" | "damaged":
            return Unavailable("showtime_frozen", f"the seats of this showtime are being restored ({word})")
        case "seats_taken":
            return Refusal(word, **_seats_taken(details, showtime, answer[1]))
        case "hold_limit":
            return Refusal(word, holds=[str(HoldId(at, owner, showtime)) for owner, at in _chunks(details, 2)])
        case "showtime_closed":
            return Refusal(word, showtime_status=details[0].decode())
        case "hold_expired" if details and details[0]:
            return Refusal(word, showtime_status=details[0].decode())
        case _ if word in _ONE_NUMBER:
            return Refusal(word, **{_ONE_NUMBER[word]: details[0]})
        case _ if word in _PLAIN_REFUSALS:
            return Refusal(word)
        case _:
            raise RuntimeError(f"a script answered what its caller does not know: {word}")


def hold_of(answer: Answer, showtime: int) -> Hold:
    """Decode an answer that carries a hold (lua/include/hold_answer.lua)."""
    now_ms = answer[1]
    replayed = answer[0] == b"replayed"
    if replayed:
        answer = answer[2:]
    claimed_at_ms, owner = answer[4], answer[3]
    return Hold(
        id=str(HoldId(claimed_at_ms, owner, showtime)),
        showtime=showtime,
        owner=owner,
        status="PENDING" if answer[5] == b"P" else "HELD",
        seats=tuple(answer[12:]),
        claimed_at_ms=claimed_at_ms,
        deadline_ms=answer[6],
        extensions_left=answer[7],
        extendable_until_ms=answer[8],
        payment_open=answer[9] == 1,
        subject_key=answer[10],
        checkout=answer[11] or None,
        version=answer[2],
        now_ms=now_ms,
        replayed=replayed,
        showtime_cancelled=answer[0] == b"ended",
    )


def first_answer(answer: Answer) -> Answer:
    """Give the remembered answer inside a replayed one; any other answer as it is."""
    return answer[2:] if answer[0] == b"replayed" else answer


def hold_page_of(answer: Answer, showtime: int) -> HoldPage:
    """Decode the answer of `read_holds`."""
    lines = []
    position = 3
    while position < len(answer):
        owner, claimed_at_ms, status, deadline_ms, payment_open, subject, count = answer[position : position + 7]
        position += 7
        lines.append(
            HoldLine(
                id=str(HoldId(claimed_at_ms, owner, showtime)),
                status="PENDING" if status == b"P" else "HELD",
                claimed_at_ms=claimed_at_ms,
                deadline_ms=deadline_ms,
                payment_open=payment_open == 1,
                subject_key=subject,
                seats=tuple(answer[position : position + count]),
            )
        )
        position += count
    return HoldPage(total=answer[2], holds=tuple(lines), now_ms=answer[1])


def seat_map_of(answer: Answer, showtime: int) -> SeatMap:
    """Decode the answer `seats` of `read_seats`; seats of lapsed holds are free in the result."""
    _, now_ms, version, status, seats, _, maps, sales_open_ms, sales_stop_ms, ends_ms, n = answer[:11]
    lapsed, mine = answer[11 : 11 + n], answer[11 + n :]
    sold, locked, blocked = split_maps(maps, seats)
    return SeatMap(
        showtime=showtime,
        version=version,
        status=showtime_status(status.decode(), now_ms, sales_open_ms, min(sales_stop_ms, ends_ms)),
        seats=seats,
        sold=sold,
        locked=_cleared(locked, lapsed),
        blocked=blocked,
        mine=tuple(mine),
        now_ms=now_ms,
    )


def unchanged_map(answer: Answer, showtime: int) -> SeatMap:
    """Decode the answer `unchanged` of `read_seats`."""
    return SeatMap(
        showtime=showtime,
        version=answer[2],
        status=None,
        seats=0,
        sold=b"",
        locked=b"",
        blocked=b"",
        mine=(),
        now_ms=answer[1],
        unchanged=True,
    )


def showtime_status(status: MetaStatus | str, now_ms: int, sales_open_ms: int, sales_stop_ms: int) -> ShowtimeStatus:
    """Give the word for viewers, as the gate in lua/include/showtime.lua judges."""
    if status == "cancelled":
        return "CANCELLED"
    if now_ms >= sales_stop_ms:
        return "ENDED"
    if status != "open":
        return "FROZEN"
    return "ON_SALE" if now_ms >= sales_open_ms else "SCHEDULED"


def _seats_taken(values: Sequence[Any], showtime: int, now_ms: int) -> dict[str, Any]:
    """Give `seats`, and `retry_after_ms` when all of them are in holds: until the last of these would lapse."""
    seats = []
    latest_ms: int | None = now_ms
    for seat, reason, deadline_ms, owner, claimed_at_ms in _chunks(values, 5):
        entry: dict[str, Any] = {"seat": seat, "reason": reason.decode()}
        if owner:
            entry["hold_id"] = str(HoldId(claimed_at_ms, owner, showtime))
        if deadline_ms:
            entry["deadline_ms"] = deadline_ms
        latest_ms = max(latest_ms, deadline_ms) if deadline_ms and latest_ms is not None else None
        seats.append(entry)
    return {"seats": seats} if latest_ms is None else {"seats": seats, "retry_after_ms": latest_ms - now_ms}


def _chunks(values: Sequence[Any], size: int) -> list[Sequence[Any]]:
    return [values[start : start + size] for start in range(0, len(values), size)]


def _cleared(bitmap: bytes, seats: Sequence[int]) -> bytes:
    if not seats:
        return bitmap
    bits = bytearray(bitmap)
    for seat in seats:
        bits[seat >> 3] &= ~(0x80 >> (seat & 7)) & 0xFF
    return bytes(bits)

"""What a problem carries beyond the standard members: code -> what helps to act."""

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from api.wire import Timestamp
from engine.errors import Outcome
from engine.ledger.records import RefundStatus, TicketStatus
from engine.orders.records import BookingStatus
from engine.seats.records import ShowtimeStatus
from engine.webhooks.records import OffReason


class ProblemAnswer(msgspec.Struct):
    """RFC 9457: `type` opens the page of the code, `code` is a stable word, `request_id` finds it in the log."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    request_id: str


class FieldError(msgspec.Struct):
    """What is wrong, and where: a JSON pointer into the body, or `?name` of a parameter or header."""

    pointer: str
    detail: str


class FieldErrors(msgspec.Struct):
    """The fields that are wrong."""

    errors: list[FieldError]


class SeatError(FieldErrors):
    """The seat that is wrong."""

    seat: str


class TooManySeats(msgspec.Struct):
    """How many seats are possible."""

    seats_per_hold_max: int
    errors: list[FieldError] | UnsetType = UNSET


class TakenSeat(msgspec.Struct):
    """A seat that is not free, and why; `hold_id` where it is the caller's own hold."""

    seat: str
    reason: Literal["LOCKED", "LOCKED_BY_ME", "SOLD", "BLOCKED"]
    hold_id: str | UnsetType = UNSET


class TakenSeats(msgspec.Struct):
    """The seats that are not free, when some may be, and other seats that are."""

    seats: list[TakenSeat]
    retry_after_ms: int | UnsetType | None = UNSET
    alternatives: list[list[str]] | UnsetType = UNSET


class Closed(msgspec.Struct):
    """Why a showtime is closed."""

    showtime_status: ShowtimeStatus


class Over(msgspec.Struct):
    """Of a hold that ended with its showtime, that this was so."""

    showtime_status: Literal["CANCELLED"] | UnsetType = UNSET


class NotNow(msgspec.Struct):
    """What the booking is now, where that is the reason."""

    booking_status: BookingStatus | UnsetType = UNSET


class Used(msgspec.Struct):
    """When and where a ticket was used."""

    used_at: Timestamp
    gate: str


class OtherShow(msgspec.Struct):
    """Which showtime a ticket is for, and when that begins."""

    showtime: int
    starts_at: Timestamp


class NotRefundable(msgspec.Struct):
    """Why nothing goes back, what the booking is, and the tickets in the way with their statuses."""

    why: Literal["not_paid", "ended", "showtime_cancelled", "no_ticket", "too_late", "nothing_paid"]
    booking_status: BookingStatus
    tickets: dict[str, TicketStatus] | UnsetType = UNSET


class OtherAmount(msgspec.Struct):
    """What goes back by now."""

    amount: int
    currency: str
    percent: int


class RefundIs(msgspec.Struct):
    """What the refund is by now."""

    refund_status: RefundStatus


class NotOnSale(msgspec.Struct):
    """When sales begin."""

    sales_open_at: Timestamp


class HoldLimit(msgspec.Struct):
    """The caller's live holds."""

    holds: list[str]


class SeatLimit(msgspec.Struct):
    """How many more seats the caller may have at this showtime."""

    seats_left: int


class Busy(msgspec.Struct):
    """The showtimes in the way, where they are known."""

    conflicts: list[Any] | UnsetType = UNSET


class Off(msgspec.Struct):
    """Why an endpoint is off."""

    off_reason: OffReason


class TooLarge(msgspec.Struct):
    """How long a body may be."""

    limit_bytes: int


class Again(msgspec.Struct):
    """When to ask again, in ms."""

    retry_after_ms: int | UnsetType = UNSET


class Away(msgspec.Struct):
    """`definite`: nothing happened; `unknown`: ask again with the same key."""

    outcome: Outcome
    retry_after_ms: int


MEMBERS: dict[str, type[msgspec.Struct]] = {
    "invalid_field": FieldErrors,
    "unknown_seat": SeatError,
    "duplicate_seat": SeatError,
    "too_many_seats": TooManySeats,
    "seats_taken": TakenSeats,
    "showtime_closed": Closed,
    "hold_expired": Over,
    "booking_expired": Over,
    "not_payable": NotNow,
    "not_cancellable": NotNow,
    "ticket_used": Used,
    "wrong_showtime": OtherShow,
    "not_refundable": NotRefundable,
    "quote_changed": OtherAmount,
    "refund_not_manual": RefundIs,
    "not_on_sale": NotOnSale,
    "hold_limit": HoldLimit,
    "seat_limit": SeatLimit,
    "auditorium_busy": Busy,
    "endpoint_off": Off,
    "body_too_large": TooLarge,
    "rate_limited": Again,
    "cool_down": Again,
    "timed_out": Away,
    "overloaded": Away,
    "redis_unavailable": Away,
    "ledger_unavailable": Away,
    "gateway_unavailable": Away,
    "issuer_unavailable": Away,
    "showtime_frozen": Away,
}

_ERROR = FieldError("/seats/0", "The layout has no seat Z9.")
_EXAMPLES: dict[type[msgspec.Struct], msgspec.Struct] = {
    FieldErrors: FieldErrors([FieldError("/seats", "Expected `array`, got `str`.")]),
    SeatError: SeatError([_ERROR], "Z9"),
    TooManySeats: TooManySeats(10, [FieldError("/seats", "At most 10 seats.")]),
    TakenSeats: TakenSeats([TakenSeat("C7", "LOCKED")], 480_000, [["C9", "C10"]]),
    Closed: Closed("ENDED"),
    Over: Over("CANCELLED"),
    NotNow: NotNow("CONFIRMED"),
    Used: Used("2026-11-21T12:04:11.000Z", "North"),
    OtherShow: OtherShow(43, "2026-11-21T15:00:00.000Z"),
    NotRefundable: NotRefundable("too_late", "CONFIRMED"),
    OtherAmount: OtherAmount(3_750_000, "IDR", 50),
    RefundIs: RefundIs("SETTLED"),
    NotOnSale: NotOnSale("2026-11-21T03:00:00.000Z"),
    HoldLimit: HoldLimit(["0199c2a4-6b1e-7c3f-8a51-00020000002a"]),
    SeatLimit: SeatLimit(2),
    Busy: Busy([]),
    Off: Off("gone"),
    TooLarge: TooLarge(65_536),
    Again: Again(1_000),
    Away: Away("definite", 1_000),
}


def members_example(code: str) -> dict[str, Any]:
    """Give the members of a code with values, as an example."""
    kind = MEMBERS.get(code)
    example: dict[str, Any] = {} if kind is None else msgspec.to_builtins(_EXAMPLES[kind])
    return example

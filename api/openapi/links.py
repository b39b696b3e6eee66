"""Where an answer leads: operation -> the operations that take something of its answer."""

from typing import NamedTuple


class Link(NamedTuple):
    """One step. `parameter` of the target takes what stands at `pointer` of the answer; "" is its body's `hold_id`."""

    target: str
    parameter: str
    pointer: str = "/id"


_OF_A_BOOKING = tuple(
    Link(target, "booking") for target in ("read_booking", "begin_payment", "list_payments", "list_tickets", "cancel")
)

LINKS: dict[str, tuple[Link, ...]] = {
    "claim_seats": (
        Link("read_hold", "hold"),
        Link("change_hold", "hold"),
        Link("extend_hold", "hold"),
        Link("release_hold", "hold"),
        Link("check_out", ""),
        Link("admin_delete_hold", "hold"),
    ),
    "check_out": _OF_A_BOOKING,
    "begin_payment": (Link("simulate_outcome", "session", "/session_id"),),
    "list_showtimes": tuple(
        Link(target, "showtime", "/items/0/id")
        for target in ("read_showtime", "read_showtime_layout", "read_seats", "read_availability", "claim_seats")
    ),
    "admin_create_cinema": (Link("admin_read_cinema", "id"), Link("admin_change_cinema", "id")),
    "admin_create_auditorium": (
        Link("admin_read_auditorium", "id"),
        Link("admin_change_auditorium", "id"),
        Link("read_auditorium_layout", "id"),
    ),
    "admin_create_movie": (Link("admin_read_movie", "id"), Link("admin_change_movie", "id")),
    "admin_create_showtimes": tuple(
        Link(target, "showtime")
        for target in ("admin_read_showtime", "admin_change_showtime", "admin_freeze_showtime", "claim_seats")
    ),
    "admin_list_showtimes": tuple(
        Link(target, "showtime", "/items/0/id")
        for target in ("admin_create_block", "admin_list_blocks", "admin_list_holds", "admin_unfreeze_showtime")
    ),
    "admin_create_block": (Link("admin_delete_block", "id"),),
}
"""Operation id -> links of its success."""

"""Where an answer leads: operation -> the operations that take something of its answer."""

from typing import Any, NamedTuple


class Link(NamedTuple):
    """One step: `parameter` of the target takes what stands at `pointer` of the answer, and `body` is sent with it."""

    target: str
    parameter: str = ""
    pointer: str = "/id"
    body: dict[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """Give the link object."""
        link: dict[str, Any] = {"operationId": self.target}
        if self.parameter:
            link["parameters"] = {self.parameter: f"$response.body#{self.pointer}"}
        if self.body is not None:
            link["requestBody"] = self.body
        return link


_OF_A_BOOKING = tuple(
    Link(target, "booking")
    for target in ("read_booking", "begin_payment", "list_payments", "list_tickets", "quote_refund", "cancel")
)

LINKS: dict[str, tuple[Link, ...]] = {
    "claim_seats": (
        Link("read_hold", "hold"),
        Link("change_hold", "hold"),
        Link("extend_hold", "hold"),
        Link("release_hold", "hold"),
        Link("check_out", body={"hold_id": "$response.body#/id", "email": "budi@example.org"}),
        Link("admin_delete_hold", "hold"),
    ),
    "read_available": (
        Link("claim_seats", "showtime", "/showtime_id", {"seats": ["$response.body#/available/REGULAR/0"]}),
    ),
    "check_out": _OF_A_BOOKING,
    "begin_payment": (Link("simulate_outcome", "session", "/session_id", {"outcome": "success"}),),
    "list_tickets": tuple(
        Link(target, "ticket", "/items/0/code")
        for target in ("read_ticket_pdf", "read_ticket_svg", "read_ticket_png", "read_ticket_ics", "admin_check_in")
    ),
    "list_showtimes": tuple(
        Link(target, "showtime", "/items/0/id")
        for target in ("read_showtime", "read_showtime_layout", "read_seats", "read_availability", "read_available")
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
        for target in ("admin_read_showtime", "admin_change_showtime", "admin_freeze_showtime", "read_available")
    ),
    "admin_cancel_showtime": (Link("admin_read_cancellation", "showtime", "/showtime_id"),),
    "admin_list_showtimes": tuple(
        Link(target, "showtime", "/items/0/id")
        for target in ("admin_create_block", "admin_list_blocks", "admin_list_holds", "admin_unfreeze_showtime")
    ),
    "admin_create_webhook": tuple(
        Link(f"admin_{target}", "id")
        for target in ("read_webhook", "change_webhook", "send_test", "list_deliveries", "delete_webhook")
    ),
    "admin_send_test": (Link("admin_list_deliveries", "id", "/endpoint_id"),),
    "admin_create_block": (Link("admin_delete_block", "id"),),
}
"""Operation id -> links of its success."""

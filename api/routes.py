"""Every route on one screen: method, path, handler, who may call. The busiest come first: the router looks in order.

What a route takes and answers stands beside its handler (`@describe`); both together are the OpenAPI document.
"""

from collections.abc import Iterable
from functools import lru_cache, partial
from itertools import groupby
from typing import Any, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from api import (
    accounts,
    bookings,
    catalogue,
    docs,
    health,
    holds,
    my_holds,
    operator_cancellation,
    operator_check_in,
    operators,
    payments,
    problems,
    refunds,
    seats,
    tickets,
)
from api import operator_catalogue as programme
from api import operator_notifications as notifications
from api import operator_refunds as owed
from api import operator_webhooks as webhooks
from api.auth import Access
from api.openapi.describe import Description, Handler, description_of
from api.rate_limits import RateLimits, lane_of
from engine.limits import PATHS_REMEMBERED_MAX

PUBLIC, VIEWER, CUSTOMER = Access.PUBLIC, Access.VIEWER, Access.CUSTOMER
STAFF, MANAGER, ADMIN = Access.STAFF, Access.MANAGER, Access.ADMIN


class Endpoint(NamedTuple):
    """One line of the table. Paths begin behind `/api/v1`, but for those that begin with `/api/` or `/.`."""

    method: str
    path: str
    handler: Handler
    access: Access

    @property
    def description(self) -> Description:
        """What the handler says of itself."""
        return description_of(self.handler)


E = Endpoint
# fmt: off
ENDPOINTS: tuple[Endpoint, ...] = (
    E("POST",   "/showtimes/{showtime:int}/holds",           holds.claim_seats,         CUSTOMER),
    E("GET",    "/showtimes/{showtime:int}/seats",           seats.read_seats,          VIEWER),
    E("GET",    "/showtimes/{showtime:int}/availability",    seats.read_availability,   PUBLIC),
    E("GET",    "/showtimes/{showtime:int}/seats/available", seats.read_available,      PUBLIC),
    E("GET",    "/holds/{hold}",                             holds.read_hold,           CUSTOMER),
    E("PATCH",  "/holds/{hold}",                             holds.change_hold,         CUSTOMER),
    E("DELETE", "/holds/{hold}",                             holds.release_hold,        CUSTOMER),
    E("POST",   "/holds/{hold}/extend",                      holds.extend_hold,         CUSTOMER),

    E("POST",   "/bookings",                                 bookings.check_out,        CUSTOMER),
    E("POST",   "/bookings/lookup",                          notifications.look_up,     PUBLIC),
    E("GET",    "/bookings/{booking}",                       bookings.read_booking,     CUSTOMER),
    E("POST",   "/bookings/{booking}/cancel",                bookings.cancel,           CUSTOMER),
    E("GET",    "/bookings/{booking}/tickets",               tickets.list_tickets,      CUSTOMER),
    E("GET",    "/bookings/{booking}/refund-quote",          refunds.quote_refund,      CUSTOMER),
    E("POST",   "/bookings/{booking}/refunds",               refunds.refund_tickets,    CUSTOMER),
    E("POST",   "/bookings/{booking}/payments",              payments.begin_payment,    CUSTOMER),
    E("GET",    "/bookings/{booking}/payments",              payments.list_payments,    CUSTOMER),
    E("GET",    "/tickets/{ticket}.pdf",                     tickets.read_ticket_pdf,   PUBLIC),
    E("GET",    "/tickets/{ticket}.svg",                     tickets.read_ticket_svg,   PUBLIC),
    E("GET",    "/tickets/{ticket}.png",                     tickets.read_ticket_png,   PUBLIC),
    E("GET",    "/tickets/{ticket}.ics",                     tickets.read_ticket_ics,   PUBLIC),
    E("GET",    "/.well-known/seatlock-ticket-keys.json",    tickets.read_ticket_keys,  PUBLIC),
    E("POST",   "/payments/webhook",                         payments.receive_event,    PUBLIC),
    E("POST",   "/payments/simulate/{session}",              payments.simulate_outcome, PUBLIC),
    E("GET",    "/me/bookings",                              bookings.list_mine,        CUSTOMER),
    E("GET",    "/me/holds",                                 my_holds.list_my_holds,    CUSTOMER),
    E("DELETE", "/me/holds",                                 my_holds.release_my_holds, CUSTOMER),

    E("GET",    "/cities",                                   catalogue.list_cities,     PUBLIC),
    E("GET",    "/cinemas",                                  catalogue.list_cinemas,    PUBLIC),
    E("GET",    "/movies",                                   catalogue.list_movies,     PUBLIC),
    E("GET",    "/showtimes",                                catalogue.list_showtimes,  PUBLIC),
    E("GET",    "/showtimes/{showtime:int}",                 catalogue.read_showtime,   PUBLIC),
    E("GET",    "/showtimes/{showtime:int}/layout",          catalogue.read_showtime_layout,   PUBLIC),
    E("GET",    "/auditoriums/{id:int}/layout",              catalogue.read_auditorium_layout, PUBLIC),

    E("POST",   "/auth/register",                            accounts.register,         PUBLIC),
    E("POST",   "/auth/login",                               accounts.login,            PUBLIC),
    E("POST",   "/auth/guest",                               accounts.open_guest,       PUBLIC),
    E("POST",   "/auth/refresh",                             accounts.refresh,          PUBLIC),
    E("GET",    "/me",                                       accounts.read_me,          CUSTOMER),

    E("POST",   "/admin/cinemas",                            programme.create_cinema,     ADMIN),
    E("GET",    "/admin/cinemas",                            programme.list_cinemas,      STAFF),
    E("GET",    "/admin/cinemas/{id:int}",                   programme.read_cinema,       STAFF),
    E("PATCH",  "/admin/cinemas/{id:int}",                   programme.change_cinema,     MANAGER),
    E("POST",   "/admin/auditoriums",                        programme.create_auditorium, MANAGER),
    E("GET",    "/admin/auditoriums",                        programme.list_auditoriums,  STAFF),
    E("GET",    "/admin/auditoriums/{id:int}",               programme.read_auditorium,   STAFF),
    E("PATCH",  "/admin/auditoriums/{id:int}",               programme.change_auditorium, MANAGER),
    E("POST",   "/admin/movies",                             programme.create_movie,      MANAGER),
    E("GET",    "/admin/movies",                             programme.list_movies,       STAFF),
    E("GET",    "/admin/movies/{id:int}",                    programme.read_movie,        STAFF),
    E("PATCH",  "/admin/movies/{id:int}",                    programme.change_movie,      ADMIN),
    E("POST",   "/admin/showtimes",                          programme.create_showtimes,  MANAGER),
    E("GET",    "/admin/showtimes",                          programme.list_showtimes,    STAFF),
    E("GET",    "/admin/showtimes/{showtime:int}",           programme.read_showtime,     STAFF),
    E("PATCH",  "/admin/showtimes/{showtime:int}",           programme.change_showtime,   MANAGER),
    E("POST",   "/admin/showtimes/{showtime:int}/freeze",    operators.freeze_showtime,   STAFF),
    E("POST",   "/admin/showtimes/{showtime:int}/unfreeze",  operators.unfreeze_showtime, STAFF),
    E("POST",   "/admin/showtimes/{showtime:int}/cancel",    operator_cancellation.cancel_showtime,    MANAGER),
    E("GET",    "/admin/showtimes/{showtime:int}/cancellation", operator_cancellation.read_cancellation, STAFF),
    E("POST",   "/admin/freeze",                             operators.freeze_showtimes,  STAFF),
    E("POST",   "/admin/unfreeze",                           operators.unfreeze_showtimes, STAFF),
    E("POST",   "/admin/showtimes/{showtime:int}/blocks",    operators.create_block,      STAFF),
    E("GET",    "/admin/showtimes/{showtime:int}/blocks",    operators.list_blocks,       STAFF),
    E("DELETE", "/admin/blocks/{id:int}",                    operators.delete_block,      STAFF),
    E("GET",    "/admin/showtimes/{showtime:int}/holds",     operators.list_holds,        STAFF),
    E("DELETE", "/admin/holds/{hold}",                       operators.delete_hold,       STAFF),
    E("POST",   "/admin/tickets/{ticket}/check-in",          operator_check_in.check_in,      STAFF),
    E("DELETE", "/admin/tickets/{ticket}/check-in",          operator_check_in.undo_check_in, STAFF),
    E("POST",   "/admin/webhooks",                           webhooks.create_webhook,     MANAGER),
    E("GET",    "/admin/webhooks",                           webhooks.list_webhooks,      MANAGER),
    E("GET",    "/admin/webhooks/{id:int}",                  webhooks.read_webhook,       MANAGER),
    E("PATCH",  "/admin/webhooks/{id:int}",                  webhooks.change_webhook,     MANAGER),
    E("DELETE", "/admin/webhooks/{id:int}",                  webhooks.delete_webhook,     MANAGER),
    E("POST",   "/admin/webhooks/{id:int}/test",             webhooks.send_test,          MANAGER),
    E("GET",    "/admin/webhooks/{id:int}/deliveries",       webhooks.list_deliveries,    MANAGER),
    E("POST",   "/admin/webhooks/{id:int}/deliveries/{delivery:int}/redeliver", webhooks.redeliver, MANAGER),
    E("GET",    "/admin/refunds",                            owed.list_refunds,          STAFF),
    E("GET",    "/admin/refunds/{refund}",                   owed.read_refund,           STAFF),
    E("POST",   "/admin/refunds/{refund}/retry",             owed.retry_refund,          STAFF),
    E("POST",   "/admin/refunds/{refund}/settle",            owed.settle_refund,         MANAGER),
    E("GET",    "/admin/acts",                               operators.list_acts,         ADMIN),
    E("GET",    "/admin/cases",                              operators.list_cases,        ADMIN),
    E("GET",    "/admin/notifications",                      notifications.list_notifications, ADMIN),
    E("POST",   "/admin/notifications/{id:int}/retry",       notifications.retry_notification, ADMIN),

    E("GET",    "/health",                                   health.read_health,        PUBLIC),
    E("GET",    "/health/ready",                             health.read_ready,         PUBLIC),
    E("GET",    "/api/openapi.json",                         docs.read_openapi,         PUBLIC),
    E("GET",    "/api/docs",                                 docs.read_docs,            PUBLIC),
    E("GET",    "/api/docs/{asset}",                         docs.read_asset,           PUBLIC),
    E("GET",    "/api/problems/{code}",                      problems.problem_page,     PUBLIC),
)
# fmt: on


class Resource:
    """One path with its methods: admits the caller, then lets the method's handler answer."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._doors = {line.method: (line, lane_of(line.method, line.path, line.access)) for line in endpoints}
        if "GET" in self._doors:
            self._doors["HEAD"] = self._doors["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see the class."""
        door = self._doors.get(scope["method"])
        if door is None:
            raise HTTPException(405, headers={"Allow": ", ".join(self._doors)})
        (_, scope["route_path"], handler, access), lane = door
        request = Request(scope, receive, send)
        state = scope["app"].state
        limits: RateLimits = state.rate_limits
        scope["identity"] = limits.admit(scope, lane, partial(state.authenticator.admit, request, access))
        response = await handler(request)
        await response(scope, receive, send)


class Paths:
    """Where paths lead to: Starlette's router says it once, and it is remembered for the paths asked for of late.

    The innermost layer. Raises HTTPException 404 for a path of nothing.
    """

    def __init__(self, router: Router) -> None:
        self._router = router
        self._find = lru_cache(PATHS_REMEMBERED_MAX)(self._match)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the path's resource answer."""
        if scope["type"] != "http":
            await self._router(scope, receive, send)
            return
        resource, parameters = self._find(scope["path"])
        scope["path_params"] = parameters
        await resource(scope, receive, send)

    def _match(self, path: str) -> tuple[ASGIApp, dict[str, Any]]:
        asked: Scope = {"type": "http", "path": path, "root_path": "", "method": ""}
        for route in self._router.routes:
            match, found = route.matches(asked)
            if match is not Match.NONE:
                return found["endpoint"], found["path_params"]
        raise HTTPException(404)


def full_path(path: str) -> str:
    """Give the path from the root of the server."""
    return path if path.startswith(("/api/", "/.")) else "/api/v1" + path


def build_routes(endpoints: Iterable[Endpoint] = ENDPOINTS) -> list[Route]:
    """Build one Starlette route per path; lines of one path stand together in the table.

    A route takes every method, and its resource refuses those it has not: else a path such as `/bookings/lookup`
    would be taken for a booking's by the methods that only bookings have.
    """
    paths = groupby(endpoints, key=lambda endpoint: endpoint.path)
    return [Route(full_path(path), Resource(lines)) for path, lines in paths]

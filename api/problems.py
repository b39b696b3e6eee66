"""Every refusal as an RFC 9457 problem: one table from the engine's words to HTTP status, applied at the very edge."""

import html
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
import structlog
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from api.openapi.describe import describe
from api.wire import JsonAnswer
from engine.errors import Refusal, SeatlockError, Unavailable
from engine.limits import SECOND_MS

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
PAGES = "/api/problems/"


class Problem(NamedTuple):
    """What a code means over HTTP: its status, its title and what the caller may do about it."""

    status: int
    title: str
    help: str


PROBLEMS: Mapping[str, Problem] = {
    # 400
    "malformed_json": Problem(400, "The body is not JSON", "Send one JSON document in UTF-8."),
    # 401
    "token_missing": Problem(
        401, "A token is needed", "Send `Authorization: Bearer <token>`; POST /auth/guest gives one."
    ),
    "token_expired": Problem(401, "The token has expired", "Get a new one with POST /auth/refresh."),
    "token_invalid": Problem(
        401, "The token is not valid here", "Log in again; the token was not made by this service."
    ),
    "bad_credentials": Problem(401, "E-mail or password is wrong", "Check both and try again."),
    "bad_signature": Problem(401, "The signature does not match", "Sign `<t>.<raw body>` with the shared secret."),
    "stale_signature": Problem(401, "The signature is too old", "Sign again with the present time."),
    # 403, 404, 405
    "forbidden": Problem(403, "Not allowed for this token", "Ask an operator with the right role."),
    "not_found": Problem(404, "Nothing is here for you", "The thing does not exist, or it belongs to somebody else."),
    "method_not_allowed": Problem(405, "The method is not allowed", "See the `Allow` header."),
    # 409: the request is fine, the state of things is not
    "seats_taken": Problem(409, "Somebody has these seats", "Choose among `alternatives`, or wait `retry_after_ms`."),
    "showtime_closed": Problem(409, "The showtime is closed", "`showtime_status` tells why; FROZEN may open again."),
    "not_on_sale": Problem(409, "Sales have not begun", "Come back at `sales_open_at`."),
    "hold_limit": Problem(409, "Too many holds at once", "Use or release one of `holds` first."),
    "seat_limit": Problem(
        409, "Too many seats for one customer", "`seats_left` more seats are allowed for this showtime."
    ),
    "empty_hold": Problem(409, "A hold needs at least one seat", "DELETE the hold to give all seats back."),
    "payment_open": Problem(409, "A payment is under way", "Finish or let fail the payment before changing seats."),
    "cannot_extend": Problem(409, "The hold cannot be extended", "Its cap is reached, or check-out has begun."),
    "not_checked_out": Problem(409, "Check-out has not begun", "POST /bookings with this hold first."),
    "hold_changed": Problem(409, "The hold has other seats now", "Read the booking again."),
    "not_cancellable": Problem(409, "The booking cannot be cancelled", "It is paid or already ended."),
    "not_payable": Problem(409, "The booking cannot be paid", "Its `status` tells why."),
    "already_paid": Problem(409, "The booking is already paid", "Read the booking; its tickets are there."),
    "not_retryable": Problem(409, "There is nothing to try again", "It was sent, or is no longer true."),
    "not_refundable": Problem(409, "Nothing can be refunded", "`why` says the reason; read the booking's refunds."),
    "quote_changed": Problem(409, "Another amount goes back by now", "Agree to `amount`, and ask with that."),
    "refund_not_manual": Problem(409, "The refund waits for nobody", "`refund_status` is what it is by now."),
    "ticket_used": Problem(409, "The ticket was used", "`used_at` and `gate` say when and where."),
    "ticket_refunded": Problem(409, "The ticket was paid back", "It lets nobody in."),
    "wrong_showtime": Problem(409, "The ticket is for another show", "`showtime` and `starts_at` say which."),
    "email_taken": Problem(409, "The e-mail has an account", "Log in instead."),
    "has_sales": Problem(
        409, "Seats were already sold", "What was sold cannot be changed; cancel the showtime instead."
    ),
    "auditorium_busy": Problem(409, "The auditorium is busy then", "Another showtime overlaps; choose another time."),
    "endpoint_off": Problem(
        409, "The endpoint is switched off", "Switch it on first; `off_reason` says why it is off."
    ),
    "name_taken": Problem(409, "The name is in use", "Choose another name."),
    "idempotency_key_in_flight": Problem(409, "The first request still runs", "Ask again shortly with the same key."),
    # 410
    "hold_expired": Problem(410, "The hold has lapsed", "Claim the seats again."),
    "ticket_void": Problem(410, "The ticket was paid back", "Read the booking's refunds."),
    "booking_expired": Problem(410, "The booking has lapsed", "Claim the seats again."),
    # 408, 413, 415, 431
    "request_timeout": Problem(408, "The body came too slowly", "Send the request again, over a better line."),
    "headers_too_large": Problem(431, "The headers are too many or too large", "Send fewer of them."),
    "body_too_large": Problem(413, "The body is too large", "`limit_bytes` is the most that is read."),
    "unsupported_media_type": Problem(
        415, "The body must be application/json", "Set `Content-Type: application/json`."
    ),
    # 422: the request itself is wrong
    "invalid_field": Problem(422, "A field is wrong", "`errors` points at each field."),
    "unknown_seat": Problem(422, "The layout has no such seat", "Seats are labels of the showtime's layout."),
    "duplicate_seat": Problem(422, "A seat is named twice", "Name each seat once."),
    "too_many_seats": Problem(422, "Too many seats in one hold", "At most `seats_per_hold_max` seats."),
    "email_required": Problem(422, "An e-mail address is needed", "A guest's booking needs `email`."),
    "idempotency_key_reused": Problem(422, "The key was used for another request", "Use a new Idempotency-Key."),
    "invalid_layout": Problem(422, "The seating plan is wrong", "`errors` or `detail` says where."),
    # 429, 500, 503
    "rate_limited": Problem(429, "Too many requests", "Wait as `Retry-After` says."),
    "cool_down": Problem(429, "Too many holds were left to lapse", "Wait as `Retry-After` says, then claim again."),
    "internal_error": Problem(500, "Something is wrong on our side", "Tell us the `request_id`."),
    "timed_out": Problem(503, "The answer took too long", "Ask again after `Retry-After`, with the same key."),
    "overloaded": Problem(503, "Too much to do right now", "Ask again after `Retry-After`."),
    "redis_unavailable": Problem(503, "The seat store is away", "Ask again after `Retry-After`, with the same key."),
    "ledger_unavailable": Problem(503, "The ledger is away", "Ask again after `Retry-After`, with the same key."),
    "issuer_unavailable": Problem(503, "The token's key is being asked for", "Ask again after `Retry-After`."),
    "gateway_unavailable": Problem(503, "The payment gateway is away", "Ask again after `Retry-After`."),
    "showtime_frozen": Problem(503, "The showtime is being rebuilt", "Reading works; ask again after `Retry-After`."),
}
"""Code -> problem. A test reads every code raised in `engine` and `api` and looks it up here."""

_HTTP_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "unsupported_media_type"}


def problem_response(
    request: Request,
    code: str,
    detail: str = "",
    details: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Build the answer for a code of `PROBLEMS`; `details` become members of the body.

    Args:
        request: gives `instance` and `request_id`.
        code: a key of `PROBLEMS`.
        detail: a sentence for people; the title when empty.
        details: members that help to act; they never replace the standard ones.
        headers: more headers.
    """
    problem = PROBLEMS[code]
    body: dict[str, Any] = dict(details or {})
    body.update(
        type=request.app.state.settings.public_url.rstrip("/") + PAGES + code,
        title=problem.title,
        status=problem.status,
        detail=detail if detail and detail != code else problem.help.replace("`", ""),
        # The scope's own path: `request.url` would put a whole URL together and take it apart again.
        instance=request.scope["path"],
        code=code,
        request_id=request.scope.get("request_id", ""),
    )
    named = dict(headers or {})
    if problem.status == 401 and code.startswith("token_"):
        named["WWW-Authenticate"] = 'Bearer realm="seatlock"' + (
            "" if code == "token_missing" else ', error="invalid_token"'
        )
    return JsonAnswer(msgspec.json.encode(body), problem.status, named, MEDIA_TYPE)


def answer_error(request: Request, error: Exception) -> Response:
    """Turn any expected failure into its problem: the whole tree of `engine.errors`."""
    if not isinstance(error, SeatlockError) or error.code not in PROBLEMS:
        return answer_crash(request, error)
    if isinstance(error, Unavailable):
        return problem_response(
            request,
            error.code,
            error.detail,
            {"outcome": error.outcome, "retry_after_ms": error.retry_after_ms, **error.details},
            _retry_after(error.retry_after_ms),
        )
    headers = None
    if error.code in ("body_too_large", "request_timeout"):
        headers = {"Connection": "close"}
    elif error.code in ("rate_limited", "cool_down"):
        headers = _retry_after(error.details.get("retry_after_ms", SECOND_MS))
    return problem_response(request, error.code, error.detail, error.details, headers)


def answer_http(request: Request, error: Exception) -> Response:
    """Turn what the router says (no such path, no such method) into a problem."""
    assert isinstance(error, HTTPException)
    code = _HTTP_CODES.get(error.status_code)
    if code is None:
        return answer_crash(request, error)
    return problem_response(request, code, "No such path." if code == "not_found" else "", None, error.headers)


def answer_crash(request: Request, error: Exception) -> Response:
    """Answer 500 without a trace; the trace goes to the log under the request's id."""
    log.error("request_crashed", request_id=request.scope.get("request_id", ""), path=request.url.path, exc_info=error)
    return problem_response(request, "internal_error")


@describe({200: "text/html"})
async def problem_page(request: Request) -> Response:
    """Give the page that a problem's `type` opens."""
    code = request.path_params["code"]
    problem = PROBLEMS.get(code)
    if problem is None:
        raise Refusal("not_found")
    text = "".join(
        f"<code>{part}</code>" if i % 2 else part for i, part in enumerate(html.escape(problem.help).split("`"))
    )
    return HTMLResponse(
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{code}</title>"
        f"<h1>{html.escape(problem.title)}</h1><p><code>{code}</code>, HTTP {problem.status}</p><p>{text}</p>",
        headers={"Cache-Control": "public, max-age=3600"},
    )


def _retry_after(retry_after_ms: int) -> dict[str, str]:
    return {"Retry-After": str(max(1, -(-retry_after_ms // SECOND_MS)))}

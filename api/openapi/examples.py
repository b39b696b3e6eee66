"""One example of each body and answer, as values of the types themselves, so that the type checker holds them."""

from datetime import UTC, datetime
from typing import Any, get_args, get_origin
from uuid import UUID

import msgspec

from api import (
    accounts,
    bookings,
    catalogue,
    health,
    holds,
    operator_check_in,
    operators,
    payments,
    refunds,
    seats,
    tickets,
)
from api import booking_json as booking
from api import operator_cancellation as cancellation
from api import operator_catalogue as programme
from api import operator_json as operator
from api import operator_notifications as notifications
from api import operator_refunds as owed
from api import operator_webhooks as webhooks
from api.openapi.parameters import HOLD_EXAMPLE, REFUND_EXAMPLE, SESSION_EXAMPLE, TICKET_CODE_EXAMPLE, TICKET_EXAMPLE
from api.wire import Page
from engine.catalogue import records
from engine.catalogue.layouts import LayoutAnswer, Seat
from engine.catalogue.policies import PolicyOverrides
from engine.orders.gateways.protocol import PaymentEvent
from engine.webhooks import endpoints

AT = "2026-11-21T08:00:00.000Z"
LATER = "2026-11-21T08:10:00.000Z"
START = datetime(2026, 11, 21, 12, 30, tzinfo=UTC)
USER = "6f1c2b7a-4a7e-4b7e-9d39-0d6f4f4b7a11"
PRICES = {"REGULAR": 5_000_000, "PREMIUM": 7_500_000}

_USER = accounts.UserAnswer(USER, "budi@example.org", "Budi", None, "id", "customer", guest=False)
_CINEMA = catalogue.CinemaAnswer(
    3, "teater-kencana", "Teater Kencana", "Jl. Thamrin 1", "Jakarta", "jakarta", "Asia/Jakarta", 4
)
_SHOWTIME: dict[str, Any] = {
    "id": 42,
    "status": "ON_SALE",
    "starts_at": "2026-11-21T12:30:00.000Z",
    "ends_at": "2026-11-21T14:20:00.000Z",
    "sales_open_at": "2026-11-14T00:00:00.000Z",
    "sales_stop_at": "2026-11-21T12:30:00.000Z",
    "timezone": "Asia/Jakarta",
    "city": "Jakarta",
    "cinema": catalogue.ShowtimeCinema(3, "teater-kencana", "Teater Kencana"),
    "auditorium": catalogue.ShowtimeAuditorium(7, "Audi 1"),
    "movie": catalogue.ShowtimeMovie(5, "laut-bercerita", "Laut Bercerita", "R13+", 110),
    "layout_version": 9,
    "seats": 120,
    "seats_available": 87,
    "prices": PRICES,
    "lowest_price": 5_000_000,
    "currency": "IDR",
}
_SHOWN = catalogue.ShowtimeAnswer(**_SHOWTIME)
_CANCELLED: dict[str, Any] = {
    "showtime_id": 42,
    "bookings": 171,
    "tickets": 380,
    "money": [cancellation.Amount(2_850_000_000, "IDR")],
    "status": "CANCELLED",
    "reason": "The projector is broken",
    "cancelled_by": USER,
    "cancelled_at": AT,
    "progress": "/api/v1/admin/showtimes/42/cancellation",
}
_PAYMENT = booking.PaymentAnswer(
    SESSION_EXAMPLE, "PENDING", 15_000_000, "IDR", f"https://pay.example/{SESSION_EXAMPLE}", LATER, AT, None
)
_TICKET = booking.TicketAnswer(TICKET_EXAMPLE, "C7", "C", "7", "PREMIUM", 7_500_000, "IDR", "SOLD", AT, SESSION_EXAMPLE)
_REFUND = booking.RefundAnswer(
    id=REFUND_EXAMPLE,
    session_id=SESSION_EXAMPLE,
    status="QUEUED",
    amount=3_750_000,
    currency="IDR",
    reason="customer",
    comment="We are ill",
    tickets=(TICKET_EXAMPLE,),
    created_at=AT,
    settled_at=None,
)
_OWED: dict[str, Any] = {
    "id": REFUND_EXAMPLE,
    "status": "MANUAL",
    "amount": 3_750_000,
    "currency": "IDR",
    "reason": "customer",
    "comment": "We are ill",
    "booking_id": HOLD_EXAMPLE,
    "showtime_id": 42,
    "cinema_id": 3,
    "gateway": "fake",
    "session_id": SESSION_EXAMPLE,
    "gateway_refund": None,
    "failure_code": "insufficient_funds",
    "attempts": 5,
    "due_at": None,
    "created_at": AT,
    "updated_at": LATER,
    "settled_at": None,
    "settled_by": None,
    "note": None,
    "tickets": [owed.RefundedTicketAnswer(TICKET_EXAMPLE, "C7", 3_750_000)],
}
_BOOKING = booking.BookingAnswer(
    id=HOLD_EXAMPLE,
    showtime_id=42,
    status="PENDING",
    status_reason=None,
    comment=None,
    settling=False,
    movie="Laut Bercerita",
    cinema="Teater Kencana",
    auditorium="Audi 1",
    starts_at="2026-11-21T12:30:00.000Z",
    timezone="Asia/Jakarta",
    seats=[booking.BookedSeatAnswer("C7", "C", "7", "PREMIUM", 7_500_000)],
    amount=7_500_000,
    currency="IDR",
    email="budi@example.org",
    phone=None,
    payment=None,
    tickets=[],
    refund=None,
    refunds=[],
    actions=("pay", "cancel"),
    server_time=AT,
    expires_at=LATER,
    expires_in_ms=600_000,
)

_EXAMPLES: tuple[msgspec.Struct, ...] = (
    # holds and seats
    holds.ClaimBody(("C7", "C8")),
    holds.ChangeBody(add=("C9",), remove=("C7",)),
    holds.HoldAnswer(
        id=HOLD_EXAMPLE,
        showtime_id=42,
        seats=[holds.SeatAnswer("C7", "PREMIUM", 7_500_000), holds.SeatAnswer("C8", "PREMIUM", 7_500_000)],
        amount=15_000_000,
        currency="IDR",
        status="HELD",
        expires_at=LATER,
        expires_in_ms=600_000,
        server_time=AT,
        extensions_left=10,
        extendable_until="2026-11-21T08:30:00.000Z",
    ),
    seats.SeatMapAnswer(
        42,
        1_795_000_000_000,
        "IDR",
        [seats.SeatLine("C7", "C", "7", "PREMIUM", 7_500_000, "AVAILABLE")],
        seats.SummaryAnswer(1, 0, 0, 0, 0),
        AT,
    ),
    seats.AvailableAnswer(42, 1_795_000_000_000, {"REGULAR": ["A1"], "PREMIUM": ["C7", "C8"]}, AT),
    seats.AvailabilityAnswer(42, 1_795_000_000_000, "gA==", "AA==", "AA==", "AA==", AT),
    # bookings and payments
    bookings.CheckOutBody(hold_id=HOLD_EXAMPLE, email="budi@example.org"),
    bookings.CancelBody("Wrong day"),
    _BOOKING,
    _TICKET,
    tickets.ETicketAnswer(
        **msgspec.structs.asdict(_TICKET),
        valid=True,
        code=TICKET_CODE_EXAMPLE,
        links=tickets.TicketLinks(
            *(f"/api/v1/tickets/{TICKET_CODE_EXAMPLE}.{of}" for of in ("svg", "png", "pdf", "ics"))
        ),
    ),
    tickets.TicketKeysAnswer(
        [tickets.TicketKeyAnswer("OKP", "Ed25519", "sig", "1", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")]
    ),
    refunds.RefundBody("We are ill", (TICKET_EXAMPLE,), 3_750_000),
    refunds.QuoteAnswer(
        amount=3_750_000,
        currency="IDR",
        percent=50,
        rule="2h:50",
        valid_until="2026-11-21T10:30:00.000Z",
        tickets=[refunds.QuotedTicketAnswer(TICKET_EXAMPLE, "C7", 7_500_000, 3_750_000)],
        server_time=AT,
    ),
    refunds.RefundedAnswer(_REFUND, _BOOKING),
    payments.PaymentBody(),
    _PAYMENT,
    PaymentEvent(
        id="evt_1", type="payment.success", session_id=SESSION_EXAMPLE, amount_minor=15_000_000, currency="IDR"
    ),
    payments.EventAnswer("processed"),
    payments.SimulateBody("success"),
    payments.SimulateAnswer(SESSION_EXAMPLE, "success", 200),
    # catalogue
    records.City(id=1, slug="jakarta", name="Jakarta", timezone="Asia/Jakarta", cinemas=12),
    _CINEMA,
    records.Movie(
        id=5,
        slug="laut-bercerita",
        title="Laut Bercerita",
        synopsis="",
        duration_minutes=110,
        rating="R13+",
        genres=("Drama",),
        showtimes=31,
    ),
    _SHOWN,
    catalogue.ShowtimePage([_SHOWN], None, AT),
    LayoutAnswer(9, "Audi 1", 800.0, 600.0, (Seat(0, "C7", "C", "7", "PREMIUM", "", 100.0, 120.0),)),
    # accounts
    accounts.RegisterBody("budi@example.org", "a long enough password", "Budi", locale="id"),
    accounts.LoginBody("budi@example.org", "a long enough password"),
    accounts.RefreshBody("eyJhbGciOi..."),
    accounts.SessionAnswer("eyJhbGciOi...", "Bearer", 3_600, "eyJhbGciOi...", _USER),
    _USER,
    # operators
    records.NewCinema(name="Teater Kencana", city="Jakarta", timezone="Asia/Jakarta"),
    records.CinemaChange(address="Jl. Thamrin 2", policy=PolicyOverrides(hold_ttl_s=480)),
    records.Cinema(
        id=3,
        slug="teater-kencana",
        name="Teater Kencana",
        address="Jl. Thamrin 1",
        city="Jakarta",
        city_slug="jakarta",
        timezone="Asia/Jakarta",
        auditoriums=4,
        policy={},
    ),
    records.NewAuditorium(
        cinema_id=3,
        name="Audi 1",
        floor_plan=records.DrawnLayout(name="Audi 1", lines=("A RRRR__RRRR", "B PPPP__PPPP")),
    ),
    records.AuditoriumChange(name="Audi 2"),
    records.Auditorium(
        id=7,
        name="Audi 1",
        cinema_id=3,
        cinema="Teater Kencana",
        layout_id=9,
        layout="Audi 1",
        seat_count=16,
        tiers=("REGULAR", "PREMIUM"),
    ),
    records.NewMovie(title="Laut Bercerita", duration_minutes=110, rating="R13+", genres=("Drama",)),
    records.MovieChange(synopsis="The sea tells."),
    records.NewShowtime(
        auditorium_id=7, movie_id=5, starts_at=START, prices={"REGULAR": 5_000_000, "PREMIUM": 7_500_000}
    ),
    records.ShowtimeChange(prices={"REGULAR": 4_000_000, "PREMIUM": 6_000_000}),
    programme.OperatorShowtimeAnswer(
        **_SHOWTIME,
        stored_status="OPEN",
        status_reason=None,
        policy={},
        cinema_policy={},
        redis_key="sl{p7}:42:meta",
        server_time=AT,
    ),
    operators.ReasonBody("The projector is broken"),
    cancellation.CancelShowtimeBody("The projector is broken"),
    cancellation.CancellationPreviewAnswer(42, 171, 380, [cancellation.Amount(2_850_000_000, "IDR")]),
    cancellation.CancellationAnswer(**_CANCELLED),
    cancellation.CancellationProgressAnswer(
        **_CANCELLED,
        bookings_ended=171,
        tickets_refunded=380,
        seats_restocked=200,
        refunds=[cancellation.RefundSumsAnswer(2_850_000_000, "IDR", "QUEUED", 171)],
        closed_at=AT,
        done_at=None,
        server_time=AT,
    ),
    operators.FreezeAllBody("A storm", cinema=3),
    operators.FrozenAnswer(12),
    operators.OpenAnswer(12),
    operators.BlockBody(("A1", "A2"), "House seats"),
    operator.BlockAnswer(
        11,
        42,
        ["A1", "A2"],
        "House seats",
        None,
        evict=False,
        created_by=USER,
        created_at=AT,
        release_at=None,
        released_at=None,
    ),
    operator.HoldLineAnswer(
        HOLD_EXAMPLE, "HELD", ["C7"], AT, payment_open=False, expires_at=LATER, expires_in_ms=600_000, server_time=AT
    ),
    operator.HoldPage([], None, 0),
    operator.ActAnswer(1, USER, "freeze_showtime", "showtime:42", "The projector is broken", {}, AT),
    operator.CaseAnswer(1, "evt_1", "wrong_amount", 42, HOLD_EXAMPLE, SESSION_EXAMPLE, {}, AT, None),
    owed.RetryBody("They have funds again"),
    owed.SettleBody("Bank transfer 2026-11-21/17"),
    owed.OperatorRefundAnswer(**_OWED),
    owed.RefundHistoryAnswer(
        **_OWED, history=[owed.RefundAttemptAnswer(5, "FAILED", "insufficient balance", AT, LATER)]
    ),
    operator_check_in.CheckInBody(42, "North"),
    operator_check_in.CheckInAnswer(
        ticket=_TICKET.id,
        status="USED",
        booking_id=HOLD_EXAMPLE,
        seat="C7",
        row="C",
        number="7",
        tier="PREMIUM",
        showtime=42,
        movie="Laut Bercerita",
        auditorium="Audi 1",
        starts_at="2026-11-21T12:30:00.000Z",
        gate="North",
        used_at=AT,
    ),
    # notifications
    notifications.LookUpBody(UUID(HOLD_EXAMPLE), "budi@example.org"),
    notifications.LOOKED_UP,
    notifications.NotificationAnswer(
        id=9,
        business_id=f"mail:ticket:{HOLD_EXAMPLE}",
        kind="ticket",
        channel="mail",
        recipient="budi@example.org",
        locale="id",
        showtime_id=42,
        booking_id=HOLD_EXAMPLE,
        refund_id=None,
        status="DEAD",
        attempts=1,
        due_at=None,
        error="550 no such user",
        created_at=AT,
        ended_at=LATER,
    ),
    # outgoing webhooks
    endpoints.NewEndpoint(
        url="https://hooks.example.org/seatlock", events=("booking.confirmed", "refund.settled"), cinema_id=3
    ),
    endpoints.EndpointChange(rotate_secret=True),
    webhooks.EndpointAnswer(
        id=7,
        url="https://hooks.example.org/seatlock",
        events=["booking.confirmed", "refund.settled"],
        cinema_id=3,
        description="",
        active=True,
        off_reason=None,
        off_at=None,
        failing_since=None,
        created_by=USER,
        created_at=AT,
    ),
    webhooks.DeliveryAnswer(
        id=1207,
        endpoint_id=7,
        event_id="msg_6f1c2b7a-4a7e-4b7e-9d39-0d6f4f4b7a11",
        type="booking.confirmed",
        status="PENDING",
        created_at=AT,
        due_at=LATER,
        ended_at=None,
        attempts=[webhooks.AttemptAnswer(1, AT, 212, 503, "busy", None)],
    ),
    # service
    health.HealthAnswer("ok", health.VERSION, 1, health.Dependencies("ok", "ok"), AT),
)
_BY_TYPE = {type(example): example for example in _EXAMPLES}


def example_of(kind: Any) -> Any:
    """Give an example of a body or answer as JSON would have it; a page has one item.

    Raises:
        KeyError: there is none.
    """
    if get_origin(kind) is Page:
        (of,) = get_args(kind)
        return {"items": [example_of(of)], "next_cursor": None}
    return msgspec.to_builtins(_BY_TYPE[kind])

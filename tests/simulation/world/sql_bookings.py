"""Statements of `sql/queries/` about bookings, payments and captures; each function bears the name of its file."""

from asyncpg import UniqueViolationError

from tests.simulation.world.tables import Row, ms, unix_ms


def _seats_of(t, booking):
    return sorted((row for (of, _), row in t.booking_seats.items() if of == booking), key=lambda row: row["seat_index"])


def _captures_of(t, booking):
    return [row for row in t.captures.values() if row["booking_id"] == booking]


def _money_at_work(t, booking):
    """Whether a booking has money whose outcome is not REFUND."""
    return any(row["outcome"] != "REFUND" for row in _captures_of(t, booking))


def insert_booking(t, id, showtime, subject, email, phone, locale, owner, claimed_at, amount, currency, expires_at):
    if id not in t.bookings:
        _enter(t, id, showtime, subject, email, phone, locale, "PENDING", None, owner, claimed_at, amount, currency,
               expires_at)  # fmt: skip


def _enter(t, id, showtime, subject, email, phone, locale, status, reason, owner, claimed_at, amount, currency, until):
    if id in t.bookings:
        raise UniqueViolationError("bookings_pkey")
    t.put(
        "bookings",
        id,
        Row(
            id=id, showtime_id=showtime, subject=subject, email=email, phone=phone, locale=locale, status=status,
            status_reason=reason, owner_number=owner, claimed_at=claimed_at, amount_minor=amount, currency=currency,
            expires_at=until, created_at=t.now, comment=None, archived_at=None, look_due=None,
        ),
    )  # fmt: skip


def insert_ended_bookings(t, *columns):
    for row in zip(*columns, strict=True):
        _enter(t, *row)


def insert_booking_seats(t, *columns):
    for booking, index, seat, tier, price in zip(*columns, strict=True):
        if (booking, index) not in t.booking_seats:
            row = Row(booking_id=booking, seat_index=index, seat=seat, tier=tier, price_minor=price)
            t.put("booking_seats", (booking, index), row)


def delete_booking_seats(t, booking):
    for key in [key for key in t.booking_seats if key[0] == booking]:
        del t.write("booking_seats")[key]


def list_booking_seats(t, bookings):
    return [row for booking in bookings for row in _seats_of(t, booking)]


def renew_booking(t, id, email, phone, locale, amount, currency, expires_at):
    t.change("bookings", id, email=email, phone=phone, locale=locale, amount_minor=amount, currency=currency,
             expires_at=expires_at)  # fmt: skip


def lock_booking(t, id):
    names = ("id", "showtime_id", "subject", "status", "amount_minor", "currency", "archived_at")
    return _columns([t.bookings[id]] if id in t.bookings else [], names)


def lock_bookings(t, ids):
    names = ("id", "showtime_id", "subject", "status", "status_reason", "amount_minor", "currency")
    return _columns([t.bookings[id] for id in sorted(ids) if id in t.bookings], names)


def _columns(rows, names):
    return [Row((name, row[name]) for name in names) for row in rows]


def find_booking_showtime(t, id):
    return _columns([t.bookings[id]] if id in t.bookings else [], ("showtime_id",))


def update_bookings(t, ids, status, reason):
    for id in ids:
        if id in t.bookings:
            t.change("bookings", id, status=status, status_reason=reason)


def end_booking(t, id, status, reason):
    row = t.bookings.get(id)
    if row is None or row["status"] != "PENDING" or _money_at_work(t, id):
        return []
    t.change("bookings", id, status=status, status_reason=reason)
    return [Row(id=id)]


def cancel_bookings(t, ids):
    return [row for id in ids for row in end_booking(t, id, "CANCELLED", "showtime_cancelled")]


def comment_booking(t, id, comment):
    row = t.bookings.get(id)
    if row and comment and (row["status"], row["status_reason"], row["comment"]) == ("CANCELLED", "customer", None):
        t.change("bookings", id, comment=comment)


def move_booking_deadline(t, id, expires_at):
    if id in t.bookings and t.bookings[id]["status"] == "PENDING":
        t.change("bookings", id, expires_at=expires_at)


def _overdue_since(row):
    return max(row["expires_at"], row["look_due"] or row["expires_at"])


def overdue_bookings(t, limit):
    due = [
        row
        for id, row in t.bookings.items()
        if row["status"] == "PENDING"
        and _overdue_since(row) < t.now - ms(5000)
        and not any(capture["outcome"] is None for capture in _captures_of(t, id))
    ]
    due.sort(key=_overdue_since)
    for row in due[:limit]:
        t.change("bookings", row["id"], look_due=t.now + ms(5000))
    return [Row(id=row["id"]) for row in due[:limit]]


def refund_booking(t, id, reason, also_pending):
    row = t.bookings.get(id)
    open_states = ("EXPIRED", "PENDING") if also_pending else ("EXPIRED",)
    if row is not None and row["status"] in open_states and not _money_at_work(t, id):
        t.change("bookings", id, status="REFUNDED", status_reason=reason)


# --- Payments


def insert_payment(t, session, gateway, booking, amount, currency, return_url, cancel_url, expires_at):
    if session in t.payments:
        raise UniqueViolationError("payments_pkey")
    row = Row(
        session_id=session, gateway=gateway, booking_id=booking, status="PENDING", amount_minor=amount,
        currency=currency, payment_url=None, return_url=return_url, cancel_url=cancel_url, failure_code=None,
        expires_at=expires_at, created_at=t.now,
    )  # fmt: skip
    t.put("payments", session, row)


def _payment_record(row):
    record = Row((name, value) for name, value in row.items() if name not in ("expires_at", "created_at"))
    record["expires_at_ms"], record["created_at_ms"] = unix_ms(row["expires_at"]), unix_ms(row["created_at"])
    return record


def read_payment(t, session):
    return [_payment_record(t.payments[session])] if session in t.payments else []


def find_live_payment(t, booking, now_ms):
    live = [
        row
        for row in t.payments.values()
        if row["booking_id"] == booking and row["status"] == "PENDING" and unix_ms(row["expires_at"]) > now_ms
    ]
    return [_payment_record(max(live, key=lambda row: row["created_at"]))] if live else []


def find_payment_to_judge(t, gateway, session):
    row = t.payments.get(session)
    if row is None or row["gateway"] != gateway:
        return []
    booking, place = row["booking_id"], (row["created_at"], session)
    newest = not any(
        other["booking_id"] == booking and (other["created_at"], other["session_id"]) > place
        for other in t.payments.values()
    )
    names = ("booking_id", "status", "amount_minor", "currency")
    of = ((name, row[name]) for name in names)
    return [Row(of, showtime_id=t.bookings[booking]["showtime_id"], newest=newest)]


def end_payment(t, gateway, session, status, failure_code):
    row = t.payments.get(session)
    if row is None or row["gateway"] != gateway or row["status"] == status:
        return
    if row["status"] == "PENDING" or status == "SUCCESS":
        t.change("payments", session, status=status, failure_code=failure_code or row["failure_code"])


def expire_payments(t, bookings):
    for row in list(t.payments.values()):
        if row["booking_id"] in bookings and row["status"] == "PENDING":
            t.change("payments", row["session_id"], status="EXPIRED")


def store_payment_url(t, session, url):
    if session in t.payments and t.payments[session]["payment_url"] is None:
        t.change("payments", session, payment_url=url)


def insert_payment_event(t, gateway, event, type, session, body):
    if (gateway, event) in t.payment_events:
        return []
    t.put("payment_events", (gateway, event), Row(event_id=event, type=type, session_id=session, body=body))
    return [Row(bool=True)]


def list_unknown_events(t, gateway, events):
    return [Row(event_id=event) for event in events if (gateway, event) not in t.payment_events]


# --- Captures


def insert_capture(t, gateway, session, booking, amount, currency, outcome):
    if (gateway, session) in t.captures:
        return []
    row = Row(
        gateway=gateway, session_id=session, booking_id=booking, amount_minor=amount, currency=currency,
        captured_at=t.now, outcome=outcome, settle_due=t.now + ms(10_000), tries=0,
    )  # fmt: skip
    t.put("captures", (gateway, session), row)
    return [Row(bool=True)]


def _capture_record(t, row):
    booking = t.bookings.get(row["booking_id"])
    return Row(
        gateway=row["gateway"], session_id=row["session_id"], amount_minor=row["amount_minor"],
        currency=row["currency"], captured_at_ms=unix_ms(row["captured_at"]), outcome=row["outcome"],
        booking_id=row["booking_id"], showtime=booking and booking["showtime_id"],
        subject=booking and booking["subject"],
        seats=[seat["seat_index"] for seat in _seats_of(t, row["booking_id"])],
    )  # fmt: skip


def read_capture(t, gateway, session):
    row = t.captures.get((gateway, session))
    return [_capture_record(t, row)] if row else []


def read_outcome(t, gateway, session):
    return _columns([t.captures[gateway, session]] if (gateway, session) in t.captures else [], ("outcome",))


def find_capture_booking(t, gateway, session):
    return _columns([t.captures[gateway, session]] if (gateway, session) in t.captures else [], ("booking_id",))


def find_working_capture(t, booking, gateway, session):
    return [
        Row(
            exists=any(
                row["outcome"] != "REFUND" and (row["gateway"], row["session_id"]) != (gateway, session)
                for row in _captures_of(t, booking)
            )
        )
    ]


def refuse_capture(t, gateway, session):
    row = t.captures.get((gateway, session))
    if row is None or row["outcome"] is not None:
        return []
    t.change("captures", (gateway, session), outcome="REFUND")
    return _columns([row], ("amount_minor", "currency"))


def lock_captures(t, gateway, sessions):
    names = ("gateway", "session_id", "booking_id", "amount_minor", "currency", "outcome")
    keys = sorted((gateway, session) for session in set(sessions))
    return _columns([t.captures[key] for key in keys if key in t.captures], names)


def update_captures(t, gateway, sessions, outcome):
    for session in sessions:
        row = t.captures.get((gateway, session))
        if row is not None and row["outcome"] is None:
            t.change("captures", (gateway, session), outcome=outcome)


def due_captures(t, limit):
    due = [row for row in t.captures.values() if row["outcome"] is None and row["settle_due"] <= t.now]
    taken = []
    for row in sorted(due, key=lambda row: row["settle_due"])[:limit]:
        wait = ms(min(2 ** (row["tries"] + 2), 60) * 1000)
        key = (row["gateway"], row["session_id"])
        taken.append(t.change("captures", key, tries=row["tries"] + 1, settle_due=t.now + wait))
    return [_capture_record(t, row) for row in taken]


def list_open_sales(t, showtime):
    rows = [
        row
        for row in t.captures.values()
        if row["outcome"] is None and row["booking_id"] and t.bookings[row["booking_id"]]["showtime_id"] == showtime
    ]
    rows.sort(key=lambda row: (row["captured_at"], row["session_id"]))
    return [
        Row(
            gateway=row["gateway"], session_id=row["session_id"], booking_id=row["booking_id"],
            owner_number=t.bookings[row["booking_id"]]["owner_number"],
            seats=[seat["seat_index"] for seat in _seats_of(t, row["booking_id"])],
        )
        for row in rows
    ]  # fmt: skip


def list_unsettled_showtimes(t, limit):
    found = {
        t.bookings[row["booking_id"]]["showtime_id"]
        for row in t.captures.values()
        if row["outcome"] is None and row["booking_id"] and row["captured_at"] < t.now - ms(20_000) and row["tries"] > 0
    }
    return [Row(showtime_id=showtime) for showtime in sorted(found)[:limit]]


# --- Everything about one booking


def read_booking(t, id):
    row = t.bookings.get(id)
    return [] if row is None else [booking_record(t, row)]


def booking_record(t, row):
    """Give a row of the view `booking_records`."""
    id = row["id"]
    return Row(
        id=id, showtime=row["showtime_id"], subject=row["subject"], email=row["email"], phone=row["phone"],
        locale=row["locale"], status=row["status"], status_reason=row["status_reason"],
        amount_minor=row["amount_minor"], currency=row["currency"], expires_at_ms=unix_ms(row["expires_at"]),
        created_at_ms=unix_ms(row["created_at"]),
        seats=[
            {"index": seat["seat_index"]} | {name: seat[name] for name in ("seat", "tier", "price_minor")}
            for seat in _seats_of(t, id)
        ],
        payments=_json(_payment_record(row) for row in t.payments.values() if row["booking_id"] == id),
        captures=_json(_capture_record(t, row) for row in _captures_of(t, id)),
        tickets=ticket_records(t, id),
        refunds=_refund_records(t, id),
        comment=row["comment"],
    )  # fmt: skip


def _json(rows):
    """Give rows as JSON has them: ids are text."""
    return [
        {name: str(value) if name == "booking_id" and value else value for name, value in row.items()} for row in rows
    ]


def ticket_records(t, booking):
    """Give the tickets of a booking as the view has them."""
    rows = sorted(
        (row for row in t.tickets.values() if row["booking_id"] == booking),
        key=lambda row: (row["sold_at"], row["seat_index"]),
    )
    names = ("seat_index", "seat", "tier", "price_minor", "currency", "status", "session_id", "sale_number")
    return [
        {"id": str(row["id"]), "sold_at_ms": unix_ms(row["sold_at"])} | {name: row[name] for name in names}
        for row in rows
    ]


def _refund_records(t, booking):
    rows = sorted(
        (row for row in t.refunds.values() if row["booking_id"] == booking),
        key=lambda row: (row["created_at"], row["id"]),
    )
    names = ("session_id", "amount_minor", "currency", "reason", "comment", "status")
    return [
        {
            "id": str(row["id"]),
            "created_at_ms": unix_ms(row["created_at"]),
            "updated_at_ms": unix_ms(row["updated_at"]),
            "settled_at_ms": unix_ms(row["settled_at"]),
            "tickets": [str(ticket) for refund, ticket in t.refund_tickets if refund == row["id"]],
        }
        | {name: row[name] for name in names}
        for row in rows
    ]

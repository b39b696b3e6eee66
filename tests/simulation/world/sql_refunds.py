"""Statements of `sql/queries/` about refunds, cancellations, requests, cases; each function bears its file's name."""

from datetime import timedelta

from asyncpg import CheckViolationError

from tests.simulation.world.sql_bookings import ticket_records
from tests.simulation.world.tables import Row, ms, unix_ms


def _sum_of(t, gateway, session):
    return sum(
        row["amount_minor"]
        for row in t.refunds.values()
        if (row["gateway"], row["session_id"]) == (gateway, session)
    )  # fmt: skip


def _known(t, business_id):
    return any(row["business_id"] == business_id for row in t.refunds.values())


def _owe(t, id, business_id, gateway, session, booking, amount, currency, reason, comment=None):
    """Insert a refund once per business id; never more than was captured."""
    if _known(t, business_id):
        return False
    capture = t.captures[gateway, session]
    if _sum_of(t, gateway, session) + amount > capture["amount_minor"] or currency != capture["currency"]:
        raise CheckViolationError("refunds_within_capture")
    row = Row(
        id=id, business_id=business_id, gateway=gateway, session_id=session, booking_id=booking,
        amount_minor=amount, currency=currency, reason=reason, status="QUEUED", created_at=t.now, updated_at=t.now,
        comment=comment, attempts=0, attempts_before=0, due_at=t.now, gateway_refund=None, failure_code=None,
        settled_by=None, settled_at=None,
    )  # fmt: skip
    t.put("refunds", id, row)
    return True


def insert_refunds(t, *columns):
    for row in zip(*columns, strict=True):
        _owe(t, *row)


def insert_ticket_refund(t, id, business_id, gateway, session, booking, currency, comment, tickets, amounts):
    if _owe(t, id, business_id, gateway, session, booking, sum(amounts), currency, "customer", comment):
        for ticket, amount in zip(tickets, amounts, strict=True):
            t.put("refund_tickets", (id, ticket), Row(amount_minor=amount))


def _paid_for(t, ticket):
    return sum(row["amount_minor"] for (_, of), row in t.refund_tickets.items() if of == ticket)


def insert_rest_refunds(t, ids, names, gateways, sessions):
    owed = []
    for id, name, gateway, session in zip(ids, names, gateways, sessions, strict=True):
        capture = t.captures[gateway, session]
        rest = capture["amount_minor"] - _sum_of(t, gateway, session)
        comment = next(
            (
                row["reason"]
                for row in t.cancellations.values()
                if row["showtime_id"] == t.bookings[capture["booking_id"]]["showtime_id"]
            ),
            None,
        )
        money = (gateway, session, capture["booking_id"], rest, capture["currency"], "showtime_cancelled", comment)
        if rest > 0 and _owe(t, id, name, *money):
            owed.append(Row(id=id))
    return owed


def insert_rest_refund_tickets(t, ids):
    for id in ids:
        refund = t.refunds[id]
        for ticket, row in t.tickets.items():
            if (row["gateway"], row["session_id"]) == (refund["gateway"], refund["session_id"]):
                rest = row["price_minor"] - _paid_for(t, ticket)
                if rest > 0 and (id, ticket) not in t.refund_tickets:
                    t.put("refund_tickets", (id, ticket), Row(amount_minor=rest))


def end_refunded_booking(t, id, reason):
    row = t.bookings[id]
    whole = all(ticket["status"] == "REFUNDED" for ticket in t.tickets.values() if ticket["booking_id"] == id)
    if row["status"] == "CONFIRMED" and whole:
        t.change("bookings", id, status="REFUNDED", status_reason=reason)


def read_refund_case(t, booking):
    row = t.bookings.get(booking)
    if row is None:
        return []
    showtime = t.showtimes[row["showtime_id"]]
    return [
        Row(
            subject=row["subject"], booking_status=row["status"], showtime_status=showtime["status"],
            starts_at=showtime["starts_at"], now=t.clock, currency=row["currency"], policy=showtime["policy"],
            cinema_policy=showtime["cinema_policy"], tickets=ticket_records(t, booking),
        )
    ]  # fmt: skip


# --- On their way to the gateway


def due_refunds(t, limit, gateway, lease):
    due = [row for row in t.refunds.values() if row["due_at"] is not None and row["due_at"] <= t.now]
    taken = []
    for row in sorted(due, key=lambda row: row["due_at"])[:limit]:
        wait = lease if row["gateway"] == gateway else timedelta(hours=1)
        t.change("refunds", row["id"], due_at=t.now + wait)
        last = t.refund_attempts.get((row["id"], row["attempts"]))
        names = ("id", "gateway", "session_id", "amount_minor", "currency", "reason", "attempts")
        taken.append(
            Row(
                ((name, row[name]) for name in names),
                tries=row["attempts"] - row["attempts_before"],
                pending=last is not None and last["outcome"] == "PENDING",
            )
        )
    return taken


def end_lost_attempts(t, ids):
    for key, row in list(t.refund_attempts.items()):
        if key[0] in ids and row["ended_at"] is None:
            t.change("refund_attempts", key, ended_at=t.now, outcome="UNKNOWN")


def begin_refund_attempts(t, ids):
    for id in ids:
        row = t.change("refunds", id, status="PROCESSING", attempts=t.refunds[id]["attempts"] + 1)
        t.put("refund_attempts", (id, row["attempts"]), Row(begun_at=t.now, ended_at=None, outcome=None))


def lock_refund(t, id):
    row = t.refunds.get(id)
    if row is None:
        return []
    names = ("id", "gateway", "session_id", "status", "attempts")
    tries = row["attempts"] - row["attempts_before"]
    return [Row(((name, row[name]) for name in names), tries=tries, settled_by=row["settled_by"])]


def read_refund_attempt(t, id, attempt):
    row = t.refund_attempts.get((id, attempt))
    return [Row(outcome=row["outcome"], age=t.clock - row["begun_at"])] if row else []


def end_refund_attempt(t, id, attempt, outcome, error):
    row = t.refund_attempts.get((id, attempt))
    if row is not None and (row["outcome"] or "UNKNOWN") in ("PENDING", "UNKNOWN"):
        t.change("refund_attempts", (id, attempt), ended_at=t.clock, outcome=outcome)


def move_refund(t, id, status, pause, gateway_refund, failure_code):
    row = t.refunds[id]
    t.change(
        "refunds", id, status=status, due_at=None if pause is None else t.clock + pause,
        gateway_refund=gateway_refund or row["gateway_refund"], failure_code=failure_code,
        settled_at=t.clock if status == "SETTLED" else None, updated_at=t.clock,
    )  # fmt: skip


def retry_refund(t, id):
    row = t.refunds[id]
    t.change("refunds", id, status="QUEUED", due_at=t.now, attempts_before=row["attempts"], settled_at=None)


# --- Cancelled showtimes


def read_showtime_end(t, showtime):
    row = t.showtimes.get(showtime)
    if row is None:
        return []
    cancelled = row["status"] == "CANCELLED"
    return [Row(cancelled=cancelled, ends_at_ms=unix_ms(row["ends_at"]), now_ms=unix_ms(t.clock))]


def _left(t, showtime):
    bookings = [row for row in t.bookings.values() if row["showtime_id"] == showtime]
    tickets = [row for row in t.tickets.values() if row["showtime_id"] == showtime]
    waiting = sum(row["status"] in ("PENDING", "CONFIRMED") for row in bookings)
    live = sum(row["status"] in ("SOLD", "USED") for row in tickets)
    return waiting, live, sum(row["restock_due"] is not None for row in tickets)


def preview_cancellation(t, showtime):
    money = {}
    for row in t.captures.values():
        booking = t.bookings.get(row["booking_id"])
        if booking and booking["showtime_id"] == showtime and row["outcome"] != "REFUND":
            owed = row["amount_minor"] - _sum_of(t, row["gateway"], row["session_id"])
            money[row["currency"]] = money.get(row["currency"], 0) + owed
    waiting, live, _ = _left(t, showtime)
    return [Row(bookings=waiting, tickets=live, money={name: owed for name, owed in money.items() if owed > 0})]


def update_showtime_status(t, showtime, status, reason):
    if t.showtimes[showtime]["status"] == "CANCELLED":
        return []
    t.change("showtimes", showtime, status=status, status_reason=reason)
    return [Row(id=showtime)]


def insert_act(t, actor, verb, subject, reason, details):
    number = len(t.acts) + 1
    t.put("acts", number, Row(actor=actor, verb=verb, subject=subject))
    return [Row(id=number)]


def insert_cancellation(t, showtime, reason, actor, bookings, tickets, money):
    if showtime not in t.cancellations:
        row = Row(
            showtime_id=showtime, reason=reason, cancelled_by=actor, cancelled_at=t.now, bookings=bookings,
            tickets=tickets, money=money, closed_at=None, due_at=t.now, done_at=None,
        )  # fmt: skip
        t.put("cancellations", showtime, row)


def read_cancellation(t, showtime):
    row = t.cancellations.get(showtime)
    if row is None:
        return []
    sums = {}
    for refund in t.refunds.values():
        booking = t.bookings.get(refund["booking_id"])
        if booking and booking["showtime_id"] == showtime and refund["reason"] == "showtime_cancelled":
            count, amount = sums.get((refund["currency"], refund["status"]), (0, 0))
            sums[refund["currency"], refund["status"]] = (count + 1, amount + refund["amount_minor"])
    waiting, live, seats = _left(t, showtime)
    return [
        Row(
            showtime=showtime, reason=row["reason"], cancelled_by=row["cancelled_by"],
            cancelled_at_ms=unix_ms(row["cancelled_at"]), bookings=row["bookings"], tickets=row["tickets"],
            money=row["money"], closed_at_ms=unix_ms(row["closed_at"]), done_at_ms=unix_ms(row["done_at"]),
            bookings_left=waiting, tickets_left=live, seats_left=seats,
            refunds=[
                {"status": status, "currency": currency, "refunds": count, "amount_minor": amount}
                for (currency, status), (count, amount) in sorted(sums.items())
            ],
        )
    ]  # fmt: skip


def close_cancellation(t, showtime):
    if showtime in t.cancellations and t.cancellations[showtime]["closed_at"] is None:
        t.change("cancellations", showtime, closed_at=t.now)


def due_cancellations(t, limit):
    due = [row for row in t.cancellations.values() if row["due_at"] is not None and row["due_at"] <= t.now][:limit]
    for row in due:
        pause = min(max((t.now - row["cancelled_at"]) / 20, ms(1000)), ms(60_000))
        t.change("cancellations", row["showtime_id"], due_at=t.now + pause)
    return [Row(showtime_id=row["showtime_id"], closed=row["closed_at"] is not None) for row in due]


def _bookings_of(t, showtime, status, limit):
    return [Row(id=id) for id, row in t.bookings.items() if row["showtime_id"] == showtime and row["status"] == status][
        :limit
    ]


def lock_unpaid_bookings(t, showtime, limit):
    idle = [
        row
        for row in _bookings_of(t, showtime, "PENDING", None)
        if not any(
            capture["booking_id"] == row["id"] and capture["outcome"] != "REFUND" for capture in t.captures.values()
        )
    ]
    return idle[:limit]


def lock_paid_bookings(t, showtime, limit):
    return _bookings_of(t, showtime, "CONFIRMED", limit)


def lock_short_bookings(t, showtime, limit):
    short = [
        row["booking_id"]
        for row in t.captures.values()
        if row["outcome"] == "TICKETS" and row["amount_minor"] > _sum_of(t, row["gateway"], row["session_id"])
    ]
    return [row for row in _bookings_of(t, showtime, "REFUNDED", None) if row["id"] in short][:limit]


def lock_captures_of(t, bookings):
    keys = [key for key, row in t.captures.items() if row["booking_id"] in bookings and row["outcome"] == "TICKETS"]
    return [Row(gateway=gateway, session_id=session) for gateway, session in sorted(keys)]


def refund_confirmed_bookings(t, bookings):
    for id in bookings:
        if t.bookings[id]["status"] == "CONFIRMED":
            t.change("bookings", id, status="REFUNDED", status_reason="showtime_cancelled")


def finish_cancellation(t, showtime):
    row = t.cancellations.get(showtime)
    waiting, _, seats = _left(t, showtime)
    open_money = any(
        capture["outcome"] is None
        and capture["booking_id"]
        and t.bookings[capture["booking_id"]]["showtime_id"] == showtime
        for capture in t.captures.values()
    )
    if row is None or row["done_at"] or row["closed_at"] is None or waiting or seats or open_money:
        return []
    t.change("cancellations", showtime, done_at=t.now, due_at=None)
    return [Row(showtime_id=showtime)]


# --- Requests, cases, how far the gateway was asked


def read_request(t, id):
    row = t.requests.get(id)
    return [Row(fingerprint=row["fingerprint"], answer=row["answer"])] if row else []


def keep_request(t, id, fingerprint, answer):
    t.put("requests", id, Row(fingerprint=fingerprint, answer=answer))


def insert_cases(t, *columns):
    for business_id, kind, showtime, booking, session, details in zip(*columns, strict=True):
        if business_id not in t.cases:
            row = Row(
                business_id=business_id, kind=kind, showtime_id=showtime, booking_id=booking, session_id=session,
                details=details,
            )  # fmt: skip
            t.put("cases", business_id, row)


def insert_gateway_cursor(t, gateway):
    if gateway not in t.gateway_cursors:
        made = [row["created_at"] for row in t.payments.values() if row["gateway"] == gateway]
        t.put("gateway_cursors", gateway, Row(asked_until=min(made, default=t.now), due_at=t.now))


def take_gateway_cursor(t, gateway, lease):
    row = t.gateway_cursors.get(gateway)
    if row is None or row["due_at"] > t.now:
        return []
    t.change("gateway_cursors", gateway, due_at=t.now + lease)
    return [Row(unix_ms=unix_ms(row["asked_until"]))]


def move_gateway_cursor(t, gateway, until_ms, pause):
    row = t.gateway_cursors[gateway]
    until = row["asked_until"]
    if until_ms > unix_ms(until):
        until = type(until).fromtimestamp(until_ms / 1000, until.tzinfo)
    t.change("gateway_cursors", gateway, asked_until=until, due_at=t.now + pause)

"""Differences that an audit must find, planted by hand in a house of tests/flow/test_audit.py."""

import struct
from uuid import uuid4

from engine.seats.ids import parse_hold_id, subject_key
from engine.seats.keys import SHOWTIME_KEYS, showtime_key
from tests.houses import ANNA, BUDI
from tests.seat_places import bit_at, cell_at, customer_field, hold_field
from tests.small_catalogue import SEATS as LABELS

SEATS = len(LABELS)

NOBODY = 16 * b"\x07"


def redis_plants(house):
    """Give, by name, how a difference is planted in Redis and what must be told of it, by kind and place."""
    return seat_plants(house) | hold_plants(house) | count_plants(house) | damage_plants(house)


def keys_of(house):
    """Give the keys of the house's showtime by name."""
    return {name: showtime_key(house.showtime, name) for name in SHOWTIME_KEYS}


def seat_plants(house):
    """Plant in maps and owners."""
    key, redis, booking = keys_of(house), house.runtime.redis, house.booking.owner
    sale = parse_hold_id(house.capture.booking_id).owner
    return {
        "a seat sold by a flipped bit": (
            lambda: redis.setbit(key["seats"], bit_at("sold", 3, SEATS), 1),
            {("sold_without_ticket", "seat 3"), ("owner_differs", "seat 3")},
        ),
        "a sold seat freed by a flipped bit": (
            lambda: redis.setbit(key["seats"], bit_at("sold", 0, SEATS), 0),
            {("ticket_not_sold", "seat 0"), ("owner_differs", "seat 0")},
        ),
        "a sold seat of nobody": (
            lambda: redis.setrange(key["seats"], cell_at(0, SEATS), bytes(4)),
            {("sale_differs", "seat 0"), ("owner_differs", "seat 0")},
        ),
        "a sold seat of another sale": (
            lambda: redis.setrange(key["seats"], cell_at(0, SEATS), struct.pack(">I", sale + 7)),
            {("sale_differs", "seat 0")},
        ),
        "a locked bit set": (
            lambda: redis.setbit(key["seats"], bit_at("locked", 3, SEATS), 1),
            {("hold_missing", "seat 3")},
        ),
        "a locked bit lost": (
            lambda: redis.setbit(key["seats"], bit_at("locked", 20, SEATS), 0),
            {("hold_without_seat", "seat 20"), ("owner_differs", "seat 20")},
        ),
        "a locked seat of another hold": (
            lambda: redis.setrange(key["seats"], cell_at(20, SEATS), struct.pack(">I", booking)),
            {("hold_missing", "seat 20"), ("hold_without_seat", "seat 20")},
        ),
        "a blocked bit set": (
            lambda: redis.setbit(key["seats"], bit_at("blocked", 3, SEATS), 1),
            {("blocked_without_block", "seat 3"), ("owner_differs", "seat 3")},
        ),
        "a blocked bit lost": (
            lambda: redis.setbit(key["seats"], bit_at("blocked", 8, SEATS), 0),
            {("block_missing", "seat 8"), ("owner_differs", "seat 8")},
        ),
        "two maps with one seat": (
            lambda: redis.setbit(key["seats"], bit_at("locked", 0, SEATS), 1),
            {("maps_overlap", "seat 0")},
        ),
        "a free seat with an owner": (
            lambda: redis.setrange(key["seats"], cell_at(3, SEATS), b"\0\0\0\x09"),
            {("owner_differs", "seat 3")},
        ),
    }


def hold_plants(house):
    """Plant in holds, deadlines and checkouts."""
    key, redis = keys_of(house), house.runtime.redis
    owner, booking = house.hold.owner, house.booking.owner
    return {
        "a hold record lost": (
            lambda: redis.hdel(key["meta"], hold_field(owner)),
            {
                ("hold_missing", "seat 20"),
                ("hold_missing", "seat 21"),
                ("deadline_without_hold", f"hold {owner}"),
                ("customer_differs", f"hold {owner}"),
            },
        ),
        "a hold record cut short": (
            lambda: redis.hset(key["meta"], hold_field(owner), b"short"),
            {
                ("hold_unreadable", f"hold {owner}"),
                ("hold_missing", "seat 20"),
                ("hold_missing", "seat 21"),
                ("deadline_without_hold", f"hold {owner}"),
                ("customer_differs", f"hold {owner}"),
            },
        ),
        "a deadline lost": (lambda: redis.zrem(key["deadlines"], owner), {("deadline_missing", f"hold {owner}")}),
        "a deadline before the next lapse": (
            lambda: redis.zadd(key["deadlines"], {str(owner): 1}),
            {("next_lapse_late", "key meta")},
        ),
        "no next lapse": (lambda: redis.hset(key["meta"], "next_lapse_ms", 0), {("next_lapse_late", "key meta")}),
        "a check-out lost": (
            lambda: redis.hdel(key["checkouts"], booking),
            {("checkout_missing", f"hold {booking}")},
        ),
        "all check-outs lost": (
            lambda: redis.delete(key["checkouts"]),
            {("checkout_missing", f"hold {booking}")},
        ),
        "a check-out of nobody": (
            lambda: redis.hset(key["checkouts"], 77, "{}"),
            {("checkout_without_booking", "hold 77")},
        ),
    }


def count_plants(house):
    """Plant in customers and meta."""
    key, redis = keys_of(house), house.runtime.redis
    owner, booking = house.hold.owner, house.booking.owner
    return {
        "a customer without a list": (
            lambda: redis.hset(key["meta"], customer_field(subject_key(ANNA)), struct.pack(">H", 2)),
            {("customer_differs", f"hold {owner}")},
        ),
        "a customer who bought more": (
            lambda: redis.hset(key["meta"], customer_field(NOBODY), struct.pack(">H", 1)),
            {("bought_differs", f"customer {NOBODY.hex()}")},
        ),
        "a customer who bought less": (
            lambda: redis.hset(key["meta"], customer_field(subject_key(BUDI)), struct.pack(">HI", 0, booking)),
            {("bought_differs", f"customer {subject_key(BUDI).hex()}")},
        ),
        "a count of facts behind": (lambda: redis.hset(key["meta"], "seq", 1), {("seq_behind", "generation 1")}),
        "a count of facts ahead": (lambda: redis.hset(key["meta"], "seq", 3), {("seq_ahead", "generation 1")}),
        "another status": (lambda: redis.hset(key["meta"], "status", "frozen"), {("status_differs", "key meta")}),
        "other times of sale": (
            lambda: redis.hset(key["meta"], "policy", bytes(44)),
            {("policy_differs", "key meta")},
        ),
        "a rebuilding without end": (
            lambda: redis.hset(key["meta"], "status", "rebuilding"),
            {("status_differs", "key meta")},
        ),
    }


def damage_plants(house):
    """Break keys."""
    key, redis = keys_of(house), house.runtime.redis
    return {
        "another number of seats": (
            lambda: redis.hset(key["meta"], "seats_count", 48),
            {("damaged", "key seats")},
        ),
        "the map lost": (lambda: redis.delete(key["seats"]), {("damaged", "key seats")}),
        "the map cut short": (lambda: redis.set(key["seats"], b"x"), {("damaged", "key seats")}),
        "the map without its last cell": (
            lambda: _cut(redis, key["seats"]),
            {("damaged", "key seats")},
        ),
        "a bitmap's sentinel lost": (
            lambda: redis.setbit(key["seats"], bit_at("blocked", SEATS, SEATS), 0),
            {("damaged", "key seats")},
        ),
        "a sentinel lost": (lambda: redis.zrem(key["deadlines"], "0"), {("damaged", "key deadlines")}),
        "a key of another type": (lambda: redis.set(key["deadlines"], "x"), {("damaged", "key deadlines")}),
        "what an older release left": (
            lambda: _older(redis, key["meta"]),
            {("damaged", "key meta")},
        ),
        "rules cut short": (lambda: redis.hset(key["meta"], "policy", "x"), {("damaged", "key meta")}),
        "half of meta": (lambda: redis.hdel(key["meta"], "fence"), {("damaged", "key meta")}),
    }


async def _cut(redis, key):
    await redis.set(key, (await redis.get(key))[:-4])


async def _older(redis, meta):
    await redis.hset(meta, "seats", SEATS)
    await redis.hdel(meta, "seats_count")


SESSION = "(SELECT session_id FROM captures ORDER BY captured_at LIMIT 1)"
BOOKING = "(SELECT booking_id FROM captures ORDER BY captured_at LIMIT 1)"
TICKET = "(SELECT id FROM tickets WHERE seat_index = 0)"
COPY = """
    INSERT INTO tickets SELECT (jsonb_populate_record(tickets, '{{"id": "{id}", {changes}}}')).*
    FROM tickets WHERE seat_index = 0
"""
REFUND = """
    INSERT INTO refunds (id, business_id, gateway, session_id, amount_minor, currency, reason, {columns})
    SELECT gen_random_uuid(), 'planted', gateway, session_id, {amount}, 'IDR', 'customer', {values}
    FROM captures ORDER BY captured_at LIMIT 1
"""
LEDGER_PLANTS = {
    "a ticket deleted": (
        f"DELETE FROM tickets WHERE id = {TICKET}",
        {"capture_unbalanced"},
    ),
    "all tickets of a booking deleted": (
        f"DELETE FROM tickets WHERE booking_id = {BOOKING}",
        {"capture_unbalanced", "booking_status"},
    ),
    "a second ticket of a seat": (
        "DROP INDEX tickets_live_seat;" + COPY.format(id=uuid4(), changes='"session_id": "other", "gateway": "other"'),
        {"double_ticket", "ticket_without_capture"},
    ),
    "a ticket of a seat that nobody booked": (
        COPY.format(id=uuid4(), changes='"seat_index": 7, "seat": "A8"'),
        {"capture_unbalanced", "ticket_differs"},
    ),
    "a ticket of another customer": (
        f"UPDATE tickets SET subject = 'guest:eve' WHERE id = {TICKET}",
        {"ticket_differs"},
    ),
    "a ticket in another currency": (
        f"UPDATE tickets SET currency = 'USD' WHERE id = {TICKET}",
        {"currencies_mixed"},
    ),
    "a capture without tickets": (
        (
            "INSERT INTO captures (gateway, session_id, amount_minor, currency, outcome, outcome_at) "
            "VALUES ('fake', 'stray', 100, 'IDR', 'REFUND', now())"
        ),
        {"capture_unbalanced"},
    ),
    "the same, named by an open case": (
        (
            "INSERT INTO captures (gateway, session_id, amount_minor, currency, outcome, outcome_at) "
            "VALUES ('fake', 'stray', 100, 'IDR', 'REFUND', now());"
            "INSERT INTO cases (business_id, kind, session_id) VALUES ('c', 'amount_changed', 'stray')"
        ),
        set(),
    ),
    "a capture that waits": (
        (
            "INSERT INTO captures (gateway, session_id, amount_minor, currency, captured_at) "
            "VALUES ('fake', 'stray', 100, 'IDR', now() - interval '2 minutes')"
        ),
        {"capture_open"},
    ),
    "a capture that has just come": (
        "INSERT INTO captures (gateway, session_id, amount_minor, currency) VALUES ('fake', 'stray', 100, 'IDR')",
        set(),
    ),
    "a capture forgotten": (
        f"SET session_replication_role = replica; DELETE FROM captures WHERE session_id = {SESSION}",
        {"ticket_without_capture"},
    ),
    "a booking refunded with live tickets": (
        f"UPDATE bookings SET status = 'REFUNDED' WHERE id = {BOOKING}",
        {"booking_status"},
    ),
    "a refund missing": (
        f"UPDATE tickets SET status = 'REFUNDED' WHERE id = {TICKET}",
        {"capture_unbalanced"},
    ),
    "a ticket refunded by half": (
        f"UPDATE tickets SET status = 'REFUNDED' WHERE id = {TICKET};"
        + REFUND.format(amount=2_500_000, columns="comment", values="''")
        + f"; INSERT INTO refund_tickets SELECT id, {TICKET}, 2500000 FROM refunds",
        set(),
    ),
    "a refund of other tickets than it pays for": (
        f"UPDATE tickets SET status = 'REFUNDED' WHERE id = {TICKET};"
        + REFUND.format(amount=2_500_000, columns="comment", values="''")
        + f"; INSERT INTO refund_tickets SELECT id, {TICKET}, 2400000 FROM refunds",
        {"refund_tickets", "capture_unbalanced"},
    ),
    "more refunded than captured": (
        "ALTER TABLE refunds DISABLE TRIGGER ALL;" + REFUND.format(amount=10**9, columns="comment", values="''"),
        {"refunds_above_capture"},
    ),
    "a refund that nobody sends": (
        f"UPDATE tickets SET status = 'REFUNDED' WHERE booking_id = {BOOKING};"
        f"UPDATE bookings SET status = 'REFUNDED' WHERE id = {BOOKING};"
        + REFUND.format(amount=10**7, columns="due_at", values="now() - interval '1 hour'"),
        {"refund_overdue"},
    ),
    "a refund that never ends": (
        f"UPDATE tickets SET status = 'REFUNDED' WHERE booking_id = {BOOKING};"
        f"UPDATE bookings SET status = 'REFUNDED' WHERE id = {BOOKING};"
        + REFUND.format(amount=10**7, columns="status, created_at", values="'PROCESSING', now() - interval '20 days'"),
        {"refund_overdue"},
    ),
    "a fact missing": ("DELETE FROM facts WHERE seq = 1", {"facts_gap"}),
    "a head that is behind": ("UPDATE fact_heads SET seq = 1", {"facts_gap"}),
    "a head without facts": ("INSERT INTO fact_heads VALUES (1, 9, 4)", {"facts_gap"}),
    "a restock that nobody does": (
        f"UPDATE tickets SET status = 'REFUNDED', restock_due = now() - interval '1 hour' WHERE id = {TICKET};"
        + REFUND.format(amount=5_000_000, columns="comment", values="''"),
        {"restock_overdue"},
    ),
    "a cancellation that nobody ends": (
        (
            "INSERT INTO cancellations (showtime_id, reason, cancelled_by, bookings, tickets, money, due_at) "
            "SELECT id, '', '', 0, 0, '{}', now() - interval '1 hour' FROM showtimes"
        ),
        {"cancellation_overdue"},
    ),
    "live tickets of a cancelled showtime": (
        (
            "INSERT INTO cancellations (showtime_id, reason, cancelled_by, bookings, tickets, money, due_at, done_at) "
            "SELECT id, '', '', 0, 0, '{}', NULL, now() FROM showtimes"
        ),
        {"cancelled_with_tickets"},
    ),
    "a showtime that waits for a person": (
        "INSERT INTO rebuilds (showtime_id, reason, automatic) SELECT id, 'poison_fact', false FROM showtimes",
        {"waits_for_person"},
    ),
}
"""What is planted in the ledger, and which kinds of differences must be told; none for what is right."""

"""Statements of `sql/queries/` about facts, tickets, rebuilds, lives, workers; each function bears its file's name.

Those that begin with `copy_` are what COPY does to a table.

Those of `SESSION` have an effect beyond the transaction: they get the session that runs them, too.
"""

from asyncpg import UniqueViolationError

from engine.ledger.bookkeeping import FACT_COLUMNS, TICKET_COLUMNS
from tests.simulation.world.tables import Row, ms

LIVE = ("SOLD", "USED")


# --- Facts


def lock_fact_heads(t, showtimes, generations):
    keys = sorted(set(zip(showtimes, generations, strict=True)))
    return [
        Row(showtime_id=key[0], generation=key[1], seq=t.fact_heads[key]["seq"]) for key in keys if key in t.fact_heads
    ]


def list_fact_heads(t, showtime):
    return [Row(generation=key[1], seq=row["seq"]) for key, row in t.fact_heads.items() if key[0] == showtime]


def read_fact_head(t, showtime, generation):
    row = t.fact_heads.get((showtime, generation))
    return [Row(seq=row["seq"])] if row else []


def list_fact_names(t, showtimes, generations, seqs):
    keys = sorted(set(zip(showtimes, generations, seqs, strict=True)))
    return [
        Row(showtime_id=key[0], generation=key[1], seq=key[2], business_id=t.facts[key]["business_id"])
        for key in keys
        if key in t.facts
    ]


def copy_facts(t, records, columns):
    assert columns == FACT_COLUMNS
    for showtime, generation, seq, kind, business_id, _, _ in records:
        if (showtime, generation, seq) in t.facts:
            raise UniqueViolationError("facts_pkey")
        t.put("facts", (showtime, generation, seq), Row(kind=kind, business_id=business_id))


def upsert_fact_heads(t, *columns):
    for showtime, generation, seq in zip(*columns, strict=True):
        t.put("fact_heads", (showtime, generation), Row(seq=seq))


def find_later_life(t, showtime, generation):
    known = any(row["generation"] == generation for row in t.generations.values())
    return [Row(known=known, later=any(key[0] == showtime and key[1] > generation for key in t.fact_heads))]


def find_generation(t, run_id, replication_id):
    newest = max(t.generations, default=0)
    found = newest and t.generations[newest]["pair"] == (run_id, replication_id)
    return [Row(generation=newest)] if found else []


def insert_generation(t, run_id, replication_id):
    number = len(t.generations) + 1
    t.put("generations", number, Row(generation=number, pair=(run_id, replication_id)))
    return [Row(generation=number)]


def lock_generations(t, lock):
    return []


# --- Tickets


def copy_tickets(t, records, columns):
    assert columns == TICKET_COLUMNS
    for row in records:
        id, showtime, index, seat, tier, booking, gateway, session, sale, subject, price, currency, status, at, due = (
            row
        )
        for other in t.tickets.values():
            if (other["gateway"], other["session_id"], other["seat_index"]) == (gateway, session, index):
                raise UniqueViolationError("tickets_gateway_session_id_seat_index_key")
            same_seat = (other["showtime_id"], other["seat_index"]) == (showtime, index)
            if same_seat and status in LIVE and other["status"] in LIVE:
                raise UniqueViolationError("tickets_live_seat")
        t.put(
            "tickets",
            id,
            Row(
                id=id, showtime_id=showtime, seat_index=index, seat=seat, tier=tier, booking_id=booking,
                gateway=gateway, session_id=session, sale_number=sale, subject=subject, price_minor=price,
                currency=currency, status=status, sold_at=at, restock_due=due,
            ),
        )  # fmt: skip


def list_live_seats(t, showtimes, indexes):
    asked = set(zip(showtimes, indexes, strict=True))
    return [
        Row(showtime_id=row["showtime_id"], seat_index=row["seat_index"])
        for row in t.tickets.values()
        if row["status"] in LIVE and (row["showtime_id"], row["seat_index"]) in asked
    ]


def list_sold_seats(t, showtime):
    return [
        Row(seat_index=row["seat_index"], sale_number=row["sale_number"])
        for row in t.tickets.values()
        if row["status"] in LIVE and row["showtime_id"] == showtime
    ]


def list_leaving_seats(t, showtime):
    return [
        Row(seat_index=row["seat_index"])
        for row in t.tickets.values()
        if row["restock_due"] is not None and row["showtime_id"] == showtime
    ]


def list_blocked_seats(t, showtime):
    return []


def count_bought(t, showtime):
    bought = {}
    for row in t.tickets.values():
        if row["status"] in LIVE and row["showtime_id"] == showtime:
            bought[row["subject"]] = bought.get(row["subject"], 0) + 1
    return [Row(subject=subject, bought=count) for subject, count in bought.items()]


def list_ticketed_sessions(t, gateways, sessions):
    asked = set(zip(gateways, sessions, strict=True))
    found = {(row["gateway"], row["session_id"]) for row in t.tickets.values()} & asked
    return [Row(gateway=gateway, session_id=session) for gateway, session in sorted(found)]


def lock_tickets(t, booking):
    return [Row(id=id) for id in sorted(id for id, row in t.tickets.items() if row["booking_id"] == booking)]


def take_back_tickets(t, ids):
    sold = [id for id in ids if t.tickets[id]["status"] == "SOLD"]
    taken = [t.change("tickets", id, status="REFUNDED", restock_due=t.now + ms(2000)) for id in sold]
    names = ("gateway", "session_id", "showtime_id", "subject", "sale_number", "seat_index")
    return [Row((name, row[name]) for name in names) for row in taken]


def call_tickets_in(t, bookings):
    for id, row in list(t.tickets.items()):
        if row["booking_id"] in bookings and row["status"] in LIVE:
            t.change("tickets", id, status="REFUNDED", restock_due=t.now)


def due_restocks(t, limit):
    due = [row for row in t.tickets.values() if row["restock_due"] is not None and row["restock_due"] <= t.now]
    sales = {}
    for row in sorted(due, key=lambda row: row["restock_due"])[:limit]:
        t.change("tickets", row["id"], restock_due=t.now + ms(30_000))
        sale = (row["showtime_id"], row["subject"], row["booking_id"], row["sale_number"])
        sales.setdefault(sale, []).append(row["seat_index"])
    names = ("showtime_id", "subject", "booking_id", "sale_number")
    return [Row(zip(names, sale, strict=True), seats=sorted(seats)) for sale, seats in sales.items()]


def restock_again(t, gateways, sessions):
    sold = set(zip(gateways, sessions, strict=True))
    for id, row in list(t.tickets.items()):
        if (row["gateway"], row["session_id"]) in sold and (row["status"], row["restock_due"]) == ("REFUNDED", None):
            t.change("tickets", id, restock_due=t.now)


def clear_restocks(t, *columns):
    freed = set(zip(*columns, strict=True))
    for id, row in list(t.tickets.items()):
        place = (row["booking_id"], row["sale_number"], row["seat_index"])
        if place in freed and row["restock_due"] is not None:
            t.change("tickets", id, restock_due=None)


# --- Showtimes


def find_showtime_status(t, showtime):
    return [Row(status=t.showtimes[showtime]["status"])] if showtime in t.showtimes else []


def lock_showtimes(t, showtimes):
    return [Row(id=id, status=t.showtimes[id]["status"]) for id in sorted(showtimes) if id in t.showtimes]


def lock_showtime(t, showtime):
    return [t.showtimes[showtime]] if showtime in t.showtimes else []


read_showtime = lock_showtime


def read_showtimes(t, showtimes):
    return [t.showtimes[id] for id in sorted(showtimes) if id in t.showtimes]


def read_layout(t, layout):
    return [t.layouts[layout]] if layout in t.layouts else []


def count_load(t, showtime):
    loads = t.showtimes[showtime]["load_count"] + 1
    t.change("showtimes", showtime, load_count=loads)
    return [Row(load_count=loads)]


def read_showtime_to_load(t, showtime, generation):
    if showtime not in t.showtimes:
        return []
    row, rebuild = t.showtimes[showtime], t.rebuilds.get(showtime)
    head = t.fact_heads.get((showtime, generation))
    return [
        Row(
            status=row["status"],
            seat_count=row["seat_count"],
            asked_at=rebuild and rebuild["asked_at"],
            seq=head["seq"] if head else 0,
            waits=bool(rebuild and not rebuild["automatic"]),
        )
    ]


def ask_rebuilds(t, showtimes, reasons, automatic):
    for showtime, reason, alone in zip(showtimes, reasons, automatic, strict=True):
        row = t.rebuilds.get(showtime)
        if row is None:
            row = Row(showtime_id=showtime, reason=reason, automatic=alone, asked_at=t.now, tried_at=None)
            t.put("rebuilds", showtime, row)
        else:
            t.change("rebuilds", showtime, automatic=row["automatic"] and alone, asked_at=t.clock)


def note_damage(t, showtime):
    if showtime not in t.rebuilds:
        row = Row(showtime_id=showtime, reason="damaged", automatic=True, asked_at=t.now, tried_at=t.now)
        t.put("rebuilds", showtime, row)
        return [Row(asked_at=row["asked_at"])]
    return []


def due_rebuilds(t, limit):
    due = [row for row in t.rebuilds.values() if row["tried_at"] is None or row["tried_at"] < t.now - ms(15_000)]
    due = sorted(due, key=lambda row: row["asked_at"])[:limit]
    for row in due:
        t.change("rebuilds", row["showtime_id"], tried_at=t.now)
    return [Row((name, row[name]) for name in ("showtime_id", "reason", "automatic")) for row in due]


def end_rebuild(t, showtime, asked_at):
    row = t.rebuilds.get(showtime)
    if row is not None and row["automatic"] and row["asked_at"] == asked_at:
        del t.write("rebuilds")[showtime]


# --- Workers: what is true of sessions, whatever becomes of a transaction


def beat_worker(t, session, id, name):
    t.put("workers", id, Row(id=id, name=name, seen_at=t.clock))


def remove_worker(t, session, id):
    t.write("workers").pop(id, None)


def remove_stale_workers(t, session, but, stale_ms):
    stale = [id for id, row in t.workers.items() if id not in but and row["seen_at"] < t.clock - ms(stale_ms)]
    for id in stale:
        del t.write("workers")[id]
    return [Row(id=id) for id in stale]


def count_workers(t, session, prefix):
    names = session.server.session_names()
    return [Row(count=sum(f"{prefix}{id}" in names for id in t.workers))]


def end_sessions(t, session, names):
    return [Row(count=session.server.end_sessions(names))]


def lock_partitions(t, session, _, partitions):
    return [Row(partition=one, locked=session.server.advise(session, one)) for one in partitions]


def unlock_partitions(t, session, _, partitions):
    for one in partitions:
        session.server.forget_advice(session, one)


def list_locked_partitions(t, session, _):
    return [Row(partition=one) for one in session.server.advised]


def lock_request(t, id):
    return [Row(locked=True)]  # transactions that write come one after another


SESSION = (
    beat_worker,
    remove_worker,
    remove_stale_workers,
    count_workers,
    end_sessions,
    lock_partitions,
    unlock_partitions,
    list_locked_partitions,
)

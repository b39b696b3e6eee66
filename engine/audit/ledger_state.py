"""Reading from the ledger, for many showtimes at once, what Redis ought to have of them."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from engine.audit.records import Bought, LedgerShowtime
from engine.ledger.database import to_ms
from engine.ledger.queries import query
from engine.limits import AUDIT_OVERDUE_MS, AUDIT_STATEMENT_TIMEOUT_S, KEYS_OUTLIVE_SHOW_MS, SECOND_MS
from engine.seats.ids import subject_key

Heads = dict[int, dict[int, int]]
"""The last applied seq by showtime and generation."""

OVERDUE = timedelta(milliseconds=AUDIT_OVERDUE_MS)
TERMS = ("hold_ttl", "payment_ttl")
"""Terms that hold as they are set; the longer ones are stretched where they contradict these."""
COUNTS = ("seats_per_hold_max", "holds_per_customer_max", "seats_per_customer_max")


async def fetch(connection: Any, name: str, *args: Any) -> list[Any]:
    """Run one of the audit's statements, which may take longer than a request's."""
    rows: list[Any] = await connection.fetch(query(name), *args, timeout=AUDIT_STATEMENT_TIMEOUT_S)
    return rows


async def read_heads(connection: Any, showtimes: Sequence[int]) -> Heads:
    """Read the last applied seqs of some showtimes."""
    rows = await fetch(connection, "audit_heads", showtimes)
    return {row["showtime_id"]: {int(life): seq for life, seq in row["heads"].items()} for row in rows}


async def read_showtimes(connection: Any, showtimes: Sequence[int]) -> dict[int, LedgerShowtime]:
    """Read what Redis ought to have, by number; call it inside one repeatable read."""
    heads = await read_heads(connection, showtimes)
    found = {
        row["id"]: LedgerShowtime(
            number=row["id"],
            status=row["status"].lower(),
            seats=row["seat_count"],
            rebuild=row["reason"] or "",
            overdue=bool(row["overdue"] and row["automatic"]),
            heads=heads.get(row["id"], {}),
            rules=_rules(row),
        )
        for row in await fetch(connection, "audit_showtimes", showtimes, OVERDUE)
    }
    for row in await fetch(connection, "audit_sold_seats", showtimes):
        found[row["showtime_id"]].sold = dict(zip(row["seats"], row["sales"], strict=True))
    for row in await fetch(connection, "audit_leaving_seats", showtimes):
        found[row["showtime_id"]].leaving = dict(zip(row["seats"], row["sales"], strict=True))
    for row in await fetch(connection, "audit_blocked_seats", showtimes):
        if row["live"]:
            found[row["showtime_id"]].blocked.add(row["seat_index"])
        if row["moving"]:
            found[row["showtime_id"]].moving.add(row["seat_index"])
    for row in await fetch(connection, "audit_customers", showtimes):
        bought = Bought(row["live"], row["leaving"], row["ever"])
        found[row["showtime_id"]].bought[subject_key(row["subject"])] = bought
    return found


def _rules(row: Any) -> dict[str, int]:
    """Give the policy as far as the ledger has it; other numbers are settings of the processes that load showtimes."""
    known = row["policy"]
    rules = {f"{name}_ms": known[f"{name}_s"] * SECOND_MS for name in TERMS if f"{name}_s" in known}
    rules |= {name: known[name] for name in COUNTS if name in known}
    for name in ("sales_open", "sales_stop", "ends"):
        rules[f"{name}_ms"] = to_ms(row[f"{name}_at"])
    return rules | {"keys_until_ms": rules["ends_ms"] + KEYS_OUTLIVE_SHOW_MS}

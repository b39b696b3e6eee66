"""The verdict over a load test: was anything sold twice, lost, or not sold at all?

The crowd's notes are held against the ledger itself, read past the application, and `seatlock audit` must find nothing.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import asyncpg

HOT_SHARE_MIN = 0.95
REST_TIMEOUT_S = 60
UNSETTLED = "SELECT count(*) FROM captures WHERE outcome IS NULL"
SOLD = """
    SELECT b.id::text AS id, b.showtime_id AS showtime, b.amount_minor AS amount, trim(b.currency) AS currency,
           array_agg(t.seat) AS seats, count(*) FILTER (WHERE t.status <> 'REFUNDED') AS live
    FROM bookings b JOIN tickets t ON t.booking_id = b.id
    WHERE b.id = ANY($1::uuid[])
    GROUP BY b.id
"""
TWICE = """
    SELECT count(*)
    FROM (SELECT FROM tickets WHERE status <> 'REFUNDED' GROUP BY showtime_id, seat HAVING count(*) > 1) AS twice
"""
HOT = "SELECT count(*) FROM tickets WHERE showtime_id = $1 AND seat = ANY($2) AND status <> 'REFUNDED'"


async def judge(notes: list[dict[str, Any]], plan: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """Hold what the crowd saw against the ledger.

    Args:
        notes: lines as of `loadtests.shopper.Notes`.
        plan: what the crowd was after, as of `loadtests.shopper.Plan`.
        environ: names the servers, `SEATLOCK_DATABASE_URL` and `SEATLOCK_REDIS_URL`.

    Returns:
        `passed`, `failures` (a line each) and `figures`.
    """
    connection = await asyncpg.connect(environ["SEATLOCK_DATABASE_URL"])
    try:
        failures = await _rest(connection)
        seen = {note["confirmed"]: note for note in notes if "confirmed" in note}
        returned = {note["returned"] for note in notes if "returned" in note}
        failures += _lost(seen, returned, await connection.fetch(SOLD, list(seen)))
        twice = await connection.fetchval(TWICE)
        hot = {int(number): seats for number, seats in plan["hot"].items()}
        sold_hot = sum([await connection.fetchval(HOT, number, seats) for number, seats in hot.items()])
        tickets = await connection.fetchval("SELECT count(*) FROM tickets")
    finally:
        await connection.close()
    wanted = sum(map(len, hot.values()))
    if twice:
        failures.append(f"{twice} seats have two live tickets")
    if wanted and sold_hot < HOT_SHARE_MIN * wanted:
        failures.append(f"only {sold_hot} of {wanted} hot seats were sold")
    if not seen:
        failures.append("nobody saw a confirmed booking")
    faults = Counter(f"{note['fault']} to {note['method']} {note['path']}" for note in notes if "fault" in note)
    failures += [f"{count} x {what}" for what, count in faults.most_common(10)]
    audit = _audit(environ)
    if audit["status"] != 0:
        failures.append(f"audit: status {audit['status']}: {audit['said']}")
    figures = {
        "confirmed_seen": len(seen),
        "returned": len(returned),
        "tickets": tickets,
        "sold_twice": twice,
        "hot_seats": wanted,
        "hot_sold": sold_hot,
        "faults": sum(faults.values()),
        "audit": audit["status"],
    }
    return {"passed": not failures, "failures": failures, "figures": figures}


def told(verdict: dict[str, Any]) -> str:
    """Say a verdict in a few lines."""
    lines = [f"{name.replace('_', ' '):>16}  {value}" for name, value in verdict["figures"].items()]
    lines += [f"FAILED: {failure}" for failure in verdict["failures"]]
    return "\n".join([*lines, "verdict: passed" if verdict["passed"] else "verdict: FAILED"])


async def _rest(connection: asyncpg.Connection) -> list[str]:
    """Wait until all money has become tickets or a refund."""
    for _ in range(REST_TIMEOUT_S):
        if not await connection.fetchval(UNSETTLED):
            return []
        await asyncio.sleep(1)
    return [f"money without tickets or refund after {REST_TIMEOUT_S} s"]


def _lost(seen: dict[str, Any], returned: set[str], rows: list[Any]) -> list[str]:
    """Give a line for each confirmed booking that the ledger has not, or not as it was seen."""
    ledger = {row["id"]: row for row in rows}
    failures = []
    for booking, note in seen.items():
        row = ledger.get(booking)
        if row is None:
            failures.append(f"{booking} was seen CONFIRMED and has no ticket")
        elif sorted(row["seats"]) != note["seats"] or (row["showtime"], row["amount"], row["currency"]) != (
            note["showtime"],
            note["amount"],
            note["currency"],
        ):
            failures.append(f"{booking} was seen with {note['seats']} for {note['amount']}, the ledger has {dict(row)}")
        elif row["live"] == 0 and booking not in returned:
            failures.append(f"{booking} was paid back, and nobody asked for it")
    return failures


def _audit(environ: dict[str, str]) -> dict[str, Any]:
    argv = [str(Path(sys.executable).with_name("seatlock")), "audit"]
    done = subprocess.run(argv, env=os.environ | environ, capture_output=True, text=True, check=False)
    return {"status": done.returncode, "said": " | ".join((done.stdout + done.stderr).splitlines()[-5:])}


def read_notes(path: Path) -> list[dict[str, Any]]:
    """Read the crowd's notes."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []

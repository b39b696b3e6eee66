"""What must hold after every fault: the service is back, all that was begun ends, and nothing is lost or sold twice."""

import asyncio
import contextlib
import json
import os
import random
import sqlite3
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import cycle
from typing import Any

import httpx

from api.fake_gateway.book import BOOK_NAME
from engine.ledger.fact_stream import FactStreams
from engine.paths import ROOT
from engine.seats.keys import partition_tags
from tests.faults.harness.load import Load
from tests.faults.harness.parts import starved_s
from tests.flow.town import environ_of
from tests.oracle import read_book
from tests.simulation import checker
from tests.small_catalogue import SEATS

CLAIM_WITHIN_S = 5
SETTLED_WITHIN_S = 60
QUIET_WITHIN_S = 90
LATE = "SELECT count(*) FROM sessions WHERE state = 'late' AND due_ms < ?"
"""Sessions that were opened while Redis' clock was an hour ahead are paid in an hour, when nobody looks any more."""
PROBE_TIMEOUT_S = 4
"""Longer than an API may take for one call of Redis."""
CONFLICTS_MIN, MET_WITHIN_S = 0.2, 20

UNSETTLED = """
SELECT count(*) FROM unnest($1::text[]) AS session
WHERE NOT EXISTS (SELECT FROM captures WHERE session_id = session AND outcome IS NOT NULL)"""
OPEN = "SELECT count(*) FROM captures WHERE outcome IS NULL"
SETTLED = """
SELECT extract(epoch FROM max(outcome_at - greatest(captured_at, $1)))::float8 FROM captures WHERE outcome_at > $1"""
UNREST = """
SELECT (SELECT count(*) FROM refunds WHERE due_at IS NOT NULL) AS refunds,
       (SELECT count(*) FROM tickets WHERE restock_due IS NOT NULL) AS restocks,
       (SELECT count(*) FROM rebuilds WHERE automatic) AS rebuilds,
       (SELECT count(*) FROM cancellations WHERE done_at IS NULL) AS cancellations"""
LIVE_TWICE = """
SELECT showtime_id, seat, count(*) FROM tickets WHERE status <> 'REFUNDED' GROUP BY 1, 2 HAVING count(*) > 1"""
GAPS = """
SELECT coalesce(f.showtime_id, h.showtime_id) AS showtime, coalesce(f.generation, h.generation) AS generation
FROM (SELECT showtime_id, generation, count(DISTINCT seq) AS facts, min(seq) AS first, max(seq) AS last
      FROM facts GROUP BY 1, 2) AS f
FULL JOIN (SELECT * FROM fact_heads WHERE seq > 0) AS h USING (showtime_id, generation)
WHERE (f.facts, f.first, f.last) IS DISTINCT FROM (h.seq, 1::bigint, h.seq)"""
BOUGHT = """
SELECT bookings.id::text, bookings.subject, bookings.status, bookings.showtime_id AS showtime,
       bookings.amount_minor AS amount, jsonb_object_agg(seat, price_minor) AS tickets,
       bool_and(tickets.status <> 'REFUNDED' OR EXISTS (SELECT FROM refund_tickets WHERE ticket_id = tickets.id)
                OR EXISTS (SELECT FROM refunds WHERE refunds.session_id = tickets.session_id)) AS repaid
FROM bookings JOIN tickets ON tickets.booking_id = bookings.id
WHERE bookings.id = ANY ($1::uuid[]) GROUP BY bookings.id"""
MONEY = """
SELECT captures.session_id, captures.amount_minor AS captured, captures.outcome,
       (SELECT coalesce(sum(price_minor), 0) FROM tickets
        WHERE tickets.session_id = captures.session_id AND status <> 'REFUNDED')::bigint AS live,
       (SELECT coalesce(sum(amount_minor), 0) FROM refunds WHERE refunds.session_id = captures.session_id)::bigint
           AS owed,
       (SELECT coalesce(sum(amount_minor), 0) FROM refunds
        WHERE refunds.session_id = captures.session_id AND status = 'SETTLED')::bigint AS settled,
       EXISTS (SELECT FROM cases WHERE cases.session_id = captures.session_id AND closed_at IS NULL) AS in_case
FROM captures"""


async def check(world) -> dict[str, Any]:
    """Check all of it, from the moment of healing on; gives the figures of the run.

    Raises:
        AssertionError: says what does not hold.
    """
    healed, healed_at = time.monotonic(), datetime.now(UTC)
    lying = [part.name for part in world.parts if not part.alive]
    assert not lying, f"the fault did not start {lying} again"
    assert world.redis.alive, "the fault did not start Redis again"
    assert world.postgres.alive, "the fault did not start PostgreSQL again"
    claim_s, confirm_s, starved = await _until_served(world, healed)
    # While nobody was served few claims met each other.
    await world.load.seen.met(CONFLICTS_MIN, MET_WITHIN_S)
    await world.load.stop()
    seen = world.load.seen
    await _until(world, _unsettled, SETTLED_WITHIN_S, "money without an outcome")
    async with world.ledger() as ledger:
        settled_s = max(0.0, await ledger.fetchval(SETTLED, healed_at) or 0.0)
    await _until(world, _unrest, QUIET_WITHIN_S, "something due")
    figures = {
        "claims": seen.counts["claims"],
        "conflicts": seen.counts["conflicts"],
        "confirmed": seen.counts["confirmed"],
        "unknown": seen.counts["unknown"],
        "unserved": seen.counts["unserved"],
        "recovered_claim_s": round(claim_s, 2),
        "recovered_confirm_s": round(confirm_s, 2),
        "settled_s": round(settled_s, 2),
        "starved_s": round(starved, 2),
    }
    history = await asyncio.to_thread(checker.check, seen.recorder.calls)
    figures |= {"calls": history.calls, "undecided": len(history.undecided)}
    wrong = [f"history: {violation}" for violation in history.violations]
    wrong += await find_wrong(world)
    assert not wrong, "\n".join([json.dumps(figures), *wrong])
    return figures


async def find_wrong(world) -> list[str]:
    """Give all that does not hold of the quiet world, in words."""
    seen = world.load.seen
    wrong = [f"an answer that nothing excuses: {odd}" for odd in seen.odd]
    # Those that the seats decided: before the sale begins, by a clock that was set back, all are refused.
    claims, conflicts = seen.counts["seat_claims"], seen.counts["conflicts"]
    if conflicts < CONFLICTS_MIN * claims:
        wrong.append(f"only {conflicts} of {claims} claims met another one: the load proves little")
    async with world.ledger() as ledger:
        wrong += [f"I1: two live tickets on a seat: {dict(row)}" for row in await ledger.fetch(LIVE_TWICE)]
        wrong += [f"I8: facts do not run from 1 to their head: {dict(row)}" for row in await ledger.fetch(GAPS)]
        wrong += await _lost_confirmations(ledger, seen.confirmed)
        wrong += await _unbalanced(ledger, read_book(world.folder))
    return wrong + await _audited(world)


async def _until_served(world, healed: float) -> tuple[float, float, float]:
    """Buy on a fresh showtime until that succeeds; give how long after the healing the first claim and the sale did.

    The third is how long the way of a claim waited for a processor until then: a busy machine is no fault of ours.
    """
    client = httpx.AsyncClient(
        trust_env=False,
        verify=False,
        timeout=PROBE_TIMEOUT_S,
        limits=httpx.Limits(max_keepalive_connections=0),
    )
    probe = Load(world, 0, seen=world.load.seen, client=client)
    showtime, chance, seats = world.next_showtime(), random.Random(0), cycle(SEATS)
    claim_s, starved, starved_before = None, 0.0, _starved_s(world)
    try:
        while time.monotonic() - healed < SETTLED_WITHIN_S:
            buyer = probe.buyer(chance)
            held = await probe.claim(buyer, showtime, [next(seats)])
            if held is None:
                await asyncio.sleep(0.02)
                continue
            if claim_s is None:
                claim_s, starved = time.monotonic() - healed, _starved_s(world) - starved_before
                late = (
                    f"the first claim succeeded {claim_s:.1f} s after the healing, {starved:.1f} s without a processor"
                )
                assert claim_s - starved <= CLAIM_WITHIN_S, late
            booking = await probe.check_out(buyer, held)
            if booking and await probe.pay(buyer, booking):
                return claim_s, time.monotonic() - healed, starved
    finally:
        await probe.drop()
    raise AssertionError(f"first claim after {claim_s} s, and no sale within {SETTLED_WITHIN_S} s of the healing")


def _starved_s(world) -> float:
    """Tell how long those on the way of a claim have waited for a processor: we, an API, Redis."""
    servers = [starved_s(pid) for pid in world.redis.pids]
    return starved_s(os.getpid()) + max(starved_s(api.pid) for api in world.apis) + max(servers, default=0)


async def _until(world, look, limit_s: float, what: str) -> None:
    """Look until nothing is left; a server that is not quite back is looked at again."""
    deadline, left = time.monotonic() + limit_s, None
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            left = await look(world)
            if not left:
                return
        await asyncio.sleep(0.1)
    raise AssertionError(f"{what} after {limit_s} s: {left}")


async def _unsettled(world) -> dict[str, int]:
    """Count money that the gateway took, or the ledger knows of, and that has no outcome."""
    paid = [session for session, account in read_book(world.folder).sessions().items() if account.paid]
    async with world.ledger() as ledger:
        return Counter(paid=await ledger.fetchval(UNSETTLED, paid), open=await ledger.fetchval(OPEN)) + Counter()


async def _unrest(world) -> dict[str, int]:
    """Count what is still due: refunds, restocks, rebuilds, facts on their way, payments that come late."""
    async with world.ledger() as ledger:
        left = Counter(dict(await ledger.fetchrow(UNREST)))
    async with world.keys() as keys:
        streams = FactStreams(keys)
        for partition in range(len(partition_tags())):
            position = await streams.position(partition)
            left["facts"] += not position.applied(position.end)
    with contextlib.closing(sqlite3.connect(f"file:{world.folder / BOOK_NAME}?mode=ro", uri=True)) as gateway:
        (left["late"],) = gateway.execute(LATE, (time.time() * 1000 + QUIET_WITHIN_S * 1000,)).fetchone()
    return left + Counter() or await _unsettled(world)


async def _lost_confirmations(ledger, confirmed: dict[str, dict[str, Any]]) -> list[str]:
    """I2: what was shown as CONFIRMED is in the ledger with its seats, prices and buyer; it ends only by a refund."""
    rows = {row["id"]: dict(row) for row in await ledger.fetch(BOUGHT, list(confirmed))}
    wrong = []
    for booking, shown in confirmed.items():
        row = rows.get(booking)
        if row is None:
            wrong.append(f"I2: {booking} was shown as confirmed and has no tickets: {shown}")
            continue
        tickets = json.loads(row["tickets"])
        same = (row["subject"], row["showtime"], tickets) == (shown["subject"], shown["showtime"], shown["tickets"])
        if not same or row["status"] not in ("CONFIRMED", "REFUNDED") or not row["repaid"]:
            wrong.append(f"I2: {booking} was shown as {shown} and is {row}")
    return wrong


async def _unbalanced(ledger, book) -> list[str]:
    """I3: what the gateway keeps of each session is live tickets, money still owed, or in an open case."""
    wrong = [f"I3: the gateway's book does not balance: {book.balances()}"] if any(book.balances().values()) else []
    rows = {row["session_id"]: dict(row) for row in await ledger.fetch(MONEY)}
    for session, account in book.sessions().items():
        row = rows.pop(session, None)
        if row is None:
            wrong.append(f"I3: session {session} was paid, {account}, and the ledger knows nothing of it")
            continue
        kept = account.paid - account.refunded
        if account.refunded != row["settled"] or account.paid != row["captured"]:
            wrong.append(f"I3: session {session} is {row} in the ledger and {account} at the gateway")
        elif kept != row["live"] + row["owed"] - row["settled"] and not row["in_case"]:
            wrong.append(f"I3: session {session} keeps {kept}: {row}")
    return wrong + [f"I3: the ledger has money that nobody paid: {row}" for row in rows.values()]


async def _audited(world) -> list[str]:
    """Run `seatlock audit`; give what it finds."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "engine.cli", "audit", "--json"),
        cwd=ROOT,
        env=environ_of(world.town.settings),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, cried = await process.communicate()
    if process.returncode == 0:
        return []
    try:
        report = json.loads(said)["after"]
    except ValueError:
        return [f"audit ended with {process.returncode}: {cried.decode()[-2000:]}"]
    return [f"audit: {found}" for found in (*report["differences"], *report["unjudged"])] or [f"audit: {said[:500]}"]

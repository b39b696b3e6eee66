"""An old backup of the ledger is put back: it cannot heal by itself, so it must be told, and no money may be lost.

What was sold since the backup is gone from the ledger, and customers were shown it: nothing can bring that back but a
newer backup. What must hold all the same: the audit says what differs, before anybody asks; seats that the ledger does
not know are not sold a second time as long as Redis knows them; a showtime whose numbers do not fit is frozen and built
anew with a case for a person; all money that the gateway took since finds its end; and one audit later nothing differs.
"""

import asyncio
import json
import shutil
import sys

import pytest

from engine.paths import ROOT
from tests.faults.harness.checks import find_wrong
from tests.faults.harness.load import Load
from tests.faults.harness.stage import SEATS, SETTLED_S, capture, ends, open_showtime, rows
from tests.faults.harness.world import open_world
from tests.flow.town import environ_of
from tests.oracle import read_book

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]


async def audit(world, *options):
    """Run `seatlock audit`; give its status and its report."""
    argv = [sys.executable, "-m", "engine.cli", "audit", "--json", *options]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *argv, cwd=ROOT, env=environ_of(world.town.settings), stdout=pipe, stderr=pipe
    )
    said, cried = await process.communicate()
    assert said, cried.decode()
    return process.returncode, json.loads(said)


async def swap(world, taken, put):
    """Take the ledger's files away while it is down, or put others in their place."""
    await world.postgres.end()
    cluster = world.postgres.embedded.cluster
    if taken:
        await asyncio.to_thread(shutil.copytree, cluster, taken)
    if put:
        await asyncio.to_thread(shutil.rmtree, cluster)
        await asyncio.to_thread(shutil.copytree, put, cluster)
    await world.postgres.start()


async def buy(world, buyer, showtime, seat):
    """Buy a seat; give its payment."""
    booking, payment = await buyer.begin(showtime, seat)
    await capture(world, payment)
    await ends(world, buyer, booking, "CONFIRMED")
    return payment


async def test_an_old_backup_of_the_ledger_is_told_and_loses_no_money(tmp_path):
    """Sold before and after the backup, begun before and paid after it, and sold again when it is back."""
    async with open_world(tmp_path) as world:
        await world._put_on()
        world.load = Load(world, 1)
        showtime, still = await open_showtime(world), await open_showtime(world)
        async with world.town.customer() as buyer:
            kept = await buy(world, buyer, showtime, SEATS[0])
            begun, unpaid = await buyer.begin(showtime, SEATS[1])
            await swap(world, tmp_path / "backup", None)
            await world.until(lambda: served(world, buyer, still), "service after the backup")
            lost = [await buy(world, buyer, place, seat) for place, seat in ((showtime, SEATS[2]), (still, SEATS[3]))]
            await swap(world, None, tmp_path / "backup")
            await world.until(lambda: served(world, buyer, still), "service with the old ledger")

            status, report = await audit(world)
            differing = {found["showtime"] for found in report["before"]["differences"]}
            assert (status, differing >= {showtime, still}) == (1, True), report

            statuses = await world.town.seat_statuses(showtime)
            assert [statuses[seat] for seat in SEATS[:3]] == ["SOLD", "LOCKED", "SOLD"], "Redis still knows"

            await capture(world, unpaid)
            await ends(world, buyer, begun, "CONFIRMED", "REFUNDED")
            case = "SELECT kind FROM cases WHERE showtime_id = $1 AND kind IN ('facts_missing', 'fact_conflict')"
            await world.until(lambda: rows(world, case, showtime), "a case for a person", SETTLED_S)

        async def all_ended():
            paid = [session for session, account in read_book(tmp_path).sessions().items() if account.paid]
            sql = "SELECT session_id FROM captures WHERE outcome IS NOT NULL AND session_id = ANY ($1)"
            return len(await rows(world, sql, paid)) == len(paid)

        await world.until(all_ended, "an end of all money", 2 * SETTLED_S)
        outcome = "SELECT session_id, outcome FROM captures"
        found = {row["session_id"]: row["outcome"] for row in await rows(world, outcome)}
        assert found[kept["session_id"]] == "TICKETS"
        assert [found[payment["session_id"]] for payment in lost] == ["REFUND"] * 2
        repaid = "SELECT count(*) = 2 AS all FROM refunds WHERE session_id = ANY ($1) AND status = 'SETTLED'"
        sessions = [payment["session_id"] for payment in lost]

        async def all_repaid():
            return (await rows(world, repaid, sessions))[0]["all"]

        await world.until(all_repaid, "the money of what the ledger does not know going back", SETTLED_S)
        status, report = await audit(world, "--repair")
        assert report["after"]["differences"] == [], report
        assert (await audit(world))[0] == 0
        assert await find_wrong(world) == []


async def served(world, buyer, showtime):
    """Tell whether the town is served by the ledger again."""
    answer = await buyer.client.get(f"/showtimes/{showtime}")
    return answer.status_code == 200 and (await buyer.client.get("/health/ready")).status_code == 200

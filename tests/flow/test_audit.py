"""`seatlock audit` and `seatlock rebuild`: a sound house has no difference, each planted one is named and mended."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from engine.audit import auditor as auditor_module
from engine.audit import command
from engine.audit.auditor import Auditor
from engine.audit.books_check import check_books, check_rest
from engine.errors import CommandError, SeatlockError, Unavailable
from engine.ledger import restore as restore_module
from engine.ledger.blocks import NewBlock
from engine.ledger.records import BlockSeat
from engine.seats.ids import parse_hold_id
from engine.seats.keys import SHOWTIME_KEYS, partition_key, partition_of, showtime_key
from tests.flow.planted import LEDGER_PLANTS, SEATS, redis_plants
from tests.houses import ANNA, BUDI, open_house
from tests.seat_places import bit_at

pytestmark = pytest.mark.one_redis("an audit reads by MULTI, which is the same everywhere")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Do not wait long between two looks."""
    monkeypatch.setattr(auditor_module.limits, "AUDIT_LOOK_AGAIN_MS", 10)


@pytest.fixture
async def house(settings, small):
    """A house where everything is: tickets of two customers, a booking, a hold, a block; nothing is on its way."""
    async with open_house(settings, small) as house:
        async with house.worker():
            house.capture = await house.ticketed([0, 1])
            await house.ticketed([30], BUDI)
        house.booking = await house.check_out([4], BUDI)
        house.hold = await house.seats.claim_seats(house.showtime, ANNA, [20, 21])
        await block(house, [8, 9])
        yield house


async def block(house, seats):
    """Take seats out of sale."""
    labels = house.small.layout.seats
    wanted = tuple(BlockSeat(seat, labels[seat].seat) for seat in seats)
    entered = await house.ledger.add_block(
        NewBlock(showtime=house.showtime, seats=wanted, reason="broken", created_by="tests")
    )
    await house.seats.block_seats(house.showtime, seats)
    await house.ledger.finish_block(entered)


def no_tell(*_):
    """Be told of progress."""


async def look(house, *showtimes):
    """Audit; gives the report."""
    return await Auditor(house.runtime.pool, house.runtime.redis).audit(showtimes, no_tell)


async def found(house):
    """Audit; gives what differs by kind and place."""
    return {(one.kind, one.place) for one in (await look(house)).differences}


async def run(house, **options):
    """Run the command in this process; gives its text and status."""
    return await command.audit(house.runtime.settings, [], **{"as_json": False, "repair": False} | options)


async def test_each_difference_in_redis_is_named(house):
    """Every kind, planted by hand, is told with its place, and nothing else with it; undone, all is well again."""
    redis = house.runtime.redis
    keys = [showtime_key(house.showtime, name) for name in SHOWTIME_KEYS if name != "loading"]
    whole = {key: await redis.dump(key) for key in keys}
    seen = {}
    for name, (plant, _) in redis_plants(house).items():
        await plant()
        seen[name] = await found(house)
        for key in keys:
            await redis.restore(key, 0, whole[key], replace=True)
    assert seen == {name: told for name, (_, told) in redis_plants(house).items()}
    assert await found(house) == set()


async def test_each_difference_of_the_ledger_is_named(house):
    """Every kind, planted by SQL, is told, alone; what only looks like one is not. All is rolled back."""
    seen = {}
    async with house.runtime.pool.acquire() as connection:
        for name, (plant, _) in LEDGER_PLANTS.items():
            block = connection.transaction()
            await block.start()
            await connection.execute(plant)
            books = await check_books(connection, [house.showtime])
            books.add(await check_rest(connection, None))
            seen[name] = {one.kind for one in books.differences}
            await block.rollback()
    assert seen == {name: kinds for name, (_, kinds) in LEDGER_PLANTS.items()}


async def test_redis_is_mended_towards_the_ledger(house):
    """`--repair` builds the showtime anew, writes an act, and finds nothing the second time; money is as it was."""
    redis = house.runtime.redis
    await redis.setbit(showtime_key(house.showtime, "seats"), bit_at("sold", 3, SEATS), 1)
    await redis.setbit(showtime_key(house.showtime, "seats"), bit_at("blocked", 8, SEATS), 0)
    before = await house.fetch("SELECT * FROM tickets ORDER BY id")
    said = await run(house, repair=True)
    assert said.status == 0, said.text
    assert f"redis: showtime {house.showtime}, seat 3: sold_without_ticket: expected no sale" in said.text
    assert f"showtime {house.showtime}: built anew" in said.text
    assert ", 0 left: 1 showtimes" in said.text
    assert await house.map() == ({0, 1, 30}, set(), {8, 9})
    assert await house.fetch("SELECT * FROM tickets ORDER BY id") == before
    assert await house.fetch("SELECT verb, subject, reason FROM acts ORDER BY id DESC LIMIT 1") == [
        ("audit_repair", f"showtime:{house.showtime}", "block_missing owner_differs sold_without_ticket")
    ]
    assert await house.fetch("SELECT count(*) FROM rebuilds") == [(0,)]
    said = await run(house)
    assert said.status == 0
    assert "no differences: 1 showtimes, 1 of them in Redis, 2 captures, 3 tickets" in said.text


async def test_what_no_rebuild_mends_stays(house):
    """A difference of the ledger's own is told before and after `--repair`; a seat on its way back to stock is none."""
    await house.fetch("UPDATE tickets SET status = 'REFUNDED', restock_due = now() WHERE seat_index = 30 RETURNING 1")
    assert {kind for kind, _ in await found(house)} == {"capture_unbalanced", "booking_status"}
    await house.fetch("UPDATE tickets SET status = 'SOLD', restock_due = NULL WHERE seat_index = 30 RETURNING 1")
    await house.fetch("UPDATE bookings SET status = 'REFUNDED' WHERE subject = $1 RETURNING 1", ANNA)
    await house.runtime.redis.setbit(showtime_key(house.showtime, "seats"), bit_at("sold", 3, SEATS), 1)
    said = await run(house, repair=True, as_json=True)
    report = json.loads(said.text)
    assert said.status == report["status"] == 1
    assert {one["kind"] for one in report["before"]["differences"]} >= {"sold_without_ticket", "booking_status"}
    assert [one["kind"] for one in report["after"]["differences"]] == ["booking_status"]
    assert report["mended"] == {str(house.showtime): "built anew"}
    assert report["before"]["books"]["IDR"]["captured"] == 17_500_000


async def test_facts_on_their_way_are_no_difference_and_lost_ones_are(house, monkeypatch):
    """A sale that no worker has read is not judged, and well once one comes; with its stream lost it is `seq_ahead`."""
    await house.sell([2])
    with monkeypatch.context() as impatient:
        impatient.setattr(auditor_module.limits, "LOAD_WAIT_MS", 100)
        said = await run(house)
    assert said.status == 2
    assert f"showtime {house.showtime}: not judged: its facts do not reach the ledger" in said.text
    async with house.worker():
        assert (await run(house)).status == 0
    capture = await house.sell([3])
    await house.runtime.redis.delete(partition_key(partition_of(house.showtime), "facts"))
    assert ("seq_ahead", "generation 1") in await found(house)
    async with house.worker():
        assert (await run(house, repair=True)).status == 0
        assert await house.outcome(capture) == "TICKETS"
    assert await house.map() == ({0, 1, 2, 3, 30}, set(), {8, 9})


async def test_a_busy_house_has_no_difference(house, monkeypatch):
    """Claims, releases, sales, restocks and freezes go on while it is audited again and again.

    A first look may fall between the two halves of a freeze. Second looks wait for its end: on a machine that stands
    still for a moment they would meet the like half of the next one, which no audit can tell from one that stays.
    """
    monkeypatch.setattr(auditor_module.limits, "AUDIT_LOOK_AGAIN_MS", 100)
    over, acting = asyncio.Event(), asyncio.Lock()
    look_again = auditor_module.Auditor._look_again

    async def look_again_between_acts(self, *args):
        async with acting:
            return await look_again(self, *args)

    monkeypatch.setattr(auditor_module.Auditor, "_look_again", look_again_between_acts)
    sold = 0

    async def shop(number):
        nonlocal sold
        seats = [10 + number, 34 + number % 5]
        while not over.is_set():
            buyer = f"guest:{uuid4()}"
            try:
                hold = await house.seats.claim_seats(house.showtime, buyer, seats[:1])
                await house.seats.release_hold(parse_hold_id(hold.id), buyer)
                capture = await house.sell(seats[sold % 2 :][:1], buyer)
                if await house.outcome(capture, 3_000) != "TICKETS":
                    continue  # it was frozen between the money and the sale
                sold += 1
                await house.fetch(
                    "UPDATE tickets SET status = 'REFUNDED', restock_due = now() "
                    "WHERE subject = $1 AND status = 'SOLD' RETURNING 1",
                    buyer,
                )
            except SeatlockError:
                # What was claimed just before a freeze would keep its seat from everybody for ten minutes.
                await house.runtime.orders.belongings.release_holds(buyer)
                await asyncio.sleep(0.01)

    async def operate():
        while not over.is_set():
            for status, state in (("FROZEN", "frozen"), ("OPEN", "open")):
                async with acting:
                    await house.fetch("UPDATE showtimes SET status = $1 RETURNING 1", status)
                    await house.seats.freeze_showtime(house.showtime, state)
                await house.duties.restock_seats()
                await asyncio.sleep(0.2)

    async with house.worker():
        tasks = [asyncio.create_task(work) for work in (*(shop(number) for number in range(4)), operate())]
        reports = [await look(house) for _ in range(4)]
        while sold < 10:
            assert not any(task.done() for task in tasks)
            reports.append(await look(house))
        over.set()
        await asyncio.gather(*tasks)
    money = {"capture_unbalanced", "booking_status"}  # the test's own refunds come without money
    assert [one for report in reports for one in report.differences if one.kind not in money] == []


async def rebuild(house, *showtimes, **options):
    """Run `seatlock rebuild` in this process."""
    return await command.rebuild(house.runtime.settings, showtimes, **{"reason": "", "force": False} | options)


async def test_showtimes_are_rebuilt_on_request(house, small):
    """Named or all: their holds are lost, what was sold is not; what has ended for good is said, with status 1."""
    over = await small.add_showtime(days=5)
    past = datetime.now(UTC) - timedelta(days=3)
    await house.fetch(
        "UPDATE showtimes SET starts_at = $2, ends_at = $3, sales_open_at = $4, sales_stop_at = $2 WHERE id = $1 "
        "RETURNING 1",
        over,
        past,
        past + timedelta(hours=1),
        past - timedelta(days=1),
    )
    assert (await rebuild(house, house.showtime)).text == "1 rebuilt, 0 not"
    assert await house.map() == ({0, 1, 30}, set(), {8, 9})
    assert await rebuild(house) == ("1 rebuilt, 0 not", 0)
    said = await rebuild(house, house.showtime, over)
    assert (said.status, said.text.splitlines()[-1]) == (1, "1 rebuilt, 1 not")
    assert f"showtime {over}: not rebuilt: it ended so long ago" in said.text
    with pytest.raises(CommandError, match="there is no showtime 99"):
        await rebuild(house, 99)
    verbs = await house.fetch("SELECT verb, subject FROM acts ORDER BY id DESC LIMIT 1")
    assert verbs == [("rebuild_showtimes", f"showtime:{house.showtime}")]


async def test_only_force_frees_what_waits_for_a_person(house, monkeypatch):
    """A poison fact froze the showtime: neither a rebuild nor a repair frees it, `--force` with a reason does."""
    await house.fetch("INSERT INTO rebuilds VALUES ($1, 'poison_fact', false) RETURNING 1", house.showtime)
    await house.duties.rebuild_showtimes()
    said = await rebuild(house, house.showtime)
    assert said.status == 1
    assert f"showtime {house.showtime}: not rebuilt: it waits for a person" in said.text
    said = await run(house, repair=True)
    assert said.status == 1
    assert "waits_for_person: expected on sale, found frozen since" in said.text
    with pytest.raises(Unavailable, match="restored"):
        await house.seats.claim_seats(house.showtime, ANNA, [5])
    assert await rebuild(house, house.showtime, force=True, reason="case 7 is settled") == ("1 rebuilt, 0 not", 0)
    assert (await house.seats.claim_seats(house.showtime, ANNA, [5])).seats == (5,)
    assert await house.fetch("SELECT reason FROM acts ORDER BY id DESC LIMIT 1") == [("case 7 is settled",)]
    assert await found(house) == set()
    # Facts that do not arrive are said, and the row stays until somebody has built it.
    monkeypatch.setattr(restore_module, "LOAD_WAIT_MS", 100)
    await house.sell([2])
    said = await rebuild(house, house.showtime)
    assert said.status == 1
    assert (
        "showtime_frozen: Facts of the showtime are on their way to the ledger. A worker will try again." in said.text
    )
    assert await house.fetch("SELECT automatic, tried_at IS NOT NULL FROM rebuilds") == [(True, True)]

"""A purchase while its parts die: money that was taken always ends as tickets or as a refund."""

import asyncio
import signal

import pytest
from redis import Redis

from engine.limits import CAPTURE_SETTLE_AFTER_MS
from tests.flow.town import open_town, until

PRICE = 5_000_000
SETTLE_TIMEOUT_S = 2 * CAPTURE_SETTLE_AFTER_MS / 1000 + 10


@pytest.fixture(scope="module")
def town(redis_server, postgres, migrated_template, tmp_path_factory):
    """A running town whose parts may be killed."""
    with open_town(tmp_path_factory.mktemp("town"), redis_server.kind, postgres, migrated_template) as town:
        yield town


@pytest.fixture
def redis(town):
    """A connection to the town's Redis that has nothing to do with our own code."""
    with Redis.from_url(town.redis.url) as client:
        yield client


async def test_without_a_worker_no_sale_is_acknowledged_until_it_is_back(town):
    """The webhook answers 503 and the booking is PENDING and settling; with the worker back the repeat is 200."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        town.worker.stop()
        try:
            away = await town.send_event("success", payment, id="evt_asked_again")
            assert (away.status_code, away.json()["code"], away.json()["outcome"]) == (
                503,
                "ledger_unavailable",
                "unknown",
            )
            assert away.headers["Retry-After"]
            between = await buyer.read(booking)
            assert (between["status"], between["settling"], between["actions"]) == ("PENDING", True, [])
            assert (await buyer.pay(booking, status=409))["code"] == "already_paid"
            assert (await buyer.cancel(booking, status=409))["code"] == "not_cancellable"
        finally:
            town.worker.start()
        again = await town.send_event("success", payment, id="evt_asked_again")
        assert (again.status_code, again.json()) == (200, {"status": "processed"})
        confirmed = await buyer.read(booking)
    assert (confirmed["status"], confirmed["settling"]) == ("CONFIRMED", False)


async def test_the_gateway_itself_asks_again_until_the_sale_is_in_the_ledger(town):
    """Nobody but the fake gateway repeats the event: it ends with a ticket."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        town.api.stop(signal.SIGKILL)
        try:
            async with town.client() as browser:
                await browser.post(payment["payment_url"] + "/pay", data={"card": "4242 4242 4242 4242"})
        finally:
            town.api.start()
        assert (await buyer.until(booking, "CONFIRMED"))["payment"]["status"] == "SUCCESS"


async def test_a_capture_whose_api_died_before_the_sale_is_settled_by_the_worker(town, redis):
    """Killed with -9 between the ledger and the seats: the money is known, so the worker sells the seats for it."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        # Redis takes no write: the event gets as far as the ledger and no further.
        redis.client_pause(60_000, all=False)
        try:
            event = asyncio.create_task(town.send_event("success", payment))
            sql = "SELECT 1 FROM captures WHERE session_id = $1 AND outcome IS NULL"
            await until(lambda: town.fetch(sql, payment["session_id"]), "the capture in the ledger")
            town.api.stop(signal.SIGKILL)
            await asyncio.gather(event, return_exceptions=True)
        finally:
            redis.client_unpause()
            town.api.start()
        assert (await town.seat_statuses(showtime))["A1"] == "LOCKED"
        sql = "SELECT 1 FROM captures WHERE session_id = $1 AND outcome = 'TICKETS'"
        await until(lambda: town.fetch(sql, payment["session_id"]), "the worker's sale", SETTLE_TIMEOUT_S)
        confirmed = await buyer.read(booking)
    assert (confirmed["status"], len(confirmed["tickets"])) == ("CONFIRMED", 1)


@pytest.mark.parametrize("taken", [False, True], ids=["re-seated", "refunded"])
async def test_redis_is_lost_between_check_out_and_payment(town, redis, taken):
    """The unpaid booking is gone; money that comes for it buys the seats again, or goes back if they are taken."""
    showtime = await town.open_showtime()
    async with town.customer() as first, town.customer() as buyer, town.customer() as other:
        _, earlier = await first.begin(showtime, "B1")
        assert (await town.send_event("success", earlier)).status_code == 200
        unpaid = await buyer.check_out(await buyer.claim(showtime, "C1"))
        booking, payment = await buyer.begin(showtime, "A1", "A2")

        redis.flushall()

        assert (await buyer.read(unpaid, status=410))["code"] == "booking_expired"
        gone = await buyer.read(booking)
        assert (gone["status"], gone["status_reason"]) == ("EXPIRED", "payment_timeout")
        statuses = await town.seat_statuses(showtime)
        assert (statuses["A1"], statuses["B1"], statuses["C1"]) == ("AVAILABLE", "SOLD", "AVAILABLE")
        if taken:
            await other.claim(showtime, "A2")
        answer = await town.send_event("success", payment)
        assert answer.status_code == 200, answer.text
        end = await buyer.read(booking)
        assert (await buyer.read(unpaid, status=410))["code"] == "booking_expired"
    refunds = await town.fetch("SELECT amount_minor, reason FROM refunds WHERE booking_id = $1", booking["id"])
    if taken:
        assert (end["status"], end["tickets"]) == ("REFUNDED", [])
        assert refunds == [{"amount_minor": 2 * PRICE, "reason": "seats_taken"}]
    else:
        assert (end["status"], len(end["tickets"]), refunds) == ("CONFIRMED", 2, [])


async def test_redis_is_lost_with_a_sale_that_the_ledger_has_not_seen(town, redis):
    """Sold, and the fact lost before the worker read it: the capture is settled again, with tickets or a refund."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        town.worker.stop()
        try:
            event = asyncio.create_task(town.send_event("success", payment))
            await until(lambda: sold(town, showtime), "the sale in Redis")
            redis.flushall()
        finally:
            town.worker.start()
        await event
        end = await until(lambda: settled(buyer, booking), "the end of the payment", SETTLE_TIMEOUT_S)
    tickets = await town.fetch("SELECT 1 FROM tickets WHERE session_id = $1", payment["session_id"])
    refunds = await town.fetch("SELECT 1 FROM refunds WHERE session_id = $1", payment["session_id"])
    assert (end["status"], len(tickets), len(refunds)) in [("CONFIRMED", 1, 0), ("REFUNDED", 0, 1)]


async def sold(town, showtime):
    """Tell whether seat A1 is sold."""
    return (await town.seat_statuses(showtime))["A1"] == "SOLD"


async def settled(buyer, booking):
    """Give a booking whose money has its outcome."""
    shown = await buyer.read(booking)
    return shown if shown["status"] in ("CONFIRMED", "REFUNDED") else None


async def test_a_payment_races_with_a_cancelling_customer(town):
    """Cancel and pay in the same instant: one of them is first, and the money is never kept without tickets."""
    showtime = await town.open_showtime(holds_per_customer_max=20)
    async with town.customer() as buyer:
        for seat in ("A1", "A2", "A3", "A4", "A5", "A6"):
            booking, payment = await buyer.begin(showtime, seat)
            cancelling = buyer.client.post(f"/bookings/{booking['id']}/cancel")
            paid, cancelled = await asyncio.gather(town.send_event("success", payment), cancelling)
            assert (paid.status_code, cancelled.status_code in (200, 409)) == (200, True)
            end = await buyer.read(booking)
            refunds = await town.fetch("SELECT amount_minor FROM refunds WHERE booking_id = $1", booking["id"])
            if cancelled.status_code == 409:
                assert (end["status"], refunds) == ("CONFIRMED", [])
            else:
                assert (end["status"], refunds) == ("CANCELLED", [{"amount_minor": PRICE}])

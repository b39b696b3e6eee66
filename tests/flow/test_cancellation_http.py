"""A cinema cancels a showtime: nothing is sold from that moment, and everybody gets everything back by and by."""

import pytest

from tests.flow.town import until

pytestmark = pytest.mark.one_redis("the scripts of a cancellation run on every kind in tests/lua")

PRICE = 5_000_000
REASON = {"reason": "The projector is broken"}


@pytest.fixture
async def boss(town):
    """A client of an administrator."""
    async with town.client({"Authorization": f"Bearer {town.token(subject='boss', role='admin')}"}) as client:
        yield client


async def cancel(boss, showtime, status=202, **body):
    """Cancel a showtime; gives the answer's JSON."""
    answer = await boss.post(f"/admin/showtimes/{showtime}/cancel", json=REASON | body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def progress(boss, showtime):
    """Give how far a cancellation is."""
    answer = await boss.get(f"/admin/showtimes/{showtime}/cancellation")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def done(boss, showtime):
    """Wait until a cancellation is done; gives the progress."""

    async def look():
        seen = await progress(boss, showtime)
        return seen if seen["done_at"] else None

    return await until(look, f"the end of the cancellation of {showtime}")


@pytest.mark.covers("000.8", "000.10", "000.18", "000.19", "000.20", "001.20", "001.32", "001.33")
async def test_a_cancelled_showtime_gives_everything_back(town, boss):
    """Paid, paying, choosing: each learns at once, each gets what is theirs, and all seats are free and closed."""
    showtime = await town.open_showtime(holds_per_customer_max=5)
    async with town.customer() as paid, town.customer() as paying, town.customer() as choosing:
        bought, payment = await paid.begin(showtime, "A1", "A2")
        assert (await town.send_event("success", payment)).status_code == 200
        begun, late = await paying.begin(showtime, "B1")
        checked_out = await paying.check_out(await paying.claim(showtime, "B2"))
        hold = await choosing.claim(showtime, "C1", "C2")

        before = await cancel(boss, showtime, 200, dry_run=True)
        assert before == {
            "showtime_id": showtime,
            "bookings": 2,
            "tickets": 2,
            "money": [{"amount": 2 * PRICE, "currency": "IDR"}],
        }
        assert (await boss.get(f"/admin/showtimes/{showtime}/cancellation")).status_code == 404
        cancelled = await cancel(boss, showtime)
        assert (cancelled["status"], cancelled["tickets"], cancelled["cancelled_by"]) == ("CANCELLED", 2, "boss")

        refused = await choosing.claim(showtime, "D1", status=409)
        assert (refused["code"], refused["showtime_status"]) == ("showtime_closed", "CANCELLED")
        gone = await choosing.call("GET", f"/holds/{hold['id']}", 410)
        assert (gone["code"], gone["showtime_status"]) == ("hold_expired", "CANCELLED")
        for booking in (begun, checked_out):
            seen = await paying.client.get(f"/bookings/{booking['id']}")
            if seen.status_code == 200:
                assert (seen.json()["status"], seen.json()["status_reason"]) == ("CANCELLED", "showtime_cancelled")
            else:  # its end is on its way from Redis to the ledger
                assert (seen.status_code, seen.json()["showtime_status"]) == (410, "CANCELLED")
        assert (await town.send_event("success", late)).status_code == 200

        end = await done(boss, showtime)
        assert [(sums["refunds"], sums["amount"]) for sums in end["refunds"]] != []
        assert sum(sums["amount"] for sums in end["refunds"]) == 3 * PRICE
        assert (end["tickets_refunded"], end["seats_restocked"]) == (2, 2)
        assert end["bookings_ended"] == end["bookings"] == 2
        shown = await paid.read(bought)
        assert (shown["status"], shown["status_reason"]) == ("REFUNDED", "showtime_cancelled")
        assert {ticket["status"] for ticket in shown["tickets"]} == {"REFUNDED"}
        assert (shown["refund"]["amount"], shown["refund"]["reason"]) == (2 * PRICE, "showtime_cancelled")
        ended = await paying.until(checked_out, "CANCELLED")
        assert ended["status_reason"] == "showtime_cancelled"
        assert (await choosing.claim(showtime, "A1", status=409))["code"] == "showtime_closed"
    assert set((await town.seat_statuses(showtime)).values()) == {"AVAILABLE"}
    async with town.client() as anybody:
        assert (await anybody.get(f"/showtimes/{showtime}")).json()["status"] == "CANCELLED"
    for body in ({"reason": "Rain"}, {"dry_run": True}):
        assert await cancel(boss, showtime, 200, **body) == cancelled


async def test_a_showtime_that_ended_long_ago_is_not_cancelled(town, boss):
    """Eight days after its end the books are closed."""
    showtime = await town.open_showtime()
    await town.fetch(
        "UPDATE showtimes SET starts_at = starts_at - back, ends_at = ends_at - back, sales_open_at = sales_open_at - "
        "back, sales_stop_at = sales_stop_at - back FROM (SELECT ends_at - now() + interval '8 days' AS back "
        "FROM showtimes WHERE id = $1) AS by WHERE id = $1",
        showtime,
    )
    for body in ({}, {"dry_run": True}):
        refused = await cancel(boss, showtime, 409, **body)
        assert (refused["code"], refused["showtime_status"]) == ("showtime_closed", "ENDED")

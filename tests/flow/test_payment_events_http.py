"""Events of the gateway in every order: doubled, reordered, wrong, forged. Each leads to one end, and is answered."""

import asyncio

import pytest

from engine.limits import WEBHOOK_TOLERANCE_S

pytestmark = pytest.mark.one_redis("events are judged in PostgreSQL; a whole purchase runs on every kind")

PRICE = 5_000_000


async def told(town, kind, payment, **options):
    """Send an event that must be taken."""
    answer = await town.send_event(kind, payment, **options)
    assert (answer.status_code, answer.json()) == (200, {"status": "processed"}), answer.text


async def refunds_of(town, payment):
    """Give amount, currency and reason of a payment's refunds."""
    rows = await town.fetch(
        "SELECT amount_minor, currency, reason FROM refunds WHERE session_id = $1", payment["session_id"]
    )
    return [(row["amount_minor"], row["currency"], row["reason"]) for row in rows]


@pytest.mark.covers("004.18", "004.19")
async def test_a_doubled_event_changes_nothing(town):
    """The same event, and another one that says the same, at once and later: one sale, 200 each time."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        await asyncio.gather(*(told(town, "success", payment, id="evt_doubled") for _ in range(4)))
        first = await buyer.read(booking)
        await told(town, "success", payment, id="evt_doubled")
        await told(town, "success", payment)
        again = await buyer.read(booking)
    assert first["status"] == "CONFIRMED"
    assert {**first, "server_time": None} == {**again, "server_time": None}
    assert len(first["tickets"]) == 1
    assert await refunds_of(town, payment) == []


@pytest.mark.covers("004.27")
async def test_success_after_failure_is_paid_and_failure_after_success_is_nothing(town):
    """FAILED -> SUCCESS is possible, SUCCESS is final."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        await told(town, "failed", payment, failure_code="card_declined")
        failed = await buyer.read(booking)
        assert failed["payment"]["failure"]["code"] == "card_declined"
        await told(town, "success", payment)
        await told(town, "failed", payment)
        await told(town, "expired", payment)
        paid = await buyer.read(booking)
    assert (paid["status"], paid["payment"]["status"]) == ("CONFIRMED", "SUCCESS")


@pytest.mark.covers("004.20", "004.29")
async def test_failures_give_more_time_three_times_and_never_beyond_the_cap(town):
    """Each of three failures leaves five minutes at least, the fourth nothing, and claim_max stands (trap T3)."""
    short = await town.open_showtime(hold_ttl_s=20, payment_ttl_s=20, hold_max_s=20, claim_max_s=1000)
    capped = await town.open_showtime(hold_ttl_s=20, payment_ttl_s=20, hold_max_s=20, claim_max_s=40)
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(short, "A1")
        left = []
        for _ in range(4):
            await asyncio.sleep(0.1)
            await told(town, "failed", payment, id=f"evt_{payment['session_id']}")
            await told(town, "failed", payment, id=f"evt_{payment['session_id']}")
            shown = await buyer.read(booking)
            left.append(shown["expires_at"])
            assert shown["payment"]["attempts_left"] == max(0, 3 - len(left))
            payment = await buyer.pay(booking)
            assert payment["expires_at"] == shown["expires_at"]
        assert left[0] < left[1] < left[2] == left[3]
        assert 298_000 < (await buyer.read(booking))["expires_in_ms"] < 300_000

        booking, payment = await buyer.begin(capped, "A1")
        await told(town, "failed", payment)
        assert 35_000 < (await buyer.read(booking))["expires_in_ms"] < 40_000
        stored = await town.fetch("SELECT expires_at - claimed_at AS span FROM bookings WHERE id = $1", booking["id"])
        assert stored[0]["span"].total_seconds() == 40


@pytest.mark.covers("004.21", "000.14", "001.15", "004.43")
async def test_an_expired_payment_ends_the_booking_and_frees_its_seats(town):
    """Payment EXPIRED, booking EXPIRED, the seats free for the next customer at once."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer, town.customer() as other:
        booking, payment = await buyer.begin(showtime, "A1", "A2")
        await told(town, "expired", payment)
        await told(town, "expired", payment)
        expired = await buyer.read(booking)
        assert (expired["status"], expired["status_reason"]) == ("EXPIRED", "payment_timeout")
        assert expired["payment"]["status"] == "EXPIRED"
        await other.claim(showtime, "A1", "A2")
    rows = await town.fetch("SELECT status FROM bookings WHERE id = $1", booking["id"])
    assert rows == [{"status": "EXPIRED"}]


async def test_an_older_session_decides_nothing_about_the_booking(town):
    """Only the newest session's failure moves the deadline, only its expiry ends the booking."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, old = await buyer.begin(showtime, "A1")
        await told(town, "failed", old)
        new = await buyer.pay(booking)
        before = await buyer.read(booking)
        await told(town, "expired", old)
        await told(town, "failed", old)
        after = await buyer.read(booking)
        assert (after["status"], after["expires_at"]) == ("PENDING", before["expires_at"])
        await told(town, "success", new)
        assert (await buyer.read(booking))["status"] == "CONFIRMED"


@pytest.mark.parametrize("newer_first", [True, False])
async def test_two_sessions_are_paid_and_the_second_money_goes_back_whole(town, newer_first):
    """Whichever money comes first buys the seats; the other is refunded, and the booking stays CONFIRMED."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, old = await buyer.begin(showtime, "A1")
        await told(town, "failed", old)
        new = await buyer.pay(booking)
        winner, loser = (new, old) if newer_first else (old, new)
        await told(town, "success", winner)
        await told(town, "success", loser)
        await told(town, "success", loser)
        shown = await buyer.read(booking)
    assert (shown["status"], len(shown["tickets"])) == ("CONFIRMED", 1)
    assert shown["tickets"][0]["session_id"] == winner["session_id"]
    assert await refunds_of(town, loser) == [(PRICE, "IDR", "duplicate_payment")]
    assert await refunds_of(town, winner) == []
    assert shown["refund"]["amount"] == PRICE


@pytest.mark.parametrize(
    ("change", "owed"),
    [
        ({"amount": PRICE - 1}, (PRICE - 1, "IDR")),
        ({"amount": PRICE + 1}, (PRICE + 1, "IDR")),
        ({"amount": 2**53 - 1}, (2**53 - 1, "IDR")),
        ({"currency": "USD"}, (PRICE, "USD")),
        ({"amount": 0}, None),
    ],
)
async def test_a_wrong_amount_buys_nothing_and_goes_back(town, change, owed):
    """200, a case for the admin, what was captured is owed, and the seats are not sold."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        await told(town, "success", payment, **change)
        shown = await buyer.read(booking)
    assert shown["status"] != "CONFIRMED"
    assert shown["tickets"] == []
    assert await refunds_of(town, payment) == ([(*owed, "wrong_amount")] if owed else [])
    cases = await town.fetch("SELECT kind FROM cases WHERE session_id = $1", payment["session_id"])
    assert cases == [{"kind": "wrong_amount"}]
    assert (await town.seat_statuses(showtime))["A1"] != "SOLD"


async def test_money_of_an_unknown_session_goes_back(town):
    """200, a case, a refund; nothing else can be done with it."""
    payment = {"session_id": "sess_of_somebody_else", "amount": 77, "currency": "IDR"}
    await told(town, "success", payment)
    await told(town, "success", payment)
    assert await refunds_of(town, payment) == [(77, "IDR", "unknown_session")]
    cases = await town.fetch("SELECT kind FROM cases WHERE session_id = $1", payment["session_id"])
    assert cases == [{"kind": "unknown_session"}]


async def test_events_that_we_do_not_know_are_taken_and_change_nothing(town):
    """Unknown types, unknown fields, ends of unknown sessions: 200, or the gateway would ask for ever."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        before = await buyer.read(booking)
        await told(town, "disputed", payment, evidence={"photos": [1, 2]}, note="\u0000")
        await told(town, "failed", {**payment, "session_id": "sess_unknown_1"})
        await told(town, "expired", {**payment, "session_id": "sess_unknown_2"})
        after = await buyer.read(booking)
    for moving in ("server_time", "expires_in_ms"):
        del before[moving], after[moving]
    assert before == after


@pytest.mark.covers("004.17")
@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"secret": "guessed"}, "bad_signature"),
        ({"age_s": WEBHOOK_TOLERANCE_S + 5}, "stale_signature"),
        ({"age_s": -WEBHOOK_TOLERANCE_S - 5}, "stale_signature"),
    ],
)
async def test_forged_and_stale_events_change_nothing(town, options, code):
    """401, and the ledger has never heard of it."""
    showtime = await town.open_showtime()
    async with town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "A1")
        answer = await town.send_event("success", payment, **options)
        assert (answer.status_code, answer.json()["code"]) == (401, code)
        assert (await buyer.read(booking))["payment"]["status"] == "PENDING"
    for table in ("payment_events", "captures"):
        assert await town.fetch(f"SELECT 1 FROM {table} WHERE session_id = $1", payment["session_id"]) == []


async def test_unsigned_and_broken_bodies_are_refused(town):
    """No header, an empty body, a body too large: a problem each, never a crash."""
    async with town.client() as stranger:
        for body, status in ((b"", 401), (b"{}", 401), (b"x" * 100_000, 413)):
            answer = await stranger.post("/payments/webhook", content=body)
            assert answer.status_code == status
    wrong = await town.send_event("success", {"session_id": "s", "amount": "7", "currency": "IDR"})
    assert (wrong.status_code, wrong.json()["errors"][0]["pointer"]) == (422, "/amount")

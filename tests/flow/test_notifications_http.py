"""Reminders, bookings looked up by mail, and dead letters, over HTTP and to a real mail server."""

from uuid import uuid4

import pytest

from engine.accounts.tokens import Identity
from engine.ledger.database import open_pool
from engine.limits import REMIND_BEFORE_MS
from engine.notifications.mail import MailChannel
from engine.notifications.reminders import Reminder, Reminders
from engine.settings import Settings
from tests.flow.conftest import guest
from tests.mailroom import SETTINGS, Mailroom, mail_server

pytestmark = pytest.mark.one_redis("what is looked at in Redis is only the hold, as everywhere")

DUE_AT_S = "SELECT extract(epoch FROM due_at - now())::int FROM reminders"


@pytest.fixture
def policy_changes():
    """So little time to pay that the reminder is due at once when half of it is over."""
    return {"payment_ttl_s": 100}


@pytest.fixture
async def room(app_client, pool, small):
    """A mailroom beside the running application."""
    room = Mailroom(pool, small)
    yield room
    room.press.close()


@pytest.fixture
async def server():
    """A mail server."""
    async with mail_server() as server:
        yield server


@pytest.fixture
def sending(room, server):
    """The duty that sends to that server."""
    return room.sending(MailChannel(server.url, SETTINGS.mail_from))


async def check_out(client, small, seat, **body):
    """Claim a seat as a new guest and check it out, to be reminded; give the booking and the guest's headers."""
    headers = await guest(client)
    claimed = await client.post(f"/api/v1/showtimes/{small.showtime}/holds", json={"seats": [seat]}, headers=headers)
    body = {"hold_id": claimed.json()["id"], "email": "ayu@example.com", "remind": True} | body
    booked = await client.post("/api/v1/bookings", json=body, headers=headers)
    assert booked.status_code == 201, booked.text
    return booked.json(), headers


async def test_who_asked_is_reminded_of_an_unpaid_booking_once(app_client, room, small, server, sending):
    """While it is unpaid, and until when it is kept; a booking that was cancelled meanwhile is no matter any more."""
    booking, _ = await check_out(app_client, small, "A1", locale="en")
    gone, headers = await check_out(app_client, small, "A2")
    await check_out(app_client, small, "A3", remind=False)
    assert sorted(await room.fetch(DUE_AT_S)) == [(50,), (50,)]
    cancelled = await app_client.post(f"/api/v1/bookings/{gone['id']}/cancel", headers=headers)
    assert cancelled.status_code == 200, cancelled.text
    runtime = app_client.app.state.runtime
    reminders = Reminders(runtime.pool, runtime.seats, runtime.catalogue)
    assert await reminders.remind_customers() == 0, "it is not time yet"
    for _ in range(2):
        await room.execute("UPDATE reminders SET due_at = now()")
        assert await reminders.remind_customers() == 2
    await room.spread()
    await sending.send_notifications()
    ((_, mail),) = server.mails
    assert mail["Subject"].startswith("Your seats are kept until ")
    assert booking["id"] in mail.get_body(("plain",)).get_content()
    assert await room.rows() == [(f"mail:lapsing:{booking['id']}", "SENT", 1)]


async def test_a_reminder_follows_the_deadline_and_is_not_sent_too_late(app_client, room, small, server, sending):
    """A booking that has more time is looked at later; a mail that waited until the end is not sent any more."""
    booking, _ = await check_out(app_client, small, "A1")
    runtime = app_client.app.state.runtime
    reminders = Reminders(runtime.pool, runtime.seats, runtime.catalogue)
    await room.execute("UPDATE reminders SET due_at = now()")
    read_hold = runtime.seats.read_hold

    class MoreTime:
        """A failed payment has given the hold more time."""

        async def read_hold(self, hold_id):
            hold = await read_hold(hold_id)
            fields = {name: getattr(hold, name) for name in hold.__struct_fields__}
            return type(hold)(**fields | {"deadline_ms": hold.now_ms + REMIND_BEFORE_MS + 60_000})

    await Reminders(runtime.pool, MoreTime(), runtime.catalogue).remind_customers()
    assert await room.fetch(DUE_AT_S) in ([(60,)], [(59,)])
    await room.execute("UPDATE reminders SET due_at = now()")
    await reminders.remind_customers()
    await room.spread()
    await room.execute("UPDATE notifications SET data = jsonb_set(data, '{expires_at_ms}', '1')")
    await sending.send_notifications()
    assert (server.mails, await room.rows()) == ([], [(f"mail:lapsing:{booking['id']}", "SUPERSEDED", 1)])


async def test_nobody_is_asked_to_pay_for_a_cancelled_showtime(app_client, room, small):
    """Its booking is still in Redis, until the worker comes to end it."""
    await check_out(app_client, small, "A1")
    runtime = app_client.app.state.runtime
    await runtime.seats.close_showtime(small.showtime)
    await room.execute("UPDATE reminders SET due_at = now()")
    assert await Reminders(runtime.pool, runtime.seats, runtime.catalogue).remind_customers() == 1
    assert await room.fetch("SELECT type FROM announcements") == []
    assert await room.fetch(DUE_AT_S) == [(None,)]


async def test_a_check_out_does_without_its_reminder_when_the_ledger_is_away():
    """It is said in the log, and the check-out goes on."""
    pool = await open_pool(Settings(database_url="postgresql://nobody@127.0.0.1:1/none"))
    reminder = Reminder(
        booking_id=str(uuid4()),
        showtime=1,
        email="a@x.org",
        phone=None,
        locale="id",
        expires_at_ms=900_000,
        now_ms=0,
    )
    assert await Reminders(pool, None, None).take_down(reminder) is False
    pool.terminate()


async def test_a_booking_is_looked_up_by_mail_and_the_answer_tells_nothing(app_client, room, server, sending):
    """202 in any case; only the address of the booking gets the mail, once, with links to its tickets."""
    booking = await room.sell("C1", "C2")
    await room.execute("UPDATE announcements SET spread_at = now()")
    answers = []
    for name, email in (
        (booking, "Ayu@Example.com"),
        (booking, "ayu@example.com"),
        (booking, "eve@example.com"),
        (str(uuid4()), "ayu@example.com"),
    ):
        answer = await app_client.post("/api/v1/bookings/lookup", json={"id": name, "email": email})
        answers.append((answer.status_code, answer.text))
    assert set(answers) == {(202, answers[0][1])}
    await sending.send_notifications()
    ((recipients, mail),) = server.mails
    assert recipients == ["ayu@example.com"]
    text = mail.get_body(("plain",)).get_content()
    assert "sudah dibayar" in text
    assert text.count("https://tickets.example/api/v1/tickets/") == 2
    assert await room.fetch("SELECT status, recipient FROM notifications") == [("SENT", "ayu@example.com")]


async def test_a_dead_letter_is_seen_and_tried_again(app_client, room, server, sending):
    """By kind and status, newest first; a retry is written down, and a mail that was sent is not sent again."""
    await room.sell("A1")
    await room.sell("A2", email="nobody@example.com")
    await room.spread()
    server.replies = ["250 taken", "550 no such user"]
    await sending.send_notifications()
    token = app_client.app.state.runtime.accounts.tokens.issue(Identity(subject="boss", role="admin"), "access")
    headers = {"Authorization": f"Bearer {token}"}
    listed = await app_client.get("/api/v1/admin/notifications?status=DEAD&kind=ticket", headers=headers)
    (dead,) = listed.json()["items"]
    for query in ("status=dead", "kind=nonsense"):
        wrong = await app_client.get(f"/api/v1/admin/notifications?{query}", headers=headers)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_field")
    assert (dead["attempts"], dead["error"], dead["due_at"]) == (1, "550 no such user", None)
    path = f"/api/v1/admin/notifications/{dead['id']}/retry"
    retried = await app_client.post(path, headers=headers)
    assert (retried.status_code, retried.json()["status"]) == (200, "QUEUED")
    await sending.send_notifications()
    assert len(server.mails) == 2
    refused = await app_client.post(path, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (409, "not_retryable")
    acts = (await app_client.get("/api/v1/admin/acts", headers=headers)).json()["items"]
    assert [(act["actor"], act["verb"]) for act in acts] == [("boss", "retry_notification")] + [
        ("tests", act["verb"]) for act in acts[1:]
    ]

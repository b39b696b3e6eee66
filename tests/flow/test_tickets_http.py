"""E-tickets over HTTP: from the booking to the door, and what is shown of them to whom."""

import pytest

from engine.tickets.codes import read_code
from tests.door import add_ticket, code_for, public_keys
from tests.flow.conftest import guest
from tests.flow.test_operators_http import send, sign, stranger

pytestmark = pytest.mark.one_redis("a ticket is the ledger's; no Redis is asked")

API = "/api/v1"


@pytest.fixture
def runtime(app_client):
    """The application's parts."""
    return app_client.app.state.runtime


@pytest.fixture
async def ticket(runtime, small):
    """A sold ticket."""
    return await add_ticket(runtime.ledger, small.showtime, seat_index=16, seat="C1", tier="PREMIUM")


@pytest.fixture
async def code(runtime, ticket):
    """Its code."""
    return await code_for(runtime, ticket)


@pytest.fixture
def staff(app_client, small):
    """Headers of somebody who works at the small catalogue's cinema."""
    return sign(app_client, subject="staff", role="staff", cinemas=frozenset({small.cinema}))


async def show(client, code, kind, status=200):
    """Ask for a ticket in one of its forms, as anybody."""
    answer = await client.get(f"{API}/tickets/{code}.{kind}")
    assert answer.status_code == status, answer.text
    return answer


async def door(client, headers, code, showtime, status=200, gate="North", **more):
    """Hold a ticket under a scanner; gives the answer's body."""
    body = {"showtime_id": showtime, "gate": gate}
    return await send(client, headers, "POST", f"/tickets/{code}/check-in", body, status, **more)


async def list_of(client, ticket, headers, status=200):
    """List the tickets of a ticket's booking."""
    answer = await client.get(f"{API}/bookings/{ticket.booking_id}/tickets", headers=headers)
    assert answer.status_code == status, answer.text
    return answer.json().get("items")


@pytest.mark.covers("000.9")
async def test_a_booking_lists_its_tickets_with_codes_that_a_scanner_verifies(app_client, settings, ticket, code):
    """The published keys are enough; only the owner sees the list."""
    owner = sign(app_client, subject="buyer")
    (listed,) = await list_of(app_client, ticket, owner)
    assert (listed["code"], listed["valid"], listed["status"]) == (code, True, "SOLD")
    base = f"{settings.home_url}{API}/tickets/{code}"
    assert listed["links"] == {kind: f"{base}.{kind}" for kind in ("svg", "png", "pdf", "ics")}
    keys = await app_client.get("/.well-known/seatlock-ticket-keys.json")
    assert keys.headers["cache-control"] == "public, max-age=300"
    said = read_code(public_keys(keys.json()), code)
    assert (str(said.ticket_id), said.showtime, said.seat_index) == (ticket.id, ticket.showtime, 16)
    await list_of(app_client, ticket, await guest(app_client), 404)


@pytest.mark.covers("000.9", "001.14")
async def test_a_code_opens_its_ticket_in_every_form(app_client, code):
    """For anybody who has it; nothing on the way may keep it."""
    kinds = {"pdf": "application/pdf", "svg": "image/svg+xml", "png": "image/png", "ics": "text/calendar"}
    bodies = {}
    for kind, media_type in kinds.items():
        answer = await show(app_client, code, kind)
        assert answer.headers["content-type"].partition(";")[0] == media_type
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-disposition"].endswith(f'.{kind}"')
        bodies[kind] = answer.content
    assert bodies["pdf"].startswith(b"%PDF-")
    assert bodies["png"].startswith(b"\x89PNG")
    assert b"BEGIN:VEVENT" in bodies["ics"]
    phone = await app_client.get(f"{API}/tickets/{code}.pdf?size=phone")
    assert b"/Count 1\n" in phone.content
    assert b"/Count 2\n" in bodies["pdf"]
    assert (await app_client.get(f"{API}/tickets/{code}.pdf?size=a5")).json()["code"] == "invalid_field"


async def test_a_forged_code_is_not_found(app_client, staff, ticket, code):
    """Everywhere, and nothing is said of why."""
    forged = code[:-2] + ("AA" if code[-2:] != "AA" else "BA")
    for kind in ("pdf", "svg", "png", "ics"):
        assert (await show(app_client, forged, kind, 404)).json()["code"] == "not_found"
    await door(app_client, staff, forged, ticket.showtime, 404)
    await send(app_client, staff, "DELETE", f"/tickets/{forged}/check-in", {"reason": "oops"}, 404)


@pytest.mark.covers("000.9")
async def test_a_ticket_is_used_at_the_door_once(app_client, staff, ticket, code):
    """The second scan says where and when; a scanner's repeat gets the first answer; the ticket is valid no more."""
    used = await door(app_client, staff, code, ticket.showtime, **{"Idempotency-Key": "scan-1"})
    assert (used["ticket"], used["seat"], used["row"], used["showtime"]) == (ticket.id, "C1", "C", ticket.showtime)
    assert await door(app_client, staff, code, ticket.showtime, **{"Idempotency-Key": "scan-1"}) == used
    again = await door(app_client, staff, code, ticket.showtime, 409, "South")
    assert (again["code"], again["gate"], again["used_at"]) == ("ticket_used", "North", used["used_at"])
    (listed,) = await list_of(app_client, ticket, sign(app_client, subject="buyer"))
    assert (listed["status"], listed["valid"], listed["code"]) == ("USED", False, code)
    await send(app_client, staff, "DELETE", f"/tickets/{code}/check-in", {"reason": "the wrong person"}, 204)
    await door(app_client, staff, code, ticket.showtime, gate="South")
    admin = sign(app_client, subject="admin", role="admin")
    acts = (await send(app_client, admin, "GET", "/acts"))["items"]
    assert [(act["actor"], act["subject"]) for act in acts if act["verb"] == "undo_check_in"] == [
        ("staff", f"ticket:{ticket.id}")
    ]


async def test_a_door_tells_what_is_wrong(app_client, runtime, small, staff, ticket, code):
    """Another show, a show that is not there, a cinema that is somebody else's."""
    other = await small.add_showtime(days=2)
    wrong = await door(app_client, staff, code, other, 409)
    assert (wrong["code"], wrong["showtime"]) == ("wrong_showtime", ticket.showtime)
    assert wrong["starts_at"] == (await app_client.get(f"{API}/showtimes/{ticket.showtime}")).json()["starts_at"]
    nowhere = await door(app_client, staff, code, 4_000_000, 422)
    assert nowhere["errors"][0]["pointer"] == "/showtime_id"
    await door(app_client, stranger(app_client), code, ticket.showtime, 403)
    await send(app_client, stranger(app_client), "DELETE", f"/tickets/{code}/check-in", {"reason": "x"}, 403)


@pytest.mark.parametrize("how", ["refunded", "cancelled"])
async def test_a_ticket_that_is_paid_back_is_shown_to_nobody(app_client, runtime, staff, ticket, code, how):
    """No picture that looks valid; of a cancelled showtime, before the worker has come to this ticket."""
    if how == "refunded":
        await runtime.pool.execute("UPDATE tickets SET status = 'REFUNDED'")
    else:
        await runtime.pool.execute("UPDATE showtimes SET status = 'CANCELLED'")
    for kind in ("pdf", "svg", "png", "ics"):
        assert (await show(app_client, code, kind, 410)).json()["code"] == "ticket_void"
    assert (await door(app_client, staff, code, ticket.showtime, 409))["code"] == "ticket_refunded"
    (listed,) = await list_of(app_client, ticket, sign(app_client, subject="buyer"))
    assert (listed["valid"], listed["code"], listed["links"]) == (False, None, None)

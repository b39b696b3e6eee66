"""Who may call what: every endpoint of the route table as every kind of caller, compared with a table one can read.

`python -m pytest tests/flow/test_access_http.py --redis valkey --refresh-access` writes the table anew.
"""

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest

from api.routes import ENDPOINTS, full_path
from engine.catalogue.records import NewCinema
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from tests.door import add_ticket, code_for
from tests.flow.conftest import guest
from tests.flow.town import WEBHOOK_SECRET
from tests.small_catalogue import PRICES

pytestmark = pytest.mark.one_redis("who may call what is decided before any Redis")

TABLE = Path(__file__).with_name("access_table.md")
HEAD = """# Who may call what

Made and compared by `tests/flow/test_access_http.py`, which walks the route table. Holds and bookings in a path are
those of the owner, showtimes and cinemas those of the staff "here". `yes`: admitted, whatever the answer says then.
Lists show each caller only what is theirs.

"""
PASSWORD = "correct horse battery"
ROLES = ("nobody", "guest", "owner", "other customer", "staff here", "manager elsewhere", "manager here", "admin")


@pytest.fixture
def settings_changes():
    """The fake gateway's door is open, so that it is in the table; nobody answers behind it."""
    return {"simulate_payments": True, "webhook_private": True}


class Callers:
    """One of each role, and things of the owner for them to call for."""

    def __init__(self, client, small):
        self.client = client
        self.small = small
        self.headers = {"nobody": {}}
        self.ids = {"code": "not_found", "asset": "docs.js", "session": "sess_unknown"}
        self._shows = 0

    async def arrive(self):
        """Make an account for each role; the tokens are those of a log-in."""
        elsewhere, _ = await self.small.catalogue.desk.create_cinema(
            "tests", NewCinema(name="Elsewhere", city="Jakarta")
        )
        here = [self.small.cinema]
        users = {
            "owner": {"role": "customer"},
            "other customer": {"role": "customer"},
            "staff here": {"role": "staff", "cinemas": here},
            "manager elsewhere": {"role": "staff", "cinemas": [elsewhere], "manager": True},
            "manager here": {"role": "staff", "cinemas": here, "manager": True},
            "admin": {"role": "admin"},
        }
        accounts = self.client.app.state.runtime.accounts
        for name, fields in users.items():
            email = f"{name.replace(' ', '-')}@example.com"
            await accounts.add_user(email, PASSWORD, **fields)
            login = await self.client.post("/api/v1/auth/login", json={"email": email, "password": PASSWORD})
            assert login.status_code == 200, login.text
            self.headers[name] = {"Authorization": f"Bearer {login.json()['access_token']}"}
            self.refresh_token = login.json()["refresh_token"]
        self.headers["guest"] = await guest(self.client)
        self.operated = await self.small.add_showtime(days=2)
        blocked = {"seats": ["E8"], "reason": "broken"}
        runtime = self.client.app.state.runtime
        self.ids["ticket"] = await code_for(runtime, await add_ticket(runtime.ledger, self.operated))
        self.block = (await self._as("admin", f"/admin/showtimes/{self.operated}/blocks", blocked))["id"]

        asked = await self.client.post("/api/v1/bookings/lookup", json={"id": str(uuid4()), "email": "a@example.com"})
        assert asked.status_code == 202, asked.text
        listed = await self.client.get("/api/v1/admin/notifications", headers=self.headers["admin"])
        self.notification = listed.json()["items"][0]["id"]

    async def owe(self):
        """Let money of a booking of the cinema "here" wait for a person."""
        booking, session = await self.hold(booked=True), uuid4().hex
        paid = await self.client.post(f"/api/v1/bookings/{booking}/payments", headers=self.headers["owner"])
        assert paid.status_code in (201, 503), paid.text
        async with self.client.app.state.runtime.pool.acquire() as connection:
            await connection.execute(
                "INSERT INTO captures (gateway, session_id, booking_id, amount_minor, currency, outcome, outcome_at) "
                "VALUES ('fake', $2, $1, 5, 'IDR', 'REFUND', now())",
                booking,
                session,
            )
            return await connection.fetchval(
                "INSERT INTO refunds (id, business_id, gateway, session_id, booking_id, amount_minor, currency, "
                "reason, status, due_at) VALUES (gen_random_uuid(), $2, 'fake', $2, $1, 5, 'IDR', 'late', 'MANUAL', "
                "NULL) RETURNING id::text",
                booking,
                session,
            )

    async def endpoint(self):
        """Make an endpoint of the cinema "here", with a delivery; gives both ids."""
        endpoint = (await self._as("admin", "/admin/webhooks", _endpoint(self, None)))["id"]
        path = f"/api/v1/admin/webhooks/{endpoint}/test"
        return endpoint, (await self.client.post(path, headers=self.headers["admin"])).json()["id"]

    async def hold(self, *, booked):
        """Let the owner claim a seat of a new showtime, and check it out if asked; gives the id."""
        self._shows += 1
        showtime = await self.small.add_showtime(days=3 + self._shows / 10)
        hold = await self._as("owner", f"/showtimes/{showtime}/holds", {"seats": ["A1"]})
        if booked:
            await self._as("owner", "/bookings", {"hold_id": hold["id"]})
        return hold["id"]

    async def _as(self, role, path, body):
        answer = await self.client.post(f"/api/v1{path}", json=body, headers=self.headers[role])
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def call(self, endpoint, role):
        """Call an endpoint with everything in order but perhaps the caller; gives the answer."""
        path, headers = endpoint.path, dict(self.headers[role])
        name = f"{endpoint.method} {path}"
        ids = self.ids | {
            "id": self._row(path),
            "showtime": self.operated if "/admin/" in path else self.small.showtime,
        }
        if "{hold}" in path or name == "POST /bookings":
            ids["hold"] = await self.hold(booked=False)
        elif "{booking}" in path:
            ids["booking"] = await self.hold(booked=True)
        if "{refund}" in path:
            ids["refund"] = await self.owe()
        if "/webhooks/{id" in path:
            ids["id"], ids["delivery"] = await self.endpoint()
        body = BODIES[name](self, ids) if name in BODIES else None
        if name == "POST /payments/webhook":
            body = json.dumps(body).encode()
            headers[SIGNATURE_HEADER] = sign(WEBHOOK_SECRET, body, int(time.time()))
        content = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        if content is not None:
            headers["Content-Type"] = "application/json"
        url = full_path(path.replace(":int", "").format(**ids))
        return await self.client.request(endpoint.method, url, content=content, headers=headers)

    def _row(self, path):
        if "movies" in path:
            return self.small.movie
        if "auditoriums" in path:
            return self.small.auditorium
        if "notifications" in path:
            return self.notification
        return self.block if "blocks" in path else self.small.cinema


def _reason(_, __):
    return {"reason": "smoke"}


def _cinema_reason(callers, _):
    return {"reason": "smoke", "cinema": callers.small.cinema}


def _show(callers, _):
    starts_at = (datetime.now(UTC) + timedelta(days=40)).isoformat()
    small = callers.small
    return {"auditorium_id": small.auditorium, "movie_id": small.movie, "starts_at": starts_at, "prices": PRICES}


def _endpoint(callers, _):
    return {"url": "http://127.0.0.1:9/hook", "events": ["booking.confirmed"], "cinema_id": callers.small.cinema}


BODIES = {
    "POST /showtimes/{showtime:int}/holds": lambda _, __: {"seats": ["B1"]},
    "PATCH /holds/{hold}": lambda _, __: {"add": ["A2"]},
    "POST /bookings": lambda _, ids: {"hold_id": ids["hold"], "email": "guest@example.com"},
    "POST /bookings/lookup": lambda _, __: {"id": str(uuid4()), "email": "guest@example.com"},
    "POST /payments/webhook": lambda _, __: {"id": uuid4().hex, "type": "payment.failed", "session_id": "sess_unknown"},
    "POST /payments/simulate/{session}": lambda _, __: {"outcome": "success"},
    "POST /auth/register": lambda _, __: {"email": f"{uuid4().hex}@example.com", "password": PASSWORD, "name": "Sari"},
    "POST /auth/login": lambda _, __: {"email": "owner@example.com", "password": PASSWORD},
    "POST /auth/refresh": lambda callers, _: {"refresh_token": callers.refresh_token},
    "POST /admin/cinemas": lambda _, __: {"name": "New", "city": "Jakarta"},
    "PATCH /admin/cinemas/{id:int}": lambda _, __: {"address": "Jalan Satu"},
    "POST /admin/auditoriums": lambda callers, _: {
        "cinema_id": callers.small.cinema,
        "name": "New",
        "floor_plan": {"name": "New", "lines": ["A RR"]},
    },
    "PATCH /admin/auditoriums/{id:int}": lambda _, __: {"name": "One"},
    "POST /admin/movies": lambda _, __: {"title": "New", "duration_minutes": 90},
    "PATCH /admin/movies/{id:int}": lambda _, __: {"rating": "SU"},
    "POST /admin/showtimes": _show,
    "PATCH /admin/showtimes/{showtime:int}": lambda _, __: {"prices": PRICES},
    "POST /admin/showtimes/{showtime:int}/freeze": _reason,
    "POST /admin/showtimes/{showtime:int}/unfreeze": _reason,
    "POST /admin/freeze": _cinema_reason,
    "POST /admin/unfreeze": _cinema_reason,
    "POST /admin/showtimes/{showtime:int}/blocks": lambda _, __: {"seats": ["E1"], "reason": "broken"},
    "POST /admin/showtimes/{showtime:int}/cancel": lambda _, __: {"reason": "smoke", "dry_run": True},
    "DELETE /admin/holds/{hold}": _reason,
    "POST /admin/tickets/{ticket}/check-in": lambda callers, _: {"showtime_id": callers.operated, "gate": "North"},
    "DELETE /admin/tickets/{ticket}/check-in": _reason,
    "POST /bookings/{booking}/refunds": lambda _, __: {"reason": "flu"},
    "POST /admin/refunds/{refund}/retry": _reason,
    "POST /admin/refunds/{refund}/settle": lambda _, __: {"note": "in cash"},
    "POST /admin/webhooks": _endpoint,
    "PATCH /admin/webhooks/{id:int}": lambda _, __: {"description": "ours"},
}
"""Bodies that are right, so that only the caller decides; the other endpoints take none."""


async def look(callers, endpoint, role):
    """Say how an endpoint receives a role: `yes`, 401, 403 or 404."""
    answer = await callers.call(endpoint, role)
    assert answer.status_code not in (415, 500), answer.text
    code = answer.json().get("code") if "problem+json" in answer.headers.get("content-type", "") else None
    assert code not in ("malformed_json", "invalid_field"), f"{endpoint.method} {endpoint.path}: {answer.text}"
    return str(answer.status_code) if answer.status_code in (401, 403, 404) else "yes"


@pytest.mark.covers("T4", "000.3")
async def test_every_endpoint_admits_whom_the_table_says(app_client, small, request):
    """The table has a line for each endpoint, and a column for each role."""
    callers = Callers(app_client, small)
    await callers.arrive()
    lines = [f"| endpoint | {' | '.join(ROLES)} |", "|---" * (len(ROLES) + 1) + "|"]
    for endpoint in sorted(ENDPOINTS, key=lambda line: (line.path.startswith("/admin"), line.path, line.method)):
        looks = [await look(callers, endpoint, role) for role in ROLES]
        if endpoint.path == "/admin/freeze":
            thaw = next(line for line in ENDPOINTS if line.path == "/admin/unfreeze")
            assert await look(callers, thaw, "admin") == "yes"
        lines.append(f"| `{endpoint.method} {endpoint.path.replace(':int', '')}` | {' | '.join(looks)} |")
    table = HEAD + "\n".join(lines) + "\n"
    print(table)
    if request.config.getoption("--refresh-access"):
        TABLE.write_text(table, encoding="utf-8")
    assert table == TABLE.read_text(encoding="utf-8")

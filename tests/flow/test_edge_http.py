"""The edge over HTTP: limits that two processes share, secrets that are changed, logs that name nobody."""

import json
import time
from uuid import uuid4

import httpx
import pytest

from engine.accounts.tokens import Identity, Tokens
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from tests.flow.conftest import guest, make_settings, open_client, run_parts
from tests.flow.town import TOKEN_SECRET
from tests.small_catalogue import small_catalogue

pytestmark = pytest.mark.one_redis("the edge of HTTP comes before any Redis")

NEW_SECRET, OLD_SECRET = "the new secret of the gateway", "the old secret of the gateway"
MARKS = {
    "email": "marker.sari@example.com",
    "name": "Marker Sariwati",
    "phone": "+628135550199",
    "password": "marker correct horse",
}


@pytest.fixture
def settings_changes():
    """Small limits, both secrets of a rotation."""
    return {
        "rate_limit": "on",
        "rate_selling_per_min": 5,
        "rate_reading_per_min": 50,
        "rate_accounts_per_min": 2,
        "rate_address_factor": 2,
        "webhook_secret": f"{NEW_SECRET},{OLD_SECRET}",
        "trusted_proxies": "127.0.0.1",
    }


async def test_beyond_the_limit_a_caller_is_told_when_to_come_again(app_client, small):
    """429 with Retry-After; every answer says what is left; reading and other callers go on."""
    rina, budi = await guest(app_client), await guest(app_client)
    path = f"/api/v1/showtimes/{small.showtime}/holds"
    answers = [await app_client.post(path, json={"seats": ["A1"]}, headers=rina) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [201, 409, 409, 409, 409, 429]
    assert [answer.headers["ratelimit"].split(";")[:2] for answer in answers[:2]] == [
        ['"selling"', "r=4"],
        ['"selling"', "r=3"],
    ]
    refused = answers[-1]
    assert refused.json()["code"] == "rate_limited"
    assert refused.headers["ratelimit-policy"] == '"selling";q=5;w=60'
    assert refused.headers["ratelimit"].startswith('"selling";r=0;t=')
    assert 1 <= int(refused.headers["retry-after"]) <= 12
    assert 0 < refused.json()["retry_after_ms"] <= 12_000
    assert (await app_client.get("/api/v1/me", headers=rina)).status_code == 200
    assert (await app_client.post(path, json={"seats": ["A2"]}, headers=budi)).status_code == 201


async def test_who_has_no_token_is_counted_by_address(app_client):
    """Behind the proxy that we trust each client has a bucket of its own; what it claims to forward has none."""

    async def come(address):
        answer = await app_client.post("/api/v1/auth/guest", headers={"X-Forwarded-For": address})
        return answer.status_code

    assert [await come("203.0.113.7") for _ in range(5)] == [201] * 4 + [429]
    assert await come("203.0.113.8") == 201
    # The client wrote the first one itself; only what the proxy has added counts.
    assert await come("198.51.100.1, 203.0.113.7") == 429
    assert [await come(f"2001:db8:1:2::{host}") for host in range(1, 6)] == [201] * 4 + [429]


async def test_gateways_and_probes_are_under_no_limit(app_client):
    """Money that was captured is never turned away."""
    statuses = {(await send_event(app_client, NEW_SECRET)).status_code for _ in range(30)}
    assert statuses == {200}
    assert "ratelimit" not in (await app_client.get("/api/v1/health")).headers


async def test_a_refused_token_is_paid_for_by_its_address(app_client):
    """Guessing tokens is no way around the limit."""
    headers = {"Authorization": "Bearer guess", "X-Forwarded-For": "203.0.113.9"}
    answers = [await app_client.post("/api/v1/bookings", json={}, headers=headers) for _ in range(11)]
    assert [answer.status_code for answer in answers] == [401] * 10 + [429]


async def send_event(client, secret, age_s=0):
    """Send a well-formed event of a session that nobody knows."""
    event = {
        "id": f"evt_{uuid4().hex}",
        "type": "payment.failed",
        "session_id": "sess_x",
        "amount": 1,
        "currency": "IDR",
    }
    body = json.dumps(event).encode()
    headers = {SIGNATURE_HEADER: sign(secret, body, int(time.time()) - age_s)}
    return await client.post("/api/v1/payments/webhook", content=body, headers=headers)


@pytest.mark.covers("004.17")
async def test_while_a_secret_is_changed_both_are_accepted(app_client):
    """The gateway may sign with either; nothing else passes, and nothing that is older than five minutes."""
    assert (await send_event(app_client, NEW_SECRET)).status_code == 200
    assert (await send_event(app_client, OLD_SECRET)).status_code == 200
    assert (await send_event(app_client, f"{NEW_SECRET},{OLD_SECRET}")).json()["code"] == "bad_signature"
    assert (await send_event(app_client, OLD_SECRET, age_s=290)).status_code == 200
    assert (await send_event(app_client, OLD_SECRET, age_s=310)).json()["code"] == "stale_signature"


async def test_two_processes_count_together(redis_url, database_url, tmp_path, pool, settings_changes):
    """A caller who is sent to another process with each request passes the limit by one request at most."""
    settings = make_settings(tmp_path, redis_url, database_url, **settings_changes)
    made = await small_catalogue(pool, settings)
    identity = Identity(subject=str(uuid4()), guest=True, email=None)
    headers = {"Authorization": f"Bearer {Tokens(TOKEN_SECRET.encode(), 60).issue(identity, 'access')}"}
    path = f"/api/v1/showtimes/{made.showtime}/holds"
    async with open_client(settings) as one, open_client(settings) as two:
        answers = [
            await client.post(path, json={"seats": ["A1"]}, headers=headers) for _ in range(6) for client in (one, two)
        ]
    passed = [answer.status_code for answer in answers].index(429)
    assert 5 <= passed <= 6
    assert {answer.status_code for answer in answers[passed + 1 :]} == {429}


async def test_a_purchase_leaves_no_name_in_the_logs(redis_url, database_url, tmp_path, pool):
    """E-mail, name, phone, password and tokens of a buyer are in no line of API or worker, not even at `debug`."""
    settings = make_settings(tmp_path, redis_url, database_url, log_level="debug")
    made = await small_catalogue(pool, settings)
    with run_parts(settings, "api", "worker") as parts:
        async with httpx.AsyncClient(base_url=f"{parts[0].url}/api/v1", trust_env=False, timeout=20) as client:
            registered = await client.post("/auth/register", json=MARKS)
            assert registered.status_code == 201, registered.text
            token = registered.json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"
            await client.post("/auth/login", json={"email": MARKS["email"], "password": "marker wrong horse"})
            hold = (await client.post(f"/showtimes/{made.showtime}/holds", json={"seats": ["C7"]})).json()
            buyer = {"hold_id": hold["id"], "email": MARKS["email"], "phone": MARKS["phone"]}
            assert (await client.post("/bookings", json=buyer)).status_code == 201
            # There is no gateway: the failure is logged, too.
            assert (await client.post(f"/bookings/{hold['id']}/payments", json={})).status_code == 503
            assert (await client.post("/bookings", json={**buyer, "surprise": MARKS["name"]})).status_code == 422
            assert (await client.post(f"/bookings/{hold['id']}/cancel", json={"reason": "x"})).status_code == 200
        logs = "".join(part.log.read_text() for part in parts)
    assert hold["id"] not in ("", None)
    assert '"event":"request"' in logs
    for mark in (*MARKS.values(), "wrong horse", "Sariwati", "marker.sari", token, TOKEN_SECRET):
        assert mark not in logs

"""Outgoing webhooks over HTTP: endpoints are made, changed, tried; what was sent is seen, and sent again."""

import time

import msgspec
import pytest

from engine.accounts.tokens import Identity
from engine.ledger.database import transaction
from engine.webhooks.addresses import Addresses
from engine.webhooks.delivering import Delivering
from engine.webhooks.queueing import queue_deliveries
from engine.webhooks.signing import sign
from tests.flow.conftest import open_client
from tests.receiver import open_receiver, status

pytestmark = pytest.mark.one_redis("no Redis has anything to do with it")

HOOKS = "/api/v1/admin/webhooks"
NEW = {"url": "https://8.8.8.8/hook", "events": ["showtime.cancelled"]}


@pytest.fixture
def settings_changes():
    """The receivers of these tests stand on this machine."""
    return {"webhook_private": True}


class Desk:
    """An operator at the desk."""

    def __init__(self, client, **fields):
        tokens = client.app.state.runtime.accounts.tokens
        self.client = client
        self.headers = {"Authorization": f"Bearer {tokens.issue(Identity(subject='boss', **fields), 'access')}"}

    async def call(self, method, path="", body=None, expected=200, **headers):
        """Send a request that is answered as expected; gives the decoded body."""
        answer = await self.client.request(method, HOOKS + path, json=body, headers=self.headers | headers)
        assert answer.status_code == expected, answer.text
        return answer.json() if answer.content else None


@pytest.fixture
def manager(app_client, small):
    """The manager of the small catalogue's cinema."""
    own = frozenset({small.cinema})
    return Desk(app_client, role="staff", cinemas=own, managed=own)


@pytest.fixture
def admin(app_client):
    """An administrator."""
    return Desk(app_client, role="admin")


@pytest.fixture
def delivering(pool):
    """The worker's duty."""
    addresses = Addresses(private=True)
    yield Delivering(pool, addresses)
    addresses.close()


async def cancel_and_spread(pool, showtime):
    """Cancel a showtime, and queue the webhooks of that."""
    async with transaction(pool) as connection:
        await connection.execute("UPDATE showtimes SET status = 'CANCELLED' WHERE id = $1", showtime)
    async with transaction(pool) as connection:
        rows = await connection.fetch("SELECT id FROM announcements")
        await queue_deliveries(connection, [row["id"] for row in rows])


async def test_an_integrator_is_told_and_the_log_shows_it(small, pool, manager, delivering):
    """From the endpoint to the answer, and once more by hand: the same event in every byte."""
    async with open_receiver() as receiver:
        made = await manager.call("POST", "", NEW | {"url": receiver.url, "cinema_id": small.cinema}, 201)
        await cancel_and_spread(pool, small.showtime)
        receiver.will(status(503, body=b"busy"), status(200))
        await delivering.deliver_webhooks()
        path = f"/{made['id']}/deliveries"
        (waiting,) = (await manager.call("GET", path + "?status=PENDING"))["items"]
        (attempt,) = waiting["attempts"]
        assert (attempt["status_code"], attempt["answer"], attempt["error"]) == (503, "busy", None)
        assert waiting["due_at"] > attempt["begun_at"]
        again = f"{path}/{waiting['id']}/redeliver"
        sent = await manager.call("POST", again, None, 202, **{"Idempotency-Key": "once"})
        await delivering.deliver_webhooks()
        assert await manager.call("POST", again, None, 202, **{"Idempotency-Key": "once"}) == sent
        (delivered,) = (await manager.call("GET", path + "?status=DELIVERED"))["items"]
        assert [attempt["status_code"] for attempt in delivered["attempts"]] == [503, 200]
        assert (await manager.call("GET", path + "?status=DEAD"))["items"] == []
        await manager.call("GET", path + "?status=LOST", expected=422)
        await manager.call("POST", f"{path}/999/redeliver", None, 404)
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"] == delivered["event_id"]
    expected = sign([made["secret"]], delivered["event_id"], first.body, int(first.headers["webhook-timestamp"]))
    assert {name: first.headers[name] for name in expected} == expected


async def test_a_test_is_sent_once_and_secrets_change_with_an_overlap(small, manager, delivering, pool):
    """A failed test is not repeated; after a change both secrets sign, and a lost answer costs none of them."""
    async with open_receiver() as receiver:
        made = await manager.call("POST", "", NEW | {"url": receiver.url, "cinema_id": small.cinema}, 201)
        path = f"/{made['id']}"
        new = [(await manager.call("PATCH", path, {"rotate_secret": True}))["secret"] for _ in range(2)]
        receiver.will(status(500), status(200))
        for _ in range(2):
            test = await manager.call("POST", path + "/test", None, 202)
            assert (test["type"], test["status"], test["attempts"]) == ("webhook.test", "PENDING", [])
            await delivering.deliver_webhooks()
        await pool.execute("UPDATE webhook_endpoints SET former_until = now()")
        await manager.call("POST", path + "/test", None, 202)
        await delivering.deliver_webhooks()
        states = [row["status"] for row in (await manager.call("GET", path + "/deliveries"))["items"]]
        assert states == ["DELIVERED", "DELIVERED", "DEAD"]
        assert (await manager.call("GET", path))["active"] is True
    both, _, last = receiver.received
    for one, secrets in ((both, [new[1], new[0], made["secret"]]), (last, [new[1]])):
        headers = sign(secrets, one.headers["webhook-id"], one.body, int(one.headers["webhook-timestamp"]))
        assert one.headers["webhook-signature"] == headers["webhook-signature"]
    assert abs(time.time() - int(last.headers["webhook-timestamp"])) < 60


async def test_an_endpoint_is_its_managers_and_shows_its_secret_once(small, manager, admin, app_client):
    """Only administrators have one for all cinemas; pages, changes, switches and deletion."""
    await manager.call("POST", "", NEW, 403)
    own = NEW | {"cinema_id": small.cinema, "description": "ours"}
    key = {"Idempotency-Key": "make"}
    first = await manager.call("POST", "", own, 201, **key)
    assert await manager.call("POST", "", own, 201, **key) == first
    everywhere = await admin.call("POST", "", NEW, 201)
    assert [one["id"] for one in (await manager.call("GET"))["items"]] == [first["id"]]
    page = await admin.call("GET", "?limit=1")
    rest = await admin.call("GET", f"?limit=1&cursor={page['next_cursor']}")
    assert [one["id"] for one in page["items"] + rest["items"]] == [first["id"], everywhere["id"]]
    assert rest["next_cursor"] is None
    assert all("secret" not in one for one in page["items"])
    await manager.call("GET", f"/{everywhere['id']}", expected=403)
    stranger = Desk(app_client, role="staff", cinemas=frozenset({999}), managed=frozenset({999}))
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/deliveries"), ("POST", "/test")):
        await stranger.call(method, f"/{first['id']}{path}", expected=403)

    path = f"/{first['id']}"
    change = {"url": "https://8.8.4.4/", "events": ["refund.manual", "refund.manual"], "active": False}
    changed = await manager.call("PATCH", path, change)
    assert (changed["url"], changed["events"], changed["description"]) == (change["url"], ["refund.manual"], "ours")
    assert (changed["active"], changed["off_reason"], "secret" in changed) == (False, "operator", False)
    refused = await manager.call("POST", path + "/test", None, 409)
    assert (refused["code"], refused["off_reason"]) == ("endpoint_off", "operator")
    on = await manager.call("PATCH", path, {"active": True})
    assert (on["active"], on["off_reason"], on["off_at"]) == (True, None, None)
    assert await manager.call("GET", path) == on

    await manager.call("DELETE", path, expected=204)
    for method, more in (("GET", ""), ("DELETE", ""), ("PATCH", ""), ("GET", "/deliveries"), ("POST", "/test")):
        await manager.call(method, path + more, {} if method == "PATCH" else None, 404)
    acts = await app_client.get("/api/v1/admin/acts", headers=admin.headers)
    verbs = {act["verb"] for act in acts.json()["items"]}
    assert verbs >= {"create_webhook", "change_webhook", "delete_webhook"}


@pytest.mark.parametrize(
    ("wrong", "pointer"),
    [
        ({"url": "https://127.0.0.1/hook"}, "/url"),
        ({"url": "http://8.8.8.8/hook"}, "/url"),
        ({"events": []}, "/events"),
        ({"events": ["webhook.test"]}, "/events/0"),
        ({"cinema_id": 999}, "/cinema_id"),
    ],
)
async def test_what_is_wrong_in_an_endpoint_is_named(settings, small, wrong, pointer):
    """As in production, where private addresses are refused, at a change as well."""
    async with open_client(msgspec.structs.replace(settings, webhook_private=False)) as client:
        admin = Desk(client, role="admin")
        refused = await admin.call("POST", "", NEW | wrong, 422)
        assert refused["errors"][0]["pointer"] == pointer
        if pointer == "/url":
            made = await admin.call("POST", "", NEW, 201)
            refused = await admin.call("PATCH", f"/{made['id']}", wrong, 422)
            assert refused["errors"][0]["pointer"] == pointer

"""A cinema town as it runs in production: API, worker and fake gateway as processes, a Redis and a database of its own.

with open_town(folder, kind, postgres, template) as town:
    showtime = await town.open_showtime(payment_ttl_s=2)
    async with town.customer() as buyer:
        hold = await buyer.claim(showtime, "A1", "A2")
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
from redis import Redis

from engine.accounts.tokens import Identity, Tokens
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.policies import PolicyOverrides
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.ledger.database import open_pool
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from engine.paths import ROOT
from engine.settings import Settings
from tests.conftest import SPREAD_KINDS, find_redis, run_sql
from tests.ports import free_port
from tests.small_catalogue import small_catalogue

TOKEN_SECRET = "the secret of the flow tests, which is long enough"
TICKET_KEYS = "7:" + "dGhlIHNlZWQgb2YgdGhlIHRpY2tldHMnIGtleSAoMzI="
WEBHOOK_SECRET = "the webhook secret of the flow tests"
SHOP_ORIGIN = "https://shop.example"
START_TIMEOUT_S = 60
_numbers = count(1)


class Part:
    """One process of the town; its output goes to a file."""

    def __init__(self, name, argv, environ, folder, url=None):
        self.name = name
        self._argv = argv
        self._environ = environ
        self._log = folder / f"{name}.log"
        self._url = url
        self.process = None

    def start(self):
        """Start the process, and wait until it answers if it serves."""
        self.launch()
        self.wait_ready()

    def launch(self):
        """Start the process."""
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self._argv], cwd=ROOT, env=self._environ, stdout=log, stderr=log
            )

    def wait_ready(self):
        """Wait until the process answers; a worker has nothing to ask."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._url:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(self._url, trust_env=False).status_code == 200:
                    return
            assert self.process.poll() is None, self._log.read_text()[-4000:]
            assert time.monotonic() < deadline, f"{self.name} does not answer\n" + self._log.read_text()[-4000:]
            time.sleep(0.05)

    def stop(self, how=signal.SIGTERM):
        """End the process and wait for its end."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(START_TIMEOUT_S)


class Town:
    """The running parts, and what a test does in the town besides being a customer."""

    def __init__(self, folder, redis, database_url, **settings):
        self.redis = redis
        self.database_url = database_url
        api_port, gateway_port = free_port(), free_port()
        self.api_url = f"http://127.0.0.1:{api_port}"
        self.gateway_url = f"http://127.0.0.1:{gateway_port}"
        self.settings = Settings(
            data_dir=folder,
            redis_url=redis.url,
            database_url=database_url,
            port=api_port,
            gateway_url=self.gateway_url,
            webhook_secret=WEBHOOK_SECRET,
            token_secret=TOKEN_SECRET,
            ticket_keys=TICKET_KEYS,
            simulate_payments=True,
            webhook_private=True,
            return_url_origins=SHOP_ORIGIN,
            rate_limit="off",
            **settings,
        )
        environ = environ_of(self.settings)
        gateway = ["uvicorn", "--factory", "api.fake_gateway.app:create_app_from_env", "--port", str(gateway_port)]
        self.gateway = Part("gateway", gateway, environ, folder, f"{self.gateway_url}/health")
        self.worker = Part("worker", ["engine.cli", "worker"], environ, folder)
        self.api = Part("api", ["engine.cli", "api"], environ, folder, f"{self.api_url}/api/v1/health/ready")
        self._tokens = Tokens(TOKEN_SECRET.encode(), 3600)
        self._small = None

    async def open_showtime(self, **policy) -> int:
        """Put a showtime on in the small catalogue's first hall; gives its number.

        Args:
            policy: numbers of `PolicyOverrides` for this showtime, e.g. `payment_ttl_s=2`.
        """
        pool = await open_pool(self.settings)
        try:
            if self._small is None:
                self._small = await small_catalogue(pool, self.settings)
            small = replace(self._small, catalogue=Catalogue(pool, self.settings))
            return await small.add_showtime(days=1 + next(_numbers), policy=PolicyOverrides(**policy))
        finally:
            pool.terminate()

    @contextlib.asynccontextmanager
    async def customer(self, *, email="buyer@example.com", guest=False) -> AsyncIterator["Customer"]:
        """Give somebody new in town with a valid token."""
        subject = str(uuid4())
        identity = Identity(subject=subject, guest=guest, email=None if guest else email)
        headers = {"Authorization": f"Bearer {self._tokens.issue(identity, 'access')}"}
        async with self.client(headers) as client:
            yield Customer(client, subject)

    def forget(self):
        """Let Redis lose everything."""
        if isinstance(self.redis, EmbeddedValkey):
            with Redis.from_url(self.redis.url) as client:
                client.flushall()
        else:
            self.redis.heal()

    def token(self, **fields) -> str:
        """Give a valid token; fields as of `Identity`."""
        return self._tokens.issue(Identity(**fields), "access")

    def client(self, headers=None) -> httpx.AsyncClient:
        """Give an HTTP client of the API."""
        return httpx.AsyncClient(base_url=f"{self.api_url}/api/v1", headers=headers or {}, trust_env=False, timeout=20)

    async def send_event(self, kind, payment, *, secret=WEBHOOK_SECRET, age_s=0, **changes) -> httpx.Response:
        """Tell the webhook of a payment in the gateway's name; give the answer.

        Args:
            kind: `success`, `failed`, `expired`, or anything.
            payment: what POST payments has answered.
            secret: what the event is signed with.
            age_s: how long ago it was signed.
            changes: fields of the event to be other than they should.
        """
        event = {
            "id": f"evt_{uuid4().hex}",
            "type": f"payment.{kind}",
            "session_id": payment["session_id"],
            "amount": payment["amount"],
            "currency": payment["currency"],
        } | changes
        body = json.dumps(event).encode()
        headers = {SIGNATURE_HEADER: sign(secret, body, int(time.time()) - age_s)}
        async with self.client() as client:
            return await client.post("/payments/webhook", content=body, headers=headers)

    async def fetch(self, sql, *values) -> list[dict]:
        """Read the ledger past all of our own code."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return [dict(row) for row in await connection.fetch(sql, *values)]
        finally:
            await connection.close()

    async def seat_statuses(self, showtime) -> dict[str, str]:
        """Give the status of every seat as anybody sees it."""
        async with self.client() as client:
            answer = await client.get(f"/showtimes/{showtime}/seats")
        assert answer.status_code == 200, answer.text
        return {seat["seat"]: seat["status"] for seat in answer.json()["seats"]}


class Customer:
    """Somebody with a token. Each verb gives the answer's JSON after checking its status."""

    def __init__(self, client, subject):
        self.client = client
        self.subject = subject

    async def call(self, method, path, status, **options):
        """Call the API and give the answer's JSON."""
        answer = await self.client.request(method, path, **options)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    async def claim(self, showtime, *seats, status=201):
        """Claim seats."""
        return await self.call("POST", f"/showtimes/{showtime}/holds", status, json={"seats": list(seats)})

    async def check_out(self, hold, status=201, **body):
        """Check a hold out."""
        return await self.call("POST", "/bookings", status, json={"hold_id": hold["id"], **body})

    async def pay(self, booking, status=201, **body):
        """Begin a payment."""
        return await self.call("POST", f"/bookings/{booking['id']}/payments", status, json=body)

    async def read(self, booking, status=200):
        """Read a booking."""
        return await self.call("GET", f"/bookings/{booking['id']}", status)

    async def cancel(self, booking, status=200):
        """Cancel a booking."""
        return await self.call("POST", f"/bookings/{booking['id']}/cancel", status, json={"reason": "changed my mind"})

    async def begin(self, showtime, *seats):
        """Go from nothing to a begun payment; give booking and payment."""
        booking = await self.check_out(await self.claim(showtime, *seats))
        return booking, await self.pay(booking)

    async def until(self, booking, *statuses):
        """Read a booking until it has one of the statuses; give it."""
        return await until(lambda: self._if_in(booking, statuses), f"{booking['id']} in {statuses}")

    async def _if_in(self, booking, statuses):
        found = await self.read(booking)
        return found if found["status"] in statuses else None


def environ_of(settings: Settings, **changes: str) -> dict[str, str]:
    """Give the environment of a child that has these settings and none of ours."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
    for name in Settings.__struct_fields__:
        value = getattr(settings, name)
        if value != getattr(Settings(), name):
            environ[f"SEATLOCK_{name.upper()}"] = str(value)
    return environ | {"PYTHONPATH": str(ROOT)} | changes


async def until(look, what, timeout_s=20):
    """Look again and again until something is seen; what happens in other processes cannot be awaited."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        seen = await look()
        if seen:
            return seen
        await asyncio.sleep(0.05)
    raise AssertionError(f"never seen: {what}")


@contextlib.contextmanager
def open_town(folder: Path, kind: str, postgres: EmbeddedPostgres, template: str, **settings) -> Iterator[Town]:
    """Start a town on a Redis of that kind and a fresh database; end it all at the end.

    Args:
        folder: where its data and logs go.
        kind: of the Redis server.
        postgres, template: the server, and the name of a migrated database.
        settings: fields of `Settings` that are to be other than usual.
    """
    if kind in SPREAD_KINDS:
        redis = SPREAD_KINDS[kind](find_redis("valkey"), folder / "redis")
    else:
        redis = EmbeddedValkey(folder / "redis", find_redis(kind))
    redis.start()
    database = f"town_{next(_numbers)}"
    run_sql(postgres, "postgres", f"CREATE DATABASE {database} TEMPLATE {template} STRATEGY file_copy")
    town = Town(folder, redis, postgres.url(database), **settings)
    parts = [town.gateway, town.worker, town.api]
    try:
        for part in parts:
            part.launch()
        for part in parts:
            part.wait_ready()
        yield town
    finally:
        for part in parts:
            part.stop()
        redis.stop()
        run_sql(postgres, "postgres", f"DROP DATABASE {database} WITH (FORCE)")

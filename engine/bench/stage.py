"""A stage for measurements over HTTP: servers of its own, a catalogue, customers' tokens, and services upon them."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from redis import Redis

from engine.accounts.tokens import Identity, Tokens
from engine.bench.services import LOCAL, Service, cpu_of, cpu_of_family, drive, running
from engine.bench.snapshot import Snapshot, put_back, take
from engine.catalogue.catalogue import Catalogue
from engine.catalogue.records import DrawnLayout, NewAuditorium, NewCinema, NewMovie, NewShowtime
from engine.embedded.binaries import find_postgres, find_valkey
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import CommandError
from engine.ledger.database import open_pool
from engine.ledger.migrations import migrate
from engine.limits import RATE_SETTING_MAX, SHOWTIMES_PER_BULK_MAX
from engine.listening import free_port
from engine.paths import ROOT
from engine.settings import Settings

ROW_SEATS = 20
APART = timedelta(hours=3)
TOKEN_SECRET = "the secret of measurements, which is long enough"  # noqa: S105 -- of servers that end with the run
WEBHOOK_SECRET = "the webhook secret of measurements"  # noqa: S105 -- the same
TICKET_KEYS = "7:" + "dGhlIHNlZWQgb2YgdGhlIHRpY2tldHMnIGtleSAoMzI="
CUSTOMERS = 1_000
"""Each comes again and again, as people do: a map, a claim, another claim."""
LOOK_S = 120
HIGH = RATE_SETTING_MAX
"""Limits on requests are on and counted in Redis, and so high that nobody meets them."""


class Stage:
    """What a run stands on. Made by `open_stage`.

    Attributes:
        redis, postgres: the servers, durable as in production (everysec; synchronous commit).
        settings: of every process of ours.
        labels: of all seats of the one layout, in its order.
        showtimes: numbers, from 1 on.
        tokens: of as many customers.
    """

    def __init__(self, folder: Path, redis: EmbeddedValkey, postgres: EmbeddedPostgres, seats: int) -> None:
        self.folder = folder
        self.redis, self.postgres = redis, postgres
        self.settings = Settings(
            data_dir=folder,
            redis_url=redis.url,
            database_url=postgres.url(),
            host=LOCAL,
            port=free_port(LOCAL, 0),
            gateway_url=f"http://{LOCAL}:{free_port(LOCAL, 0)}",
            webhook_secret=WEBHOOK_SECRET,
            token_secret=TOKEN_SECRET,
            ticket_keys=TICKET_KEYS,
            simulate_payments=True,
            webhook_private=True,
            rate_selling_per_min=HIGH,
            rate_reading_per_min=HIGH,
            rate_address_factor=60,
            log_level="warning",
        )
        rows = [f"{chr(65 + row // 26)}{chr(65 + row % 26)}" for row in range(-(-seats // ROW_SEATS))]
        counts = [min(ROW_SEATS, seats - ROW_SEATS * number) for number in range(len(rows))]
        self._lines = tuple(f"{row} {'R' * count}" for row, count in zip(rows, counts, strict=True))
        self.labels: list[str] = []
        self.showtimes: list[int] = []
        self.tokens: list[str] = []
        self._snapshot: Snapshot = []

    async def fill(self, showtimes: int) -> None:
        """Make the catalogue, far enough apart in one hall, and the customers."""
        await migrate(self.postgres.url())
        pool: Any = await open_pool(self.settings)
        try:
            catalogue = Catalogue(pool, self.settings)
            desk = catalogue.desk
            cinema, _ = await desk.create_cinema("bench", NewCinema(name="Bench", city="Here", timezone="UTC"))
            plan = DrawnLayout(name="One", lines=self._lines)
            new = NewAuditorium(cinema_id=cinema, name="One", floor_plan=plan)
            hall, _ = await desk.create_auditorium("bench", new, lambda _: None)
            movie, _ = await desk.create_movie("bench", NewMovie(title="The Measure", duration_minutes=100))
            first = datetime.now(UTC) + timedelta(days=1)
            shows = [
                NewShowtime(auditorium_id=hall, movie_id=movie, starts_at=first + number * APART, prices={"REGULAR": 5})
                for number in range(showtimes)
            ]
            for at in range(0, showtimes, SHOWTIMES_PER_BULK_MAX):
                some, _ = await desk.create_showtimes("bench", shows[at : at + SHOWTIMES_PER_BULK_MAX], lambda _: None)
                self.showtimes += some
            layout = await catalogue.layout((await catalogue.showtime(self.showtimes[0])).layout_id)
            self.labels = [seat.seat for seat in layout.seats]
        finally:
            await pool.close()
        tokens = Tokens(TOKEN_SECRET.encode(), self.settings.token_ttl_s)
        people = [Identity(subject=str(UUID(int=number + 1))) for number in range(CUSTOMERS)]
        self.tokens = [tokens.issue(person, "access") for person in people]

    # --- Services

    def environ(self, **changes: object) -> dict[str, str]:
        """Give the environment of a process with these settings and none of ours."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
        default = Settings()
        for name in Settings.__struct_fields__:
            value = changes.get(name, getattr(self.settings, name))
            if value != getattr(default, name):
                environ[f"SEATLOCK_{name.upper()}"] = str(value)
        return environ | {"PYTHONPATH": str(ROOT)}

    def api(self) -> Service:
        """Start the API."""
        port, ready = self.settings.port, "/api/v1/health/ready"
        return Service("api", ["engine.cli", "api"], self.environ(), self.folder, port=port, ready=ready)

    def worker(self) -> Service:
        """Start a worker."""
        return Service("worker", ["engine.cli", "worker"], self.environ(), self.folder)

    def gateway(self) -> Service:
        """Start the fake gateway."""
        port = int(self.settings.gateway_url.rpartition(":")[2])
        argv = ["uvicorn", "--factory", "api.fake_gateway.app:create_app_from_env", "--no-access-log"]
        return Service("gateway", [*argv, "--port", str(port)], self.environ(), self.folder, port=port, ready="/health")

    def baseline(self, name: str, where: str) -> Service:
        """Start the HTTP stack around another design, which keeps its seats in PostgreSQL."""
        argv = ["loadtests.baselines.service", where, "--url", self.postgres.url()]
        argv += ["--showtimes", str(len(self.showtimes)), "--seats", str(len(self.labels))]
        port, ready = free_port(LOCAL, 0), "/api/v1/health/ready"
        return Service(name, argv, self.environ(port=port), self.folder, port=port, ready=ready)

    def bare(self) -> Service:
        """Start the route that only decodes and answers, under the very server that the API has."""
        port = free_port(LOCAL, 0)
        argv = ["uvicorn", "loadtests.baselines.bare:app", "--no-access-log", "--log-level", "warning"]
        argv += ["--http", "api.http_protocol:GuardedProtocol", "--no-proxy-headers", "--no-server-header"]
        return Service("bare", [*argv, "--port", str(port)], self.environ(), self.folder, port=port)

    def redis_cpu_s(self) -> float:
        """Give the CPU that Redis took until now, in seconds."""
        with Redis.from_url(self.redis.url) as client:
            return cpu_of(client.info("server")["process_id"])

    def postgres_cpu_s(self) -> float:
        """Give the CPU that PostgreSQL took until now with the sessions that live, in seconds."""
        return cpu_of_family(int((self.postgres.cluster / "postmaster.pid").read_text("ascii").split()[0]))

    def apart(self, service: Service) -> None:
        """Give a service the last core to itself, as far as this machine has several; Redis and callers the others."""
        cores = os.cpu_count() or 1
        if cores > 1:
            service.pin({cores - 1})
            with Redis.from_url(self.redis.url) as client:
                os.sched_setaffinity(client.info("server")["process_id"], set(range(cores - 1)))

    # --- Seats

    @contextmanager
    def warm_api(self) -> Iterator[Service]:
        """Run an API that has put every showtime into an empty Redis; what Redis has then is kept for `renew`."""
        with Redis.from_url(self.redis.url) as client:
            client.flushdb()  # whoever was measured before has left holds
            with running(self.api()) as api:
                self.look(api)
                self._snapshot = take(client)
                yield api

    def look(self, service: Service) -> None:
        """Let a service see every showtime and every customer once.

        Raises:
            CommandError: it did not answer all of them well.
        """
        saw = drive(service, self.plan("look", connections=8, phases=[{"rate": 0, "seconds": LOOK_S}]))
        if saw["phases"][0]["done"] != max(len(self.showtimes), len(self.tokens)):
            raise CommandError(f"{service.name} does not show all showtimes: {saw['phases'][0]['answers']}")

    def renew(self) -> None:
        """Free every seat: Redis is again as it was for a warm API."""
        with Redis.from_url(self.redis.url) as client:
            put_back(client, self._snapshot)

    def plan(self, kind: str, **more: Any) -> dict[str, Any]:
        """Give a plan of callers but for its phases."""
        return {"kind": kind, "showtimes": self.showtimes, "labels": self.labels, "tokens": self.tokens, **more}


@contextmanager
def open_stage(folder: Path, showtimes: int, seats: int) -> Iterator[Stage]:
    """Start the servers, make the catalogue; end them at the end of the block."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    redis = EmbeddedValkey(folder / "valkey", find_valkey())
    # What the ledger commits is measured by the moment of its commit.
    postgres = EmbeddedPostgres(folder / "postgres", find_postgres(), settings={"track_commit_timestamp": "on"})
    with redis, postgres:
        stage = Stage(folder, redis, postgres, seats)
        asyncio.run(stage.fill(showtimes))
        yield stage

"""TLS to Redis and PostgreSQL: real servers with certificates of a test CA, and what a wrong one is answered."""

import os
import random
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis.asyncio

from engine.embedded.binaries import ServerProgram
from engine.embedded.postgres import EmbeddedPostgres
from engine.errors import Unavailable
from engine.ledger.database import open_pool, reading
from engine.seats.lane import Lane
from engine.seats.scripts import load_scripts
from engine.settings import Settings
from tests.conftest import find_redis
from tests.guarded_servers import Authority, run_redis
from tests.lanes import Registry
from tests.ports import free_port

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    """The CA that signed the servers' certificates."""
    return Authority(tmp_path_factory.mktemp("pki") / "ours", "Our CA")


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    """A CA that signed nothing here."""
    return Authority(tmp_path_factory.mktemp("pki") / "theirs", "Their CA")


@pytest.fixture(scope="module")
def tls_redis(authority, tmp_path_factory):
    """The port of a Redis that speaks TLS only and asks clients for a certificate of ours."""
    program = find_redis("redis7")
    if program is None:
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)("no redis-server on PATH")
    port = free_port()
    certificate, key = authority.issue(HOST)
    options = ["--tls-port", str(port), "--tls-cert-file", certificate, "--tls-key-file", key]
    options += ["--tls-ca-cert-file", authority.ca, "--bind", HOST]
    with run_redis(program, tmp_path_factory.mktemp("tls") / "redis", *map(str, options)):
        yield port


def redis_url(port, host, client: tuple[Path, Path], ca: Path) -> str:
    """A URL with a client's certificate, as an operator writes it."""
    return f"rediss://{host}:{port}/0?ssl_ca_certs={ca}&ssl_certfile={client[0]}&ssl_keyfile={client[1]}&ssl_cert_reqs=required"


@asynccontextmanager
async def open_lane(url):
    """A lane to that Redis, whether or not it gets in."""
    lane = Lane(url, load_scripts, part="test", identify=Registry().identify)
    await lane.start()
    yield lane
    await lane.close()


async def test_scripts_and_streams_reach_redis_over_tls(tls_redis, authority):
    """The lane and the client for the rest take the same `rediss://` URL."""
    url = redis_url(tls_redis, HOST, authority.issue("client"), authority.ca)
    async with open_lane(url) as lane, redis.asyncio.Redis.from_url(url) as client:
        assert lane.trouble is None
        assert (await lane.call("take_token", ("sl{x}:rate:a:b",), (1_000, 60_000)))[0] == b"taken"
        assert await client.ping()


@pytest.mark.parametrize("wrong", ["authority", "host", "client"])
async def test_a_redis_that_cannot_prove_itself_is_not_spoken_to(tls_redis, authority, stranger, wrong):
    """Another CA, another host than the certificate's, or no right to be here: no call leaves."""
    ca = stranger.ca if wrong == "authority" else authority.ca
    client = (stranger if wrong == "client" else authority).issue("client")
    url = redis_url(tls_redis, "localhost" if wrong == "host" else HOST, client, ca)
    async with open_lane(url) as lane:
        with pytest.raises(Unavailable) as refused:
            await lane.call("take_token", ("sl{x}:rate:a:b",), (1_000, 60_000))
    assert (refused.value.code, refused.value.outcome) == ("redis_unavailable", "definite")


@pytest.fixture(scope="module")
def tls_postgres(authority, tmp_path_factory):
    """The address of a PostgreSQL that speaks TLS; the wheel's was built without it, so it is the machine's own."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"))
    if not found:
        pytest.skip("no PostgreSQL with TLS here: install postgresql")
    # Its port is that of its socket, so an address of its own keeps it apart from others.
    address = f"127.{random.randint(2, 250)}.{random.randint(2, 250)}.{random.randint(2, 250)}"
    certificate, key = authority.issue(address)
    settings = {"ssl": "on", "ssl_cert_file": str(certificate), "ssl_key_file": str(key), "listen_addresses": address}
    program = ServerProgram("PostgreSQL", (), found[-1])
    folder = tmp_path_factory.mktemp("tls") / "postgres"
    with EmbeddedPostgres(folder, program, settings={"fsync": "off", **settings}):
        yield address


async def ask(address, mode, ca):
    """Ask over a pool of ours whether the connection is encrypted."""
    url = f"postgresql://seatlock@{address}:5432/seatlock?sslmode={mode}&sslrootcert={ca}"
    pool = await open_pool(Settings(database_url=url))
    try:
        async with reading(pool) as connection:
            return await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    finally:
        pool.terminate()


async def test_the_ledger_is_reached_over_tls(tls_postgres, authority):
    """`sslmode=verify-full`: encrypted, by our CA, to the host that the certificate names."""
    assert await ask(tls_postgres, "verify-full", authority.ca) is True


async def test_a_ledger_that_cannot_prove_itself_is_not_spoken_to(tls_postgres, stranger):
    """A certificate of another CA: no statement leaves."""
    with pytest.raises(Unavailable) as refused:
        await ask(tls_postgres, "verify-full", stranger.ca)
    assert refused.value.code == "ledger_unavailable"
    assert "certificate" in str(refused.value)

"""The users of lua/ops/users.acl on every kind of server: the application sells, operators look, nobody flushes."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from engine.paths import LUA_DIR
from engine.seats.keys import PARTITION_KEYS, partition_key, showtime_key
from tests.conftest import find_redis, run_sql
from tests.flow.town import Town
from tests.guarded_servers import run_redis

ACL = LUA_DIR / "ops" / "users.acl"
PASSWORDS = {"APPLICATION_PASSWORD": "of-the-application", "SRE_PASSWORD": "of-the-operators"}
FORBIDDEN = """
FLUSHALL
FLUSHDB
CONFIG GET *
CONFIG SET maxmemory 1
KEYS *
SCAN 0
DEBUG SLEEP 0
SHUTDOWN NOSAVE
MONITOR
ACL LIST
ACL SETUSER eve on nopass
SAVE
BGREWRITEAOF
REPLICAOF NO ONE
CLIENT KILL TYPE normal
CLIENT LIST
CLIENT PAUSE 10
SCRIPT FLUSH
SWAPDB 0 1
MIGRATE h 1 sl1 0 1
RESTORE sl1 0 x
MODULE LIST
SORT sl1
SLOWLOG RESET
SET other 1
XADD other * a 1
PUBLISH other x
""".strip()
WRITING = """
SET sl1 1
DEL sl1
HSET sl1 a 1
EXPIRE sl1 1
XADD sl1 * a 1
XTRIM sl1 MAXLEN 0
GET other
SCRIPT LOAD x
EVALSHA x 0
PUBLISH sl:outcomes x
SUBSCRIBE sl:outcomes
RENAME sl1 sl2
""".strip()


@dataclass
class Guarded:
    """A server with the users of the file; stands for the town's Redis."""

    socket: Path

    @property
    def url(self) -> str:
        """The URL of the application's user."""
        return f"unix://seatlock:{PASSWORDS['APPLICATION_PASSWORD']}@{self.socket}"

    def connect(self, user: str, password: str) -> redis.Redis:
        """Log in."""
        return redis.Redis(unix_socket_path=str(self.socket), username=user, password=PASSWORDS[password])


@pytest.fixture(scope="session")
def guarded(redis_server, tmp_path_factory):
    """A server that was started with the file, its passwords filled in as docker-compose does."""
    folder = tmp_path_factory.mktemp("users")
    text = ACL.read_text(encoding="utf-8")
    for name, password in PASSWORDS.items():
        assert text.count(name) == 1
        text = text.replace(name, password)
    (folder / "users.acl").write_text(text)
    with run_redis(find_redis(redis_server.kind), folder / "redis", "--aclfile", str(folder / "users.acl")) as path:
        yield Guarded(path)


@pytest.fixture
def application(guarded):
    """A connection of the application's user."""
    with guarded.connect("seatlock", "APPLICATION_PASSWORD") as client:
        yield client


@pytest.fixture
def operator(guarded):
    """A connection of the operators' user."""
    with guarded.connect("sre", "SRE_PASSWORD") as client:
        yield client


@pytest.fixture(scope="module")
def guarded_town(guarded, postgres, migrated_template, tmp_path_factory):
    """A town whose API and worker log in to Redis as the application."""
    database = f"users_{time.monotonic_ns()}"
    run_sql(postgres, "postgres", f"CREATE DATABASE {database} TEMPLATE {migrated_template} STRATEGY file_copy")
    town = Town(tmp_path_factory.mktemp("guarded"), guarded, postgres.url(database))
    # Limits on requests and failed log-ins have commands of their own.
    town.api._environ = {name: text for name, text in town.api._environ.items() if name != "SEATLOCK_RATE_LIMIT"}
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
        run_sql(postgres, "postgres", f"DROP DATABASE {database} WITH (FORCE)")


def refused(client: redis.Redis, command: str) -> bool:
    """Say whether the server refuses a command for want of permission, or does not know it."""
    try:
        client.execute_command(*command.split())
    except redis.exceptions.NoPermissionError:
        return True
    except redis.exceptions.ResponseError as error:
        return "unknown command" in str(error) or "not allowed" in str(error)
    return False


@pytest.mark.parametrize("command", FORBIDDEN.splitlines())
def test_the_application_may_not(application, command):
    """What could lose, leak or reconfigure everything is not the application's to do."""
    assert refused(application, command)


@pytest.mark.parametrize("command", [*FORBIDDEN.splitlines(), *WRITING.splitlines()])
def test_operators_may_not(operator, command):
    """Whoever looks cannot write, not by a script either, nor look outside."""
    assert refused(operator, command)


def test_a_script_of_an_operator_cannot_write(operator):
    """`--eval` runs with the operator's permissions."""
    with pytest.raises(redis.exceptions.ResponseError, match=r"permission|can't run"):
        operator.eval("return redis.call('SET', KEYS[1], '1')", 1, "sl1")


def test_nobody_gets_in_without_a_password(guarded):
    """The default user answers PING, for health checks, and nothing else."""
    with redis.Redis(unix_socket_path=str(guarded.socket)) as client:
        assert client.ping()
        for command in ("INFO", "GET sl1", "EVALSHA x 0", *FORBIDDEN.splitlines()):
            assert refused(client, command), command
    once = Retry(NoBackoff(), 0)  # the client would try ten times, with pauses
    with pytest.raises(redis.exceptions.AuthenticationError):
        redis.Redis(unix_socket_path=str(guarded.socket), username="seatlock", password="guessed", retry=once).ping()


async def test_a_whole_sale_works_as_the_application_and_operators_see_it(guarded_town, guarded):
    """Hold, change, release, check out, pay, cancel, log in, refresh; load and lapse: the file misses no command."""
    town = guarded_town
    showtime = await town.open_showtime(hold_ttl_s=1)
    lasting = await town.open_showtime()
    async with town.customer() as buyer:
        await buyer.claim(showtime, "A1", "A2")
        hold = await buyer.claim(lasting, "C3", "C4")
        await buyer.call("PATCH", f"/holds/{hold['id']}", 200, json={"add": ["C5"], "remove": ["C3"]})
        given_up = await buyer.claim(lasting, "A1")
        await buyer.call("DELETE", f"/holds/{given_up['id']}", 204)
        cancelled = await buyer.check_out(await buyer.claim(lasting, "A2"))
        await buyer.cancel(cancelled)
        booking = await buyer.check_out(hold)
        payment = await buyer.pay(booking)
        assert (await town.send_event("success", payment)).status_code == 200
        assert (await buyer.read(booking))["status"] == "CONFIRMED"
        account = {"email": "sari@example.com", "password": "correct horse battery"}
        await buyer.call("POST", "/auth/register", 201, json={**account, "name": "Sari"})
        await buyer.call("POST", "/auth/login", 401, json={**account, "password": "wrong horse battery"})
        session = await buyer.call("POST", "/auth/login", 200, json=account)
        await buyer.call("POST", "/auth/refresh", 200, json={"refresh_token": session["refresh_token"]})
    statuses = await town.seat_statuses(lasting)
    assert {seat for seat, status in statuses.items() if status == "SOLD"} == {"C4", "C5"}
    for part in (town.api, town.worker):
        assert "NOPERM" not in part._log.read_text()
        assert "no permissions" not in part._log.read_text()
        assert "uncounted" not in part._log.read_text()
        assert "rate_limit_failed" not in part._log.read_text()

    views = (
        ("hall.lua", [showtime_key(lasting, "meta")], "2 sold S"),
        ("outbox.lua", [partition_key(number, "facts") for number in range(64)], "64 streams"),
    )
    assert "facts" in PARTITION_KEYS
    program = Path(find_redis("redis62").path).with_name("redis-cli")
    for view, keys, expected in views:
        command = [program, "-s", guarded.socket, "--user", "sre", "--pass", PASSWORDS["SRE_PASSWORD"], "--raw"]
        command += ["--no-auth-warning", "--eval", LUA_DIR / "ops" / view, *keys, ","]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
        assert expected in said

"""`seatlock dev`: everything on one machine, from one command, in one folder.

Valkey, PostgreSQL, the fake gateway, the mailbox, the worker and the API run as children, each with a keeper, so that
nothing is left behind even when this process is killed with -9.
"""

import asyncio
import http.client
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.data_folder import ENV_NAME, keep_secret, make_secret, write_env
from engine.demo_logins import LOGINS_NAME, Login, make_demo_logins
from engine.embedded.binaries import find_postgres, find_valkey
from engine.embedded.folders import FolderLock, make_closed_folder
from engine.embedded.identity import unprivileged_identity
from engine.embedded.kept_process import KeptProcess, start_kept, take_lock
from engine.embedded.postgres import EmbeddedPostgres
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import CommandError
from engine.ledger.database import open_pool
from engine.ledger.migrations import migrate
from engine.limits import PORT_MAX
from engine.listening import free_port, local_url
from engine.seeding import seed
from engine.settings import Settings, load_settings
from engine.supervisor import LOOK_EVERY_S, Supervisor
from engine.tickets.keys import make_ticket_key

READY_TIMEOUT_S = 60.0
CHILD_GRACE_S = 8.0
"""Given to the API to finish the requests it has begun, and to the worker to finish its batch."""
SECRETS_MADE = {"webhook_secret": make_secret, "token_secret": make_secret, "ticket_keys": make_ticket_key}
"""Settings that are made up when they are not set, and how."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C or SIGTERM. A KeyboardInterrupt, because event loops let no other exception through."""


class Command:
    """A child that runs a command of ours or of uvicorn; a service of the supervisor."""

    def __init__(self, name: str, argv: list[str], environ: Mapping[str, str], folder: Path, held: int) -> None:
        self._name = name
        self._argv = argv
        self._environ = environ
        self._log = folder / f"{name}.log"
        self._held = held
        self._process: KeptProcess | None = None

    @property
    def process(self) -> KeptProcess:
        """The running process; an assertion before `start`."""
        assert self._process is not None, "not started"
        return self._process

    def start(self) -> None:
        """Start the command; it works a moment later."""
        self._process = start_kept(
            self._name,
            [sys.executable, "-m", *self._argv],
            log=self._log,
            held=os.dup(self._held),
            grace_s=CHILD_GRACE_S,
            environ=self._environ,
        )

    def stop(self) -> None:
        """Let it finish what it does, then end it."""
        self.process.stop()


class Dev:
    """One run of `seatlock dev`."""

    def __init__(self, environ: Mapping[str, str], *, with_parent: bool = False) -> None:
        """Read the settings.

        Args:
            environ: the environment.
            with_parent: stop when the process that started us has ended, e.g. a killed `make`.

        Raises:
            CommandError: a setting is wrong.
        """
        self._environ = environ
        self._parent = os.getppid() if with_parent else None
        self._settings = load_settings(environ)
        self._folder = self._settings.data_dir.absolute()
        self._supervisor = Supervisor(_say)

    def run(self) -> None:
        """Start everything, keep it running until Ctrl-C or SIGTERM, end it.

        Raises:
            CommandError: something does not come up.
        """
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _stop)
        self._folder = make_closed_folder(self._folder)
        lock = FolderLock(self._folder)
        try:
            self._start()
            while self._parent in (None, os.getppid()):
                self._supervisor.look()
                time.sleep(LOOK_EVERY_S)
        except Stopped:
            _say("stopping")
        finally:
            (self._folder / ENV_NAME).unlink(missing_ok=True)
            self._supervisor.stop()
            lock.free()

    def _start(self) -> None:
        # Kept open as long as we run: a child that is started again inherits it, too.
        held = take_lock(self._folder / "children.lock", "The API or worker")
        host = self._settings.host
        port = free_port(host, self._settings.port)
        gateway_port = self._port_beside(port, 1, self._settings.gateway_port)
        servers = self._start_servers()
        settings = load_settings({**self._environ, **servers})
        variables = {
            **servers,
            "SEATLOCK_DATA_DIR": str(self._folder),
            "SEATLOCK_GATEWAY_URL": settings.gateway_url or local_url(host, gateway_port),
            **self._secrets(settings),
        }
        sink_port = 0
        if not settings.smtp_url:
            sink_port = self._port_beside(port, 2, self._settings.mail_sink_port)
            variables["SEATLOCK_SMTP_URL"] = f"smtp://127.0.0.1:{free_port('127.0.0.1', 0)}"
        environ = {
            **self._environ,
            **variables,
            "SEATLOCK_PORT": str(port),
            "SEATLOCK_GATEWAY_PORT": str(gateway_port),
            "SEATLOCK_SIMULATE_PAYMENTS": "true",
            "SEATLOCK_WEBHOOK_PRIVATE": "true",
            "PYTHONUNBUFFERED": "1",
        }
        asyncio.run(migrate(settings.database_url))
        commands = {
            "gateway": _serve("api.fake_gateway.app:create_app_from_env", host, gateway_port),
            "worker": ["engine.cli", "worker"],
            "api": ["engine.cli", "api"],
        }
        if sink_port:
            commands["mailbox"] = _serve("api.mail_sink.app:create_app_from_env", host, sink_port)
        for name, argv in commands.items():
            self._supervisor.start(name, Command(name, argv, environ, self._folder, held))
        logins = asyncio.run(_fill(settings, self._folder))
        for started in filter(None, (gateway_port, sink_port)):
            self._wait_ready(local_url(host, started) + "/health")
        self._wait_ready(local_url(host, port) + "/api/v1/health/ready")
        write_env(self._folder, variables)
        mailbox = local_url(host, sink_port) if sink_port else f"{settings.smtp_url.rpartition('@')[2]} (yours)"
        _greet(self._folder, variables, mailbox, logins, local_url(host, port))

    def _port_beside(self, port: int, distance: int, wanted: int) -> int:
        """Choose the same port at every start if it can be had: addresses of open payments lead there."""
        host = self._settings.host
        if wanted or port + distance > PORT_MAX:
            return free_port(host, wanted)
        try:
            return free_port(host, port + distance)
        except CommandError:
            return free_port(host, 0)

    def _start_servers(self) -> dict[str, str]:
        """Start the servers that are not set by a URL; give the variables that name both."""
        servers = {"SEATLOCK_REDIS_URL": self._settings.redis_url, "SEATLOCK_DATABASE_URL": self._settings.database_url}
        if not self._settings.redis_url:
            valkey = EmbeddedValkey(self._folder / "valkey", find_valkey())
            self._supervisor.start("valkey", valkey)
            servers["SEATLOCK_REDIS_URL"] = valkey.url
        if not self._settings.database_url:
            postgres = EmbeddedPostgres(self._folder / "postgres", find_postgres())
            if (uid := unprivileged_identity().set_uid) is not None:
                _say(f"PostgreSQL refuses root, and user namespaces are off here: it runs as uid {uid}")
            if not postgres.cluster.exists():
                _say("preparing PostgreSQL")
            self._supervisor.start("postgres", postgres)
            servers["SEATLOCK_DATABASE_URL"] = postgres.url()
        return servers

    def _secrets(self, settings: Settings) -> dict[str, str]:
        """Name the files of the secrets that are not set; tokens stay valid over restarts."""
        return {
            f"SEATLOCK_{field.upper()}_FILE": str(keep_secret(self._folder / field.replace("_", "-"), make))
            for field, make in SECRETS_MADE.items()
            if not getattr(settings, field)
        }

    def _wait_ready(self, url: str) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not _answers_ok(url):
            ended = self._supervisor.ended()
            if ended:
                name, process = ended
                raise CommandError(f"{name} did not start: {process.last_words()} (log: {process.log})")
            if time.monotonic() > deadline:
                raise CommandError(f"{url} does not answer; the logs are in {self._folder}")
            time.sleep(0.02)


async def _fill(settings: Settings, folder: Path) -> list[Login]:
    """Make the demo catalogue and the demo accounts, as far as they are missing; the services start meanwhile."""
    await seed(settings, "demo")
    pool: Any = await open_pool(settings, application="seatlock-dev")
    try:
        return await make_demo_logins(pool, folder / LOGINS_NAME)
    finally:
        await pool.close()


def _answers_ok(url: str) -> bool:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=2.0)
    try:
        connection.request("GET", parts.path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _serve(app: str, host: str, port: int) -> list[str]:
    """Give the command that serves an app of ours."""
    return ["uvicorn", "--factory", app, "--no-access-log", "--host", host, "--port", str(port)]


def _greet(folder: Path, variables: Mapping[str, str], mailbox: str, logins: list[Login], url: str) -> None:
    _say(f"API         {url}/api/v1  (docs: {url}/api/docs)")
    _say(f"gateway     {variables['SEATLOCK_GATEWAY_URL']}")
    _say(f"mailbox     {mailbox}")
    _say(f"Redis       {variables['SEATLOCK_REDIS_URL']}")
    _say(f"PostgreSQL  {variables['SEATLOCK_DATABASE_URL']}")
    _say(f"data, logs  {folder}")
    for login in logins:
        _say(f"log in      {login.role:<9} {login.email}  {login.password}")
    _say(f"ready {url}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _stop(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
    """Stop once; whoever presses Ctrl-C twice must not leave half of it running."""
    for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(one, signal.SIG_IGN)
    raise Stopped

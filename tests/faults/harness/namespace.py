"""One more API in a network namespace of its own: a real network to the servers, whose packets can really be dropped.

    our namespace                               the API's
    <name>h  10.213.K.1    HTTP, gateway        10.213.K.2
    <name>s  10.213.K.5    Redis, PostgreSQL    10.213.K.6     only this one is broken

Nothing of it leaves the machine, and all of it goes with the namespace.
"""

import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit

from engine.paths import ROOT
from tests.faults.harness.parts import Process
from tests.flow.town import environ_of
from tests.processes import wait_until
from tests.proxy import open_ledger_proxy, open_proxy

PORT = 8000
LIFE_S = "600"
"""The namespace ends by itself after so long, should nobody end it."""


class Cable:
    """The link to the servers."""

    def __init__(self, name: str, far: str) -> None:
        self._name = name
        self._far = far

    def lose_answers(self) -> None:
        """Drop whatever the servers send; what they are sent arrives."""
        _run("ip", "route", "add", "blackhole", f"{self._far}/32")

    def pull(self) -> None:
        """Drop everything, either way."""
        _run("ip", "link", "set", self._name, "down")

    def mend(self) -> None:
        """Carry everything again."""
        with contextlib.suppress(subprocess.CalledProcessError):
            _run("ip", "route", "del", "blackhole", f"{self._far}/32")
        _run("ip", "link", "set", self._name, "up")


class Inside(Process):
    """A process in the namespace of another one; the rest of the arguments is that of `Process`."""

    def __init__(self, holder: int, *args) -> None:
        super().__init__("api-inside", *args)
        self._holder = holder

    def launch(self) -> None:
        """Start the process."""
        enter = ["nsenter", "-t", str(self._holder), "-n", sys.executable, "-m", *self._argv]
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(enter, cwd=ROOT, env=self._environ, stdout=log, stderr=log)


@contextlib.asynccontextmanager
async def open_remote_api(world) -> AsyncIterator[tuple[Process, Cable]]:
    """Run the API beside those of the world, whose buyers come to it too; gives it and its cable to the servers."""
    with subprocess.Popen(["unshare", "--net", "sleep", LIFE_S]) as holder:
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(holder.kill)
            assert wait_until(lambda: _network_of(holder.pid) != _network_of(os.getpid())), "no namespace was made"
            net, name = f"10.213.{holder.pid % 250}", f"sl{holder.pid}"
            for link, near, far in (("h", f"{net}.1", f"{net}.2"), ("s", f"{net}.5", f"{net}.6")):
                _connect(holder.pid, f"{name}{link}", near, far)
                stack.callback(_drop, f"{name}{link}")
            api = await _make_api(world, stack, holder.pid, net)
            await api.begin()
            world.apis.append(api)
            stack.callback(world.apis.remove, api)
            cable = Cable(f"{name}s", f"{net}.6")
            stack.callback(cable.mend)
            yield api, cable


async def _make_api(world, stack: contextlib.AsyncExitStack, holder: int, net: str) -> Process:
    town = world.town
    redis = await stack.enter_async_context(open_proxy(town.redis.socket, host=f"{net}.5"))
    postgres = await stack.enter_async_context(open_ledger_proxy(town.database_url, host=f"{net}.5"))
    port = urlsplit(town.gateway_url).port
    gateway = await stack.enter_async_context(open_proxy(("127.0.0.1", port), host=f"{net}.1"))
    changes = {
        "SEATLOCK_HOST": f"{net}.2",
        "SEATLOCK_PORT": str(PORT),
        "SEATLOCK_REDIS_URL": redis.url,
        "SEATLOCK_DATABASE_URL": postgres.url,
        "SEATLOCK_GATEWAY_URL": gateway.url.replace("redis://", "http://"),
    }
    url = f"http://{net}.2:{PORT}"
    api = Inside(
        holder, ["engine.cli", "api"], environ_of(town.settings, **changes), world.folder, f"{url}/api/v1/health"
    )
    api.url = url
    stack.push_async_callback(api.end)
    return api


def _connect(holder: int, name: str, near: str, far: str) -> None:
    """Join our namespace and that of a process by a pair of interfaces, `near` and `far`."""
    inside = ("nsenter", "-t", str(holder), "-n", "ip")
    _run("ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}x", "netns", str(holder))
    _run("ip", "addr", "add", f"{near}/30", "dev", name)
    _run("ip", "link", "set", name, "up")
    _run(*inside, "addr", "add", f"{far}/30", "dev", f"{name}x")
    _run(*inside, "link", "set", f"{name}x", "up")


def _drop(name: str) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        _run("ip", "link", "del", name)


def _run(*argv: str) -> None:
    subprocess.run(argv, check=True, capture_output=True)


def _network_of(pid: int) -> str:
    """Give the network namespace of a process; "" while it has none."""
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""

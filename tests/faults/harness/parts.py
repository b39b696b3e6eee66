"""Processes that can be killed, stopped, continued and started again: the town's own, and its two servers."""

import asyncio
import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from engine.errors import CommandError
from tests.flow.town import Part
from tests.processes import wait_until

START_TIMEOUT_S = 120
"""A busy machine takes its time."""


def family(pid: int) -> list[int]:
    """Give a process and all that descend from it, parents first."""
    children = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    found = [pid]
    for parent in found:
        found += children[parent]
    return found


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to those that still live."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


class Process(Part):
    """A part of the town: API, worker or gateway.

    Attributes:
        url: where it serves customers, or None.
        redis_line, postgres_line: its own proxies, or None.
    """

    url: str | None = None
    redis_line: Any = None
    postgres_line: Any = None
    _log_start = 0

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs; also while it is stopped by SIGSTOP."""
        return self.process is not None and self.process.poll() is None

    async def kill(self) -> None:
        """Kill it with -9."""
        await asyncio.to_thread(self.stop, signal.SIGKILL)

    async def end(self) -> None:
        """End it with SIGTERM, as a deployment does; its work under way is finished or rolled back."""
        await asyncio.to_thread(self.stop)

    async def begin(self) -> None:
        """Start it and wait until it serves."""
        self.launch()
        await self.ready()

    async def ready(self) -> None:
        """Wait until it serves; of a worker, until it says that it works."""
        look = self._says_that_it_works if self._url is None else self._serves
        ready = await asyncio.to_thread(wait_until, lambda: not self.alive or look(), START_TIMEOUT_S)
        assert ready, f"{self.name} does not get ready, see {self._log}"
        assert self.alive, f"{self.name} has ended, see {self._log}"

    def launch(self) -> None:
        """Start the process."""
        self._log_start = self._log.stat().st_size if self._log.exists() else 0
        super().launch()

    def _serves(self) -> bool:
        try:
            with urlopen(self._url, timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def _says_that_it_works(self) -> bool:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            return b'"worker_started"' in log.read()

    def freeze(self) -> None:
        """Stop it with SIGSTOP: it lives and does nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on with SIGCONT, as if no time had passed for it."""
        if self.alive:
            self.process.send_signal(signal.SIGCONT)


class Server:
    """A Redis or PostgreSQL of the world's own.

    Attributes:
        embedded: an `EmbeddedValkey` or `EmbeddedPostgres`; a fault may put another one here while it is down.
    """

    def __init__(self, embedded: Any) -> None:
        self.embedded = embedded

    @property
    def folder(self) -> Path:
        """Where its data is."""
        return self.embedded.folder

    @property
    def pids(self) -> list[int]:
        """The server and its children, without the keeper that looks after them."""
        return family(self.embedded.process.keeper_pid)[1:]

    @property
    def alive(self) -> bool:
        """Whether it runs; also while it is stopped by SIGSTOP."""
        return self.embedded.process.exit_status is None

    async def start(self) -> None:
        """Start it and wait until it takes connections."""
        await asyncio.to_thread(self.embedded.start)

    async def kill(self) -> None:
        """Kill it with -9, all of it at once."""
        pids = self.pids
        send(pids, signal.SIGKILL)
        gone = await asyncio.to_thread(wait_until, lambda: not any(_runs(pid) for pid in pids))
        assert gone, "a killed server still runs"
        await asyncio.to_thread(self.embedded.process.wait, 10)

    async def end(self) -> None:
        """End it as an operator does; what it acknowledged is on disk."""
        await asyncio.to_thread(self.embedded.stop)

    def freeze(self) -> None:
        """Stop all of it with SIGSTOP: connections stay open, nothing is answered."""
        send(self.pids, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let all of it go on with SIGCONT."""
        send(reversed(self.pids), signal.SIGCONT)

    async def close(self) -> None:
        """End it in whatever state it is."""
        with contextlib.suppress(AssertionError, CommandError):
            if self.alive:
                self.thaw()
                await self.end()


def _runs(pid: int) -> bool:
    """Tell whether a process still is one, and no zombie."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def starved_s(pid: int) -> float:
    """Tell how long a process has been ready to run and has waited for a processor; 0 where nobody counts that."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0


def _stat(pid: int) -> list[str]:
    """Give what /proc says of a process from its state on, then its parent; nothing if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []

"""Keeps a set of services running: what ends unasked is started again, and all are stopped in reverse order."""

import time
from collections.abc import Callable
from typing import Protocol

from engine.embedded.kept_process import KeptProcess
from engine.errors import CommandError
from engine.limits import RESTART_PAUSE_MAX_S

LOOK_EVERY_S = 0.1
PAUSE_FIRST_S = 0.5
STEADY_AFTER_S = 30.0
"""A service that ran for so long starts again at once; one that keeps falling waits longer each time."""


class Service(Protocol):
    """Something that is started, watched by its process, and stopped."""

    @property
    def process(self) -> KeptProcess:
        """The running process."""

    def start(self) -> None:
        """Start, and return when it works. Raises CommandError."""

    def stop(self) -> None:
        """Stop, and return when it has ended."""


class _Watched:
    def __init__(self, name: str, service: Service) -> None:
        self.name = name
        self.service = service
        self.started_at_s = time.monotonic()
        self.next_start_at_s = 0.0
        self.pause_s = 0.0
        self.down = False


class Supervisor:
    """Starts services one after another, mends them, stops them from the last to the first."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """Take the function that gets one line per event."""
        self._say = say
        self._watched: list[_Watched] = []

    def start(self, name: str, service: Service) -> None:
        """Start a service and watch it from now on.

        Raises:
            CommandError: it does not come up.
        """
        service.start()
        self._watched.append(_Watched(name, service))

    def look(self) -> None:
        """Start again what has ended since the last look."""
        for watched in self._watched:
            status = watched.service.process.exit_status
            if status is None:
                continue
            now_s = time.monotonic()
            if not watched.down:
                self._note_end(watched, status, now_s)
            if now_s >= watched.next_start_at_s:
                self._start_again(watched)

    def ended(self) -> tuple[str, KeptProcess] | None:
        """Give the name and process of a service that is down, or None."""
        for watched in self._watched:
            if watched.service.process.exit_status is not None:
                return watched.name, watched.service.process
        return None

    def stop(self) -> None:
        """Stop every service, the last started first."""
        while self._watched:
            self._watched.pop().service.stop()

    def _note_end(self, watched: _Watched, status: int, now_s: float) -> None:
        steady = now_s - watched.started_at_s >= STEADY_AFTER_S
        watched.pause_s = 0.0 if steady else min(max(PAUSE_FIRST_S, 2 * watched.pause_s), RESTART_PAUSE_MAX_S)
        watched.next_start_at_s = now_s + watched.pause_s
        watched.down = True
        self._say(f"{watched.name} ended with status {status}, starting it again (log: {watched.service.process.log})")

    def _start_again(self, watched: _Watched) -> None:
        watched.started_at_s = time.monotonic()
        watched.down = False
        try:
            watched.service.start()
        except CommandError as error:
            self._say(str(error))

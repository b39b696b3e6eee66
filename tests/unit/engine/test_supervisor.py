"""The supervisor, with services that end when they are told to."""

from pathlib import Path

import pytest

from engine import supervisor as module
from engine.errors import CommandError
from engine.limits import RESTART_PAUSE_MAX_S
from engine.supervisor import STEADY_AFTER_S, Supervisor


class FakeProcess:
    """What the supervisor sees of a process."""

    def __init__(self):
        self.exit_status = None
        self.log = Path("service.log")


class FakeService:
    """Counts its starts; `fail` makes the next ones fail."""

    def __init__(self, name="service", stopped=None):
        self.name, self.stopped = name, [] if stopped is None else stopped
        self.starts, self.fail = 0, False

    def start(self):
        if self.fail:
            raise CommandError(f"{self.name} did not start")
        self.starts += 1
        self.process = FakeProcess()

    def stop(self):
        self.stopped.append(self.name)


@pytest.fixture
def clock(monkeypatch):
    """Time that passes only when a test says so."""
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def said():
    """What the supervisor told its user."""
    return []


def test_services_are_stopped_from_the_last_to_the_first(said):
    """The API drains while the servers that it needs still run."""
    stopped = []
    supervisor = Supervisor(said.append)
    for name in ("valkey", "postgres", "api"):
        supervisor.start(name, FakeService(name, stopped))
    supervisor.stop()
    assert stopped == ["api", "postgres", "valkey"]


def test_a_steady_service_is_started_again_at_once(clock, said):
    """What ran for long and ended once is back at the next look, and the user is told."""
    service = FakeService()
    supervisor = Supervisor(said.append)
    supervisor.start("worker", service)
    clock[0] += STEADY_AFTER_S
    service.process.exit_status = 137
    supervisor.look()
    assert service.starts == 2
    assert said == ["worker ended with status 137, starting it again (log: service.log)"]


def test_a_service_that_keeps_falling_waits_longer_each_time(clock, said):
    """Its pauses double up to a bound, so that it does not eat the machine."""
    service = FakeService()
    supervisor = Supervisor(said.append)
    supervisor.start("api", service)
    pauses = []
    for _ in range(7):
        service.process.exit_status = 1
        before, starts = clock[0], service.starts
        while service.starts == starts:
            supervisor.look()
            clock[0] += 0.25
        pauses.append(clock[0] - 0.25 - before)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, RESTART_PAUSE_MAX_S, RESTART_PAUSE_MAX_S]
    assert len(said) == 7


def test_a_service_that_does_not_start_is_tried_again(clock, said):
    """A server that cannot come back now may a moment later; the others are kept running meanwhile."""
    broken, other = FakeService("postgres"), FakeService("worker")
    supervisor = Supervisor(said.append)
    supervisor.start("postgres", broken)
    supervisor.start("worker", other)
    broken.process.exit_status, broken.fail = 137, True
    other.process.exit_status = 1
    for _ in range(8):
        supervisor.look()
        clock[0] += 0.25
    assert "postgres did not start" in said
    assert other.starts == 2
    broken.fail = False
    for _ in range(80):
        supervisor.look()
        clock[0] += 0.25
    assert broken.starts == 2


def test_what_is_down_is_named(said):
    """While everything starts, whoever waits can see who fell."""
    service = FakeService()
    supervisor = Supervisor(said.append)
    supervisor.start("api", service)
    assert supervisor.ended() is None
    service.process.exit_status = 3
    assert supervisor.ended() == ("api", service.process)


def test_a_service_that_never_starts_is_the_callers_business(said):
    """The first start fails loudly; nothing is watched."""
    service = FakeService()
    service.fail = True
    supervisor = Supervisor(said.append)
    with pytest.raises(CommandError, match="service did not start"):
        supervisor.start("service", service)
    supervisor.stop()
    assert service.stopped == []

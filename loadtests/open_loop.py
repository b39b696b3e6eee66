"""Callers who come at a fixed rate, whatever the answers take: an open loop, in a process of its own.

    echo '{"address": ["127.0.0.1", 8000], "kind": "hot", ...}' | python -m loadtests.open_loop

Reads its plan as a line of standard input, says `ready`, begins at the next line, and tells what it saw as JSON.
Latency counts from when a caller was meant to come: one who waits for a connection, or for this very process, waits.
A phase without a rate is a closed loop: every connection asks again as soon as it is answered.

plan     address [host, port]; kind, and what that kind needs, as `journeys.py` says; connections; patience_s;
         phases [{"rate": per second or 0, "seconds"}]; awake: whether this process never sleeps, so that nobody who
         answers pays for waking it up, which on a virtual machine costs ten times as much as the answer's write
result   phases [{asked, answers {status: count}, given_up, good, done, seconds, p50_ms.., curve, series}];
         lag_p99_ms, cpu_share and lagged: whether this process came too late itself, so that no figure counts;
         ran_out: whether a closed loop ended because there was nothing left to ask for
"""

import asyncio
import gc
import json
import re
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import chain, islice
from typing import Any

from loadtests.histogram import Histogram
from loadtests.journeys import KINDS, Journey

GOOD_S = 1.0
"""A success that came later than this is none to the caller."""
SLOW_S = 0.05
WINDOW_S = 0.25
TICK_S = 0.001
"""Callers who are due within so short a time come together: to wait for each would keep a core busy with waiting."""
LAG_MAX_S = 0.01
ACCEPT_S = 0.001
CPU_SHARE_MAX = 0.9
BODYLESS = (204, 304)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Phase:
    """A stretch of time with one rate of arrivals, and what became of those who came in it."""

    def __init__(self, rate: float, seconds: float) -> None:
        self.rate, self.seconds = rate, seconds
        self.began = 0.0
        self.took = Histogram()
        self.answers: Counter[int] = Counter()
        self.asked = self.given_up = self.good = self.done = 0
        self.windows: dict[int, list[int]] = {}

    def told(self) -> dict[str, Any]:
        """Give what was seen; see the module."""
        percents = {"p50_ms": 50, "p90_ms": 90, "p99_ms": 99, "p999_ms": 99.9}
        return {
            "rate": self.rate,
            "seconds": self.seconds,
            "asked": self.asked,
            "answers": {str(status): number for status, number in sorted(self.answers.items())},
            "given_up": self.given_up,
            "good": self.good,
            "done": self.done,
            **{name: self.took.percentile_s(percent) * 1e3 for name, percent in percents.items()},
            "max_ms": self.took.max_s * 1e3,
            "curve": self.took.curve(),
            "series": [[number * WINDOW_S, *self.windows[number]] for number in sorted(self.windows)],
        }

    def count(self, due: float, now: float, status: int) -> None:
        """Count what a caller who was due then is answered now."""
        took = now - due
        self.took.add(took)
        self.answers[status] += 1
        window = self.windows.setdefault(int((due - self.began) / WINDOW_S), [0, 0, 0])
        window[0] += 1
        window[2] += took > SLOW_S
        if status in (200, 201) and took <= GOOD_S:
            self.good += 1
            window[1] += 1


class Visit:
    """One caller on a journey."""

    __slots__ = ("asks", "due", "journey", "phase", "timed")

    def __init__(self, phase: Phase, journey: Journey, due: float) -> None:
        self.phase, self.journey, self.due = phase, journey, due
        self.timed = False
        self.asks = next(journey)


class Connection(asyncio.Protocol):
    """A connection that is kept, with one request at a time on it.

    Args:
        on_answer: told (connection, status, body); status 0 when the connection was lost before the answer was whole.
        on_lost: told when it is over.
    """

    def __init__(self, on_answer: Callable[..., None], on_lost: Callable[..., None]) -> None:
        self._on_answer, self._on_lost = on_answer, on_lost
        self._got = b""
        self.visit: Visit | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        """Remember the way out."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect an answer, which may come in pieces."""
        got = self._got = self._got + data if self._got else data
        end = got.find(b"\r\n\r\n")
        if end < 0:
            return
        status = int(got[9:12])
        length = _LENGTH.search(got, 0, end)
        if length is None and status not in BODYLESS:
            raise ValueError("an answer of unknown length")
        whole = end + 4 + (int(length[1]) if length and status not in BODYLESS else 0)
        if len(got) < whole:
            return
        self._got = b""
        self._on_answer(self, status, got[end + 4 : whole])

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 -- as asyncio calls it
        """Tell who waits here."""
        if self.visit is not None:
            self._on_answer(self, 0, b"")
        self._on_lost(self)


class OpenLoop:
    """Sends the callers of a plan."""

    def __init__(self, plan: Mapping[str, Any]) -> None:
        self._plan = plan
        journeys = KINDS[plan["kind"]](plan)
        # The first one shuffles the seats of a whole country: not while somebody's time is taken.
        self._journeys: Iterator[Journey] = chain([*islice(journeys, 1)], journeys)
        self._phases = [Phase(phase["rate"], phase["seconds"]) for phase in plan["phases"]]
        self._patience_s = plan.get("patience_s", 5.0)
        self._idle: list[Connection] = []
        self._waiting: deque[Visit] = deque()
        self._under_way = 0
        self._over = self._ran_out = False
        self._nobody_left = asyncio.Event()
        self._nothing_left = asyncio.Event()
        self._lag = Histogram()
        self._opening: set[asyncio.Task[None]] = set()

    async def connect(self) -> None:
        """Open all connections."""
        await asyncio.gather(*(self._open() for _ in range(self._plan["connections"])))

    async def play(self) -> dict[str, Any]:
        """Let everybody come, wait for the last answers, and tell."""
        began, cpu_s = time.perf_counter(), time.process_time()
        waking = asyncio.create_task(self._stay_awake()) if self._plan.get("awake") else None
        for phase in self._phases:
            await (self._come(phase) if phase.rate else self._stay(phase))
        self._over = True
        if self._under_way:
            try:
                await asyncio.wait_for(self._nobody_left.wait(), self._patience_s + GOOD_S)
            except TimeoutError:
                self._forget_the_rest()
        if waking:
            waking.cancel()
        share = (time.process_time() - cpu_s) / (time.perf_counter() - began)
        lag_s = self._lag.percentile_s(99)
        lagged = lag_s > LAG_MAX_S or (share > CPU_SHARE_MAX and any(phase.rate for phase in self._phases))
        return {
            "phases": [phase.told() for phase in self._phases],
            "lag_p99_ms": lag_s * 1e3,
            "cpu_share": share,
            "lagged": lagged,
            "ran_out": self._ran_out,
        }

    async def _stay_awake(self) -> None:
        """Ask the loop for more, again and again."""
        while True:  # noqa: ASYNC110 -- waiting for an event would be sleeping
            await asyncio.sleep(0)

    async def _come(self, phase: Phase) -> None:
        """Let callers come at the phase's rate, evenly."""
        phase.began = began = time.perf_counter()
        for number in range(round(phase.rate * phase.seconds)):
            due = began + number / phase.rate
            while (now := time.perf_counter()) < due:  # noqa: ASYNC110 -- the clock is what is waited for
                await asyncio.sleep(max(due - now, TICK_S))
            self._lag.add(now - due)
            if not self._begin(phase, due):
                raise SystemExit("there are more callers than journeys: fewer seconds, or more showtimes")
        await asyncio.sleep(max(0.0, began + phase.seconds - time.perf_counter()))

    async def _stay(self, phase: Phase) -> None:
        """Keep every connection busy for the phase's seconds."""
        phase.began = time.perf_counter()
        for _ in range(len(self._idle)):
            self._begin(phase, time.perf_counter())
        with suppress(TimeoutError):
            await asyncio.wait_for(self._nothing_left.wait(), phase.seconds)
        phase.seconds = time.perf_counter() - phase.began
        self._over = True

    def _begin(self, phase: Phase, due: float) -> bool:
        """Let somebody come; False if there is no journey left."""
        journey = next(self._journeys, None)
        if journey is None:
            self._ran_out = True
            self._nothing_left.set()
            return False
        phase.asked += 1
        self._under_way += 1
        self._queue(Visit(phase, journey, due))
        return True

    def _queue(self, visit: Visit) -> None:
        if self._idle:
            self._send(self._idle.pop(), visit)
        else:
            self._waiting.append(visit)

    def _send(self, connection: Connection, visit: Visit) -> None:
        connection.visit = visit
        connection.transport.write(visit.asks)

    def _answered(self, connection: Connection, status: int, body: bytes) -> None:
        visit, connection.visit = connection.visit, None
        assert visit is not None, "an answer that nobody had asked for"
        if not visit.timed:
            visit.timed = True
            visit.phase.count(visit.due, time.perf_counter(), status)
        try:
            visit.asks = visit.journey.send((status, body))
        except StopIteration as end:
            visit.phase.done += bool(end.value)
            self._free(connection, status)
            self._end(visit)
            return
        if status:
            self._send(connection, visit)
        else:
            self._queue(visit)

    def _free(self, connection: Connection, status: int) -> None:
        """Give the connection to who waits longest and still does."""
        if not status:
            return
        now = time.perf_counter()
        while self._waiting:
            visit = self._waiting.popleft()
            if visit.timed or now - visit.due <= self._patience_s:
                self._send(connection, visit)
                return
            self._give_up(visit, now)
        self._idle.append(connection)

    def _give_up(self, visit: Visit, now: float) -> None:
        """Somebody has gone before there was a connection: the wait counts all the same."""
        visit.phase.took.add(now - visit.due)
        visit.phase.given_up += 1
        window = visit.phase.windows.setdefault(int((visit.due - visit.phase.began) / WINDOW_S), [0, 0, 0])
        window[0] += 1
        window[2] += 1
        self._end(visit)

    def _end(self, visit: Visit) -> None:
        self._under_way -= 1
        if not visit.phase.rate and not self._over:
            self._begin(visit.phase, time.perf_counter())
        if self._over and not self._under_way:
            self._nobody_left.set()

    def _forget_the_rest(self) -> None:
        """Those who still wait at the end have given up, too."""
        now = time.perf_counter()
        for visit in self._waiting:
            if not visit.timed:
                self._give_up(visit, now)

    def _lost(self, connection: Connection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)
        if not self._over:
            task = asyncio.get_running_loop().create_task(self._open())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self) -> None:
        host, port = self._plan["address"]
        _, connection = await asyncio.get_running_loop().create_connection(
            lambda: Connection(self._answered, self._lost), host, port
        )
        self._free(connection, 1)


async def run(plan: Mapping[str, Any]) -> dict[str, Any]:
    """Connect, wait for the line that says go, play."""
    crowd = OpenLoop(plan)
    await crowd.connect()
    # The kernel connects at once; what the service takes to accept them all is no part of anybody's answer.
    await asyncio.sleep(plan["connections"] * ACCEPT_S)
    gc.collect()
    gc.disable()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    return await crowd.play()


def main() -> None:
    """Play the plan that comes on standard input."""
    plan = json.loads(sys.stdin.readline())
    try:
        import uvloop  # noqa: PLC0415 -- it is quicker where it is installed

        runner = uvloop.run
    except ImportError:
        runner = asyncio.run
    print(json.dumps(runner(run(plan))), flush=True)


if __name__ == "__main__":
    main()

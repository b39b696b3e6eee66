"""From the money to the ledger (B6), start and memory of everything (B9), the whole path and fsync (B10)."""

import asyncio
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from engine.bench import sales
from engine.bench.figures import Figure, medians_of, ratios_of
from engine.bench.services import Service, drive, memory_of, running
from engine.bench.session import Session
from engine.bench.stage import Stage
from engine.errors import CommandError
from engine.listening import free_port
from engine.paths import ROOT

COPY_SHARE_MIN, LAG_MAX_S, START_MAX_S, MEMORY_MAX_MB, FSYNC_SHARE_MIN = 0.35, 1.0, 3.0, 150.0, 0.7
SALES, FEW_SALES = 1_500, 200
CALLERS = 32
IDLE_S = 2.0
SETTLED_S = 60
START_TIMEOUT_S, STOP_TIMEOUT_S = 120, 30
PARTS = ("api", "worker")


def into_the_ledger(session: Session, stage: Stage) -> None:
    """B6: rows per second out of a backlog of sales / raw COPY; then the lag while one API sells as fast as it can."""
    count = FEW_SALES if session.extent.small else SALES
    pairs = sales.free_pairs(stage, stage.showtimes[: len(stage.showtimes) // 2])
    backlogs, live = [], []
    with running(stage.api()) as api, running(stage.worker()) as worker:
        stage.look(api)

        def round_of(number: int) -> None:  # noqa: ARG001 -- every round is the same
            intents = asyncio.run(sales.prepare(stage, pairs, count))
            with _frozen(worker), _ledger(stage) as ledger:
                asyncio.run(sales.pay_without_api(stage, intents))
                ledger.begin(count * sales.SEATS_EACH)
                worker.signal(signal.SIGCONT)
                backlogs.append(ledger.end())
            intents = asyncio.run(sales.prepare(stage, pairs, count))
            plan = {"kind": "given", "requests": sales.webhooks_of(intents), "connections": CALLERS}
            with _ledger(stage) as ledger:
                ledger.begin(count * sales.SEATS_EACH)
                saw = drive(api, {**plan, "phases": [{"rate": 0, "seconds": SETTLED_S}]})
                live.append({**ledger.end(), "per_s": saw["phases"][0]["done"] / saw["phases"][0]["seconds"]})

        session.in_turn("B6 ledger", [("sales", round_of)])
    rates = [(one["rows"] / one["seconds"], one["rows"] / one["copy_seconds"]) for one in backlogs]
    session.figures += [
        Figure(
            name="B6",
            what="rows/s of the worker into the ledger (tickets, facts, announcements) / raw COPY of the same rows",
            ratios=ratios_of(rates),
            limit=COPY_SHARE_MIN,
            least=True,
            sides={
                **medians_of(rates, "worker rows/s", "COPY rows/s"),
                "worker sales/s": statistics.median(count / one["seconds"] for one in backlogs),
            },
        ),
        Figure(
            name="B6",
            what="lag in s, p99, from the sale in Redis to its commit, at the highest sell rate of one API process",
            ratios=tuple(one["lag_p99_s"] for one in live),
            limit=LAG_MAX_S,
            least=False,
            sides={
                "lag p50 s": statistics.median(one["lag_p50_s"] for one in live),
                "sales/s": statistics.median(one["per_s"] for one in live),
            },
        ),
    ]


def fsync(session: Session, stage: Stage) -> None:
    """B10: purchases per second, claim to paid, under appendfsync always / everysec."""
    showtimes, used = stage.showtimes[len(stage.showtimes) // 2 :], 0
    with running(stage.gateway()), running(stage.worker()) as worker, running(stage.api()) as api:
        stage.look(api)
        beside = {"Redis": stage.redis_cpu_s, "PostgreSQL": stage.postgres_cpu_s, "worker": worker.cpu_s}

        def buy(policy: str) -> dict[str, float]:
            nonlocal used
            with Redis.from_url(stage.redis.url) as client:
                client.config_set("appendfsync", policy)
            phases = [{"rate": 0, "seconds": session.extent.seconds}]
            plan = stage.plan("buy", first=used, connections=CALLERS // 2, phases=phases)
            saw = drive(api, {**plan, "showtimes": showtimes}, beside)
            phase = saw["phases"][0]
            used += phase["asked"]
            costs = {"API": saw["cpu_us"], **saw["beside_us"]}
            return {"per_s": phase["done"] / phase["seconds"]} | {f"{part} us": us for part, us in costs.items()}

        saw = session.in_turn(
            "B10 whole path", [("everysec", lambda _: buy("everysec")), ("always", lambda _: buy("always"))]
        )
    pairs = [(one["always"]["per_s"], one["everysec"]["per_s"]) for one in saw]
    costs = {
        name: statistics.median(one["always"][name] for one in saw) for name in saw[0]["always"] if name != "per_s"
    }
    session.figures.append(
        Figure(
            name="B10",
            what="purchases/s over HTTP, from claim to tickets, appendfsync always / everysec",
            ratios=ratios_of(pairs),
            limit=FSYNC_SHARE_MIN,
            least=True,
            sides={**medians_of(pairs, "always/s", "everysec/s"), **costs},
        )
    )


def start_and_memory(session: Session) -> None:
    """B9: seconds of the second and later starts of `seatlock dev` until ready; memory of API and worker at rest."""
    folder = session.scratch / "dev"
    with _dev(folder):
        pass

    def again(_: int) -> tuple[float, dict[str, float]]:
        began = time.perf_counter()
        with _dev(folder):
            ready_s = time.perf_counter() - began
            time.sleep(IDLE_S)
            return ready_s, {part: _memory_mb(folder, part) for part in PARTS}

    saw = [one["dev"] for one in session.in_turn("B9 start", [("dev", again)])]
    session.figures += [
        Figure(
            name="B9",
            what="seconds until ready, second start of `seatlock dev`",
            ratios=tuple(ready_s for ready_s, _ in saw),
            limit=START_MAX_S,
            least=False,
        ),
        Figure(
            name="B9",
            what="resident memory of API and worker together at rest, MB",
            ratios=tuple(sum(memory.values()) for _, memory in saw),
            limit=MEMORY_MAX_MB,
            least=False,
            sides={f"{part} MB": statistics.median(memory[part] for _, memory in saw) for part in PARTS},
        ),
    ]


class _Ledger:
    """`loadtests.ledger`, at work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process
        assert process.stdout is not None
        if not process.stdout.readline().startswith("ready"):
            raise CommandError(f"the ledger cannot be watched: {process.communicate()[1][-300:]}")

    def begin(self, tickets: int) -> None:
        """From now on so many tickets come."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"go {time.time()} {tickets}\n")
        self._process.stdin.flush()

    def end(self) -> dict[str, float]:
        """Wait for them; gives what was seen."""
        said, failed = self._process.communicate()
        if self._process.returncode != 0:
            raise CommandError(f"the ledger could not be watched: {failed.strip()[-300:]}")
        result: dict[str, float] = json.loads(said.splitlines()[-1])
        return result


@contextmanager
def _ledger(stage: Stage) -> Iterator[_Ledger]:
    argv = [sys.executable, "-m", "loadtests.ledger", stage.settings.database_url]
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield _Ledger(process)
        finally:
            process.kill()


@contextmanager
def _frozen(service: Service) -> Iterator[None]:
    """Stop a process until it is told to go on, at the latest at the end of the block."""
    service.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        service.signal(signal.SIGCONT)


@contextmanager
def _dev(folder: Path) -> Iterator[None]:
    """Run `seatlock dev` on a folder; entered when it is ready."""
    environ: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("SEATLOCK_")}
    environ |= {"SEATLOCK_DATA_DIR": str(folder), "SEATLOCK_PORT": str(free_port("127.0.0.1", 0))}
    argv = [sys.executable, "-m", "engine.cli", "dev", "--with-parent"]
    with subprocess.Popen(
        argv, cwd=ROOT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as dev:
        assert dev.stdout is not None
        try:
            if not any(line.startswith("ready ") for line in dev.stdout):
                raise CommandError("`seatlock dev` did not come up")
            yield
        finally:
            dev.send_signal(signal.SIGINT)
            dev.communicate(timeout=STOP_TIMEOUT_S)


def _memory_mb(folder: Path, part: str) -> float:
    """Give the resident memory of one child of the `dev` that runs on a folder."""
    argv, mine = ["-m", "engine.cli", part], f"SEATLOCK_DATA_DIR={folder}".encode()
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")[1:4]
            if words == argv and mine in (process / "environ").read_bytes().split(b"\0"):
                return memory_of(int(process.name)) / 1e6
        except OSError:
            continue  # it has just ended, or is another user's
    raise CommandError(f"no {part} runs on {folder}")

"""`seatlock bench`: starts servers of its own, measures in turn, tells the table and writes JSON and a page."""

import os
import platform
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from engine.bench import against_redis, in_process, over_http, overload, whole_path
from engine.bench.figures import Run, as_json, as_text
from engine.bench.page import as_page
from engine.bench.session import Extent, Session
from engine.bench.stage import Stage, open_stage
from engine.errors import CommandError
from engine.paths import ROOT
from engine.progress import Progress

BASELINES = ROOT / "loadtests" / "baselines"
NAMES = tuple(f"B{number}" for number in range(1, 11))
STAGE_SEATS = 300
SHOWTIMES, FEW_SHOWTIMES = 2_000, 60
SHOWTIMES_TO_SELL = 400
ON_STAGE: dict[str, Callable[[Session, Stage], None]] = {
    "B1": over_http.claim_cpu,
    "B2": over_http.against_rivals,
    "B7": over_http.seat_maps,
    "B8": overload.overload,
}
"""They claim and let go: their seats are freed behind the ledger's back."""
SELLING: dict[str, Callable[[Session, Stage], None]] = {"B6": whole_path.into_the_ledger, "B10": whole_path.fsync}
"""They sell, on a stage of their own."""


def bench(folder: Path, *, rounds: int, seconds: float, small: bool, only: str = "") -> str:
    """Measure, write `<date>.json` and `.html` into the folder; gives the table.

    Args:
        folder: where they go.
        rounds: how often each pair is measured.
        seconds: how long one turn lasts.
        small: without the largest sizes, for a look.
        only: names by comma, e.g. `B1,B7`; all of them if empty.

    Raises:
        CommandError: there is no checkout with the baselines, or no such measure.
    """
    if not BASELINES.is_dir():
        raise CommandError("bench needs a checkout: the baselines lie in loadtests/")
    names = chosen(only)
    load_before = os.getloadavg()[0]
    extent = Extent(rounds, seconds, FEW_SHOWTIMES if small else SHOWTIMES, small)
    with tempfile.TemporaryDirectory() as scratch, Progress() as progress:
        session = Session(extent, Path(scratch), progress.report)
        _measure(session, names)
    now = datetime.now(UTC)
    run = Run(
        date=f"{now:%Y-%m-%d %H:%M} UTC",
        commit=_commit(),
        machine=f"{os.cpu_count()} cores, {_processor()}, Python {platform.python_version()}",
        rounds=rounds,
        seconds=seconds,
        small=small,
        load_before=load_before,
        figures=tuple(sorted(session.figures, key=lambda figure: NAMES.index(figure.name))),
        plots=tuple(session.plots),
        not_measured=(*session.refused, *(name for name in NAMES if name not in names)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, text in (("json", as_json(run)), ("html", as_page(run))):
        (folder / f"{now:%Y-%m-%d-%H%M}.{suffix}").write_text(text, encoding="utf-8")
    return as_text(run)


def chosen(only: str) -> tuple[str, ...]:
    """Read which measures are wanted.

    Raises:
        CommandError: there is none of that name.
    """
    wanted = [name.strip().upper() for name in only.split(",") if name.strip()] or list(NAMES)
    for name in wanted:
        if name not in NAMES:
            raise CommandError(f"there is no measure {name}, but {', '.join(NAMES)}")
    return tuple(name for name in NAMES if name in wanted)


def _measure(session: Session, names: Sequence[str]) -> None:
    """Measure one after the other; what fails is told and stops none of the others."""
    scratch = session.scratch
    if {"B2", "B3"} & set(names):
        with _told(session, "claims/s in process"):
            in_process.play_contests(session, names)
    if {"B3", "B4"} & set(names):
        with _told(session, "costs in Redis"):
            in_process.costs_in_redis(session, names, BASELINES)
    if "B5" in names:
        with _told(session, "B5"), in_process.own_valkey(scratch / "lane") as server:
            against_redis.lane_speed(session, server, BASELINES)
    for place, measures, showtimes in (
        ("stage", ON_STAGE, session.extent.showtimes),
        ("sales", SELLING, min(SHOWTIMES_TO_SELL, session.extent.showtimes)),
    ):
        if set(measures) & set(names):
            with _told(session, "servers"), open_stage(scratch / place, showtimes, STAGE_SEATS) as stage:
                for name, measure in measures.items():
                    if name in names:
                        with _told(session, name):
                            measure(session, stage)
    if "B9" in names:
        with _told(session, "B9"):
            whole_path.start_and_memory(session)


@contextmanager
def _told(session: Session, what: str) -> Iterator[None]:
    """Note what could not be measured, and why."""
    try:
        yield
    except CommandError as error:
        session.refused.append(f"{what}: {error}")


def _processor() -> str:
    """Name the processor, as far as this machine tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    name = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return f"{platform.machine()} {name}".strip()


def _commit() -> str:
    argv = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "no checkout"

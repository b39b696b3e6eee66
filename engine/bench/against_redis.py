"""B5: the seat engine in one Python process, through its lane, beside redis-benchmark with the same script."""

import csv
import io
import shutil
import statistics
import subprocess
from pathlib import Path

from redis import Redis

from engine.bench import contests
from engine.bench.contests import ENGINE
from engine.bench.costs import FAR_OFF
from engine.bench.figures import Figure, medians_of, ratios_of
from engine.bench.session import Session
from engine.embedded.valkey import EmbeddedValkey
from engine.errors import CommandError
from engine.limits import SEATS_PER_LAYOUT_MAX
from engine.seats.keys import script_keys, showtime_key
from engine.seats.scripts import load_scripts

SHARE_AIM = 0.8
SHOWTIMES, SEATS = 10, SEATS_PER_LAYOUT_MAX
"""So many seats that most claims of two at random find them free."""
CALLERS = 64
RANDOM = "__rand_int__"
SUBJECT = f"who:{RANDOM}"
"""16 bytes once redis-benchmark has put its 12 digits in."""
PLAIN_NUMBERS = "plain_numbers.lua"
"""The only difference between the two scripts."""


def lane_speed(session: Session, server: EmbeddedValkey, scripts: Path) -> None:
    """Claim two seats at random of huge showtimes, by 64 callers: from Python, and as often from C."""
    program = shutil.which("redis-benchmark") or shutil.which("valkey-benchmark")
    if program is None:
        session.refused.append("B5: neither redis-benchmark nor valkey-benchmark is on PATH")
        return
    prefix = (scripts / PLAIN_NUMBERS).read_text("utf-8")
    claimed: dict[int, int] = {}

    def ours(number: int) -> float:
        urls = {"redis": server.url}
        saw = contests.play(ENGINE, urls, "scattered", session.extent.seconds, number, SHOWTIMES, SEATS)
        per_s = saw["claimed_per_s"] + saw["refused_per_s"]
        claimed[number] = round(per_s * session.extent.seconds)
        return per_s

    def theirs(number: int) -> float:
        contests.fill(ENGINE, server.url, SHOWTIMES, SEATS)
        calls = claimed.get(number) or max(claimed.values(), default=int(10_000 * session.extent.seconds))
        each = calls // SHOWTIMES + 1
        return statistics.harmonic_mean(
            [_benchmark(Path(program), server, prefix, showtime, each) for showtime in range(1, SHOWTIMES + 1)]
        )

    saw = session.in_turn("B5 lane", [("engine", ours), ("redis-benchmark", theirs)])
    pairs = [(one["engine"], one["redis-benchmark"]) for one in saw]
    session.figures.append(
        Figure(
            name="B5",
            what="claims/s in process through the lane / redis-benchmark with the same script, 64 callers each",
            ratios=ratios_of(pairs),
            limit=SHARE_AIM,
            least=True,
            sides=medians_of(pairs, "engine/s", "redis-benchmark/s"),
        )
    )


def _benchmark(program: Path, server: EmbeddedValkey, prefix: str, showtime: int, calls: int) -> float:
    """Give the calls per second in one showtime.

    Raises:
        CommandError: most claims were refused or failed, so that something else was measured.
    """
    with Redis.from_url(server.url) as client:
        version = tuple(int(part) for part in str(client.info("server")["redis_version"]).split("."))
        script = load_scripts(version)["claim_seats"]
        first, _, rest = script.source.partition("\n")
        # The line that tells Redis how to run a script stays the first one.
        source = f"{first}\n{prefix}{rest}" if first.startswith("#!") else prefix + script.source
        sha = client.script_load(source)
        keys = script_keys(script.keys, showtime)
        words = ["EVALSHA", sha, len(keys), *keys, 1, FAR_OFF, "", SUBJECT, RANDOM, RANDOM]
        argv = [program, "-s", server.socket, "-c", CALLERS, "-n", calls, "-r", SEATS, "--csv", *words]
        done = subprocess.run([str(word) for word in argv], capture_output=True, text=True, check=False)
        holds = client.zcard(showtime_key(showtime, "deadlines"))
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if done.returncode != 0 or not rows or holds < calls / 2:
        raise CommandError(f"redis-benchmark made {holds} claims in {calls} calls: {done.stderr.strip()[-200:]}")
    return float(rows[0]["rps"])

"""What runs of any length on the command line share: claims and seed out of the environment, a server, a bar."""

import os
import random
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.embedded.valkey import EmbeddedValkey
from engine.logs import configure_logs
from engine.progress import Progress
from tests.conftest import find_redis


class LongRun:
    """A run that has begun: CLAIMS and SEED as asked, on a server of its own of the kind REDIS.

    Attributes:
        server: a running one, with nothing else on it.
        claims: how many to make.
        seed: draws everything; it is printed.
        report: is told how far it is.
    """

    def __init__(self, server, claims, seed, report):
        self.server, self.claims, self.seed, self.report = server, claims, seed, report
        self._began = time.monotonic()

    @property
    def took_s(self):
        """Seconds since it began."""
        return time.monotonic() - self._began


@contextmanager
def long_run(claims: int) -> Iterator[LongRun]:
    """Run a server for the length of a block; `claims` is what to make if nobody says otherwise."""
    configure_logs("critical")
    claims = int(os.environ.get("CLAIMS", claims))
    seed = int(os.environ.get("SEED", random.SystemRandom().getrandbits(32)))
    print(f"SEED={seed} CLAIMS={claims}", flush=True)
    program = find_redis(os.environ.get("REDIS", "valkey"))
    with (
        tempfile.TemporaryDirectory() as folder,
        Progress() as progress,
        EmbeddedValkey(Path(folder), program) as server,
    ):
        yield LongRun(server, claims, seed, progress.report)

"""What calls cost Redis itself: CPU of its main thread per call, pipelined, and memory per showtime."""

import random
import struct
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

from redis import Redis

from engine.bench.design import Engine
from engine.errors import CommandError
from engine.seats.keys import script_keys
from engine.seats.scripts import load_scripts

EMPTY = "return 1"
AT_ONCE = 200
FAR_OFF = 2**52
"""A time, in ms."""
CPU_FIELDS = ("used_cpu_user_main_thread", "used_cpu_sys_main_thread")
Command = tuple[Any, ...]


class Meter:
    """Measures on one server that does nothing else.

    Args:
        redis: a client of it.
        engine: the same server as a design, which puts showtimes in.
        seed: of who claims what.
    """

    def __init__(self, redis: Redis, engine: Engine, seed: int) -> None:
        self._redis = redis
        self._engine = engine
        self._chance = random.Random(seed)  # noqa: S311 -- a simulated crowd needs no cryptography
        version = tuple(int(part) for part in str(redis.info("server")["redis_version"]).split("."))
        self._claim = load_scripts(version)["claim_seats"]
        redis.script_load(self._claim.source)
        self._empty = redis.script_load(EMPTY)

    def cpu_us(self, commands: Iterable[Command]) -> float:
        """Send commands in pipelines; gives the main thread's CPU per command in us.

        Raises:
            RedisError: one of them failed.
            CommandError: one was refused, so that something else would be measured.
        """
        before = self._cpu_s()
        count = self.send(commands)
        return (self._cpu_s() - before) * 1e6 / count

    def send(self, commands: Iterable[Command]) -> int:
        """Send commands in pipelines; gives how many it were. Errors as in `cpu_us`."""
        source, count = iter(commands), 0
        while batch := list(islice(source, AT_ONCE)):
            with self._redis.pipeline(transaction=False) as pipeline:
                for command in batch:
                    pipeline.execute_command(*command)  # type: ignore[no-untyped-call]
                self._check(pipeline.execute())
            count += len(batch)
        return count

    def empty_us(self, calls: int) -> float:
        """Give what a script that does nothing costs."""
        return self.cpu_us(("EVALSHA", self._empty, 0) for _ in range(calls))

    def claims(self, showtimes: Sequence[int], seats: int, calls: int, first: int = 0) -> list[Command]:
        """Build claims of two neighbouring free seats, each by a new customer, over showtimes in a random order.

        Args:
            showtimes: where.
            seats: how many each has.
            calls: how many claims are wanted; no pair of seats comes twice.
            first: the first of the seats that are claimed.
        """
        pairs = (seats - first) // 2
        chosen = self._chance.sample(range(len(showtimes) * pairs), min(calls, len(showtimes) * pairs))
        wishes = ((showtimes[at // pairs], first + at % pairs * 2) for at in chosen)
        return [self._claim_command(showtime, seat, seat + 1) for showtime, seat in wishes]

    def memory_of(self, make: Callable[[], None]) -> int:
        """Give by how many bytes the data grows while something is made."""
        before = self._used_memory()
        make()
        return self._used_memory() - before

    def _claim_command(self, showtime: int, *seats: int) -> Command:
        keys = script_keys(self._claim.keys, showtime)
        who = struct.pack(">QQ", self._chance.getrandbits(64), self._chance.getrandbits(64))
        return ("EVALSHA", self._claim.sha, len(keys), *keys, self._engine.generation, FAR_OFF, "", who, *seats)

    @staticmethod
    def _check(answers: Sequence[Any]) -> None:
        for answer in answers:
            if answer != 1 and not (isinstance(answer, list) and answer[0] == b"claimed"):
                raise CommandError(f"a command of the measurement was answered {answer}")

    def _cpu_s(self) -> float:
        info = self._redis.info("cpu")
        return sum(float(info[field]) for field in CPU_FIELDS)

    def _used_memory(self) -> int:
        return int(self._redis.info("memory")["used_memory_dataset"])


def claims_of_seat_hash(showtimes: int, seats: int, script: str, redis: Redis) -> list[Command]:
    """Build the claims of `loadtests.baselines.seat_hash` for the same pairs of seats."""
    sha = redis.script_load(script)
    commands: list[Command] = []
    for showtime in range(1, showtimes + 1):
        keys = (f"show:{showtime}:free", f"show:{showtime}:locked")
        commands += [
            ("EVALSHA", sha, 2, *keys, f"guest-{showtime}-{seat}", FAR_OFF, seat, seat + 1)
            for seat in range(0, seats - 1, 2)
        ]
    return commands

"""The clock of Redis' machine: an hour ahead, an hour back. Redis runs with libfaketime, which reads a file."""

import contextlib
import shlex
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from engine.embedded.binaries import wheel_folder
from tests.faults.harness.faults import LACKING, fault

HOUR_S = 3600


def _library() -> Path | None:
    """Give libfaketime from its wheel or from Debian's package; None where there is neither."""
    found = []
    if find_spec("libfaketime"):
        found += wheel_folder("libfaketime").glob("vendor/libfaketime/src/libfaketime.so.1")
    found += Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    return found[0] if found else None


LACKING["libfaketime"] = lambda: "" if _library() else "needs libfaketime: a wheel, or Debian's package"


class _Clock:
    """The clock of a Redis that runs with libfaketime."""

    def __init__(self, world, file: Path) -> None:
        self._world = world
        self._file = file

    async def set(self, ahead_s: int) -> None:
        """Set it so far ahead of the true time, and wait until Redis tells it."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{ahead_s:+d}\n")
        new.replace(self._file)
        async with self._world.keys() as keys:

            async def told():
                seconds, _ = await keys.time()
                return abs(seconds - time.time() - ahead_s) < 10

            await self._world.until(told, "the new time", 10)


@contextlib.asynccontextmanager
async def _settable_clock(world):
    """Restart Redis with a clock that can be set, for a block; its own time is back at the end."""
    program = world.redis.embedded.program
    file, faked = world.folder / "ahead", world.folder / "faked-redis"
    file.write_text("+0\n")
    wanted = {
        "LD_PRELOAD": _library(),
        "DONT_FAKE_MONOTONIC": 1,
        "FAKETIME_NO_CACHE": 1,
        "FAKETIME_TIMESTAMP_FILE": file,
    }
    environ = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in wanted.items())
    faked.write_text(f'#!/bin/sh\n{environ} exec {shlex.quote(str(program.path))} "$@"\n')
    faked.chmod(0o700)
    with world.mark("lost"), world.mark("clock"):
        await world.redis.end()
        world.redis.embedded.program = replace(program, path=faked)
        await world.redis.start()
        try:
            yield _Clock(world, file)
        finally:
            await world.redis.end()
            world.redis.embedded.program = program
            await world.redis.start()


@fault(
    "clock-an-hour-ahead",
    holds="all holds end at once, and no others; back in time, none outlives its longest term; versions only grow",
    needs=("libfaketime",),
)
async def set_clock_ahead(world, chance):
    """The clock jumps an hour ahead under load, and an hour back: deadlines of the time between lie far ahead then."""
    async with _settable_clock(world) as clock:
        await world.claims(5)
        await clock.set(HOUR_S)
        await world.claims(20)
        await world.wait(chance.uniform(0, 1))
        await clock.set(0)
        await world.claims(5)


@fault(
    "clock-an-hour-back",
    holds="holds live on, but none beyond its longest term; facts keep their order; versions only grow",
    needs=("libfaketime",),
)
async def set_clock_back(world, chance):
    """The clock jumps an hour back under load and is put right a while later."""
    async with _settable_clock(world) as clock:
        await world.claims(5)
        await clock.set(-HOUR_S)
        await world.claims(20)
        await world.wait(chance.uniform(0, 1))
        await clock.set(0)
        await world.claims(5)

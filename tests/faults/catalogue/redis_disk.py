"""The disk under Redis' append-only file: full, slow, failing, torn."""

import asyncio
import contextlib
import os
import shutil
import signal

from redis.exceptions import RedisError

from tests.faults.harness.faults import fault

DISK_MIB = 64
SLOW_US = 2_500_000


async def _writable(world):
    """Wait until Redis takes writes."""

    async def look():
        async with world.keys() as keys:
            with contextlib.suppress(RedisError):
                return await keys.set("sl:written", "", px=1)

    await world.until(look, "a Redis that takes writes")


async def _forget_error(world):
    """Do what an operator does when the disk is well and Redis still refuses: let it write a new file."""
    async with world.keys() as keys:
        await keys.config_set("appendonly", "no")
        await keys.config_set("appendonly", "yes")
    await _writable(world)


async def _run(*words):
    process = await asyncio.create_subprocess_exec(*map(str, words))
    assert await process.wait() == 0, words


@contextlib.asynccontextmanager
async def _small_disk(world):
    """Let Redis keep its data on a small disk of its own for a block; its connections break at both ends of it."""
    folder, aside = world.redis.folder, world.folder / "aside"
    with world.mark("lost"):
        await world.redis.end()
        shutil.copytree(folder, aside)
        await _run("mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m,mode=0700", "tmpfs", folder)
        try:
            shutil.copytree(aside, folder, dirs_exist_ok=True)
            await world.redis.start()
            yield folder
        finally:
            if world.redis.alive:
                await world.redis.end()
            shutil.rmtree(aside)
            shutil.copytree(folder, aside, ignore=shutil.ignore_patterns("ballast"))
            await _run("umount", folder)
            shutil.copytree(aside, folder, dirs_exist_ok=True)
            shutil.rmtree(aside)
            await world.redis.start()


def _fill(folder):
    """Write until the disk is full; gives the file that fills it."""
    ballast = folder / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY)
    for size in (1 << 20, 4096, 1):
        with contextlib.suppress(OSError):
            while os.write(file, b"x" * size):
                pass
    os.close(file)
    return ballast


async def _refuses(world):
    """Write, as somebody always does, and tell whether Redis could not keep it."""
    async with world.keys() as keys:
        with contextlib.suppress(RedisError):
            await keys.set("sl:written", "x" * 500, px=1)
        return (await keys.info("persistence"))["aof_last_write_status"] == "err"


@fault(
    "disk-full",
    holds="what cannot be kept is refused (MISCONF), definitely; sales go on with the disk",
    needs=("root",),
)
async def fill_disk(world, chance):
    """The disk of the append-only file fills up under load, twice, and is freed."""
    async with _small_disk(world) as folder:
        for _ in range(2):
            await world.wait(chance.uniform(0.5, 1.5))
            ballast = _fill(folder)
            await world.until(lambda: _refuses(world), "a Redis that cannot write")
            await world.wait(chance.uniform(0.5, 2))
            ballast.unlink()
            await _writable(world)


@fault(
    "disk-full-then-killed", holds="writes that were taken and never reached the disk cost holds only", needs=("root",)
)
async def fill_disk_and_kill(world, chance):
    """Full, then kill -9: what Redis acknowledged since its last good write is gone, sales among it."""
    async with _small_disk(world) as folder:
        await world.wait(chance.uniform(0.5, 1.5))
        ballast = _fill(folder)
        await world.until(lambda: _refuses(world), "a Redis that cannot write")
        await world.redis.kill()
        ballast.unlink()
        await world.redis.start()
        await world.wait(1)


@contextlib.asynccontextmanager
async def _injected(world, what):
    """Let what Redis asks of the kernel to make its file durable end otherwise, for a block."""
    (pid, *_) = world.redis.pids
    words = ("-f", "-p", pid, "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", f"inject=fdatasync,fsync:{what}")
    tracer = await asyncio.create_subprocess_exec("strace", *map(str, words), stderr=asyncio.subprocess.PIPE)
    try:
        first = await asyncio.wait_for(tracer.stderr.readline(), 10)
        assert b"attached" in first, first
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracer.send_signal(signal.SIGINT)
        await tracer.wait()


@fault(
    "fsync-fails",
    holds="Redis refuses all writes (MISCONF) until it has a new file; then sales go on",
    needs=("strace",),
)
async def fail_fsync(world, chance):
    """EIO from fsync: Redis takes no write any more, also when the disk is well again, until a person acts."""
    async with _injected(world, "error=EIO"):

        async def refused():
            async with world.keys() as keys:
                try:
                    await keys.set("sl:written", "", px=1)
                except RedisError as error:
                    return "MISCONF" in str(error)

        await world.until(refused, "a Redis that refuses writes", 10)
        await world.wait(chance.uniform(0.5, 2))
    await _forget_error(world)


@fault("fsync-slow", holds="calls wait or are given up, and none of them runs late", needs=("strace",))
async def slow_fsync(world, chance):
    """Each fsync takes seconds: Redis stands still with it, longer than a call may wait."""
    async with _injected(world, f"delay_enter={SLOW_US}"):
        await world.wait(chance.uniform(6, 8))
    await _writable(world)


@fault("file-torn", holds="the last records of the file are gone, and what they said comes from the ledger")
async def tear_file(world, chance):
    """Killed, and the last bytes of the append-only file never reached the disk: it ends within a record."""
    await world.wait(chance.uniform(0.2, 1))
    with world.mark("lost"):
        await world.redis.kill()
        (newest,) = (world.redis.folder / "appendonlydir").glob("*.incr.aof")
        os.truncate(newest, max(0, newest.stat().st_size - chance.randint(20, 4000)))
        await world.redis.start()

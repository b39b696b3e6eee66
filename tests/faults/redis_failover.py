"""A replica of the world's Redis that falls behind, takes over, and gives back."""

import contextlib
import shutil

import msgspec
import redis.asyncio

from engine.embedded.valkey import EmbeddedValkey
from tests.ports import free_port

IN_STEP_WITHIN_S = 10


class Replica:
    """The world's Redis (`old`) and a second one (`new`); the world speaks to one of them.

    Made by `open_replica`.
    """

    def __init__(self, world, new: EmbeddedValkey) -> None:
        self._world = world
        self.old, self.new = world.redis.embedded, new

    async def follow(self, master: EmbeddedValkey, follower: EmbeddedValkey) -> None:
        """Let one replicate the other, and wait until it is in step."""
        port = free_port()
        async with _client(master) as first, _client(follower) as second:
            await first.config_set("bind", "127.0.0.1")
            await first.config_set("port", port)
            await second.replicaof("127.0.0.1", port)

            async def in_step():
                return (await second.info("replication"))["master_link_status"] == "up"

            await self._world.until(in_step, "a replica in step", IN_STEP_WITHIN_S)

    async def cut(self, master: EmbeddedValkey) -> None:
        """Cut the replication: nothing more reaches the follower."""
        async with _client(master) as first:
            await first.config_set("port", 0)
            await first.client_kill_filter(_type="replica")

    async def fall_behind(self, sales: int) -> None:
        """Let the new one replicate, cut it off, and let the buyers buy on at the old one."""
        await self.follow(self.old, self.new)
        await self.cut(self.old)
        await self._world.confirmed(sales)

    async def take_over(self) -> None:
        """Promote the new one, stale as it is, and send everybody there."""
        async with _client(self.new) as second:
            await second.replicaof("NO", "ONE")
        switch(self._world, self.new)

    async def give_back(self, *, caught_up: bool = True) -> None:
        """Let the old one become a replica, promote it again, and send everybody there.

        Args:
            caught_up: it has replicated what was bought meanwhile.
        """
        if caught_up:
            await self.follow(self.new, self.old)
            await self.cut(self.new)
        async with _client(self.old) as first:
            if not caught_up:
                await first.replicaof("127.0.0.1", 1)
            await first.replicaof("NO", "ONE")
        switch(self._world, self.old)


def switch(world, embedded: EmbeddedValkey) -> None:
    """Send the parts, the operators and the tests to another Redis; open connections are cut."""
    world.redis.embedded = world.town.redis = embedded
    world.town.settings = msgspec.structs.replace(world.town.settings, redis_url=embedded.url)
    world.redis_line.upstream = embedded.socket
    world.redis_line.cut()


@contextlib.asynccontextmanager
async def open_replica(world):
    """Run a second Redis for a block; the world must speak to its own again at the end."""
    folder = world.folder / "replica"
    server = EmbeddedValkey(folder, world.redis.embedded.program)
    server.start()
    replica = Replica(world, server)
    try:
        yield replica
    finally:
        if world.redis.embedded is not replica.old:
            switch(world, replica.old)
        server.stop()
        shutil.rmtree(folder)


def _client(server: EmbeddedValkey):
    return redis.asyncio.Redis.from_url(server.url)

"""The lanes to all nodes of a Redis Cluster: who has which partition, a lane to each of them, and following changes.

The cluster itself says who has which slots. The map is read when a node answers MOVED, while a node cannot be reached,
and every few seconds. Whoever is said to have a partition newly is asked itself before it is believed: another node's
word may be older than ours. Then the ledger gives the partition the generation of its stay there.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import structlog

from engine import limits
from engine.errors import Unavailable
from engine.seats.address import Address
from engine.seats.connection import Argument, Connection
from engine.seats.handshake import Identity
from engine.seats.keys import partition_of_key
from engine.seats.lane import Lane
from engine.seats.partition_lane import PartitionLane
from engine.seats.redis_clock import RedisClock
from engine.seats.redis_errors import RedisError
from engine.seats.scripts import Script
from engine.seats.slot_map import Node, Redirected, SlotMap, slot_of_partition

log = structlog.get_logger()

House = Callable[[Sequence[int], str, str, int], Awaitable[Mapping[int, int]]]
"""Gives, by partition, the generation of its stay on a node; see `engine.ledger.generations.Generations.house`."""

TROUBLE = (OSError, TimeoutError, RedisError, Unavailable)


class Lanes:
    """All script calls of this process to a cluster. Callers use it as they use a `Lane`.

    Args:
        seeds: of the URL; one of them must answer at the start, and later whichever node is known.
        load_scripts, part, queue_max: as of a lane; each node may have so many calls waiting.
        house: the ledger's.
    """

    def __init__(
        self,
        seeds: Sequence[Address],
        load_scripts: Callable[[tuple[int, ...]], Mapping[str, Script]],
        *,
        part: str,
        house: House,
        queue_max: int = limits.LANE_QUEUE_MAX,
    ) -> None:
        self._seeds = seeds
        self._new_lane = partial(Lane, load_scripts=load_scripts, part=part, queue_max=queue_max)
        self._ask_house = house
        self._map = SlotMap()
        self._lanes: dict[Node, Lane] = {}
        self._connecting: dict[Node, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._housing: defaultdict[Node, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._partitions = tuple(PartitionLane(number, self) for number in range(limits.PARTITIONS))
        self._witnesses: dict[Node, None] = {}
        self._wake = asyncio.Event()
        self._looked = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self._complaint = ""

    # --- What a Lane does, too

    def lane_for(self, partition: int) -> PartitionLane:
        """Give the lane to the node that has a partition, now and later."""
        return self._partitions[partition]

    def call(self, name: str, keys: Sequence[str], args: Sequence[Argument]) -> "asyncio.Future[list[Any]]":
        """Run a script on the node that has its keys; a redirect is told to the caller, who may ask again."""
        return self._partitions[partition_of_key(keys[0])].call(name, keys, args)

    @property
    def generation(self) -> int:
        """The newest generation of any partition."""
        return max(one.generation for one in self._partitions)

    async def start(self) -> None:
        """Begin to connect; returns when every node was tried once, or nobody could tell which there are."""
        self._looked.clear()
        self._keeper = asyncio.create_task(self._keep_looking())
        await self._looked.wait()

    async def close(self) -> None:
        """Refuse new calls, wait for the answers that are out, disconnect."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()), *self._closing)
        for task in self._connecting.values():
            task.cancel()
        await asyncio.gather(*self._connecting.values(), return_exceptions=True)

    # --- What partitions ask

    async def look_again(self) -> None:
        """Read the map of slots anew; returns when that was done, well or not, or the budget of a call is spent."""
        self._looked.clear()
        self._wake.set()
        try:
            async with asyncio.timeout(limits.CALL_BUDGET_MS / 1_000):
                await self._looked.wait()
        except TimeoutError:
            return

    async def lane_at(self, node: Node) -> Lane:
        """Give the lane to a node, when its first try to connect has ended."""
        lane = self._open_lane(node)
        await asyncio.shield(self._connecting[node])
        return lane

    async def house(self, partitions: Sequence[PartitionLane], node: Node, identity: Identity, above: int = 0) -> None:
        """Let the ledger say the generations of partitions on a node; those that left it meanwhile are left out."""
        numbers = [one.number for one in partitions]
        found = await self._ask_house(numbers, identity.run_id, identity.replication_id, above)
        for one in partitions:
            if one.node == node:
                one.settle(identity, found[one.number])
        log.info("partitions_housed", node=str(node), partitions=len(partitions), generation=max(found.values()))

    # --- Lanes

    def _open_lane(self, node: Node) -> Lane:
        lane = self._lanes.get(node)
        if lane is None:
            lane = self._lanes[node] = self._new_lane(
                self._seeds[0].elsewhere(*node),
                identify=partial(self._identify, node),
                on_redirect=self._on_redirect,
            )
            self._connecting[node] = asyncio.create_task(lane.start())
        return lane

    async def _identify(self, node: Node, run_id: str, replication_id: str) -> int:
        """House what is on a node before its lane lets a call through; gives the highest of their generations."""
        identity = Identity(run_id, replication_id)
        async with self._housing[node]:
            while homeless := [one for one in self._on(node) if one.home != identity]:
                await self.house(homeless, node, identity)
        return max((one.generation for one in self._on(node)), default=0)

    async def _settle_on(self, node: Node) -> None:
        """House what came to a node whose lane is there already; one that is not does it when it connects."""
        lane = self._lanes[node]
        async with self._housing[node]:
            identity = lane.identity
            homeless = [one for one in self._on(node) if one.home != identity]
            if identity is not None and homeless:
                await self.house(homeless, node, identity)

    def _on(self, node: Node) -> list[PartitionLane]:
        return [one for one in self._partitions if one.node == node]

    def _close_unused(self) -> None:
        used = {one.node for one in self._partitions} | set(self._witnesses)
        for node in [node for node in self._lanes if node not in used]:
            del self._connecting[node]
            task = asyncio.create_task(self._lanes.pop(node).close())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _on_redirect(self, redirect: Redirected) -> None:
        if redirect.kind == "moved" and redirect.node is not None:
            self._witnesses[redirect.node] = None
            self._wake.set()

    # --- The map

    async def _keep_looking(self) -> None:
        while True:
            self._wake.clear()
            try:
                await self._look()
                self._complaint = ""
            except TROUBLE as error:
                self._complain(str(error))
            except Exception:
                # Whatever it was: without its keeper nobody would ever follow the cluster again.
                log.exception("lanes_failed")
            self._looked.set()
            amiss = any(one.amiss for one in self._partitions)
            pause_ms = limits.CLUSTER_LOOK_AMISS_MS if amiss else limits.CLUSTER_LOOK_MS
            try:
                async with asyncio.timeout(pause_ms / 1_000):
                    await self._wake.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(limits.REDIRECT_PAUSE_MIN_MS / 1_000)  # those who come together look together

    def _complain(self, reason: str) -> None:
        if reason != self._complaint:
            log.warning("cluster_unclear", reason=reason)
        self._complaint = reason

    async def _look(self) -> None:
        """Ask who has what, follow what has changed, and let the ledger say the generations of it."""
        witnesses, self._witnesses = self._witnesses, {}
        await self._read_map(list(witnesses))
        moved: defaultdict[Node, list[PartitionLane]] = defaultdict(list)
        for one in self._partitions:
            node = self._map.node_of(slot_of_partition(one.number))
            if node is not None and node != one.node:
                moved[node].append(one)
        confirmed = await asyncio.gather(*(self._confirm(node, some) for node, some in moved.items()))
        for node, some in confirmed:
            for one in some:
                one.move(node, self._open_lane(node))
        nodes = list(dict.fromkeys(one.node for one in self._partitions if one.node is not None))
        await asyncio.gather(*(asyncio.shield(self._connecting[node]) for node in nodes))
        await asyncio.gather(*(self._settle_on(node) for node in nodes))
        self._close_unused()

    async def _read_map(self, witnesses: Sequence[Node]) -> None:
        """Read the map from whoever answers first: those who are said to know best, then all, in any order."""
        known = [*self._map.nodes(), *self._map.others]
        random.shuffle(known)
        addresses = [self._seeds[0].elsewhere(*node) for node in dict.fromkeys((*witnesses, *known))]
        reasons = []
        for address in (*addresses, *self._seeds):
            try:
                self._map.read(await self._ask_slots(address), address.host)
            except TROUBLE as error:
                reasons.append(f"{address}: {error or 'no answer in time'}")
            else:
                return
        raise Unavailable("redis_unavailable", f"no node tells who has which slots: {'; '.join(reasons)}")

    async def _confirm(self, node: Node, said: Iterable[PartitionLane]) -> tuple[Node, list[PartitionLane]]:
        """Give those partitions that a node itself says it has."""
        view = SlotMap()
        try:
            view.read(await self._ask_slots(self._seeds[0].elsewhere(*node)), node.host)
        except TROUBLE as error:
            self._complain(f"{node}: {error or 'no answer in time'}")
            return node, []
        return node, [one for one in said if view.node_of(slot_of_partition(one.number)) == node]

    async def _ask_slots(self, address: Address) -> list[Any]:
        """Ask one node, over a connection that lives no longer: it may be a replica, which a lane would refuse."""

        def fail(_: Connection, slot: Any, error: RedisError) -> None:
            if not slot[0].done():
                slot[0].set_exception(error)

        async with asyncio.timeout(limits.CLUSTER_ASK_MAX_MS / 1_000):
            connection = await address.connect(lambda: Connection(RedisClock(), fail, lambda _: None))
            try:
                if credentials := address.credentials():
                    await connection.command("AUTH", *credentials)
                answer: list[Any] = await connection.command("CLUSTER", "SLOTS")
            finally:
                connection.abort("the map of slots was read")
        return answer

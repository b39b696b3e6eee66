"""The lane to one partition of a cluster: whichever node has it now, and the generation of its stay there.

It stands where a `Lane` stands when one node has everything, and may be kept: what changes is what lies behind it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import monotonic
from typing import Any, Protocol

from engine import limits
from engine.errors import Unavailable
from engine.seats.connection import Argument
from engine.seats.handshake import Identity
from engine.seats.lane import Lane
from engine.seats.slot_map import Node, Redirected

Send = Callable[[Lane], Awaitable[Any]]
"""Makes a call anew on a lane."""


class Topology(Protocol):
    """What a partition needs of the lanes to all nodes."""

    async def look_again(self) -> None:
        """Read the map of slots anew; returns when that was done, well or not."""

    async def lane_at(self, node: Node) -> Lane:
        """Give the lane to a node, when its first try to connect has ended."""

    async def house(
        self, partitions: Sequence["PartitionLane"], node: Node, identity: Identity, above: int = 0
    ) -> None:
        """Give partitions the generations of their stay on a node, no lower than `above`."""


class PartitionLane:
    """Calls go to the node that has the partition. While nobody knows who has it, they are refused (definite).

    Attributes:
        generation: the ledger's number for the partition's stay on its node; 0 until it is known.
        node: where it is.
        home: the life of that node's memory for which `generation` was given.
    """

    def __init__(self, number: int, topology: Topology) -> None:
        self.number = number
        self._topology = topology
        self._lane: Lane | None = None
        self.generation = 0
        self.node: Node | None = None
        self.home: Identity | None = None

    # --- What a Lane does, too

    def call(self, name: str, keys: Sequence[Argument], args: Sequence[Argument]) -> "asyncio.Future[list[Any]]":
        """Run a script; see `Lane.call`. What is Redirected goes on with `follow`."""
        return self._known_lane().call(name, keys, args)

    def tell(self, *words: str | int) -> None:
        """Send a plain command whose answer nobody needs; see `Lane.tell`."""
        if self._lane is not None and self.generation:
            self._lane.tell(*words)

    async def ask(self, *words: str | int) -> Any:
        """Send a plain command that may be sent twice without harm; see `Lane.ask`."""
        try:
            return await self._known_lane().ask(*words)
        except Redirected as redirect:
            return await self._follow(redirect, lambda lane: lane.ask(*words))

    @property
    def unwritten(self) -> list[bytes] | None:
        """What has not left yet for the partition's node; see `Lane.unwritten`."""
        return None if self._lane is None or not self.generation else self._lane.unwritten

    def now_ms(self) -> int:
        """Estimate the time of the partition's node; see `Lane.now_ms`."""
        return 0 if self._lane is None else self._lane.now_ms()

    async def follow(
        self,
        redirect: Redirected,
        name: str,
        keys: Sequence[Argument],
        arguments: Callable[[], Sequence[Argument]],
        *,
        reads: bool,
    ) -> list[Any]:
        """Go on with a call that was redirected, until the budget of a call is spent.

        A reader is served by the node that is just getting its keys. A writer waits until that node has the slot: only
        then has the partition a generation there, by which lost data would be seen.

        Args:
            redirect: what the call met; nothing was done.
            name, keys: as of the call.
            arguments: makes them anew, for generation and time are those of a node.
            reads: whether the script only reads.

        Raises:
            Redirected: the seats did not arrive in time; still nothing was done.
            Unavailable, RedisError: as `Lane.call`.
        """

        def send(lane: Lane) -> "asyncio.Future[list[Any]]":
            return lane.call(name, keys, arguments())

        def send_asking(lane: Lane) -> "asyncio.Future[list[Any]]":
            return lane.call_asking(name, keys, arguments())

        answer: list[Any] = await self._follow(redirect, send, send_asking if reads else None)
        return answer

    async def renew(self, above: int) -> None:
        """Get a generation that is no lower than one that a showtime was met with.

        It was stamped by a process that knows of a later stay of this partition, here or elsewhere in between.

        Raises:
            Unavailable: `ledger_unavailable`; `redis_unavailable`: nobody knows where the partition is.
        """
        lane, node = self._known_lane(), self.node
        identity = lane.identity
        if node is None or identity is None:
            raise Unavailable("redis_unavailable", "the node of these seats is not connected")
        await self._topology.house([self], node, identity, above)

    # --- What the topology does

    def move(self, node: Node, lane: Lane) -> None:
        """Say that another node has the partition; calls wait until it is housed there."""
        self.node, self._lane, self.home, self.generation = node, lane, None, 0

    def settle(self, home: Identity, generation: int) -> None:
        """Let calls through, with this generation."""
        self.home, self.generation = home, generation

    @property
    def amiss(self) -> bool:
        """Whether calls would not be answered now."""
        return not self.generation or self._lane is None or self._lane.identity is None

    def _known_lane(self) -> Lane:
        if self._lane is None or not self.generation:
            raise Redirected("moved")
        return self._lane

    async def _follow(self, redirect: Redirected, send: Send, send_asking: Send | None = None) -> Any:
        give_up_at_s = monotonic() + limits.CALL_BUDGET_MS / 1_000
        pause_ms = limits.REDIRECT_PAUSE_MIN_MS
        while monotonic() < give_up_at_s:
            try:
                if redirect.kind == "ask" and redirect.node is not None and send_asking is not None:
                    return await send_asking(await self._topology.lane_at(redirect.node))
                if redirect.kind == "moved":
                    await self._topology.look_again()
                return await send(self._known_lane())
            except Redirected as again:
                # Where it goes to is not asked twice: if it is not whole there yet, its old node says what to do.
                redirect = again
            await asyncio.sleep(pause_ms / 1_000)
            pause_ms = min(2 * pause_ms, limits.REDIRECT_PAUSE_MAX_MS)
        raise redirect

"""redis-py on a cluster, for all that is no script: one of its clients per node, and the map of who has which slots.

Not its own cluster client: that one opens an event loop in a thread for each command of a transaction, sends ASKING
over another connection than the command it is for, and drops all connections after some redirects.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from time import monotonic
from types import TracebackType
from typing import Any, NamedTuple, Self

import redis.asyncio
from redis.commands import AsyncCoreCommands
from redis.exceptions import AskError, ClusterDownError, MovedError, RedisError, TryAgainError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from engine import limits
from engine.redis_connections import open_pool
from engine.seats.address import Address, url_at
from engine.seats.slot_map import Node, SlotMap, slot_of

KEYLESS = frozenset({"PING", "PUBLISH"})
"""Commands that any node may serve; a message reaches the subscribers of all."""
LOST = (RedisConnectionError, RedisTimeoutError, OSError)
REDIRECTS = (AskError, TryAgainError, ClusterDownError)
"""Nothing was done; what is MOVED is an AskError, too, to redis-py."""


class Call(NamedTuple):
    """One command with redis-py's options of it."""

    words: tuple[Any, ...]
    options: Mapping[str, Any]

    @property
    def slot(self) -> int:
        """The slot of its key; of several keys, for streams, that of the first."""
        at = self.words.index(b"STREAMS") + 1 if b"STREAMS" in self.words else 1
        return slot_of(self.words[at])


class ClusterClient(redis.asyncio.Redis):
    """A client of all nodes. A command goes to the node that has its key, and is repeated only where nothing was done.

    Args:
        seeds: a URL per node that is known beforehand.
        options: of every connection.
    """

    def __init__(self, seeds: Sequence[str], options: Mapping[str, Any]) -> None:
        super().__init__()
        self._seeds = list(seeds)
        self._options = dict(options)
        self._map = SlotMap()
        # Their answers are typed as everything that any protocol version may give.
        self._clients: dict[Node, Any] = {}
        self._looking = asyncio.Lock()
        self._stale = True
        self._looked_at = 0.0

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command to whoever has its key; any node where it has none.

        Raises:
            redis.exceptions.RedisError: as redis-py does; a connection that was lost leaves the outcome unknown.
        """
        call = Call(args, options)
        if args[0] in KEYLESS:
            return await self._ask_anybody(call)
        give_up_at_s = monotonic() + limits.CALL_BUDGET_MS / limits.SECOND_MS
        while True:
            try:
                return await self._send(call)
            except REDIRECTS as error:
                await _pause(error, give_up_at_s)

    def pipeline(self, transaction: bool = True, *_: Any) -> Any:  # noqa: FBT001, FBT002
        """Give a pipeline; as a transaction all its keys must have one slot."""
        return ClusterPipeline(self, transaction=transaction)

    def pubsub(self, **options: Any) -> Any:
        """Subscribe at any node, which hears what is published at all of them."""
        return self._client(random.choice(self._nodes())).pubsub(**options)  # noqa: S311 -- a spread, not a secret

    async def aclose(self, close_connection_pool: bool | None = None) -> None:  # noqa: FBT001
        """Disconnect from all nodes."""
        clients, self._clients = self._clients, {}
        await asyncio.gather(*(client.aclose() for client in clients.values()))
        await super().aclose(close_connection_pool)

    # --- What the pipeline needs, too

    async def node_of(self, call: Call) -> Node:
        """Give who has the key of a call.

        Raises:
            redis.exceptions.ConnectionError: nobody, as far as is known.
        """
        if self._stale:
            await self._look()
        node = self._map.node_of(call.slot)
        if node is None:
            self._stale = True
            raise RedisConnectionError(f"nobody has slot {call.slot}")
        return node

    async def send_all(self, node: Node, calls: Sequence[Call], *, transaction: bool) -> list[Any]:
        """Send commands to a node in one write; an error takes the place of its answer.

        Raises:
            redis.exceptions.RedisError: of the connection; of a transaction that the node did not begin.
        """
        try:
            async with self._client(node).pipeline(transaction=transaction) as pipeline:
                for words, options in calls:
                    pipeline.execute_command(*words, **options)
                answers: list[Any] = await pipeline.execute(raise_on_error=False)
        except LOST:
            self._stale = True
            raise
        return answers

    def note(self, error: RedisError) -> None:
        """Take note of what a node has said: who has a slot now, or that it knows nothing for sure."""
        if isinstance(error, MovedError) and error.host:
            self._map.move(error.slot_id, Node(error.host, error.port))
        elif not isinstance(error, AskError):
            self._stale = True

    async def _send(self, call: Call) -> Any:
        node = await self.node_of(call)
        try:
            return await self._client(node).execute_command(*call.words, **call.options)
        except REDIRECTS as error:
            self.note(error)
            if isinstance(error, MovedError) or not isinstance(error, AskError):
                raise
            node = Node(error.host, error.port)
        except LOST:
            self._stale = True
            raise
        # The key is on its way, and served where it goes if ASKING leads the command, in the same write.
        _, answer = await self.send_all(node, [Call(("ASKING",), {}), call], transaction=False)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _ask_anybody(self, call: Call) -> Any:
        if self._stale:
            await self._look()
        nodes = self._map.nodes()
        random.shuffle(nodes)
        for node in nodes[:-1]:
            try:
                return await self._client(node).execute_command(*call.words, **call.options)
            except LOST:
                self._stale = True
        return await self._client(nodes[-1]).execute_command(*call.words, **call.options)

    def _nodes(self) -> list[Node]:
        return self._map.nodes() or [Node(address.host, address.port) for address in map(Address, self._seeds)]

    def _client(self, node: Node) -> Any:
        client = self._clients.get(node)
        if client is None:
            # A worker waits at each partition of a node by itself.
            most = limits.PARTITIONS + limits.REDIS_POOL_MAX
            pool = open_pool(url_at(self._seeds[0], *node), self._options, connections_max=most)
            client = self._clients[node] = redis.asyncio.Redis.from_pool(pool)
        return client

    async def _look(self) -> None:
        """Read the map anew, once for all who want it now.

        Raises:
            redis.exceptions.ConnectionError: no node answers.
        """
        wanted_at = monotonic()
        async with self._looking:
            if self._looked_at > wanted_at:
                return
            nodes = [*self._map.nodes(), *self._map.others]
            random.shuffle(nodes)
            seeds = [Node(address.host, address.port) for address in map(Address, self._seeds)]
            reason: Exception | None = None
            for node in dict.fromkeys((*nodes, *seeds)):
                try:
                    async with asyncio.timeout(limits.CLUSTER_ASK_MAX_MS / limits.SECOND_MS):
                        answer = await self._client(node).execute_command("CLUSTER", "SLOTS")
                except (RedisError, OSError, TimeoutError) as error:
                    reason = error
                    continue
                self._map.read(answer, node.host)
                self._stale, self._looked_at = False, monotonic()
                return
        raise RedisConnectionError(f"no node of the cluster tells who has which slots: {reason}")


class ClusterPipeline(AsyncCoreCommands):
    """Commands that leave together, one write to each node; those that were redirected follow one by one."""

    _event_dispatcher: Any = None  # of redis-py's own clients, whose methods of commands these are

    def __init__(self, client: ClusterClient, *, transaction: bool) -> None:
        self._cluster = client
        self._transaction = transaction
        self._calls: list[Call] = []

    def execute_command(self, *args: Any, **options: Any) -> Self:
        """Put a command behind the others."""
        self._calls.append(Call(args, options))
        return self

    async def execute(self, raise_on_error: bool = True) -> list[Any]:  # noqa: FBT001, FBT002
        """Send them; give the answers in order, errors among them unless the first is raised.

        Raises:
            redis.exceptions.RedisError: the first error, if asked for; of a transaction that did not begin.
        """
        calls, self._calls = self._calls, []
        if not calls:
            return []
        answers = await (self._transact(calls) if self._transaction else self._spread(calls))
        for answer in answers:
            if raise_on_error and isinstance(answer, Exception):
                raise answer
        return answers

    async def _transact(self, calls: Sequence[Call]) -> list[Any]:
        assert len({call.slot for call in calls}) == 1, "the keys of a transaction have one slot"
        give_up_at_s = monotonic() + limits.CALL_BUDGET_MS / limits.SECOND_MS
        while True:
            try:
                return await self._cluster.send_all(await self._cluster.node_of(calls[0]), calls, transaction=True)
            except REDIRECTS as error:
                # Nothing of it was done. It waits until its keys have arrived: they are not asked for on their way.
                self._cluster.note(error)
                await _pause(error, give_up_at_s)

    async def _spread(self, calls: Sequence[Call]) -> list[Any]:
        answers: list[Any] = [None] * len(calls)
        places: defaultdict[Node, list[int]] = defaultdict(list)
        for at, call in enumerate(calls):
            try:
                places[await self._cluster.node_of(call)].append(at)
            except RedisConnectionError as error:
                answers[at] = error

        async def ask(node: Node, wanted: Sequence[int]) -> None:
            try:
                found = await self._cluster.send_all(node, [calls[at] for at in wanted], transaction=False)
            except (RedisError, OSError) as error:
                found = [error] * len(wanted)
            for at, answer in zip(wanted, found, strict=True):
                answers[at] = answer

        await asyncio.gather(*(ask(node, wanted) for node, wanted in places.items()))
        for at, answer in enumerate(answers):
            if isinstance(answer, REDIRECTS):
                self._cluster.note(answer)
                try:
                    answers[at] = await self._cluster.execute_command(*calls[at].words, **calls[at].options)
                except RedisError as error:
                    answers[at] = error
        return answers

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._calls.clear()


async def _pause(error: RedisError, give_up_at_s: float) -> None:
    """Wait before a try anew.

    Raises:
        redis.exceptions.ConnectionError: it is too late for one. Not the redirect, which callers took for damage.
    """
    if monotonic() > give_up_at_s:
        raise RedisConnectionError(f"the cluster does not say for good who has this: {error}") from error
    await asyncio.sleep(limits.REDIRECT_PAUSE_MIN_MS / limits.SECOND_MS)

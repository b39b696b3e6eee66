"""The lane: all script calls of this process to one Redis node, over one connection.

Calls of one event-loop turn leave in few writes and are answered in order. The lane reconnects by itself; after
every connect it makes sure which Redis it speaks to (`generation`) before it lets a call through.

    state          `call` does
    connected      sends
    connecting     keeps the call until the first try has ended; then sends it or refuses it (definite)
    in trouble     refuses at once (definite) with the reason of the last try, repeated with a growing delay
"""

import asyncio
import os
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, TypeAlias

import structlog

from engine import limits
from engine.errors import Unavailable
from engine.seats.address import Address
from engine.seats.connection import Argument, Connection, Slot, pack_command
from engine.seats.handshake import Identity, greet
from engine.seats.redis_clock import RedisClock
from engine.seats.redis_errors import DEFINITE, DEMOTED, RedisError
from engine.seats.scripts import Script
from engine.seats.slot_map import REDIRECTS, Redirected, redirect_of
from engine.seats.watch import was_answered, watch

log = structlog.get_logger()

ParkedCall: TypeAlias = tuple["asyncio.Future[Any]", str, Sequence[Argument], Sequence[Argument]]


class Lane:
    """One connection to one Redis node; made once per process and started inside its event loop.

    Args:
        url: `redis://`, `rediss://` or `unix://`; or the address of a node.
        load_scripts: gives the scripts, by name, that suit a server's version.
        part: the part of the system that this process is; names the connection `seatlock-<part>-<pid>`.
        identify: asked when Redis is not the one seen last, with (run id, replication id), and with `begin=False` when
            it must not become the next; gives the generation of that pair, or 0 then, and raises Unavailable
            (`ledger_unavailable`) when the ledger cannot tell.
        queue_max: calls that may wait for an answer; one more is `overloaded`.
        on_redirect: told, once for each such answer, that the node has not (or not yet) what was asked for.

    Raises:
        CommandError: the URL names no Redis.
    """

    def __init__(
        self,
        url: str | Address,
        load_scripts: Callable[[tuple[int, ...]], Mapping[str, Script]],
        *,
        part: str,
        identify: Callable[..., Awaitable[int]],
        queue_max: int = limits.LANE_QUEUE_MAX,
        on_redirect: Callable[[Redirected], None] | None = None,
    ) -> None:
        self._address = Address(url) if isinstance(url, str) else url
        self._on_redirect = on_redirect
        self._load_scripts = load_scripts
        self._client_name = f"seatlock-{part}-{os.getpid()}"
        self._ask_generation = identify
        self._queue_max = queue_max
        self._clock = RedisClock()
        self._scripts: Mapping[str, Script] = {}
        self._identity: Identity | None = None
        self._connection: Connection | None = None
        self._trouble: Unavailable | None = Unavailable("redis_unavailable", "the lane to Redis is not started")
        self._parked: list[ParkedCall] = []
        self._loading: dict[str, asyncio.Future[Any]] = {}
        self._settled = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.generation = 0
        """The ledger's number for the Redis this lane speaks to; 0 until it is known."""

    # --- Calls

    def lane_for(self, partition: int) -> "Lane":
        """Give the lane to the node that has a partition: one node has them all, and the answer may be kept."""
        assert 0 <= partition < limits.PARTITIONS
        return self

    def call(self, name: str, keys: Sequence[Argument], args: Sequence[Argument]) -> "asyncio.Future[list[Any]]":
        """Run a script.

        Returns:
            A future of the answer: `[word, now_ms, ...]`, texts as bytes. Cancelling it does not stop the script.

        Raises:
            Unavailable: `overloaded` (definite); `redis_unavailable` (definite, or from the future unknown when the
                connection was lost while the call was out); `ledger_unavailable` (definite: nobody can say which
                Redis this is).
            RedisError: (from the future) the script failed; what it had written stays.
            Redirected: (an Unavailable, from the future) the seats are on another node of a cluster.
        """
        connection = self._connection
        if connection is None:
            return self._park(name, keys, args)
        if len(connection.slots) >= self._queue_max:
            raise Unavailable("overloaded", "too many calls wait for Redis")
        future = connection.new_future()
        # As `_send`, which would be one call more for every claim.
        script = self._scripts[name]
        connection.send((future, pack_command(("EVALSHA", script.sha, len(keys), *keys, *args)), script, 0))
        return future

    def call_asking(self, name: str, keys: Sequence[Argument], args: Sequence[Argument]) -> "asyncio.Future[list[Any]]":
        """As `call`, of a node that is just getting the slot: it serves the command that follows ASKING."""
        self.tell("ASKING")
        return self.call(name, keys, args)

    async def follow(
        self,
        redirect: Redirected,
        name: str,  # noqa: ARG002 -- as of the lane to a partition of a cluster, like the others
        keys: Sequence[Argument],  # noqa: ARG002
        arguments: Callable[[], Sequence[Argument]],  # noqa: ARG002
        *,
        reads: bool,  # noqa: ARG002
    ) -> list[Any]:
        """Go on with a call that was redirected: not from here, which is no cluster to us."""
        raise redirect

    async def renew(self, above: int) -> None:
        """Ask the ledger again which Redis this is: a showtime here was stamped with a later generation than ours.

        Others met this Redis after another one, while our connection to it lasted.

        Raises:
            Unavailable: `redis_unavailable`: it is not the one that the stamp is of; `ledger_unavailable`.
        """
        identity = self._identity
        if identity is not None:
            generation = await self._ask_which(identity, limits.LANE_CONNECT_MAX_MS / 1_000, begin=False)
            if self._identity == identity:
                self.generation = max(self.generation, generation)
        if self.generation < above:
            raise Unavailable("redis_unavailable", "Redis was replaced, and this process has not met the new one yet.")

    def tell(self, *words: str | int) -> None:
        """Send a plain command whose answer nobody needs; dropped while there is no connection or much to do."""
        connection = self._connection
        if connection is not None and len(connection.slots) < self._queue_max:
            connection.tell(*words)

    def ask(self, *words: str | int) -> "asyncio.Future[Any]":
        """Send a plain command that may be sent twice without harm.

        Raises:
            Unavailable: `redis_unavailable`, `overloaded`; also from the future.
            RedisError: (from the future) Redis refuses the command.
        """
        connection = self._connection
        if connection is None:
            raise _again(self._trouble or Unavailable("redis_unavailable", "the lane to Redis is connecting"))
        if len(connection.slots) >= self._queue_max:
            raise Unavailable("overloaded", "too many calls wait for Redis")
        return connection.command(*words)

    def now_ms(self) -> int:
        """Estimate Redis' time in ms: behind by a network delay at most, never ahead; 0 before the first answer."""
        return self._clock.now_ms(monotonic())

    @property
    def unwritten(self) -> list[bytes] | None:
        """What has not left yet and will leave together: the same list until it has; None while nothing can leave."""
        return None if self._connection is None else self._connection.unwritten

    @property
    def in_flight(self) -> int:
        """Calls that wait for an answer or for a connection."""
        return len(self._connection.slots) if self._connection else len(self._parked)

    @property
    def trouble(self) -> Unavailable | None:
        """Why calls are refused now; None while they are sent, or wait for a first try to connect."""
        return self._trouble

    @property
    def identity(self) -> Identity | None:
        """Which Redis this lane speaks to now; None while it speaks to none."""
        return None if self._connection is None else self._identity

    def _send(
        self,
        connection: Connection,
        future: "asyncio.Future[Any]",
        name: str,
        keys: Sequence[Argument],
        args: Sequence[Argument],
    ) -> None:
        script = self._scripts[name]
        connection.send((future, pack_command(("EVALSHA", script.sha, len(keys), *keys, *args)), script, 0))

    def _park(self, name: str, keys: Sequence[Argument], args: Sequence[Argument]) -> "asyncio.Future[Any]":
        if self._trouble is not None:
            raise _again(self._trouble)
        if len(self._parked) >= self._queue_max:
            raise Unavailable("overloaded", "too many calls wait for Redis")
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._parked.append((future, name, keys, args))
        return future

    # --- Life

    async def start(self) -> None:
        """Begin to connect; returns when the first try has ended, well or with `trouble`."""
        self._trouble = None
        self._keeper = asyncio.create_task(self._keep_connected())
        await self._settled.wait()

    async def close(self) -> None:
        """Refuse new calls, wait for the answers that are out as long as a call may take, disconnect."""
        connection, self._connection = self._connection, None
        self._trouble = Unavailable("redis_unavailable", "this process is shutting down")
        if connection is not None:
            last_answer = connection.command("PING")  # Answered after all that was sent before.
            await asyncio.wait([last_answer], timeout=limits.CALL_BUDGET_MS / 1_000)
            last_answer.cancel()
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        if connection is not None:
            connection.abort("this process is shutting down")
        self._refuse_parked(self._trouble)

    async def _keep_connected(self) -> None:
        failures = 0
        while True:
            try:
                connection = await self._open()
                admitted_at_s = monotonic()
                self._admit(connection)
                await watch(connection, self._identity, self._clock)
            except (OSError, TimeoutError, RedisError, Unavailable) as error:
                self._into_trouble(error)
            except Exception as error:
                # Whatever it was, the lane must go on: without its keeper every call would wait for ever.
                log.exception("lane.failed", redis=str(self._address))
                if self._connection is not None:
                    self._connection.abort("the lane failed")
                self._into_trouble(error)
            else:
                if monotonic() - admitted_at_s > limits.LANE_BACKOFF_MAX_MS / 1_000:
                    failures = 0
                if failures == 0:
                    # One loss is no failure yet: those who call now wait for the next try.
                    failures = 1
                    continue
                self._into_trouble(Unavailable("redis_unavailable", "Redis closes its connections at once"))
            failures += 1
            await asyncio.sleep(_backoff_s(failures))

    async def _open(self) -> Connection:
        """Connect, greet, load the scripts and learn the generation."""
        patience_s = limits.LANE_CONNECT_MAX_MS / 1_000
        async with asyncio.timeout(patience_s):
            connection = await self._address.connect(self._new_connection)
        try:
            async with asyncio.timeout(patience_s):
                self._clock.reset()
                greeting = await greet(connection, self._address, self._client_name, self._clock)
                self._scripts = self._load_scripts(greeting.version)
                await asyncio.gather(*(self._load(connection, script) for script in self._scripts.values()))
            if greeting.identity != self._identity:
                await self._identify(greeting.identity, patience_s)
            if connection.lost.is_set():
                raise ConnectionResetError("Redis closed the connection")
        except BaseException:
            connection.abort("the connection to Redis was given up")
            raise
        return connection

    async def _identify(self, identity: Identity, patience_s: float) -> None:
        """Ask the ledger for the generation of a Redis not seen before; its order is PostgreSQL first."""
        generation = await self._ask_which(identity, patience_s)
        self._identity = identity
        if generation != self.generation:
            # What waits was made for the Redis before; its arguments name a generation that ended.
            self._refuse_parked(Unavailable("redis_unavailable", "Redis was replaced by another"))
            self.generation = generation
        log.info("lane.identified", redis=str(self._address), generation=generation)

    async def _ask_which(self, identity: Identity, patience_s: float, **how: bool) -> int:
        try:
            async with asyncio.timeout(patience_s):
                return await self._ask_generation(identity.run_id, identity.replication_id, **how)
        except TimeoutError:
            raise Unavailable("ledger_unavailable", "the ledger does not say which Redis this is") from None

    def _new_connection(self) -> Connection:
        return Connection(self._clock, self._on_error, self._on_lost)

    def _admit(self, connection: Connection) -> None:
        self._trouble = None
        self._connection = connection
        self._settled.set()
        log.info("lane.connected", redis=str(self._address), waiting=len(self._parked))
        parked, self._parked = self._parked, []
        for future, name, keys, args in parked:
            if not future.done():
                self._send(connection, future, name, keys, args)

    def _into_trouble(self, error: Exception) -> None:
        """Refuse calls from now on, those that waited too."""
        if isinstance(error, Unavailable):
            trouble = _again(error)
        else:
            trouble = Unavailable("redis_unavailable", f"Redis cannot be reached: {error or 'no answer in time'}")
        if self._trouble is None or self._trouble.detail != trouble.detail:
            log.warning("lane.trouble", redis=str(self._address), code=trouble.code, detail=trouble.detail)
        self._trouble = trouble
        self._refuse_parked(trouble)
        self._settled.set()

    def _refuse_parked(self, why: Unavailable) -> None:
        parked, self._parked = self._parked, []
        for future, *_ in parked:
            if not future.done():
                future.set_exception(_again(why))

    # --- What the connection tells

    def _on_lost(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection = None

    def _on_error(self, connection: Connection, slot: Slot, error: RedisError) -> None:
        future, packed, script, repeats = slot
        if error.word in DEMOTED:
            asyncio.get_running_loop().call_soon(connection.abort, "Redis is no master any more")
        if error.word in REDIRECTS and self._on_redirect is not None:
            redirect = redirect_of(error.word, str(error), self._address.host)
            self._on_redirect(redirect)
            if not future.done():
                future.set_exception(redirect)
            return
        if future.done():
            return
        if script is None:
            future.set_exception(error)
        elif error.word not in DEFINITE:
            error.args = (script.locate(str(error)),)
            future.set_exception(error)
        elif error.word == "NOSCRIPT" and repeats < limits.NOSCRIPT_REPEATS_MAX:
            self._load(connection, script)
            connection.send((future, packed, script, repeats + 1))
        else:
            future.set_exception(Unavailable("redis_unavailable", f"Redis refuses to write: {error}"))

    def _load(self, connection: Connection, script: Script) -> "asyncio.Future[Any]":
        """Send SCRIPT LOAD, once for all calls that miss the script; whatever is sent after it finds it."""
        loading = self._loading.get(script.name)
        if loading is None or loading.done():
            loading = connection.command("SCRIPT", "LOAD", script.source)
            loading.add_done_callback(was_answered)
            self._loading[script.name] = loading
        return loading


def _again(error: Unavailable) -> Unavailable:
    """Give each caller an exception of its own: a shared one would gather everybody's traceback."""
    return Unavailable(error.code, error.detail, retry_after_ms=error.retry_after_ms)


def _backoff_s(failures: int) -> float:
    """Double the delay with each failure, with jitter, so that a fleet does not come back in step."""
    delay_ms = min(limits.LANE_BACKOFF_MAX_MS, limits.LANE_BACKOFF_MIN_MS << min(failures - 1, 16))
    return delay_ms * random.uniform(0.5, 1.0) / 1_000  # noqa: S311 -- a spread, not a secret

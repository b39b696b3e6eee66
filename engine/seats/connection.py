"""One connection to Redis: commands of a loop turn leave in few writes, answers are matched in order."""

import asyncio
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeAlias, cast

import hiredis

from engine.errors import Outcome, Unavailable
from engine.limits import LANE_WRITE_COMMANDS
from engine.seats.redis_clock import RedisClock
from engine.seats.redis_errors import RedisError
from engine.seats.scripts import Script

Argument: TypeAlias = bytes | str | int
pack_command = cast(Callable[[tuple[Argument, ...]], bytes], hiredis.pack_command)
"""Encode one command; hiredis' own annotation allows a single word only."""

Slot: TypeAlias = tuple["asyncio.Future[Any]", bytes, Script | None, int]
"""A command's place in the order: whom to answer, the packed command, its script, how often it was repeated.

A tuple, because one is made per call. A cancelled caller leaves its slot in place, so answers never shift.
"""


class Connection(asyncio.Protocol):
    """Sends packed commands and hands each answer to the future of its slot.

    Args:
        clock: learns from each script's answer (`[word, now_ms, ...]`) what time it is in Redis.
        on_error: decides what becomes of a slot whose answer is an error.
        on_lost: told once, before any caller is, that this connection is over.
    """

    def __init__(
        self,
        clock: RedisClock,
        on_error: Callable[["Connection", Slot, RedisError], None],
        on_lost: Callable[["Connection"], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._clock = clock
        self._on_error = on_error
        self._on_lost = on_lost
        self._reader = hiredis.Reader(replyError=RedisError)
        self._transport: asyncio.Transport | None = None
        self.unwritten: list[bytes] = []
        """What leaves together; another list once it has left."""
        self._flush_due = False
        self._paused = False
        self.new_future = self._loop.create_future
        self._nobody: asyncio.Future[Any] = self.new_future()
        self._nobody.cancel()  # what is matched with it is passed over
        self.slots: deque[Slot] = deque()
        self.lost = asyncio.Event()

    # --- Sending

    def send(self, slot: Slot) -> None:
        """Append a command; it leaves with others of this turn of the loop, at the latest when the turn is over.

        Many leave some at a time, so that Redis works on the first while we still make the last: where all of a
        turn's left together, one of the two always waited for the other.
        """
        self.unwritten.append(slot[1])
        self.slots.append(slot)
        if len(self.unwritten) >= LANE_WRITE_COMMANDS:
            self._flush()
        elif not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._end_turn)

    def command(self, *words: str | int) -> "asyncio.Future[Any]":
        """Send a command that is no script.

        Returns:
            A future of the answer; it raises RedisError for an error, Unavailable when the connection is lost.
        """
        future: asyncio.Future[Any] = self.new_future()
        if self.lost.is_set():
            future.set_exception(Unavailable("redis_unavailable", "the connection to Redis is lost"))
        else:
            self.send((future, pack_command(words), None, 0))
        return future

    def tell(self, *words: bytes | str | int) -> None:
        """Send a command whose answer nobody needs, an error neither."""
        if not self.lost.is_set():
            self.send((self._nobody, pack_command(words), None, 0))

    def _end_turn(self) -> None:
        self._flush_due = False
        self._flush()

    def _flush(self) -> None:
        if self.unwritten and self._transport is not None and not self._paused:
            packed = b"".join(self.unwritten)
            self.unwritten = []
            self._transport.write(packed)

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        self._transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        """Redis or the network is slow: keep what comes here, where it is still surely unwritten."""
        self._paused = True

    def resume_writing(self) -> None:
        """Send what was kept back."""
        self._paused = False
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Match the answers in `data`, which may begin and end anywhere, with their slots."""
        self._reader.feed(data)
        timed: list[Any] | None = None
        try:
            # `is`, because `0 == False`: hiredis says False for "nothing more", and RESP2 has no booleans.
            while (answer := self._reader.gets()) is not False:
                if not self.slots:
                    self.abort("Redis answered what nobody had asked")
                    return
                slot = self.slots.popleft()
                if answer.__class__ is RedisError:
                    self._on_error(self, slot, answer)
                    continue
                if slot[2] is not None:
                    timed = answer
                if not slot[0].done():
                    slot[0].set_result(answer)
        except hiredis.ProtocolError as error:
            self.abort(f"Redis sent what is no answer: {error}")
        if timed is not None:
            self._clock.sample(timed[1], monotonic())

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what waits here."""
        self._lose(f"the connection to Redis was lost: {exc or 'closed by the other side'}")

    # --- Ending

    def abort(self, reason: str) -> None:
        """Give the connection up at once; callers are told `reason`."""
        self._lose(reason)
        if self._transport is not None:
            self._transport.abort()

    def _lose(self, reason: str) -> None:
        if self.lost.is_set():
            return
        self.lost.set()
        slots, self.slots = self.slots, deque()
        written = len(slots) - len(self.unwritten)
        self.unwritten = []
        self._on_lost(self)
        for index, slot in enumerate(slots):
            if not slot[0].done():
                outcome: Outcome = "unknown" if index < written else "definite"
                slot[0].set_exception(Unavailable("redis_unavailable", reason, outcome=outcome))

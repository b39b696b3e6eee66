"""An event loop in which time is a number: it jumps to the next timer, and a process in it can die or stand still.

Whose a callback is says the context it was made in: that of a task which a process began, and of all that come of it.
Nothing else of asyncio is replaced, so that the real classes run on it as they are.
"""

import asyncio
from asyncio.events import Handle, TimerHandle
from collections import deque
from contextvars import ContextVar, copy_context
from heapq import heappop, heappush

OWNER: ContextVar = ContextVar("simulated_process", default=None)
"""The process whose code runs now; None for the world around."""
WORLD = copy_context()
"""The context of what belongs to no process."""
BEGINNING_S = 1_800_000_000.0
"""Unix time at which every story begins."""
TURNS_MAX = 500_000


class Stalled(Exception):
    """Nothing is left to run and no timer to wait for, or it goes on without end."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks in the order in which they became due; keeps from each process what it must not run."""

    def __init__(self):
        super().__init__()
        self._now = 1_000.0
        self._soon = deque()
        self._timers = []
        self._timer_count = 0
        self.turns = 0
        self.lost = []
        self.set_exception_handler(lambda _, context: self.lost.append(context))

    def time(self):
        return self._now

    def unix_s(self):
        """Give the true Unix time in this world."""
        return BEGINNING_S + self._now - 1_000.0

    def call_soon(self, callback, *args, context=None):
        handle = Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_at(self, when, callback, *args, context=None):
        handle = TimerHandle(when, callback, args, self, context)
        self._timer_count += 1
        heappush(self._timers, (when, self._timer_count, handle))
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self):
        return asyncio.Future(loop=self)

    def put_back(self, handles):
        """Let callbacks run that a process has put off."""
        self._soon.extend(handles)

    def _run_once(self):
        soon, timers = self._soon, self._timers
        if not soon:
            while timers and timers[0][2]._cancelled:
                heappop(timers)
            if not timers:
                raise Stalled
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            soon.append(heappop(timers)[2])
        for _ in range(len(soon)):
            handle = soon.popleft()
            if handle._cancelled:
                continue
            context = handle._context
            owner = context.get(OWNER)
            if owner is None or owner.running:
                self.turns += 1
                context.run(handle._callback, *handle._args)
            else:
                owner.put_off(handle)
        if self.turns > TURNS_MAX:
            raise Stalled

    def _timer_handle_cancelled(self, handle):
        """It is passed over when its time comes."""

    def run_in_executor(self, executor, function, *args):
        """Do it here and now: there are no threads."""
        future = self.create_future()
        future.set_result(function(*args))
        return future

    async def shutdown_default_executor(self):
        """There is none."""

    def _asyncgen_firstiter_hook(self, generator):
        """Generators are not kept: those of the dead are never closed."""

    def _asyncgen_finalizer_hook(self, generator):
        """What is left of a generator when its process is dead does nothing any more."""

    def _write_to_self(self):
        """Nobody sleeps."""

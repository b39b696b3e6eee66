"""A process of the simulated world: tasks that can be killed or stopped between any two awaits, and its way out."""

import asyncio

from tests.simulation.world.loop import OWNER, WORLD


class Process:
    """One API process or worker.

    Attributes:
        running: False once it is dead, or while it is frozen.
        dead: it was killed: none of its frames runs again, its connections are gone.
        clock_s: how wrong its clock is.
    """

    def __init__(self, world, name):
        self.world, self.name = world, name
        self.loop = world.loop
        self.running, self.dead = True, False
        self.clock_s = 0.0
        self.tasks = []
        self._put_off = []
        self._at_death = []
        self._context = WORLD.copy()
        self._context.run(OWNER.set, self)

    def run(self, coroutine):
        """Begin a task of this process."""
        return self.loop.create_task(coroutine, context=self._context.copy())

    def at_death(self, undo):
        """Have something done by the world when the process dies: servers notice that its connections end."""
        self._at_death.append(undo)

    def kill(self):
        """Let no line of it run any more."""
        if self.dead:
            return
        self.running, self.dead = False, True
        self._put_off.clear()
        self.world.note("killed", self.name)
        for undo in self._at_death:
            undo()

    def freeze(self, seconds):
        """Let it stand still for a while, with all its connections open."""
        if self.running:
            self.running = False
            self.world.note("frozen", self.name, round(seconds, 2))
            self.loop.call_later(seconds, self.thaw, context=WORLD)

    def thaw(self):
        """Let it go on."""
        if not self.dead and not self.running:
            self.running = True
            self.world.note("thawed", self.name)
            handles, self._put_off = self._put_off, []
            self.loop.put_back(handles)

    def put_off(self, handle):
        """Keep a callback until the process goes on; the dead have no use for one."""
        if not self.dead:
            self._put_off.append(handle)

    def io(self, what, action, failure, order=None):
        """Ask a server for something: a future of what `action` gives there, some time from now.

        Args:
            what: (port, verb), for faults and the trace.
            action: runs at the server, at once or, if it gives a future, until that is done.
            failure: gives the exception of this port for "refused" (surely not done) or "lost" (nobody knows).
            order: what keeps the order of a connection; None where calls may overtake each other.
        """
        loop, world = self.loop, self.world
        future = loop.create_future()
        if self.dead:
            return future
        fate = world.chaos.fate(self, what)
        at = loop.time() + world.chaos.latency(fate)
        if order is not None:
            at = order.at = max(order.at, at)
        loop.call_at(at, self._arrive, what, action, failure, future, fate, context=WORLD)
        return future

    def _arrive(self, what, action, failure, future, fate):
        if fate in ("refused", "dropped"):
            self._answer(future, error=failure("refused" if fate == "refused" else "lost"))
            return
        if fate == "die_before":
            self.kill()
            return
        try:
            result = action()
        except Exception as error:  # noqa: BLE001 (it is the server's answer)
            self._answer(future, error=error)
            return
        self.world.passed(what)
        if fate == "die_after":
            self.kill()
        elif fate in ("freeze", "long_freeze"):
            self.freeze(self.world.chaos.pause_s() + (14 if fate == "long_freeze" else 0))
        elif fate == "lost":
            self._answer(future, error=failure("lost"))
            return
        if isinstance(result, asyncio.Future):
            result.add_done_callback(lambda done: self._pass_on(done, future), context=WORLD)
        elif fate == "late":
            self.loop.call_later(self.world.chaos.pause_s(), self._answer, future, result, context=WORLD)
        else:
            self._answer(future, result)

    def _pass_on(self, done, future):
        if done.cancelled():
            return
        error = done.exception()
        self._answer(future, None if error else done.result(), error)

    def _answer(self, future, result=None, error=None):
        if future.done() or self.dead:
            return
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


class Order:
    """Keeps what goes over one connection in order."""

    __slots__ = ("at",)

    def __init__(self):
        self.at = 0.0


class Clock:
    """Stands in for the module `time` in the engine: virtual, and as wrong as the process that asks."""

    def __init__(self, loop):
        self._loop = loop

    def monotonic(self):
        return self._loop.time()

    perf_counter = monotonic

    def time(self):
        owner = OWNER.get()
        return self._loop.unix_s() + (owner.clock_s if owner else 0.0)

    def time_ns(self):
        return int(self.time() * 1_000_000) * 1_000

    def perf_counter_ns(self):
        return int(self._loop.time() * 1_000_000_000)

"""The simulated world: servers, processes that are started again when they die, and the ways between all of them."""

import random
from datetime import timedelta

from engine.errors import SeatlockError
from tests.simulation.world.bank import Bank
from tests.simulation.world.chaos import Chaos
from tests.simulation.world.loop import WORLD, VirtualLoop
from tests.simulation.world.parts import LAYOUT_ID, PRICE_MINOR, TIER, Api, Worker, layout_row
from tests.simulation.world.postgres import Server
from tests.simulation.world.process import Clock, Process
from tests.simulation.world.redis_node import RedisNode
from tests.simulation.world.tables import Row, moment_of

ANSWER_TIMEOUT_S = 30
GATEWAY_PATIENCE_S = 15
NUMBERS = (37, 27, 49)
"""Showtimes that lie in the first two partitions."""


class NoAnswer(Exception):
    """A client does not know what became of its request."""


class World:
    """Everything there is. `tracing` keeps what happened as lines of text; `dense`: much of everything."""

    def __init__(self, seed, *, rate, dense=False, tracing=False):
        self.seed, self.dense, self.tracing = seed, dense, tracing
        self.trace, self.crashes = [], []
        self.rng = random.Random(seed)
        self.loop = VirtualLoop()
        self.clock = Clock(self.loop)
        self.chaos = Chaos(random.Random(seed ^ 0x5EA7), rate, 3 if dense else 1)
        self.redis = RedisNode(self)
        self.postgres = Server(self)
        self.bank = Bank(self)
        self.processes = []
        self.apis, self.workers = [], []
        self.showtimes = ()
        self.ended = False
        self._awaited = {}

    def note(self, *words):
        """Write a line into the trace."""
        if self.tracing:
            self.trace.append(f"{self.loop.time() - 1000:9.4f}  {' '.join(map(str, words))}")

    def crashed(self, where, what):
        """Remember an error that no rule explains; see `checks`."""
        self.note("crashed", where, what.strip().splitlines()[-1])
        self.crashes.append(f"{where}: {what}")

    def after(self, what, number, act):
        """Have something done right after the n-th time that a server did something: `(port, verb)`."""
        self._awaited.setdefault(what, []).append([number, act])

    def passed(self, what):
        """A server has done something."""
        for awaited in self._awaited.get(what, ()):
            awaited[0] -= 1
            if awaited[0] == 0:
                self.loop.call_soon(awaited[1], context=WORLD)

    # --- Before the story

    def build(self, showtimes, seats, policy, apis, workers):
        """Put showtimes into the ledger and start the processes."""
        self.showtimes = NUMBERS[:showtimes]
        tables, now = self.postgres.tables, moment_of(self.loop.unix_s())
        tables["layouts"][LAYOUT_ID] = Row(layout_row(seats))
        starts_at = now + timedelta(days=3)
        for number in self.showtimes:
            tables["showtimes"][number] = Row(
                id=number, status="OPEN", status_reason=None, starts_at=starts_at,
                ends_at=starts_at + timedelta(hours=2), sales_open_at=now - timedelta(days=1),
                sales_stop_at=starts_at, layout_id=LAYOUT_ID, prices={TIER: PRICE_MINOR}, currency="IDR",
                policy=policy, cinema_policy={}, auditorium_id=1, auditorium="One", cinema_id=1, cinema="K",
                cinema_slug="k", city="C", city_slug="c", city_id=1, timezone="Asia/Jakarta", movie_id=1, movie="M",
                movie_slug="m", rating="", duration_minutes=100, seat_count=seats, load_count=0,
            )  # fmt: skip
        for number in range(apis):
            self._start(f"api-{number}", Api, self.apis)
        for number in range(workers):
            self._start(f"worker-{number}", Worker, self.workers)

    def _start(self, name, kind, slots, slot=None):
        process = Process(self, name)
        parts = kind(process, self)
        if slot is None:
            slot = len(slots)
            slots.append(parts)
        slots[slot] = parts
        self.processes.append(process)
        process.at_death(lambda: self._start_again(name, kind, slots, slot))
        process.run(parts.work() if kind is Worker else parts.open())

    def _start_again(self, name, kind, slots, slot):
        if not self.ended:
            wait_s = self.rng.uniform(0.1, 3.0) if self.chaos.on else 0.1
            self.loop.call_later(wait_s, self._start, name, kind, slots, slot, context=WORLD)

    def has_outcome(self, session_id):
        """Whether the ledger says, durably, what became of the money of a session."""
        capture = self.postgres.tables["captures"].get(("fake", session_id))
        return capture is not None and capture["outcome"] is not None

    # --- Requests

    async def ask(self, work):
        """Have an API process do something, as a client over HTTP does.

        Args:
            work: gives the coroutine, of the parts of an API process.

        Raises:
            NoAnswer: nobody knows what became of it.
            SeatlockError: the answer.
        """
        api = self.rng.choice(self.apis)
        future = self.loop.create_future()
        if api.process.dead:
            raise NoAnswer
        task = api.process.run(work(api))

        def answer(done):
            if future.done():
                return
            error = None if done.cancelled() else done.exception()
            if done.cancelled() or self.chaos.happens("reply_lost", 0.03):
                future.set_exception(NoAnswer())
            elif error is not None:
                if not isinstance(error, SeatlockError):
                    self.crashed("request", repr(error))
                future.set_exception(error)
            else:
                future.set_result(done.result())

        def give_up():
            if not future.done():
                future.set_exception(NoAnswer())

        task.add_done_callback(answer, context=WORLD)
        api.process.at_death(give_up)
        timer = self.loop.call_later(ANSWER_TIMEOUT_S, give_up, context=WORLD)
        try:
            return await future
        finally:
            timer.cancel()

    def tell_seller(self, body, answered):
        """Bring an event of the gateway to some API process; `answered` is told whether it said 2xx."""

        async def bring():
            try:
                await self.ask(lambda api: api.payments.handle_event({}, body, api.world.clock.time()))
            except (NoAnswer, SeatlockError):
                answered(False)
            else:
                answered(True)

        self.loop.create_task(bring(), context=WORLD.copy())

    # --- After the chaos

    def heal(self):
        """Bring everything back, and let nothing go wrong any more."""
        self.note("healed")
        self.chaos.heal()
        self.postgres.up = self.bank.up = True
        if not self.redis.up:
            self.redis.start("same")
        for process in self.processes:
            process.clock_s = 0.0
            process.thaw()

    def end(self):
        """Kill everything, and take the frames of all that never came to its end apart."""
        self.ended = True
        for process in self.processes:
            process.kill()

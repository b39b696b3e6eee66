"""Redis as a server: models of showtimes, partitions' streams, wake-ups; it dies, and comes back with less."""

from copy import deepcopy

from engine.seats.keys import partition_of
from tests.simulation.model.model import Model
from tests.simulation.world.loop import WORLD
from tests.simulation.world.streams import Stream


class RedisNode:
    """One node.

    Attributes:
        up: it takes connections.
        identity: (run id, replication id) of this life.
        clock_ms: how wrong its clock is.
        models, streams: by showtime and by partition.
    """

    def __init__(self, world):
        self.world = world
        self.up = True
        self.lives = 0
        self.clock_ms = 0
        self.models, self.streams = {}, {}
        self.subscribers = []
        self._lanes = []
        self._readers = []
        self._saved = None
        self._begin_life()

    def now_ms(self):
        """Give what TIME says."""
        return int(self.world.loop.unix_s() * 1000) + self.clock_ms

    @property
    def identity(self):
        return (f"run-{self.lives}", f"replication-{self.lives}")

    def model(self, showtime):
        """Give the model of a showtime, loaded or not."""
        if showtime not in self.models:
            self.models[showtime] = Model(showtime)
        return self.models[showtime]

    def stream(self, partition):
        """Give the stream of a partition."""
        return self.streams.setdefault(partition, Stream())

    # --- Lives

    def save(self):
        """Keep the present state, as a backup or a replica that lags behind has it."""
        self._saved = self._copy()

    def stop(self):
        """Go away; what was under way is unknown to whoever asked."""
        self.up = False
        for lane in self._lanes:
            lane.lost()
        self._readers.clear()
        self.subscribers.clear()

    def start(self, state):
        """Come back, as another life, with the `same`, an `older` or an `empty` state."""
        if state == "empty" or (state == "older" and self._saved is None):
            self.models, self.streams = {}, {}
        elif state == "older":
            self.models, self.streams = self._saved
            self._saved = self._copy()
        self._begin_life()
        self.up = True

    def _begin_life(self):
        self.lives += 1

    def _copy(self):
        return deepcopy(self.models), {partition: stream.copy() for partition, stream in self.streams.items()}

    # --- What is asked

    def check(self):
        """Refuse while it is away."""
        if not self.up:
            raise ConnectionError("Redis is away")

    def attach(self, lane):
        """Remember a lane, to tell it when this life ends."""
        self._lanes.append(lane)

    def call(self, name, showtime, args, request_id):
        """Run a script, and append its facts in the same step."""
        self.check()
        model = self.model(showtime)
        answer = model.call(name, args, self.now_ms(), request_id)
        self.world.note("script", name, showtime, *answer[:1], *[word for word in answer[2:6] if word != b""])
        if model.facts:
            partition = partition_of(showtime)
            for fact in model.facts:
                self.append(partition, fact.fields())
            model.facts.clear()
        return answer

    def append(self, partition, fields):
        """Append a fact, and wake whoever waits for one."""
        entry = self.stream(partition).append(self.now_ms(), fields)
        if self.world.chaos.doubles_fact():
            self.stream(partition).append(self.now_ms(), fields)
        readers, self._readers = self._readers, []
        for reader in readers:
            self.world.loop.call_soon(reader, context=WORLD)
        return entry

    def when_appended(self, reader):
        """Have a function called at the next fact."""
        self._readers.append(reader)

    def publish(self, channel, data):
        """Wake up those who listen."""
        for subscriber in list(self.subscribers):
            self.world.loop.call_later(0.001, subscriber, data, context=WORLD)
        return len(self.subscribers)

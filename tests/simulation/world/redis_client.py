"""What redis-py and the lane are to one process: the same methods, over a way on which answers may be lost."""

import asyncio

from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import ResponseError

from engine.errors import Unavailable
from engine.seats.keys import partition_of, partition_tags
from engine.seats.redis_errors import RedisError
from tests.simulation.model.bits import as_bitmap
from tests.simulation.model.records import Broken
from tests.simulation.world.loop import WORLD
from tests.simulation.world.process import Order
from tests.simulation.world.streams import name_of

RETRY_S = 0.1


def _away(_fate):
    return RedisAway("the connection to Redis is lost")


PARTITIONS = {tag: partition for partition, tag in enumerate(partition_tags())}


def _partition_of(key):
    """Read the partition off a key."""
    text = key.decode() if isinstance(key, bytes) else key
    return PARTITIONS[text[text.index("{") + 1 : text.index("}")]]


def _showtime_of(key):
    """Read the showtime off a key, e.g. `sl{a7}:42:meta`."""
    text = key.decode() if isinstance(key, bytes) else key
    return int(text.split(":")[1])


class Client:
    """`redis.asyncio.Redis` as far as the engine uses it beside scripts."""

    def __init__(self, node, process):
        self._node, self._process = node, process

    async def _ask(self, verb, action):
        def checked():
            try:
                self._node.check()
            except ConnectionError as error:
                raise RedisAway(str(error)) from None
            return action()

        return await self._process.io(("redis", verb), checked, _away)

    def pipeline(self, *, transaction):
        return Pipeline(self)

    def pubsub(self, **_):
        return Subscription(self._node, self._process, self)

    def _stream(self, key):
        return self._node.stream(_partition_of(key))

    async def publish(self, channel, data):
        return await self._ask("PUBLISH", lambda: self._node.publish(channel, data.encode()))

    async def xgroup_create(self, key, group, *, id, mkstream):
        return await self._ask("XGROUP", lambda: self.make_group(key))

    def make_group(self, key):
        """Answer XGROUP CREATE."""
        if not self._stream(key).make_group():
            raise ResponseError("BUSYGROUP Consumer Group name already exists")

    async def xreadgroup(self, group, consumer, streams, *, count, block=None):
        future = self._process.loop.create_future()

        def read():
            if future.done() or self._process.dead:
                return
            found = self._read(streams, count)
            if found is None:
                future.set_exception(ResponseError("NOGROUP No such key or consumer group"))
            elif found or block is None:
                future.set_result(found)
            else:
                self._node.when_appended(read)

        def begin():
            read()
            if not future.done():
                self._process.loop.call_later(block / 1000, self._give_up, future, context=WORLD)
            return future

        return await self._ask("XREADGROUP", begin)

    def _read(self, streams, count):
        found = []
        for key, after in streams.items():
            stream = self._stream(key)
            if stream.delivered is None:
                return None
            entries = stream.read_new(count) if after == ">" else stream.read_pending(after, count)
            if entries:
                name = key.encode() if isinstance(key, str) else key
                found.append((name, self._node.world.chaos.disorder(entries)))
        return found

    def _give_up(self, future):
        if not future.done():
            if self._node.up:
                future.set_result([])
            else:
                future.set_exception(_away(None))

    async def exists(self, key):
        return await self._ask("EXISTS", lambda: int(_partition_of(key) in self._node.streams))

    async def xinfo_stream(self, key):
        def told():
            stream = self._stream(key)
            newest = max(stream.entries, default=None)
            entry = None if newest is None else (name_of(newest), stream.entries[newest])
            return {"last-generated-id": name_of(stream.last), "last-entry": entry}

        return await self._ask("XINFO", told)

    async def xinfo_groups(self, key):
        def groups():
            delivered = self._stream(key).delivered
            return [] if delivered is None else [{"name": b"ledger", "last-delivered-id": name_of(delivered)}]

        return await self._ask("XINFO", groups)

    def pending(self, key):
        """Answer XPENDING."""
        stream = self._stream(key)
        if stream.delivered is None:
            raise ResponseError("NOGROUP No such key or consumer group")
        return {
            "pending": len(stream.pending),
            "min": name_of(min(stream.pending)) if stream.pending else None,
        }

    async def xpending(self, key, group):
        return await self._ask("XPENDING", lambda: self.pending(key))

    async def xtrim(self, key, *, minid, approximate):
        return await self._ask("XTRIM", lambda: self._stream(key).trim(minid))

    async def xrange(self, key, *, min, max, count):
        return await self._ask("XRANGE", lambda: self._stream(key).range(min, max, count))

    async def xadd(self, key, fields):
        def add():
            coded = {name.encode(): str(value).encode() for name, value in fields.items() if name != "data"}
            return self._node.append(_partition_of(key), coded | {b"data": fields["data"]})

        return await self._ask("XADD", add)

    async def hget(self, key, field):
        return (await self.hmget(key, field))[0]

    async def hmget(self, key, *fields):
        def read():
            loaded = self._node.model(_showtime_of(key)).loaded
            return [None if loaded is None else str(getattr(loaded, field)).encode() for field in fields]

        return await self._ask("HMGET", read)

    async def get(self, key):
        def read():
            loaded = self._node.model(_showtime_of(key)).loaded
            if loaded is None:
                return None
            held = [seat for hold in loaded.holds.values() for seat in hold.seats]
            maps = [as_bitmap(seats, loaded.seats) for seats in (loaded.sold, held, loaded.blocked)]
            cells = [loaded.sold.get(seat, 0).to_bytes(4, "big") for seat in range(loaded.seats)]
            return b"".join(maps + cells)

        return await self._ask("GET", read)

    async def zrem(self, key, member):
        return await self._ask("ZREM", lambda: self._node.model(int(member)).lapses.pop(int(member), None))

    def lapses(self, key, until_ms):
        """Answer ZRANGEBYSCORE of a partition's hints."""
        partition, found = _partition_of(key), []
        for model in self._node.models.values():
            found += [(at, showtime) for showtime, at in model.lapses.items() if at <= until_ms]
        return [b"%d" % showtime for _, showtime in sorted(found) if partition_of(showtime) == partition]

    def acknowledge(self, key, ids):
        """Answer XACK."""
        return self._stream(key).acknowledge(ids)


class Pipeline:
    """Commands that leave together."""

    def __init__(self, client):
        self._client, self._actions = client, []

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    def xgroup_create(self, key, group, *, id, mkstream):
        self._actions.append(lambda: self._client.make_group(key))

    def xack(self, key, group, *ids):
        self._actions.append(lambda: self._client.acknowledge(key, ids))

    def xpending(self, key, group):
        self._actions.append(lambda: self._client.pending(key))

    def zrangebyscore(self, key, low, high, *, start, num):
        self._actions.append(lambda: self._client.lapses(key, high)[start : start + num])

    async def execute(self, *, raise_on_error=True):
        answers = await self._client._ask("PIPELINE", lambda: [_tried(action) for action in self._actions])
        wrong = next((answer for answer in answers if isinstance(answer, ResponseError)), None)
        if raise_on_error and wrong is not None:
            raise wrong
        return answers


def _tried(action):
    try:
        return action()
    except ResponseError as error:
        return error


class Subscription:
    """A process listens for wake-ups."""

    def __init__(self, node, process, client):
        self._node, self._process, self._client = node, process, client
        self._messages, self._waiting = [], None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        if self._heard in self._node.subscribers:
            self._node.subscribers.remove(self._heard)

    async def subscribe(self, channel):
        await self._client._ask("SUBSCRIBE", lambda: self._node.subscribers.append(self._heard))

    def _heard(self, data):
        if not self._process.dead:
            self._messages.append({"data": data})
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)

    async def listen(self):
        while True:
            if not self._messages:
                self._waiting = self._process.loop.create_future()
                await self._waiting
            yield self._messages.pop(0)


class SimulatedLane:
    """The lane of one process: calls in order over one connection; each life of Redis is identified first."""

    def __init__(self, node, process, identify):
        self._node, self._process, self._identify = node, process, identify
        self._connected = False
        self._flight = {}  # in order: a set would be sorted by address, and a seed would not repeat
        self._order = Order()
        self._gone = asyncio.Event()
        self._seen = (0.0, 0)
        self._identity = None
        self.settled = asyncio.Event()
        self.generation = 0
        node.attach(self)

    unwritten = None
    """Each call leaves by itself."""

    def lane_for(self, _partition):
        """One node has all partitions."""
        return self

    async def renew(self, above):
        """As the lane to one Redis: others may have met this one again after another."""
        if (identity := self._identity) is not None:
            generation = await self._identify(*identity, begin=False)
            if self._identity == identity:
                self.generation = max(self.generation, generation)
        if self.generation < above:
            raise Unavailable("redis_unavailable", "Redis was replaced")

    async def keep_connected(self):
        """Connect, learn the generation, wait until the connection is lost, again and again."""
        while True:
            try:
                identity, now_ms = await self._process.io(("lane", "CONNECT"), self._greet, _away)
                if identity != self._identity:
                    generation = await self._identify(*identity)
                    self._identity, self.generation = identity, generation
            except (Unavailable, RedisAway):
                await asyncio.sleep(RETRY_S)
                continue
            if identity != self._node.identity or not self._node.up:
                continue  # that life has ended meanwhile; the connection with it
            self._saw(now_ms)
            self._gone.clear()
            self._connected = True
            self.settled.set()
            await self._gone.wait()

    def _greet(self):
        if not self._node.up:
            raise RedisAway("Redis is away")
        return self._node.identity, self._node.now_ms()

    def lost(self):
        """The connection is gone, and nobody knows what became of what was under way."""
        self._connected = False
        if not self._process.dead:
            self._gone.set()
            for future in list(self._flight):
                if not future.done():
                    future.set_exception(_lost_call("lost"))

    def call(self, name, keys, args):
        if not self._connected:
            raise Unavailable("redis_unavailable", "the lane is not connected")
        showtime = _showtime_of(keys[0])
        request_id = next((key.rpartition(b":request:")[2].decode() for key in keys if b":request:" in key), "")

        def run():
            try:
                answer = self._node.call(name, showtime, args, request_id)
            except ConnectionError:
                raise _lost_call("lost") from None
            except Broken as error:
                raise RedisError(f"ERR {error}") from None
            return answer

        future = self._process.io(("lane", name), run, _lost_call, self._order)
        self._flight[future] = True
        future.add_done_callback(self._landed)
        return future

    def _landed(self, future):
        self._flight.pop(future, None)
        if not future.cancelled() and future.exception() is None:
            self._saw(future.result()[1])

    def _saw(self, now_ms):
        self._seen = (self._process.loop.time(), now_ms)

    def now_ms(self):
        at, now_ms = self._seen
        return now_ms + int((self._process.loop.time() - at) * 1000)

    def tell(self, *words):
        """Hints for a customer's list of showtimes; no invariant hangs on them."""


def _lost_call(fate):
    outcome = "definite" if fate == "refused" else "unknown"
    return Unavailable("redis_unavailable", "the connection to Redis is lost", outcome=outcome)

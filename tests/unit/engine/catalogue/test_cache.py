"""The short memory: one load at a time, the last value while the ledger is away, nothing for ever."""

import asyncio

import pytest

from engine.catalogue.cache import ShortMemory
from engine.errors import Refusal, Unavailable


class Source:
    """A loader that counts, waits and fails as told."""

    def __init__(self):
        self.loads = 0
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def load(self, key):
        self.loads += 1
        await self.gate.wait()
        if self.error:
            raise self.error
        return f"{key}:{self.loads}"


class Clock:
    """Seconds that move when told."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def source():
    """A working loader."""
    return Source()


@pytest.fixture
def clock():
    """A clock that stands."""
    return Clock()


@pytest.fixture
def memory(source, clock):
    """A memory of two entries for five seconds."""
    return ShortMemory(source.load, 5_000, 2, clock)


async def test_a_value_is_believed_for_its_time(memory, source, clock):
    """Within its time a value is not loaded again; after it, it is."""
    assert [await memory.get(1), await memory.get(1)] == ["1:1", "1:1"]
    clock.now = 5.0
    assert await memory.get(1) == "1:2"


async def test_a_hundred_callers_make_one_load(memory, source):
    """Callers that come while a load runs wait for that load."""
    assert set(await asyncio.gather(*(memory.get(1) for _ in range(100)))) == {"1:1"}
    assert source.loads == 1


async def test_a_caller_that_leaves_does_not_fail_the_others(memory, source):
    """Cancelling the caller who began a load leaves it running for who waits beside."""
    source.gate.clear()
    first, second = asyncio.ensure_future(memory.get(1)), asyncio.ensure_future(memory.get(1))
    await asyncio.sleep(0)
    first.cancel()
    source.gate.set()
    assert await second == "1:1"


async def test_the_last_value_is_served_while_the_ledger_is_away(memory, source, clock):
    """An old value is better than none, is not asked for again at once, and is renewed when the ledger is back."""
    await memory.get(1)
    clock.now = 6.0
    source.error = Unavailable("ledger_unavailable")
    assert [await memory.get(1), await memory.get(1)] == ["1:1", "1:1"]
    assert source.loads == 2
    source.error = None
    clock.now = 12.0
    assert await memory.get(1) == "1:3"


async def test_a_hanging_ledger_is_not_waited_for_when_a_value_is_there(memory, source, clock):
    """Who has an older value waits only a moment for the fresh one."""
    await memory.get(1)
    clock.now = 6.0
    source.gate.clear()
    assert await asyncio.wait_for(memory.get(1), 5) == "1:1"
    source.gate.set()


async def test_without_a_value_the_failure_is_told(memory, source):
    """A process that has never seen the value cannot serve it."""
    source.error = Unavailable("ledger_unavailable")
    with pytest.raises(Unavailable):
        await memory.get(1)


async def test_a_refusal_is_told_and_not_remembered(memory, source, clock):
    """`not_found` reaches the caller even where an old value is known."""
    await memory.get(1)
    clock.now = 6.0
    source.error = Refusal("not_found")
    with pytest.raises(Refusal):
        await memory.get(1)
    source.error = None
    assert await memory.get(1) == "1:3"


async def test_what_was_changed_during_a_load_is_loaded_again(memory, source):
    """A load that began before `forget` may have read the old state, so it is not remembered."""
    source.gate.clear()
    before = asyncio.ensure_future(memory.get(1))
    await asyncio.sleep(0)
    memory.forget(1)
    source.gate.set()
    await before
    assert await memory.get(1) == "1:2"
    assert await memory.get(1) == "1:2"


async def test_the_memory_is_bounded(memory, source):
    """The value used longest ago makes room."""
    for key in (1, 2, 1, 3):
        await memory.get(key)
    assert await memory.get(1) == "1:1"
    assert await memory.get(2) == "2:4"


class Together(Source):
    """A loader of many at once as well."""

    def __init__(self):
        super().__init__()
        self.asked = []
        self.gone = set()

    async def renew(self, keys):
        self.asked.append(list(keys))
        await self.gate.wait()
        if self.error:
            raise self.error
        return {key: f"{key}:renewed" for key in keys if key not in self.gone}


@pytest.fixture
def together():
    """A working loader of many."""
    return Together()


@pytest.fixture
def renewing(together, clock):
    """A memory of many entries for eight seconds, renewed after four."""
    return ShortMemory(together.load, 8_000, 1_000, clock, renew=together.renew)


async def settle():
    """Let what was begun end."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_what_is_asked_for_is_renewed_together_before_its_time_is_over(renewing, together, clock):
    """Nobody waits for it, and what nobody has asked for since is left out."""
    for key in (1, 2, 3):
        await renewing.get(key)
    clock.now = 4.0
    assert [renewing.peek(1), renewing.peek(2)] == ["1:1", "2:2"]
    await settle()
    assert together.asked == [[1, 2]]
    clock.now = 8.0
    assert [renewing.peek(key) for key in (1, 2, 3)] == ["1:renewed", "2:renewed", None]
    assert together.loads == 3


async def test_what_is_no_more_is_told_when_its_time_is_over(renewing, together, clock):
    """A renewal that does not give it leaves the last word to the load."""
    await renewing.get(1)
    clock.now, together.gone = 4.0, {1}
    assert renewing.peek(1) == "1:1"
    await settle()
    clock.now, together.error = 8.0, Refusal("not_found")
    with pytest.raises(Refusal):
        await renewing.get(1)


async def test_what_is_forgotten_during_a_renewal_is_not_brought_back(renewing, together, clock):
    """The renewal may have read the old state."""
    await renewing.get(1)
    clock.now = 4.0
    together.gate.clear()
    assert renewing.peek(1) == "1:1"
    await settle()
    renewing.forget(1)
    together.gate.set()
    await settle()
    assert renewing.peek(1) is None
    assert await renewing.get(1) == "1:2"


async def test_a_renewal_that_fails_is_tried_again_after_a_while(renewing, together, clock):
    """With the ledger away not at every look, and values live on for their time."""
    await renewing.get(1)
    clock.now, together.error = 4.0, Unavailable("ledger_unavailable")
    for _ in range(3):
        assert renewing.peek(1) == "1:1"
        await settle()
    assert len(together.asked) == 1
    clock.now, together.error = 5.0, None
    assert renewing.peek(1) == "1:1"
    await settle()
    assert renewing.peek(1) == "1:renewed"

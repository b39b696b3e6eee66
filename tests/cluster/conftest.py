"""The engine over a real cluster and over real sentinels, and a crowd that buys while nodes come and go."""

import asyncio
import contextlib
import random
from time import monotonic
from uuid import uuid4

import pytest

from engine.audit.auditor import Auditor
from engine.errors import Refusal, Unavailable
from engine.ledger.database import open_pool
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_of
from engine.seats.slot_map import slot_of_partition
from tests.clusters import Cluster, SentinelSet, running
from tests.conftest import find_redis
from tests.flow.conftest import make_settings
from tests.houses import open_house
from tests.small_catalogue import small_catalogue

SEATS = 40


@pytest.fixture(scope="module")
def cluster_kind():
    """Which server programs the cluster is made of; a module may say another."""
    return "valkey"


@pytest.fixture(scope="module")
def module_cluster(cluster_kind, tmp_path_factory):
    """A cluster for the tests of a module, which may break it."""
    with running(Cluster(find_redis(cluster_kind), tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
def cluster(module_cluster):
    """A whole and empty cluster."""
    module_cluster.heal()
    return module_cluster


@pytest.fixture
def sentinels(tmp_path):
    """A master, a replica, three sentinels."""
    with running(SentinelSet(find_redis("valkey"), tmp_path)) as servers:
        yield servers


class Crowd:
    """Buyers at some showtimes of a house, and what they were told."""

    def __init__(self, house, showtimes, seed=1):
        self.house = house
        self.showtimes = showtimes
        self.chance = random.Random(seed)
        self.paid = {}
        self.back_s = 0.0
        self.claims = self.conflicts = self.definite = self.unknown = 0
        self._tasks = []
        self._stop = asyncio.Event()
        self._claimed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def buying(self, buyers=8):
        """Let buyers come and go for the length of a block; what they have begun is brought to its end."""
        self._tasks = [asyncio.create_task(self._buy(), name=f"buyer {n}") for n in range(buyers)]
        try:
            yield self
        finally:
            self._stop.set()
            await asyncio.gather(*self._tasks)

    async def claim_again(self, timeout_s=20):
        """Wait for the next claim that succeeds; give how long it took."""
        began = asyncio.get_running_loop().time()
        self._claimed.clear()
        async with asyncio.timeout(timeout_s):
            await self._claimed.wait()
        return asyncio.get_running_loop().time() - began

    async def claims_everywhere(self, timeout_s=20):
        """Wait until every showtime can be claimed, whoever has it; its holds are released at once."""
        async with asyncio.timeout(timeout_s):
            for showtime in self.showtimes:
                while not await self._can_claim(showtime):
                    await asyncio.sleep(0.05)

    async def _can_claim(self, showtime):
        try:
            await self.house.seats.read_seats(showtime)
            hold = await self.house.seats.claim_seats(showtime, str(uuid4()), [self.chance.randrange(SEATS)])
            await self.house.seats.release_hold(parse_hold_id(hold.id), None)
        except Refusal as refusal:
            return refusal.code == "seats_taken"
        except Unavailable:
            return False
        return True

    async def _buy(self):
        while not self._stop.is_set():
            showtime = self.chance.choice(self.showtimes)
            subject = str(uuid4())
            seats = sorted(self.chance.sample(range(SEATS), self.chance.randint(1, 2)))
            try:
                self.claims += 1
                hold = await self.house.seats.claim_seats(showtime, subject, seats)
                self._claimed.set()
                if self.chance.random() < 0.75:
                    await asyncio.sleep(self.chance.uniform(0, 0.05))
                    await self.house.seats.release_hold(parse_hold_id(hold.id), subject)
                    continue
                capture = await self.house.pay(seats, subject, hold=hold)
                self.paid[capture.session_id] = capture
                await self.house.runtime.orders.payments.settle_capture(capture)
            except Refusal as refusal:
                if refusal.code not in ("seats_taken", "hold_expired", "not_found", "hold_changed"):
                    raise
                self.conflicts += 1
            except Unavailable as error:
                if error.outcome == "definite":
                    self.definite += 1
                else:
                    self.unknown += 1
                await asyncio.sleep(0.02)

    async def settle(self, timeout_s=60):
        """Bring all money to its outcome, as the worker's duty does; give the outcomes."""
        async with asyncio.timeout(timeout_s):
            while True:
                rows = await self.house.fetch("SELECT session_id, outcome FROM captures")
                if all(outcome for _, outcome in rows):
                    return dict(rows)
                for session, outcome in rows:
                    if outcome is None:
                        with contextlib.suppress(Unavailable):
                            await self.house.runtime.orders.payments.settle_capture(self.paid[session])
                await asyncio.sleep(0.1)

    async def check(self):
        """No seat has two tickets, each ticket its money, and Redis agrees with the ledger to the last bit."""
        outcomes = await self.settle()
        assert set(outcomes) == set(self.paid)
        doubled = await self.house.fetch(
            "SELECT showtime_id, seat_index FROM tickets WHERE status = 'SOLD' GROUP BY 1, 2 HAVING count(*) > 1"
        )
        assert doubled == []
        for showtime in self.showtimes:
            await self.house.seats.read_seats(showtime)
        assert await self.audit() == ()
        return outcomes

    async def audit(self):
        """Give what an audit finds."""
        report = await Auditor(self.house.runtime.pool, self.house.runtime.redis).audit([], lambda *_: None)
        return (*report.differences, *report.unjudged)

    async def back(self):
        """Wait until every showtime can be claimed again, and remember how long it took."""
        began = monotonic()
        await self.claims_everywhere()
        self.back_s = monotonic() - began

    def tell(self, name):
        """Print a line of the table."""
        print(
            f"{name}: {self.claims} tries, {self.conflicts} conflicts, {len(self.paid)} paid, "
            f"{self.definite} refused for sure, {self.unknown} unknown, back after {self.back_s:.2f} s"
        )


@contextlib.asynccontextmanager
async def opened_house(url, database_url, folder, count=1):
    """Open a house with a reader over that Redis; give it and showtimes of different partitions."""
    settings = make_settings(folder, url, database_url)
    pool = await open_pool(settings)
    try:
        small = await small_catalogue(pool, settings)
        showtimes = [small.showtime]
        while len(showtimes) < count:
            showtimes.append(await small.add_showtime(days=1 + len(showtimes)))
        async with open_house(settings, small) as house, house.worker():
            yield house, showtimes
    finally:
        pool.terminate()


@pytest.fixture
async def cluster_house(cluster, database_url, tmp_path):
    """A house on the cluster with six showtimes, which lie on all its nodes."""
    async with opened_house(cluster.url, database_url, tmp_path, 6) as (house, showtimes):
        house.showtimes = showtimes
        yield house


@pytest.fixture
async def sentinel_house(sentinels, database_url, tmp_path):
    """A house whose master is named by sentinels."""
    async with opened_house(sentinels.url, database_url, tmp_path, 2) as (house, showtimes):
        house.showtimes = showtimes
        yield house


def slot(showtime):
    """Give the slot of a showtime's keys."""
    return slot_of_partition(partition_of(showtime))

"""A sale on a cluster and on a master that sentinels name: the shortest proof that the whole of it works there."""

import pytest

from engine.audit.auditor import Auditor
from engine.errors import CommandError
from engine.redis_clients import open_lane, open_redis
from tests.cluster.conftest import slot
from tests.houses import BUDI
from tests.showtimes import refused


async def buy_everywhere(house):
    """Sell seats in every showtime, refuse them to another, and let an audit compare."""
    for showtime in house.showtimes:
        house.showtime = showtime
        await house.ticketed([0, 1])
        hold = await house.check_out([7], BUDI)
        assert await house.map() == ({0, 1}, {7}, set())
        with refused("seats_taken"):
            await house.seats.claim_seats(showtime, BUDI, [1, 2])
        assert hold.status == "PENDING"
    report = await Auditor(house.runtime.pool, house.runtime.redis).audit([], lambda *_: None)
    assert report.differences == ()
    assert await house.runtime.redis.ping()


async def test_seats_are_sold_on_every_node_of_a_cluster(cluster, cluster_house):
    """Claims, check-outs, sales and their facts go to whoever has the showtime; a customer's holds are found on all."""
    house = cluster_house
    assert {cluster.owner(slot(showtime)).port for showtime in house.showtimes} == {
        node.port for node in cluster.nodes if node.is_master
    }
    await buy_everywhere(house)
    found = await house.seats.holds_of(BUDI)
    assert {hold.showtime for hold in found} == set(house.showtimes)


async def test_seats_are_sold_on_the_master_that_sentinels_name(sentinel_house):
    """The same, on the one master."""
    await buy_everywhere(sentinel_house)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("redis+cluster://", "hosts are separated by one comma, and none is empty"),
        ("redis+cluster://a:1,,b:2", "hosts are separated by one comma, and none is empty"),
        ("redis+cluster://a:1/3", "a cluster has database 0 only"),
        ("redis+cluster://a:port", "could not be cast|Port"),
        ("redis+sentinel://a,b", "sentinels need a name"),
        ("redis+sentinel://a,b/", "sentinels need a name"),
        ("redis+sentinel://a,b/name/zero", "sentinels need a name"),
    ],
)
def test_a_url_that_means_nothing_is_one_line(url, line):
    """Both that read it say the same."""
    for reader in (lambda: open_redis(url), lambda: open_lane(url, "test", None)):
        with pytest.raises(CommandError, match=line) as caught:
            reader()
        assert "\n" not in str(caught.value)

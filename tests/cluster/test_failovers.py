"""Masters that die, freeze, restart empty or hand over while a crowd buys, on a cluster and behind sentinels."""

import asyncio

import pytest

from engine.seats.keys import partition_key, partition_of, showtime_key
from tests.cluster.conftest import Crowd, slot
from tests.clusters import wait_for

pytestmark = pytest.mark.long


async def on_thread(function, *args):
    """Do what blocks beside the loop."""
    return await asyncio.to_thread(function, *args)


async def master_killed(cluster, crowd):
    """Kill -9: its replica takes over, perhaps without the last writes."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    node.kill()
    await on_thread(cluster.owner, slot(crowd.showtimes[0]))


async def master_killed_and_back(cluster, crowd):
    """The same, and the old one comes back as a replica."""
    await master_killed(cluster, crowd)
    for node in cluster.nodes:
        if node.process.poll() is not None:
            await on_thread(node.start)
    await on_thread(cluster.wait_whole)


async def master_restarted_at_once(cluster, crowd):
    """Too quick for a failover: the same node with another run id and the data of its append-only file."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    node.kill()
    await on_thread(node.start)
    await on_thread(cluster.wait_whole)


async def master_frozen(cluster, crowd):
    """SIGSTOP for longer than the cluster waits: connections live, nobody answers; thawed it is a replica."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    node.freeze()
    other = await on_thread(_new_owner, cluster, slot(crowd.showtimes[0]), node)
    assert other is not node
    node.thaw()
    await on_thread(cluster.wait_whole)


def _new_owner(cluster, wanted, old):
    others = [node for node in cluster.nodes if node is not old]
    return wait_for(lambda: _owner_among(cluster, others, wanted), "another owner")


def _owner_among(cluster, nodes, wanted):
    for node in nodes:
        line = cluster._own_line(node)
        if "master" in line and any(cluster._has(words, wanted) for words in line.split()[8:]):
            return node
    return None


async def manual_failover(cluster, crowd):
    """CLUSTER FAILOVER: the master hands over with all it has."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    replica = cluster.replica_of(node)
    replica.client.execute_command("CLUSTER", "FAILOVER")
    await on_thread(wait_for, lambda: replica.is_master, "the handover")


async def takeover_by_a_stale_replica(cluster, crowd):
    """The replica has slept for a while when its master dies: it knows of none of the last sales."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    replica = cluster.replica_of(node)
    replica.freeze()
    for _ in range(20):
        await crowd.claim_again()
    node.kill()
    # What had already been sent to it must not be read: it is asked to take over before it looks.
    replica.client.close()
    replica.thaw()
    await on_thread(wait_for, lambda: _taken_over(replica), "the takeover")


def _taken_over(replica):
    if not replica.is_master:
        replica.client.execute_command("CLUSTER", "FAILOVER", "TAKEOVER")
    return replica.is_master


async def all_masters_killed(cluster, crowd):
    """A power cut: every node dies at once, and comes back with its append-only file."""
    for node in cluster.nodes:
        node.kill()
    for node in cluster.nodes:
        await on_thread(node.start)
    await on_thread(cluster.wait_whole)


async def master_emptied(cluster, crowd):
    """FLUSHALL on one node: the others sell on."""
    cluster.owner(slot(crowd.showtimes[0])).client.flushall()


async def scripts_forgotten(cluster, crowd):
    """SCRIPT FLUSH on all nodes, again and again."""
    for _ in range(20):
        for node in cluster.nodes:
            if node.is_master:
                node.client.script_flush()
        await asyncio.sleep(0.02)


async def connections_cut(cluster, crowd):
    """CLIENT KILL of everybody, on all nodes, again and again."""
    for _ in range(5):
        for node in cluster.nodes:
            node.client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await asyncio.sleep(0.1)


async def group_destroyed(cluster, crowd):
    """The consumer group of a partition is gone: facts are read again from the stream's beginning."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    node.client.xgroup_destroy(partition_key(partition_of(crowd.showtimes[0]), "facts"), "ledger")


async def bitmap_lost(cluster, crowd):
    """A key of a showtime is deleted: it is damaged, and loaded anew."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    node.client.delete(showtime_key(crowd.showtimes[0], "seats"))


async def memory_full(cluster, crowd):
    """One node is at maxmemory: its claims are refused, what was begun there ends."""
    node = cluster.owner(slot(crowd.showtimes[0]))
    node.client.config_set("maxmemory", "1mb")
    await asyncio.sleep(0.5)
    node.client.config_set("maxmemory", 0)


FAULTS = (
    master_killed,
    master_killed_and_back,
    master_restarted_at_once,
    master_frozen,
    manual_failover,
    takeover_by_a_stale_replica,
    all_masters_killed,
    master_emptied,
    scripts_forgotten,
    connections_cut,
    group_destroyed,
    bitmap_lost,
    memory_full,
)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
async def test_a_cluster_under_load(cluster, cluster_house, fault):
    """No seat is sold twice, all money finds its outcome, Redis and ledger agree, and every showtime sells again."""
    crowd = Crowd(cluster_house, cluster_house.showtimes)
    async with crowd.buying():
        for _ in range(10):
            await crowd.claim_again()
        await fault(cluster, crowd)
        await crowd.back()
    await crowd.check()
    crowd.tell(fault.__name__)


async def asked_for(sentinels):
    """SENTINEL FAILOVER: the replica is made master, the old one its replica."""
    await on_thread(sentinels.fail_over)


async def killed(sentinels):
    """Kill -9 of the master."""
    before = sentinels.master()
    before.kill()
    await on_thread(wait_for, lambda: sentinels._master() not in (None, before), "another master")


async def frozen(sentinels):
    """SIGSTOP of the master until another one is named; thawed it is told that it is a replica."""
    before = sentinels.master()
    before.freeze()
    await on_thread(_another_named, sentinels, before)
    before.thaw()


def _another_named(sentinels, before):
    first = sentinels.sentinels[0].client
    wait_for(lambda: first.sentinel_get_master_addr_by_name(sentinels.NAME)[1] != before.port, "another master")


async def without_a_sentinel(sentinels):
    """The first sentinel of the URL is dead, and then the master."""
    sentinels.sentinels[0].kill()
    await killed(sentinels)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", [asked_for, killed, frozen, without_a_sentinel], ids=lambda fault: fault.__name__)
async def test_sentinels_under_load(sentinels, sentinel_house, fault):
    """The lane and all else follow the master that the sentinels name; nothing is sold twice, and no money is lost."""
    crowd = Crowd(sentinel_house, sentinel_house.showtimes)
    async with crowd.buying(4):
        for _ in range(10):
            await crowd.claim_again()
        await fault(sentinels)
        await crowd.back()
    await crowd.check()
    crowd.tell(f"sentinel {fault.__name__}")

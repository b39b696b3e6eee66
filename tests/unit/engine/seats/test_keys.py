"""Keys: one hash tag per partition, placed evenly over the slots of a cluster."""

import asyncio
from binascii import crc_hqx

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.embedded.valkey import EmbeddedValkey
from engine.limits import CLUSTER_SLOTS, PARTITIONS, SHOWTIME_NUMBER_MAX
from engine.seats.keys import (
    PARTITION_KEYS,
    REQUEST_KEY,
    SHOWTIME_KEYS,
    partition_key,
    partition_of,
    partition_tags,
    script_keys,
    showtime_key,
)
from tests.conftest import find_redis

NAMES = (*SHOWTIME_KEYS, *PARTITION_KEYS, REQUEST_KEY)


def tag_of(key):
    """Give what a cluster hashes of a key."""
    return key[key.index("{") + 1 : key.index("}")]


def test_each_partition_lies_in_the_middle_of_its_share_of_the_slots():
    """Partition i has slot (i + 0.5) * 16384 / 64, so any equal split of the slots gets as many partitions."""
    slots = [crc_hqx(tag.encode(), 0) % CLUSTER_SLOTS for tag in partition_tags()]
    assert slots == [int((index + 0.5) * CLUSTER_SLOTS / PARTITIONS) for index in range(PARTITIONS)]
    assert len(set(partition_tags())) == PARTITIONS


async def test_a_cluster_agrees_about_the_slots(tmp_path):
    """A server in cluster mode computes the same slot for every partition's key."""
    server = EmbeddedValkey(tmp_path / "valkey", find_redis("valkey"))
    config = server._config
    server._config = lambda: config() + f"\ncluster-enabled yes\ncluster-config-file {tmp_path}/nodes.conf\n"
    await asyncio.to_thread(server.start)
    try:
        reader, writer = await asyncio.open_unix_connection(server.socket)
        for index in range(PARTITIONS):
            writer.write(f"CLUSTER KEYSLOT {partition_key(index, 'facts')}\r\n".encode())
            assert await reader.readline() == b":%d\r\n" % int((index + 0.5) * CLUSTER_SLOTS / PARTITIONS)
        writer.close()
    finally:
        await asyncio.to_thread(server.stop)


@given(st.integers(1, SHOWTIME_NUMBER_MAX), st.permutations(NAMES), st.text("0123456789abcdef", max_size=32))
def test_all_keys_of_a_showtime_share_its_partitions_tag(showtime, names, request_id):
    """One script may touch them all, the fact stream and the remembered request too."""
    keys = script_keys(tuple(names), showtime, request_id)
    tag = partition_tags()[partition_of(showtime)]
    assert {tag_of(key) for key in keys} == {tag}
    assert len(set(keys)) == len(names)
    by_name = dict(zip(names, keys, strict=True))
    assert by_name["seats"] == showtime_key(showtime, "seats") == f"sl{{{tag}}}:{showtime}:seats"
    assert by_name["facts"] == partition_key(partition_of(showtime), "facts") == f"sl{{{tag}}}:facts"
    assert by_name[REQUEST_KEY] == f"sl{{{tag}}}:{showtime}:request:{request_id}"


@given(st.lists(st.integers(1, SHOWTIME_NUMBER_MAX), min_size=2, max_size=50, unique=True))
def test_two_showtimes_share_no_key_of_their_own(showtimes):
    """Numbers never run into each other in the text of a key."""
    names = (*SHOWTIME_KEYS, REQUEST_KEY)
    keys = [key for showtime in showtimes for key in script_keys(names, showtime)]
    assert len(set(keys)) == len(keys)


def test_showtimes_spread_over_all_partitions():
    """Neighbouring numbers do not crowd one partition."""
    counts = [0] * PARTITIONS
    for showtime in range(1, 6_401):
        counts[partition_of(showtime)] += 1
    assert min(counts) > 50
    assert max(counts) < 200


def test_an_unknown_key_is_a_broken_contract():
    """Keys are only those of the tables."""
    with pytest.raises(AssertionError):
        showtime_key(42, "sold")
    with pytest.raises(AssertionError):
        partition_key(3, "sold")

"""Every Redis key, built here and nowhere else.

A partition is the unit of scale: all keys of a showtime and the fact stream of its partition share one
hash tag, so that one script can change seats and append the fact.
"""

from binascii import crc32, crc_hqx
from functools import cache
from itertools import product

from engine.limits import CLUSTER_SLOTS, PARTITIONS

SHOWTIME_KEYS = {
    "meta": (
        "hash: status, seats_count, policy, generation, seq, version, fence, next_lapse_ms; owner number -> packed "
        "hold; the 16 bytes of a subject -> packed bought count, lapses and holds "
        "(lua/include/formats.lua)"
    ),
    "seats": (
        "string: bitmaps sold, locked (lapsed holds included until they are taken over) and blocked, each in layout "
        "order with a sentinel bit after the last seat; then 4 bytes per seat: the owner number of the hold or sale "
        "that has it; 0 is nobody, 2^32-1 blocked"
    ),
    "deadlines": "sorted set: owner number by the hold's deadline in ms",
    "checkouts": "hash: owner number -> JSON text of the check-out: buyer and frozen prices; absent without any",
    "loading": "hash: nonce of the load in progress, and the customers it has brought so far; becomes meta",
}
"""Keys of one showtime: `sl{tag}:<number>:<name>`. All expire 24 h after the show."""

PARTITION_KEYS = {
    "facts": "stream: every fact of the partition's showtimes, read by the worker",
    "lapses": "sorted set: showtime by the earliest deadline of its holds; a hint for the worker's timer",
}
"""Keys of one partition: `sl{tag}:<name>`."""

CUSTOMER_KEY = "customer"
"""`sl{tag}:customer:<subject key in hex>`: sorted set: showtimes where the customer may have holds, by the ms until
when. A hint, written after a claim and proved on reading. It lies in a partition of the customer's own."""

LOGINS_KEY = "sl:logins"
"""`sl:logins:<digest of the e-mail>`: number: log-ins that failed lately; expires by itself."""

RENEWAL_KEY = "sl:renewal"
"""`sl:renewal:<family>`: which refresh token of a session was used last, and when; expires with the session."""

REQUEST_KEY = "request"
"""`sl{tag}:<number>:request:<id>`: the remembered success of one request; expires by itself."""

RATE_KEY = "rate"
"""`sl{tag}:rate:<lane>:<who>`: text, when that caller's bucket is empty again, in us; expires then by itself."""


@cache
def partition_tags() -> tuple[str, ...]:
    """Give the hash tag of each partition: the shortest text whose cluster slot is the middle of its share."""
    share = CLUSTER_SLOTS // PARTITIONS
    wanted = {index * share + share // 2: index for index in range(PARTITIONS)}
    found: dict[int, str] = {}
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    for length in range(1, 6):
        for letters in product(alphabet, repeat=length):
            tag = "".join(letters)
            index = wanted.get(crc_hqx(tag.encode(), 0) % CLUSTER_SLOTS)
            if index is not None and index not in found:
                found[index] = tag
                if len(found) == PARTITIONS:
                    return tuple(found[i] for i in range(PARTITIONS))
    raise AssertionError("no hash tag found for a partition")


def partition_of(showtime: int) -> int:
    """Give the partition, 0 to 63, of a showtime's number."""
    return crc32(b"%d" % showtime) % PARTITIONS


@cache
def _partitions_by_tag() -> dict[str, int]:
    return {tag: partition for partition, tag in enumerate(partition_tags())}


def partition_of_key(key: str) -> int:
    """Give the partition whose hash tag a key has."""
    return _partitions_by_tag()[key[key.index("{") + 1 : key.index("}")]]


def partition_key(partition: int, name: str) -> str:
    """Build a key of a partition; `name` is one of `PARTITION_KEYS`."""
    assert name in PARTITION_KEYS, name
    return f"sl{{{partition_tags()[partition]}}}:{name}"


def showtime_prefix(showtime: int) -> str:
    """Give what all keys of a showtime begin with, e.g. `sl{a7}:42:`."""
    return f"sl{{{partition_tags()[partition_of(showtime)]}}}:{showtime}:"


def showtime_key(showtime: int, name: str) -> str:
    """Build a key of a showtime; `name` is one of `SHOWTIME_KEYS`."""
    assert name in SHOWTIME_KEYS, name
    return showtime_prefix(showtime) + name


def customer_partition(subject_key: bytes) -> int:
    """Give the partition, 0 to 63, of what is kept for a customer across showtimes."""
    return crc32(subject_key) % PARTITIONS


def customer_key(subject_key: bytes) -> str:
    """Build the key of a customer's showtimes; `subject_key` is that of `ids.subject_key`."""
    return f"sl{{{partition_tags()[customer_partition(subject_key)]}}}:{CUSTOMER_KEY}:{subject_key.hex()}"


def logins_key(digest: str) -> str:
    """Build the key that counts failed log-ins of one e-mail."""
    return f"{LOGINS_KEY}:{digest}"


def renewal_key(family: str) -> str:
    """Build the key of a session's refresh tokens."""
    return f"{RENEWAL_KEY}:{family}"


def rate_key(lane: str, who: str) -> str:
    """Build the key of one caller's bucket; callers are spread over the partitions."""
    return f"sl{{{partition_tags()[crc32(who.encode()) % PARTITIONS]}}}:{RATE_KEY}:{lane}:{who}"


def script_keys(names: tuple[str, ...], showtime: int, request: str = "") -> tuple[str, ...]:
    """Build the keys that a script's header names, in its order.

    Args:
        names: words of `SHOWTIME_KEYS`, `PARTITION_KEYS` or `request`.
        showtime: the showtime's number.
        request: the request id that `request` stands for; empty when the call is not remembered.
    """
    prefix = showtime_prefix(showtime)
    partition_prefix = prefix[: prefix.index("}") + 2]
    return tuple(
        f"{prefix}{REQUEST_KEY}:{request}"
        if name == REQUEST_KEY
        else (partition_prefix if name in PARTITION_KEYS else prefix) + name
        for name in names
    )

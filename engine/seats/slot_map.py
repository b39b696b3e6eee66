"""Which node of a cluster has which hash slot, and what one says that is asked for a slot that it does not have."""

from binascii import crc_hqx
from bisect import bisect_right
from typing import Any, Literal, NamedTuple

from engine.errors import Unavailable
from engine.limits import CLUSTER_SLOTS, PARTITIONS


class Node(NamedTuple):
    """Where a node can be reached, as the cluster says."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


Kind = Literal["moved", "ask", "try_again"]
_KINDS: dict[str, Kind] = {"MOVED": "moved", "ASK": "ask", "TRYAGAIN": "try_again"}
REDIRECTS = frozenset(_KINDS)


class Redirected(Unavailable):
    """What was asked for lies elsewhere, or is on its way there: nothing was done.

    Attributes:
        kind: `moved`: another node has the slot; `ask`: keys of it are on their way to `node`; `try_again`: some are
            here and some are there.
        node: who has it, or gets it; None for `try_again`.
    """

    def __init__(self, kind: Kind, node: Node | None = None) -> None:
        super().__init__("redis_unavailable", "these seats move to another node of the cluster")
        self.kind = kind
        self.node = node


def redirect_of(word: str, text: str, asked: str) -> Redirected:
    """Read an error whose first word is one of `REDIRECTS`; `asked` is the host that gave it."""
    if word == "TRYAGAIN":
        return Redirected("try_again")
    host, _, port = text.split(" ")[2].rpartition(":")
    return Redirected(_KINDS[word], Node(host or asked, int(port)))


def slot_of(key: bytes | str) -> int:
    """Give the hash slot of a key: that of what stands in its braces."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    end = name.find(b"}", start + 1)
    if start >= 0 and end > start + 1:
        name = name[start + 1 : end]
    return crc_hqx(name, 0) % CLUSTER_SLOTS


def slot_of_partition(partition: int) -> int:
    """Give the slot of a partition: the middle of its share."""
    return partition * (CLUSTER_SLOTS // PARTITIONS) + CLUSTER_SLOTS // PARTITIONS // 2


class SlotMap:
    """Who has which slots. Reads the answer of CLUSTER SLOTS as every version gives it."""

    def __init__(self) -> None:
        self._firsts: list[int] = []
        self._ranges: list[tuple[int, Node]] = []
        self._moved: dict[int, Node] = {}
        self.others: tuple[Node, ...] = ()
        """Nodes without slots of their own: replicas."""

    def read(self, answer: list[Any], asked: str) -> None:
        """Take over what a node says; `asked` is its host, which it may leave out."""
        found, others = [], dict[Node, None]()
        for first, last, owner, *replicas in answer:
            if (node := _node(owner, asked)) is not None:
                found.append((int(first), int(last), node))
            others |= dict.fromkeys(other for replica in replicas if (other := _node(replica, asked)))
        found.sort()
        self._moved.clear()
        self._firsts = [first for first, _, _ in found]
        self._ranges = [(last, node) for _, last, node in found]
        self.others = tuple(others)

    def node_of(self, slot: int) -> Node | None:
        """Give who has a slot; None if nobody is known to have it."""
        if (node := self._moved.get(slot)) is not None:
            return node
        at = bisect_right(self._firsts, slot) - 1
        if at < 0 or self._ranges[at][0] < slot:
            return None
        return self._ranges[at][1]

    def move(self, slot: int, node: Node) -> None:
        """Note that a node has said MOVED: it knows better than whoever gave the map."""
        self._moved[slot] = node

    def nodes(self) -> list[Node]:
        """Give all nodes that have slots, each once."""
        return list(dict.fromkeys((*(node for _, node in self._ranges), *self._moved.values())))


def _node(words: list[Any], asked: str) -> Node | None:
    host = words[0].decode() if isinstance(words[0], bytes) else words[0]
    return None if host == "?" else Node(host or asked, int(words[1]))

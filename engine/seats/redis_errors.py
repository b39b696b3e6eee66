"""What Redis answers with an error, reduced to its first word, and which of these mean "nothing happened"."""

import re

DEFINITE = frozenset(
    {
        "BUSY",
        "CLUSTERDOWN",
        "LOADING",
        "MASTERDOWN",
        "MISCONF",
        "MOVED",
        "NOAUTH",
        "NOREPLICAS",
        "NOSCRIPT",
        "OOM",
        "READONLY",
        "TRYAGAIN",
    }
)
"""Redis refuses with these before a script starts or at its first write, so nothing was changed."""

DEMOTED = frozenset({"MASTERDOWN", "READONLY"})
"""The node is no master any more: whoever talks to it has to look again who it is."""

_WRAPPED = re.compile(r"ERR Error running script \(call to f_[0-9a-f]{40}\): (?:@user_script: ?\d+: )+-?")
"""Redis 6.2 puts this before an error that a script met; later servers append their note instead."""


class RedisError(RuntimeError):
    """Redis answered an error that no rule of ours explains; whether something was written is unknown.

    Attributes:
        word: the first word of the error as newer servers give it, e.g. `WRONGTYPE`, `ERR`.
    """

    code = "redis_error"

    def __init__(self, text: str) -> None:
        super().__init__(text)
        inner = _WRAPPED.sub("", text, count=1)
        self.word = inner.partition(" ")[0]

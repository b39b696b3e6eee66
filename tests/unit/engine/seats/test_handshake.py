"""What a Redis must say of itself to be used."""

import pytest

from engine.errors import Unavailable
from engine.seats.handshake import parse_info, require_usable

INFO = b"# Memory\r\nmaxmemory_policy:noeviction\r\n\r\n# Persistence\r\nloading:0\r\n# Replication\r\nrole:master\r\n"


def test_a_master_that_evicts_nothing_is_used():
    """Lines of name and value, headings and blank lines left out."""
    info = parse_info(INFO)
    assert info == {"maxmemory_policy": "noeviction", "loading": "0", "role": "master"}
    require_usable(info)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"maxmemory_policy": "volatile-lru"}, "set it to noeviction"),
        ({"loading": "1"}, "still loading"),
        ({"role": "slave"}, "replica"),
    ],
)
def test_any_other_is_refused_with_the_reason(change, reason):
    """Nothing is sent to it, and the reason says what to do."""
    with pytest.raises(Unavailable, match=reason) as caught:
        require_usable(parse_info(INFO) | change)
    assert caught.value.outcome == "definite"

"""Which lane an endpoint is in, and whose bucket pays."""

import pytest

from api.auth import Access
from api.rate_limits import UNLIMITED, RateLimits, lane_of
from api.routes import ENDPOINTS
from engine.errors import CommandError
from engine.settings import Settings

OPERATORS = (Access.STAFF, Access.MANAGER, Access.ADMIN)


def test_every_endpoint_has_a_lane_but_money_and_probes():
    """What changes anything is selling, unless it is an operator's or about an account."""
    lanes = {(line.method, line.path): lane_of(line.method, line.path, line.access) for line in ENDPOINTS}
    assert {path for (_, path), lane in lanes.items() if lane is None} == UNLIMITED
    assert lanes["POST", "/showtimes/{showtime:int}/holds"] == "selling"
    assert lanes["DELETE", "/holds/{hold}"] == "selling"
    assert lanes["POST", "/bookings/{booking}/payments"] == "selling"
    assert lanes["GET", "/showtimes/{showtime:int}/seats"] == "reading"
    assert lanes["POST", "/auth/guest"] == "accounts"
    assert lanes["POST", "/bookings/lookup"] == "accounts"
    for line in ENDPOINTS:
        assert (lanes[line.method, line.path] == "reports") == (line.access in OPERATORS), line.path


def address(peer, *forwarded, trusted="10.0.0.0/8, 2001:db8:ff::1"):
    """Give the client's address of a request from `peer` with these X-Forwarded-For headers."""
    limits = RateLimits(Settings(trusted_proxies=trusted), None)
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return limits.client_address({"client": (peer, 1234) if peer else None, "headers": headers})


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),
        ("10.0.0.5", ("198.51.100.1",), "198.51.100.1"),
        ("10.0.0.5", ("6.6.6.6, 198.51.100.1",), "198.51.100.1"),
        ("10.0.0.5", ("6.6.6.6, 198.51.100.1, 10.0.0.9",), "198.51.100.1"),
        ("10.0.0.5", ("6.6.6.6", "198.51.100.1"), "198.51.100.1"),
        ("10.0.0.5", ("10.0.0.7",), "10.0.0.7"),
        ("10.0.0.5", ("garbage",), "10.0.0.5"),
        ("10.0.0.5", ("198.51.100.1, garbage",), "10.0.0.5"),
        ("10.0.0.5", (), "10.0.0.5"),
        ("2001:db8:ff::1", ("2001:db8:1:2:3::4",), "2001:db8:1:2::"),
        ("::ffff:203.0.113.7", (), "203.0.113.7"),
        (None, ("198.51.100.1",), ""),
    ],
)
def test_the_client_is_whom_the_first_trusted_proxy_saw(peer, forwarded, expected):
    """What a client writes into the header itself is never believed; an IPv6 client is its network."""
    assert address(peer, *forwarded) == expected


def test_by_default_no_proxy_is_trusted():
    """Not even one on this machine."""
    assert address("127.0.0.1", "198.51.100.1", trusted="") == "127.0.0.1"


def test_what_is_no_network_stops_the_start():
    """A mistyped proxy would put all customers into one bucket."""
    with pytest.raises(CommandError, match="SEATLOCK_TRUSTED_PROXIES"):
        RateLimits(Settings(trusted_proxies="10.0.0.0/33"), None)

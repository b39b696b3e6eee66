"""Sockets and addresses."""

import socket

import pytest

from engine.errors import CommandError
from engine.listening import free_port, listen, local_url


def test_a_free_port_is_found():
    """Port 0 takes a free one, which can be listened on afterwards."""
    port = free_port("127.0.0.1", 0)
    with listen("127.0.0.1", port) as server:
        assert server.getsockname() == ("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("192.0.2.1", "cannot listen on 192.0.2.1:8000: Cannot assign requested address"),
        ("no such host", "cannot listen on no such host: "),
    ],
)
def test_an_address_that_is_not_ours_is_refused_in_one_line(host, line):
    """The line names the address."""
    with pytest.raises(CommandError, match=line):
        listen(host, 8000)


def test_a_port_in_use_is_refused_with_what_to_do():
    """The line names the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(CommandError, match=f"127.0.0.1:{port}: Address already in use; set SEATLOCK_PORT"):
            free_port("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("::1", "http://[::1]:8000"),
        ("tickets.example", "http://tickets.example:8000"),
    ],
)
def test_addresses_can_be_typed_into_a_browser(host, url):
    """An address that means everywhere is called by one that leads here."""
    assert local_url(host, 8000) == url

"""Sockets to serve on, and addresses as people type them."""

import errno
import socket

from engine.errors import CommandError

BACKLOG = 2_048
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - read, not bound
"""What to call from this machine when a server listens everywhere."""


def listen(host: str, port: int) -> socket.socket:
    """Open a listening TCP socket; port 0 takes a free one.

    Raises:
        CommandError: the port is in use, not allowed, or the host is not an address of this machine.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        server = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CommandError(f"cannot listen on {host}: {error.strerror}") from None
    try:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(address)
        server.listen(BACKLOG)
    except OSError as error:
        server.close()
        hint = "; set SEATLOCK_PORT to another one" if error.errno == errno.EADDRINUSE else ""
        raise CommandError(f"cannot listen on {host}:{port}: {error.strerror}{hint}") from None
    return server


def free_port(host: str, port: int) -> int:
    """Give `port` if it can be listened on, for 0 any free one.

    Raises:
        CommandError: as `listen`.
    """
    with listen(host, port) as server:
        found: int = server.getsockname()[1]
        return found


def local_url(host: str, port: int) -> str:
    """Give the address by which this machine reaches a server on that host and port."""
    host = ANY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

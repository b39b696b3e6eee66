"""Ports for servers that a test starts."""

import random
import socket

LOWEST, BEYOND = 20_000, 32_000
"""Below those that the kernel gives to outgoing connections: nobody takes one between our look and the server's."""


def is_free(port):
    """Say whether a port can be listened on."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port():
    """Give a port that is free."""
    while not is_free(port := random.randrange(LOWEST, BEYOND)):
        pass
    return port

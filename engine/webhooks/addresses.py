"""Where webhooks may go: to https at public addresses only, looked at again at every connection.

A name may lead to one address when it is checked and to another when it is called, and 127.0.0.1 is written in many
ways. So the name is resolved here, by the system that would resolve it for the connection, every address it has is
judged, and the connection goes to one of these addresses (`sending.py`).
"""

import asyncio
import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx

from engine.errors import InvalidInput
from engine.limits import NAME_LOOKUP_TIMEOUT_S, NAME_LOOKUPS_AT_ONCE_MAX, PORT_MAX

PORTS = {"https": 443, "http": 80}
UNICAST_V6 = ipaddress.ip_network("2000::/3")
"""Elsewhere in IPv6 are private, local and mapped addresses, and what nobody has yet."""
SPECIAL = tuple(map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")))
"""Of protocols, of relays, and of Azure's inner server; Python takes (some of) them for public."""


class PrivateAddress(OSError):
    """The name leads to an address that is not public."""


class Addresses:
    """Finds the addresses of endpoints.

    Args:
        private: whether private addresses and plain http are allowed, as in development.
    """

    def __init__(self, *, private: bool) -> None:
        self._private = private
        # Threads of its own: a name server that hangs must not hold up what else the process does in threads.
        self._threads = ThreadPoolExecutor(NAME_LOOKUPS_AT_ONCE_MAX, "names")

    async def check_url(self, url: str) -> None:
        """Accept the URL of an endpoint as it is now.

        Raises:
            InvalidInput: it is no URL that webhooks may go to; says why.
        """
        try:
            parts = httpx.URL(url)
            host = parts.host  # is decoded here, and may not be what it says it is: xn--
        except (httpx.InvalidURL, ValueError):
            raise _wrong("is no URL") from None
        if parts.scheme not in (PORTS if self._private else ("https",)):
            raise _wrong("must begin with https://")
        if parts.port is not None and not 1 <= parts.port <= PORT_MAX:
            raise _wrong(f"must have a port from 1 to {PORT_MAX}, or none")
        if not host or parts.userinfo or parts.fragment:
            raise _wrong("must have a host, and neither a user nor a fragment")
        if self._private:
            return
        try:
            await self.find(parts)
        except PrivateAddress:
            raise _wrong("leads to an address that is not public") from None
        except (OSError, UnicodeError):
            raise _wrong("has a host that cannot be found") from None

    async def find(self, url: httpx.URL) -> list[str]:
        """Give the addresses of a URL's host, all of them allowed.

        Raises:
            PrivateAddress: one of them is not.
            OSError: there is none, or the name server does not answer in time.
        """
        host, port = url.raw_host.decode("ascii"), url.port or PORTS[url.scheme]
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(NAME_LOOKUP_TIMEOUT_S):
                found = await loop.run_in_executor(self._threads, _look_up, host, port)
        except TimeoutError:
            raise OSError("the host's name was not found in time") from None
        if not self._private and not all(map(is_public, found)):
            raise PrivateAddress("the host leads to an address that is not public")
        return found

    def close(self) -> None:
        """Let go of the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def is_public(address: str) -> bool:
    """Say whether an address is somebody's on the Internet; what only stands for another address is not."""
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address) and (ip not in UNICAST_V6 or ip.sixtofour or ip.teredo):
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in SPECIAL)


def _look_up(host: str, port: int) -> list[str]:
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(row[4][0]) for row in rows))


def _wrong(detail: str) -> InvalidInput:
    return InvalidInput("/url", detail)

"""Where Redis is: a URL, read once, and how a connection to it is opened."""

import asyncio
import ssl
from collections.abc import Callable
from copy import copy
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from redis.asyncio.connection import parse_url

from engine.errors import CommandError

P = TypeVar("P", bound=asyncio.Protocol)

SENTINEL_PORT = 26379

_CERT_REQS = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}


class Address:
    """One Redis server as a URL names it: `redis://`, `rediss://` (TLS) or `unix://`.

    The URL means what it means to redis-py, whose parser reads it: user, password, `/3` or `?db=3`,
    and for TLS `ssl_ca_certs, ssl_certfile, ssl_keyfile, ssl_cert_reqs, ssl_check_hostname`.

    Raises:
        CommandError: no such URL; the text holds no password.
    """

    def __init__(self, url: str) -> None:
        try:
            options: dict[str, Any] = dict(parse_url(url))
        except ValueError as error:
            raise CommandError(f"SEATLOCK_REDIS_URL: {error}") from None
        self.host: str = options.get("host", "localhost")
        self.port: int = options.get("port", 6379)
        self._path: str | None = options.get("path")
        self._tls = _tls_context(options) if url.startswith("rediss://") else None
        self.database: int = options.get("db", 0)
        self._username: str | None = options.get("username")
        self._password: str | None = options.get("password")

    def __str__(self) -> str:
        return self._path or f"{self.host}:{self.port}"

    def elsewhere(self, host: str, port: int) -> "Address":
        """Give the address of another server with the same users and the same TLS."""
        there = copy(self)
        there.host, there.port = host, port
        return there

    def credentials(self) -> tuple[str, ...]:
        """Give the arguments of AUTH; empty where the URL names no password."""
        if self._password is None:
            return ()
        return (self._username, self._password) if self._username else (self._password,)

    async def connect(self, protocol: Callable[[], P]) -> P:
        """Open a connection to whoever serves here.

        Raises:
            OSError: nobody answers there, or TLS refuses the other side.
        """
        return await self.open(protocol)

    async def open(self, protocol: Callable[[], P]) -> P:
        """Open a connection to this very server; see `connect`."""
        loop = asyncio.get_running_loop()
        if self._path is not None:
            _, connected = await loop.create_unix_connection(protocol, self._path)
        else:
            _, connected = await loop.create_connection(protocol, self.host, self.port, ssl=self._tls)
        return connected


class SentinelUrl:
    """What `redis+sentinel://user:pass@host:26379,host:26379/mymaster/0` says; user and password are those of Redis.

    The sentinels' own are given as `?sentinel_username=...&sentinel_password=...`. `rediss+sentinel` is TLS to all.

    Attributes:
        name: of the master.
        places: where the sentinels are.
        options: for connections to them.
        redis_url: of the master, but for host and port.

    Raises:
        CommandError: it is no such URL.
    """

    def __init__(self, url: str) -> None:
        urls, path = _spread(url, SENTINEL_PORT)
        self.name, _, database = path.strip("/").partition("/")
        if not self.name or not (database or "0").isdecimal():
            raise CommandError("SEATLOCK_REDIS_URL: sentinels need a name: redis+sentinel://host:26379/mymaster/0")
        self.places = [(one.host, one.port) for one in map(Address, urls)]
        split = urlsplit(urls[0])
        words = dict(parse_qsl(split.query))
        own = {name: words.pop(name) for name in ("sentinel_username", "sentinel_password") if name in words}
        self.options: dict[str, Any] = {name.removeprefix("sentinel_"): value for name, value in own.items()}
        if split.scheme == "rediss":
            self.options |= {"ssl": True} | {name: value for name, value in words.items() if name.startswith("ssl_")}
        self.redis_url = split._replace(path=f"/{database or 0}", query=urlencode(words)).geturl()


def url_at(url: str, host: str, port: int) -> str:
    """Give the URL of another server with the same users and options."""
    split = urlsplit(url)
    user, at, _ = split.netloc.rpartition("@")
    return split._replace(netloc=f"{user}{at}[{host}]:{port}" if ":" in host else f"{user}{at}{host}:{port}").geturl()


def cluster_seeds(url: str) -> list[str]:
    """Give a URL for each node that `redis+cluster://user:pass@host:port,host:port` names.

    Raises:
        CommandError: it is no such URL.
    """
    urls, path = _spread(url, 6379)
    if path not in ("", "/", "/0"):
        raise CommandError("SEATLOCK_REDIS_URL: a cluster has database 0 only")
    return urls


def _spread(url: str, port: int) -> tuple[list[str], str]:
    """Give a URL of its own for each host of a list, and the path."""
    split = urlsplit(url)
    scheme = split.scheme.partition("+")[0]
    user, at, hosts = split.netloc.rpartition("@")
    found = [host.strip() for host in hosts.split(",")]
    if not all(found):
        raise CommandError("SEATLOCK_REDIS_URL: hosts are separated by one comma, and none is empty")
    urls = []
    for host in found:
        named = host if host.rpartition(":")[2].isdecimal() and not host.endswith("]") else f"{host}:{port}"
        urls.append(split._replace(scheme=scheme, netloc=f"{user}{at}{named}", path="").geturl())
        Address(urls[-1])
    return urls, split.path


def _tls_context(options: dict[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"), capath=options.get("ssl_ca_path"))
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    requirement = _CERT_REQS[str(options.get("ssl_cert_reqs", "required"))]
    if requirement is ssl.CERT_NONE or str(options.get("ssl_check_hostname", "true")).lower() in ("false", "0", "no"):
        context.check_hostname = False
    context.verify_mode = requirement
    if options.get("ssl_certfile"):
        context.load_cert_chain(
            options["ssl_certfile"], options.get("ssl_keyfile"), options.get("ssl_keyfile_password")
        )
    return context

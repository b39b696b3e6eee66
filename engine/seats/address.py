"""Where Redis is: a URL, read once, and how a connection to it is opened."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

from redis.asyncio.connection import parse_url

from engine.errors import CommandError

P = TypeVar("P", bound=asyncio.Protocol)

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
        self._host: str = options.get("host", "localhost")
        self._port: int = options.get("port", 6379)
        self._path: str | None = options.get("path")
        self._tls = _tls_context(options) if url.startswith("rediss://") else None
        self.database: int = options.get("db", 0)
        self._username: str | None = options.get("username")
        self._password: str | None = options.get("password")

    def __str__(self) -> str:
        return self._path or f"{self._host}:{self._port}"

    def credentials(self) -> tuple[str, ...]:
        """Give the arguments of AUTH; empty where the URL names no password."""
        if self._password is None:
            return ()
        return (self._username, self._password) if self._username else (self._password,)

    async def connect(self, protocol: Callable[[], P]) -> P:
        """Open a connection.

        Raises:
            OSError: nobody answers there, or TLS refuses the other side.
        """
        loop = asyncio.get_running_loop()
        if self._path is not None:
            _, connected = await loop.create_unix_connection(protocol, self._path)
        else:
            _, connected = await loop.create_connection(protocol, self._host, self._port, ssl=self._tls)
        return connected


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

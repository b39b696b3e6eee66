"""One POST to one endpoint: to a checked address, within a time, without redirects; of the answer only a beginning.

The address that was checked is the one that is called: the request goes to it by number, and carries the host's name
in `Host` and in TLS, where the certificate is verified against it.
"""

import asyncio
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import cache

import httpx
import msgspec

from engine.ledger.database import storable
from engine.limits import (
    ADDRESSES_TRIED_MAX,
    DELIVERY_ANSWER_MAX_BYTES,
    DELIVERY_ANSWER_TIMEOUT_S,
    DELIVERY_ERROR_LENGTH_MAX,
    DELIVERY_TIMEOUT_S,
)
from engine.webhooks.addresses import Addresses
from engine.webhooks.pauses import read_retry_after

HEADERS = {"Content-Type": "application/json", "User-Agent": "seatlock", "Accept-Encoding": "identity"}

TIMEOUT = httpx.Timeout(DELIVERY_TIMEOUT_S, connect=DELIVERY_TIMEOUT_S / ADDRESSES_TRIED_MAX)


@cache
def _trusted() -> ssl.SSLContext:
    """Give whose certificates are believed; read once, when it is first needed."""
    return httpx.create_ssl_context()


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an attempt: a status and how the answer begins, or an error."""

    status_code: int | None = None
    text: str | None = None
    error: str | None = None
    retry_after_ms: int | None = None
    duration_ms: int = 0

    @property
    def taken(self) -> bool:
        """Whether the endpoint has the event."""
        return self.status_code is not None and 200 <= self.status_code < 300


class CheckedTransport(httpx.AsyncBaseTransport):
    """Connects to addresses that `Addresses` has judged, and to nothing else.

    One for each request: no connection is used twice, for another name may live at the same address.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._wire = httpx.AsyncHTTPTransport(verify=_trusted(), trust_env=False)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request to the first address that takes a connection."""
        found = await self._addresses.find(request.url)
        failure: httpx.TransportError = httpx.ConnectError("the host has no address")
        for address in found[:ADDRESSES_TRIED_MAX]:
            try:
                return await self._wire.handle_async_request(_readdressed(request, address))
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failure = error
        raise failure

    async def aclose(self) -> None:
        """Close what is open."""
        await self._wire.aclose()


def _readdressed(request: httpx.Request, address: str) -> httpx.Request:
    """Give the same request to an address by number; `Host` stays."""
    return httpx.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")},
    )


class Sender:
    """Sends signed bodies.

    Args:
        addresses: says where they may go.
    """

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a body once; whatever goes wrong is an answer with an error."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(DELIVERY_TIMEOUT_S):
                answer = await self._post(url, headers, body)
        except TimeoutError:
            answer = Answer(error=f"no answer within {DELIVERY_TIMEOUT_S} s")
        except Exception as error:  # noqa: BLE001 (a stranger's server, name or certificate may be wrong in any way)
            answer = Answer(error=storable(f"{type(error).__name__}: {error}"[:DELIVERY_ERROR_LENGTH_MAX]))
        return msgspec.structs.replace(answer, duration_ms=round((time.monotonic() - begun) * 1000))

    async def _post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        async with (
            httpx.AsyncClient(transport=CheckedTransport(self._addresses), timeout=TIMEOUT, trust_env=False) as client,
            client.stream("POST", url, content=body, headers={**HEADERS, **headers}) as answer,
        ):
            read = b""
            # The status has said it all; what is written beside it is for people, and may be missing.
            with suppress(TimeoutError, httpx.HTTPError):
                async with asyncio.timeout(DELIVERY_ANSWER_TIMEOUT_S):
                    async for part in answer.aiter_raw():
                        read += part
                        if len(read) >= DELIVERY_ANSWER_MAX_BYTES:
                            break
        text = storable(read[:DELIVERY_ANSWER_MAX_BYTES].decode("utf-8", "replace"))
        return Answer(status_code=answer.status_code, text=text, retry_after_ms=read_retry_after(answer.headers))

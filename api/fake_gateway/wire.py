"""Reading what was sent to the fake gateway, and who may send it."""

import asyncio
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.fake_gateway.faults import Faults
from engine.limits import BODY_MAX_BYTES, SECOND_MS
from engine.orders.gateways.signatures import SIGNATURE_HEADER, verify


class TooLargeError(Exception):
    """The body is larger than anything that is meant for us."""


class Guard:
    """Knows who holds our secret.

    Args:
        secrets: several while they are being changed; one that fits is enough.
        clock: Unix time in ms.
    """

    def __init__(self, secrets: tuple[str, ...], clock: Callable[[], int]) -> None:
        self._secrets = secrets
        self._clock = clock

    async def read_body(self, request: Request) -> bytes:
        """Read a body that only the holder of our secret can have sent.

        Raises:
            Refusal: `bad_signature`, `stale_signature`.
            TooLargeError: it is too large.
        """
        body = await read_body(request)
        self._verify(request, body)
        return body

    def check_target(self, request: Request) -> None:
        """Let a reading request pass only if its path and query are signed.

        Raises:
            Refusal: `bad_signature`, `stale_signature`.
        """
        query = request.scope["query_string"]
        self._verify(request, request.scope["path"].encode() + (b"?" + query if query else b""))

    def _verify(self, request: Request, signed: bytes) -> None:
        verify(self._secrets, request.headers.get(SIGNATURE_HEADER), signed, self._clock() / SECOND_MS)


async def read_body(request: Request) -> bytes:
    """Read a body of bounded size."""
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > BODY_MAX_BYTES:
            raise TooLargeError
    return bytes(chunks)


def json_answer(answer: object, status: int) -> Response:
    """Answer in JSON."""
    return Response(msgspec.json.encode(answer), status, media_type="application/json")


async def hang(faults: Faults) -> Response:
    """Give no answer for longer than anybody waits, then one that says nothing."""
    await asyncio.sleep(faults.hang_ms / SECOND_MS)
    return Response(status_code=504)

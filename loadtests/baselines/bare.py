"""The limit: a bare ASGI callable that decodes the body of a claim and answers, under the same server.

uvicorn loadtests.baselines.bare:app --port 8000 --no-access-log --http api.http_protocol:GuardedProtocol
"""

from typing import Any

import msgspec


class Claim(msgspec.Struct):
    """What a claim says."""

    seats: list[str] = []


class Hold(msgspec.Struct):
    """As much as an answer must say."""

    id: str
    seats: list[str]
    status: str


_decode = msgspec.json.Decoder(Claim).decode
_encode = msgspec.json.Encoder().encode


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Decode the body, answer 201; anything that is no request is done with at once."""
    if scope["type"] == "lifespan":
        for _ in ("startup", "shutdown"):
            message = await receive()
            await send({"type": f"{message['type']}.complete"})
        return
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    claim = _decode(body or b"{}")
    answer = _encode(Hold("01a1fe7f-ec49-7010-8000-040000000013", claim.seats, "HELD"))
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    await send({"type": "http.response.body", "body": answer})

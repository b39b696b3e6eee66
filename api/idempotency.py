"""`Idempotency-Key`: what makes two requests the same one, for the scripts and tables that remember successes."""

import hashlib
from collections.abc import Mapping

import msgspec
from starlette.requests import Request

from api.wire import invalid_parameter
from engine.limits import IDEMPOTENCY_KEY_LENGTH_MAX
from engine.seats.records import Request as EngineRequest

REPLAYED: Mapping[str, str] = {"Idempotency-Replayed": "true"}
"""The header of an answer that was given before."""


def request_digest(request: Request, subject: str) -> str | None:
    """Give the id under which this request's success is remembered: subject, route and key; None without a key.

    Raises:
        InvalidInput: the key is empty, too long, or not printable ASCII.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return None
    if not (key.isascii() and key.isprintable() and 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX):
        raise invalid_parameter(
            "Idempotency-Key", f"Expected 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters."
        )
    return _digest(f"{subject}\n{request.method} {request.url.path}\n{key}".encode())


def engine_request(request: Request, subject: str, body: msgspec.Struct | None = None) -> EngineRequest | None:
    """Give the seat engine what it needs to remember this request; None without a key.

    Args:
        request: carries the key and the route.
        subject: who asks; the same key of somebody else is another request.
        body: the decoded body: two texts that mean the same are the same request.

    Raises:
        InvalidInput: the key is malformed.
    """
    digest = request_digest(request, subject)
    if digest is None:
        return None
    return EngineRequest(id=digest, fingerprint=_digest(b"" if body is None else msgspec.json.encode(body)))


def _digest(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=16).hexdigest()

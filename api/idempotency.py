"""`Idempotency-Key`: what makes two requests the same one, for the scripts and tables that remember successes.

| POST | a repeat with the same key |
|---|---|
| holds, extend, bookings | the first answer, from the showtime's keys in Redis: gone with the hold, if Redis is lost |
| payments, cancel, register, everything of operators | the first answer, from the ledger, for 24 hours |
| login, guest, refresh | new tokens, for none is kept; a refresh token may be used again for a moment |
| webhook | no key is looked at: the gateway's own event id makes a repeat harmless, for ever |
"""

import hashlib
from collections.abc import Mapping

import msgspec
from starlette.requests import Request

from api.cors import header, is_repeated
from api.wire import invalid_parameter
from engine.limits import IDEMPOTENCY_KEY_LENGTH_MAX
from engine.seats.records import Request as EngineRequest

REPLAYED: Mapping[str, str] = {"Idempotency-Replayed": "true"}
"""The header of an answer that was given before."""


def request_digest(request: Request, subject: str) -> str | None:
    """Give the id under which this request's success is remembered: subject, route and key; None without a key.

    Raises:
        InvalidInput: as in `read_key`.
    """
    key = read_key(request)
    if key is None:
        return None
    # The scope's own path: `request.url` would put a whole URL together and take it apart again, at every claim.
    return _digest(f"{subject}\n{request.scope['method']} {request.scope['path']}\n{key}".encode())


def read_key(request: Request) -> str | None:
    """Give the key, in or out of quotes; None without one. Endpoints that keep nothing call it for its refusals.

    Raises:
        InvalidInput: there is more than one, or it is empty, too long, or not printable ASCII.
    """
    raw = header(request.scope, b"idempotency-key")
    if raw is None:
        return None
    key = raw.decode("latin-1")
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    one = not is_repeated(request.scope, b"idempotency-key")
    if not (one and key.isascii() and key.isprintable() and 1 <= len(key) <= IDEMPOTENCY_KEY_LENGTH_MAX):
        raise invalid_parameter(
            "Idempotency-Key", f"Expected one key of 1 to {IDEMPOTENCY_KEY_LENGTH_MAX} printable ASCII characters."
        )
    return key


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

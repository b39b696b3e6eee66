"""Public keys of an outside issuer, read from its JWKS: kept, renewed beside the requests, used on while it is away.

A key serves one algorithm, which follows from its kind and not from any token: so no token can choose how it is judged.
"""

import asyncio
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import jwt
import msgspec
import structlog

from engine.limits import (
    JWKS_BYTES_MAX,
    JWKS_FETCH_MIN_MS,
    JWKS_KEYS_MAX,
    JWKS_REFRESH_MS,
    JWKS_TIMEOUT_S,
    RSA_KEY_BITS_MIN,
    SECOND_MS,
)

log = structlog.get_logger()

ALGORITHMS: Mapping[tuple[str, str], str] = {
    ("RSA", ""): "RS256",
    ("EC", "P-256"): "ES256",
    ("OKP", "Ed25519"): "EdDSA",
}
"""(kind, curve) of a key -> the only algorithm that it verifies. Secrets (`oct`) are no keys of ours."""


class Document(msgspec.Struct):
    """A JWKS document."""

    keys: list[dict[str, Any]]


class KeySet:
    """The keys behind one URL.

    Args:
        url: `https://`, `http://`, or `file://` with an absolute path.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: dict[str, jwt.PyJWK] = {}
        self._tried_at_ms = -JWKS_FETCH_MIN_MS
        self._fetching: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    def find(self, key_id: str) -> jwt.PyJWK | None:
        """Give a key; None if it is not known (yet)."""
        return self._keys.get(key_id)

    @property
    def loaded(self) -> bool:
        """Whether the keys were ever read."""
        return bool(self._keys)

    def ask(self) -> bool:
        """Have the keys read beside the requests, but not too often; tell whether they are being read now."""
        if self._fetching is not None and not self._fetching.done():
            return True
        if _now_ms() - self._tried_at_ms < JWKS_FETCH_MIN_MS:
            return False
        self._tried_at_ms = _now_ms()
        self._fetching = asyncio.create_task(self.fetch())
        return True

    async def start(self) -> None:
        """Begin to read the keys, and again from time to time."""
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Stop reading."""
        tasks = [task for task in (self._keeper, self._fetching) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def fetch(self) -> None:
        """Read the keys once; those known stay if that fails, or if there is none that we can use."""
        try:
            async with asyncio.timeout(JWKS_TIMEOUT_S):
                keys = read_keys(await self._load())
            if not keys:
                raise ValueError("no key that verifies RS256, ES256 or EdDSA")
        except (OSError, ValueError, TimeoutError, httpx.HTTPError, msgspec.MsgspecError) as error:
            log.warning("jwks_not_read", error=str(error) or type(error).__name__, known=len(self._keys))
            return
        self._keys = keys

    async def _keep(self) -> None:
        while True:
            self.ask()
            pause_ms = JWKS_REFRESH_MS if self.loaded else JWKS_FETCH_MIN_MS
            await asyncio.sleep(pause_ms / SECOND_MS)

    async def _load(self) -> bytes:
        parts = urlsplit(self._url)
        if parts.scheme == "file":
            return await asyncio.to_thread(Path(unquote(parts.path)).read_bytes)
        async with (
            httpx.AsyncClient(timeout=JWKS_TIMEOUT_S, trust_env=False) as client,
            client.stream("GET", self._url) as answer,
        ):
            answer.raise_for_status()
            body = b""
            async for part in answer.aiter_bytes():
                body += part
                if len(body) > JWKS_BYTES_MAX:
                    raise ValueError("the key set is too large")
            return body


def read_keys(raw: bytes) -> dict[str, jwt.PyJWK]:
    """Give the usable keys of a JWKS by their ids; those of other kinds, uses or algorithms are passed over.

    Raises:
        msgspec.MsgspecError: it is no JWKS.
    """
    found: dict[str, jwt.PyJWK] = {}
    for entry in msgspec.json.decode(raw, type=Document).keys[:JWKS_KEYS_MAX]:
        key_id = entry.get("kid")
        if not isinstance(key_id, str):
            continue
        algorithm = ALGORITHMS.get((str(entry.get("kty")), str(entry.get("crv", ""))))
        if algorithm is None or entry.get("alg", algorithm) != algorithm or entry.get("use", "sig") != "sig":
            continue
        try:
            key = jwt.PyJWK.from_dict(entry, algorithm)
        except (jwt.PyJWTError, ValueError, TypeError):
            continue
        if algorithm == "RS256" and key.key.key_size < RSA_KEY_BITS_MIN:
            continue
        found[key_id] = key
    return found


def _now_ms() -> int:
    return time.monotonic_ns() // 1_000_000

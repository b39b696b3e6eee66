"""The keys that sign tickets: `SEATLOCK_TICKET_KEYS`, pairs of `kid:base64 seed` by comma.

The first one signs, all of them verify. To change the key, first add the new one at the end (every process then
verifies it, and scanners fetch it), later put it first, and take the old one away when its last show is over.
"""

import base64
import binascii
import secrets
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from engine.errors import CommandError
from engine.limits import TICKET_KID_MAX

SEED_BYTES: Final = 32


class TicketKeys:
    """Keys by their numbers (kid); the one of `kid` signs.

    Attributes:
        kid: of the key that signs.
        public: all keys that verify.
    """

    def __init__(self, seeds: Mapping[int, bytes]) -> None:
        keys = {kid: Ed25519PrivateKey.from_private_bytes(seed) for kid, seed in seeds.items()}
        self.kid, self._signer = next(iter(keys.items()))
        self.public: Mapping[int, Ed25519PublicKey] = MappingProxyType(
            {kid: key.public_key() for kid, key in keys.items()}
        )

    def sign(self, content: bytes) -> bytes:
        """Give the 64 bytes of the signature; the same for the same content."""
        return self._signer.sign(content)

    def published(self) -> dict[str, Any]:
        """Give what anybody may know, as a JWK set (RFC 8037): enough to verify tickets without asking us."""
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": str(kid), "x": _unpadded(key.public_bytes_raw())}
                for kid, key in self.public.items()
            ]
        }


def load_ticket_keys(text: str) -> TicketKeys:
    """Read the setting.

    Raises:
        CommandError: it is absent or malformed; the line does not repeat what stands there.
    """
    if not text.strip():
        raise CommandError(
            "SEATLOCK_TICKET_KEYS is not set: without it no ticket can be signed."
            ' Make one with: echo "1:$(openssl rand -base64 32)"'
        )
    seeds: dict[int, bytes] = {}
    for pair in text.split(","):
        kid, _, seed = pair.strip().partition(":")
        if not (kid.isascii() and kid.isdigit() and int(kid) <= TICKET_KID_MAX):
            raise CommandError(f"SEATLOCK_TICKET_KEYS: a key's name must be a number from 0 to {TICKET_KID_MAX}")
        if int(kid) in seeds:
            raise CommandError(f"SEATLOCK_TICKET_KEYS: key {kid} is there twice")
        try:
            seeds[int(kid)] = base64.b64decode(seed, validate=True)
        except binascii.Error:
            seeds[int(kid)] = b""
        if len(seeds[int(kid)]) != SEED_BYTES:
            raise CommandError(f"SEATLOCK_TICKET_KEYS: key {kid} must be {SEED_BYTES} bytes in base64")
    return TicketKeys(seeds)


def make_ticket_key(kid: int = 1) -> str:
    """Make a new key, as the setting has it."""
    return f"{kid}:{base64.b64encode(secrets.token_bytes(SEED_BYTES)).decode()}"


def _unpadded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

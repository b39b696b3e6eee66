"""The code of a ticket: what its QR shows, and what is signed. Made anew whenever it is shown; kept nowhere.

92 bytes, big-endian, written in base32 (RFC 4648, upper case, no padding): 148 characters of the QR's own alphabet.

| bytes | what |
|---|---|
| 0 | version: 1 |
| 1 | kid: number of the key that signed |
| 2..17 | the ticket's UUID |
| 18..21 | number of the showtime |
| 22..23 | index of the seat in the showtime's layout |
| 24..27 | start of the show, Unix seconds |
| 28..91 | Ed25519 signature of bytes 0..27 by that key |

Whoever has the public keys (`/.well-known/seatlock-ticket-keys.json`) can verify one without us: that it is a ticket
for this seat of this show. Whether it was used or paid back meanwhile, only the ledger knows.
"""

import base64
import binascii
import struct
from collections.abc import Mapping
from typing import Final
from uuid import UUID

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from engine.errors import Refusal
from engine.tickets.keys import TicketKeys

VERSION: Final = 1
CONTENT: Final = struct.Struct(">BB16sIHI")
SIGNATURE_BYTES: Final = 64
CODE_LENGTH: Final = -(-(CONTENT.size + SIGNATURE_BYTES) * 8 // 5)


class TicketCode(msgspec.Struct, frozen=True, kw_only=True):
    """What a code says; `starts_at_s` is Unix time."""

    ticket_id: UUID
    showtime: int
    seat_index: int
    starts_at_s: int


def ticket_code(keys: TicketKeys, said: TicketCode) -> str:
    """Write and sign a code; the same for the same ticket and key."""
    content = CONTENT.pack(VERSION, keys.kid, said.ticket_id.bytes, said.showtime, said.seat_index, said.starts_at_s)
    return _text(content + keys.sign(content))


def read_code(public: Mapping[int, Ed25519PublicKey], code: str) -> TicketCode:
    """Verify a code with public keys alone.

    Raises:
        Refusal: `not_found`: not one of ours, whatever is wrong with it.
    """
    raw = _bytes(code)
    version, kid, ticket_id, showtime, seat_index, starts_at_s = CONTENT.unpack_from(raw)
    key = public.get(kid)
    if version != VERSION or key is None:
        raise Refusal("not_found")
    try:
        key.verify(raw[CONTENT.size :], raw[: CONTENT.size])
    except InvalidSignature:
        raise Refusal("not_found") from None
    return TicketCode(
        ticket_id=UUID(bytes=ticket_id), showtime=showtime, seat_index=seat_index, starts_at_s=starts_at_s
    )


def _text(raw: bytes) -> str:
    return base64.b32encode(raw).rstrip(b"=").decode()


def _bytes(code: str) -> bytes:
    """Read the one way to write these bytes; the last character has bits to spare, which must be zero."""
    try:
        raw = base64.b32decode(code + "=" * (-len(code) % 8)) if len(code) == CODE_LENGTH else b""
    except (binascii.Error, ValueError):
        raw = b""
    if _text(raw) != code or not raw:
        raise Refusal("not_found")
    return raw

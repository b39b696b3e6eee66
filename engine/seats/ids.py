"""Ids that find their own data: a hold's id is a UUIDv7 that carries its showtime and its owner number.

Bits, high to low: 48 Unix time in ms when the seats were claimed (Redis' clock) | 4 version (7) |
12 owner, high part | 2 variant (binary 10) | 20 owner, low part | 10 zero | 32 showtime number.
The owner number is what the owners map in Redis holds for each seat of the hold.
"""

import re
from functools import lru_cache
from hashlib import blake2b
from uuid import UUID

import msgspec

from engine.errors import Refusal
from engine.limits import SUBJECTS_REMEMBERED_MAX

NUMBERS_OF_NOBODY = frozenset({0, 2**32 - 1})
"""Free seats have the first, blocked ones the last; the first is also the sentinel of `deadlines`."""
_CANONICAL = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class HoldId(msgspec.Struct, frozen=True):
    """A hold's identity; `str()` gives its UUID text, which is also the booking's id."""

    claimed_at_ms: int
    owner: int
    showtime: int

    def __str__(self) -> str:
        """Give the canonical UUID text; by hand, since it is made for every claim."""
        bits = (
            self.claimed_at_ms << 80
            | 0x7 << 76
            | (self.owner >> 20) << 64
            | 0b10 << 62
            | (self.owner & 0xFFFFF) << 42
            | self.showtime
        )
        text = bits.to_bytes(16, "big").hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def parse_hold_id(text: str) -> HoldId:
    """Read a hold's or booking's id.

    Raises:
        Refusal: `not_found` if the text is not an id that this engine could have made.
    """
    try:
        uuid = UUID(text)
    except ValueError:
        raise Refusal("not_found") from None
    bits = uuid.int
    hold = HoldId(
        claimed_at_ms=bits >> 80,
        owner=(bits >> 64 & 0xFFF) << 20 | (bits >> 42 & 0xFFFFF),
        showtime=bits & 0xFFFFFFFF,
    )
    if str(hold) != text.lower() or hold.owner in NUMBERS_OF_NOBODY:
        raise Refusal("not_found")
    return hold


@lru_cache(SUBJECTS_REMEMBERED_MAX)
def subject_key(subject: str) -> bytes:
    """Give the 16 bytes by which Redis knows a customer: those of a UUID in its canonical text, else a hash.

    Only the canonical text counts as a UUID, so that two spellings never become one customer.
    """
    if _CANONICAL.fullmatch(subject):
        return bytes.fromhex(subject.replace("-", ""))
    return blake2b(subject.encode("utf-8", "surrogatepass"), digest_size=16).digest()

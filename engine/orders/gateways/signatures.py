"""The signature of a gateway's event: `X-Seatlock-Signature: t=<unix>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">`.

Stripe signs in the same way, in a header of its own.

Several `v1` may stand in one header while a secret is being changed; one that fits is enough.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

from engine.errors import Refusal
from engine.limits import SIGNATURES_PER_EVENT_MAX, WEBHOOK_TOLERANCE_S

SIGNATURE_HEADER = "X-Seatlock-Signature"

_TIME = re.compile(r"[0-9]{1,11}", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{64}", re.ASCII)


def split_secrets(text: str) -> tuple[str, ...]:
    """Read a setting that holds one secret or several with commas between: the first signs, each verifies."""
    return tuple(secret for part in text.split(",") if (secret := part.strip()))


def sign(secret: str, body: bytes, at_s: int) -> str:
    """Give the header's value for a body that is sent at a Unix time in seconds."""
    return f"t={at_s},v1={_digest(secret, body, str(at_s))}"


def verify(secrets: Sequence[str], header: str | None, body: bytes, now_s: float) -> None:
    """Accept a body only if one of the secrets signed it not long ago.

    Args:
        secrets: the secrets in force; more than one while they are being changed.
        header: the header's value as received, or None without one.
        body: the raw bytes of the body, before any decoding.
        now_s: Unix time in seconds.

    Raises:
        Refusal: `bad_signature`, or `stale_signature` when it fits but its time is too far off, either way.
    """
    stamp, digests = _parse(header or "")
    expected = [_digest(secret, body, stamp) for secret in secrets]
    # Every pair is compared, so that the time taken says nothing about which one fitted.
    fits = [hmac.compare_digest(digest, good) for digest in digests for good in expected]
    if True not in fits:
        raise Refusal("bad_signature", "no signature in the header fits this body")
    if abs(now_s - int(stamp)) > WEBHOOK_TOLERANCE_S:
        raise Refusal("stale_signature", f"signed more than {WEBHOOK_TOLERANCE_S} s away from now")


def _parse(header: str) -> tuple[str, list[str]]:
    """Split a header into its time and its `v1` digests; words of other schemes are passed over."""
    stamps: list[str] = []
    digests: list[str] = []
    for part in header.split(","):
        name, _, value = part.strip().partition("=")
        if name == "t":
            stamps.append(value)
        elif name == "v1" and _DIGEST.fullmatch(value):
            digests.append(value)
    if len(stamps) != 1 or not _TIME.fullmatch(stamps[0]) or not 1 <= len(digests) <= SIGNATURES_PER_EVENT_MAX:
        raise Refusal("bad_signature", "the signature is missing or malformed")
    return stamps[0], digests


def _digest(secret: str, body: bytes, stamp: str) -> str:
    return hmac.new(secret.encode(), stamp.encode() + b"." + body, hashlib.sha256).hexdigest()

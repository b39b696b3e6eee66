"""Signatures as https://www.standardwebhooks.com has them: three headers, HMAC-SHA256 over id, time and raw body.

webhook-id: msg_<event id>             the same at every attempt, so that a repeat is known
webhook-timestamp: <unix seconds>      of this attempt
webhook-signature: v1,<base64> ...     of `<id>.<timestamp>.<body>`, one for each secret in force
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence

from engine.limits import ENDPOINT_SECRET_BYTES

SECRET_PREFIX = "whsec_"  # noqa: S105 (what a secret begins with is no secret)


def make_secret() -> str:
    """Make a new secret: `whsec_` and base64 of random bytes."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(ENDPOINT_SECRET_BYTES)).decode()


def sign(secrets_in_force: Sequence[str], event_id: str, body: bytes, at_s: int) -> dict[str, str]:
    """Give the headers of one attempt.

    Args:
        secrets_in_force: as `make_secret` made them, the newest first; more than one while they are being changed.
        event_id: names the event, e.g. `msg_0199c2a4-...`.
        body: the raw bytes that are sent.
        at_s: Unix time in seconds.
    """
    signed = f"{event_id}.{at_s}.".encode() + body
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": " ".join(f"v1,{_digest(secret, signed)}" for secret in secrets_in_force),
    }


def _digest(secret: str, signed: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    return base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()

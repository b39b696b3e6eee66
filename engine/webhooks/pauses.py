"""How long to wait between attempts: 5 s, 20 s, 80 s, ... up to 8 h, each a fifth more or less; longer if asked to."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from engine.limits import DELIVERY_PAUSE_FACTOR, DELIVERY_PAUSE_MAX_MS, DELIVERY_PAUSE_MIN_MS, SECOND_MS

JITTER = 0.2


def pause_ms(attempt: int, retry_after_ms: int | None = None, jitter: float | None = None) -> int:
    """Give the pause after an attempt that failed.

    Args:
        attempt: 1 for the first.
        retry_after_ms: what the endpoint asked for; heeded up to the longest pause.
        jitter: from -1 to 1; random if None, so that what failed together does not come back together.
    """
    # Far attempts stay at the longest pause; the power is bounded before it grows out of all numbers.
    steps = min(attempt - 1, 16)
    pause = min(DELIVERY_PAUSE_MIN_MS * DELIVERY_PAUSE_FACTOR**steps, DELIVERY_PAUSE_MAX_MS)
    share = random.uniform(-1, 1) if jitter is None else jitter  # noqa: S311 (a pause is no secret)
    own = int(pause * (1 + JITTER * share))
    return max(own, min(retry_after_ms or 0, DELIVERY_PAUSE_MAX_MS))


def read_retry_after(headers: Mapping[str, str], now: datetime | None = None) -> int | None:
    """Give what `Retry-After` asks for, in ms; None without one, or with one that means nothing."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return int(text[:9]) * SECOND_MS
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return max(0, int((at - (now or datetime.now(UTC))).total_seconds() * SECOND_MS))

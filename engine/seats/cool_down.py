"""Who pauses before the next claim after leaving holds to lapse; the scripts count the lapses, per showtime."""

import struct
from functools import cache

from engine.limits import SECOND_MS
from engine.settings import Settings

NO_RULE = b""


def cool_down_rule(settings: Settings, role: str) -> bytes:
    """Give the rule that a claim by somebody of this role brings to its script; empty if none applies.

    The pause begins at the latest lapse: `cool_down_s` after the first lapse beyond the free ones, and twice as long
    after each further one, up to `COOL_DOWN_MAX_MS`. An hour without a lapse makes good.
    """
    if settings.cool_down == "off" or (settings.cool_down == "customers" and role != "customer"):
        return NO_RULE
    return _packed(settings.cool_down_free_lapses, settings.cool_down_s)


@cache
def _packed(free_lapses: int, pause_s: int) -> bytes:
    return struct.pack(">BI", free_lapses, pause_s * SECOND_MS)

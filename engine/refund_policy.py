"""What a customer who gives tickets back is paid: tiers by the time that is left before the show begins.

`24h:100,2h:50` reads: 24 hours or more before the start all of the price, 2 hours or more half of it, later nothing.
Each ticket is rounded by itself, down to the minor unit, so that giving tickets back one by one pays as much as all
at once.
"""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

PATTERN = r"^\d{1,4}[dhm]:\d{1,3}(,\d{1,4}[dhm]:\d{1,3})*$(?!\n)"
"""What tiers look like, for schemas; `parse_tiers` says whether they make sense."""

_UNITS = {"d": timedelta(days=1), "h": timedelta(hours=1), "m": timedelta(minutes=1)}


class Tier(NamedTuple):
    """From this long before the start, or longer, so much of the price goes back."""

    before: timedelta
    percent: int
    text: str


class Terms(NamedTuple):
    """What holds at a moment.

    Attributes:
        percent: of a ticket's price.
        rule: the tier as it is written; None when nothing goes back any more.
        valid_until: when less goes back than now; None when there is nothing to lose.
    """

    percent: int
    rule: str | None
    valid_until: datetime | None


NOTHING = Terms(0, None, None)


def parse_tiers(text: str) -> tuple[Tier, ...]:
    """Read tiers, the earliest first.

    Raises:
        ValueError: with a sentence for whoever wrote them.
    """
    if not re.match(PATTERN, text, re.ASCII):
        raise ValueError("tiers look like 24h:100,2h:50; units are d, h and m")
    tiers = []
    for part in text.split(","):
        time, _, percent = part.partition(":")
        tiers.append(Tier(int(time[:-1]) * _UNITS[time[-1]], int(percent), part))
    for earlier, later in pairwise(tiers):
        if later.before >= earlier.before or later.percent > earlier.percent:
            raise ValueError("each tier is nearer to the start than the one before it, and pays no more")
    if tiers[0].percent > 100:
        raise ValueError("no tier pays more than 100 percent")
    return tuple(tiers)


def terms_at(tiers: Sequence[Tier], starts_at: datetime, now: datetime) -> Terms:
    """Give what holds at a moment; nothing once the show has begun."""
    left = starts_at - now
    if left <= timedelta(0):
        return NOTHING
    for tier in tiers:
        if left >= tier.before:
            return Terms(tier.percent, tier.text, starts_at - tier.before) if tier.percent else NOTHING
    return NOTHING


def refund_of(price_minor: int, percent: int) -> int:
    """Give what goes back for one ticket, rounded down to the minor unit."""
    return price_minor * percent // 100

"""What a customer may do at a showtime: settings, then the cinema's own numbers, then the showtime's.

Overrides carry the names and units of the settings, so that a number reads the same wherever it is set.
"""

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from engine import limits, refund_policy
from engine.errors import InvalidInput
from engine.settings import Settings

DAY_S = limits.DAY_MS // limits.SECOND_MS

Seconds = Annotated[int, Meta(ge=1, le=DAY_S)]


class PolicyOverrides(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Numbers of a cinema or a showtime that replace the defaults; what is absent is inherited."""

    hold_ttl_s: Seconds | None = None
    payment_ttl_s: Seconds | None = None
    hold_max_s: Seconds | None = None
    claim_max_s: Annotated[int, Meta(ge=1, le=2 * DAY_S)] | None = None
    seats_per_hold_max: Annotated[int, Meta(ge=1, le=limits.SEATS_PER_HOLD_CEILING)] | None = None
    holds_per_customer_max: Annotated[int, Meta(ge=1, le=limits.HOLDS_PER_CUSTOMER_CEILING)] | None = None
    seats_per_customer_max: Annotated[int, Meta(ge=1, le=limits.SEATS_PER_CUSTOMER_CEILING)] | None = None
    refund_tiers: Annotated[str, Meta(max_length=200, pattern=refund_policy.PATTERN)] | None = None
    """What tickets that are given back pay, by the time before the start: `24h:100,2h:50`."""

    def to_json(self) -> dict[str, int | str]:
        """Give what is set."""
        return {name: value for name in self.__struct_fields__ if (value := getattr(self, name)) is not None}


NUMBERS = tuple(name for name in PolicyOverrides.__struct_fields__ if name != "refund_tiers")
"""What the seat engine enforces; the other rules are the ledger's business."""


def merge_policy(settings: Settings, *overrides: Mapping[str, Any]) -> dict[str, int]:
    """Give all `NUMBERS`; later overrides win.

    A mix that contradicts itself (a cinema's longer `hold_max_s` under a showtime's shorter `claim_max_s`) is
    settled in the customer's favour: `claim_max_s` always leaves room for the payment.
    """
    numbers: dict[str, int] = {name: getattr(settings, name) for name in NUMBERS}
    for override in overrides:
        numbers.update({name: value for name, value in override.items() if name in numbers})
    numbers["hold_max_s"] = max(numbers["hold_max_s"], numbers["hold_ttl_s"])
    numbers["claim_max_s"] = max(numbers["claim_max_s"], numbers["hold_max_s"] + numbers["payment_ttl_s"])
    return numbers


def merge_refund_tiers(tiers: str, *overrides: Mapping[str, Any]) -> str:
    """Give the tiers that hold: of the last override that has some, else those given first."""
    for override in overrides:
        tiers = override.get("refund_tiers") or tiers
    return tiers


def check_policy(settings: Settings, override: PolicyOverrides, *inherited: Mapping[str, Any], at: str) -> None:
    """Refuse an override that says one thing and would do another.

    Raises:
        InvalidInput: `claim_max_s` is given, and too short for `hold_max_s` + `payment_ttl_s`; `refund_tiers` make
            no sense.
    """
    if override.refund_tiers is not None:
        try:
            refund_policy.parse_tiers(override.refund_tiers)
        except ValueError as error:
            raise InvalidInput(f"{at}/refund_tiers", str(error)) from None
    numbers = merge_policy(settings, *inherited, override.to_json())
    for name in ("hold_max_s", "claim_max_s"):
        given = getattr(override, name)
        if given is not None and given < numbers[name]:
            raise InvalidInput(f"{at}/{name}", f"must be at least {numbers[name]} with the other numbers as they are")

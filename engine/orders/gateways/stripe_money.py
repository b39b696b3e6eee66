"""Amounts as Stripe counts them. Most are our minor units; the exceptions are written down here.

Source: docs.stripe.com/currencies, "Zero-decimal currencies", "Three-decimal currencies", "Special cases". IDR has two
decimals there as in ISO 4217: Rp 75.000 is 7500000 on both sides.
"""

from collections.abc import Mapping
from fractions import Fraction

from engine.errors import Refusal

PER_MINOR: Mapping[str, Fraction] = {
    # No decimals in ISO 4217, but two zeros at Stripe, kept from older times.
    "ISK": Fraction(100),
    "UGX": Fraction(100),
    # Two decimals in ISO 4217, none at Stripe.
    "MGA": Fraction(1, 100),
}
"""Stripe's units in one of our minor units, where they are not the same."""
LAST_DIGIT_ZERO = frozenset({"BHD", "JOD", "KWD", "OMR", "TND"})
"""Three decimals, of which Stripe lets nobody use the last."""


def to_stripe(amount_minor: int, currency: str) -> int:
    """Give an amount as Stripe counts it.

    Args:
        amount_minor: minor units by ISO 4217.
        currency: its ISO 4217 code.

    Raises:
        Refusal: `not_payable`, Stripe has no such amount.
    """
    amount = amount_minor * PER_MINOR.get(currency, 1)
    if amount.denominator != 1 or (currency in LAST_DIGIT_ZERO and amount % 10):
        raise Refusal("not_payable", f"Stripe takes no {amount_minor} minor units of {currency}.")
    return int(amount)


def from_stripe(amount: int, currency: str) -> int:
    """Give an amount of Stripe's in minor units by ISO 4217; a fraction of one is rounded down.

    Args:
        amount: as Stripe counts it.
        currency: its ISO 4217 code.
    """
    return int(amount / PER_MINOR.get(currency, Fraction(1)))

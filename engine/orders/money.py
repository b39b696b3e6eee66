"""Money for people: integers in minor units by ISO 4217 become text."""

EXPONENTS = {
    "BHD": 3,
    "CLP": 0,
    "ISK": 0,
    "JOD": 3,
    "JPY": 0,
    "KRW": 0,
    "KWD": 3,
    "OMR": 3,
    "TND": 3,
    "VND": 0,
    "XAF": 0,
    "XOF": 0,
    "XPF": 0,
}
"""Currencies whose minor unit is not a hundredth."""


def format_amount(amount_minor: int, currency: str) -> str:
    """Write an amount with its currency, e.g. 7500000 IDR as `IDR 75,000.00`."""
    exponent = EXPONENTS.get(currency, 2)
    whole, rest = divmod(amount_minor, 10**exponent)
    return f"{currency} {whole:,}.{rest:0{exponent}d}" if exponent else f"{currency} {whole:,}"

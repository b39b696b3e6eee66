"""The magic cards: each number ends a payment in its own way."""

from typing import Literal, NamedTuple

Ending = Literal["captured", "failed", "expired", "stalled", "late"]
"""What becomes of a session; see sql/fake_gateway/schema.sql."""


class Card(NamedTuple):
    """One card number and what paying with it does."""

    number: str
    ending: Ending
    meaning: str
    failure_code: str | None = None


CARDS = (
    Card("4242 4242 4242 4242", "captured", "pays"),
    Card("4000 0000 0000 0002", "failed", "is declined", "card_declined"),
    Card("4000 0000 0000 9995", "failed", "has insufficient funds", "insufficient_funds"),
    Card("4000 0000 0000 0028", "expired", "lets the session expire at once"),
    Card("4000 0000 0000 0036", "stalled", "never gets an answer"),
    Card("4000 0000 0000 0044", "late", "pays shortly after the session has expired"),
)

_BY_DIGITS = {card.number.replace(" ", ""): card for card in CARDS}


def find_card(number: str) -> Card | None:
    """Find a card by its number, written with or without spaces and dashes."""
    return _BY_DIGITS.get(number.replace(" ", "").replace("-", ""))

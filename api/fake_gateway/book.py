"""The fake gateway's book: double entry, never changed. Each movement of money is two postings that sum to zero.

It knows nothing of what we believe: whoever wants to know what a customer has paid and got back asks here.
"""

from typing import Literal

import msgspec

from api.fake_gateway.database import Database
from engine.orders.gateways.protocol import RefundOrder

BOOK_NAME = "fake-gateway.sqlite3"


class Posting(msgspec.Struct, frozen=True):
    """One side of an entry: minor units, negative where the money comes from."""

    kind: Literal["capture", "refund"]
    entry_id: str
    session_id: str
    account: Literal["customer", "clearing"]
    amount: int
    currency: str
    at_ms: int


class Book(msgspec.Struct, frozen=True):
    """The whole book, oldest first."""

    postings: list[Posting]


def list_postings(database: Database) -> Book:
    """Read the book inside the gateway."""
    return Book([Posting(*row) for row in database.run("list_postings")])


def post_capture(database: Database, session_id: str, amount: int, currency: str, now_ms: int) -> None:
    """Book money from a customer; inside the transaction that ends the session."""
    _post(database, ("capture", session_id, session_id, currency, now_ms), {"customer": -amount, "clearing": amount})


def post_refund(database: Database, order: RefundOrder, now_ms: int) -> None:
    """Book money to a customer; inside the transaction that settles the refund."""
    amount = order.amount_minor
    named = ("refund", order.refund_id, order.session_id, order.currency, now_ms)
    _post(database, named, {"clearing": -amount, "customer": amount})


def _post(database: Database, named: tuple[str, str, str, str, int], amounts: dict[str, int]) -> None:
    kind, entry_id, session_id, currency, at_ms = named
    for account, amount in amounts.items():
        database.run(
            "add_posting",
            kind=kind,
            entry_id=entry_id,
            session_id=session_id,
            account=account,
            amount=amount,
            currency=currency,
            at_ms=at_ms,
        )

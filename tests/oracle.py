"""The money oracle: the fake gateway's book, read from its file, whether the gateway runs or not."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from contextlib import closing
from typing import Any

import msgspec

from api.fake_gateway import book
from engine.paths import SQL_DIR

POSTINGS = (SQL_DIR / "fake_gateway" / "list_postings.sql").read_text(encoding="utf-8")


class Account(msgspec.Struct, frozen=True):
    """What a customer has paid for a session, and got back; minor units."""

    paid: int
    refunded: int
    currency: str


class Book(book.Book, frozen=True):
    """The book, and what can be read off it."""

    def balances(self) -> dict[str, int]:
        """Sum all postings, per currency; a book that is in order gives zeros."""
        return _sums((posting.currency, posting.amount) for posting in self.postings)

    def entries(self) -> dict[tuple[str, str], int]:
        """Sum the postings of each entry; a book that is in order gives zeros."""
        return _sums(((posting.kind, posting.entry_id), posting.amount) for posting in self.postings)

    def sessions(self) -> dict[str, Account]:
        """Tell for each session with money what its customer has paid and got back."""
        mine = [posting for posting in self.postings if posting.account == "customer"]
        paid = _sums((posting.session_id, -posting.amount) for posting in mine if posting.kind == "capture")
        back = _sums((posting.session_id, posting.amount) for posting in mine if posting.kind == "refund")
        currencies = {posting.session_id: posting.currency for posting in mine}
        return {
            session: Account(paid.get(session, 0), back.get(session, 0), currencies[session]) for session in currencies
        }

    def refunds(self) -> dict[str, int]:
        """Tell what went back by each refund, by its id; the id is ours."""
        mine = (posting for posting in self.postings if (posting.kind, posting.account) == ("refund", "customer"))
        return _sums((posting.entry_id, posting.amount) for posting in mine)


def read_book(data_dir):
    """Give the book of the gateway that keeps its file in a folder."""
    with closing(sqlite3.connect(f"file:{data_dir / book.BOOK_NAME}?mode=ro", uri=True)) as connection:
        return Book([book.Posting(*row) for row in connection.execute(POSTINGS)])


def _sums(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    sums: dict[Any, int] = defaultdict(int)
    for key, amount in pairs:
        sums[key] += amount
    return dict(sums)

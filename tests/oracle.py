"""The money oracle: the fake gateway's book, read from its file, whether the gateway runs or not."""

import sqlite3
from contextlib import closing

from api.fake_gateway.book import BOOK_NAME, Book, Posting
from engine.paths import SQL_DIR

POSTINGS = (SQL_DIR / "fake_gateway" / "list_postings.sql").read_text(encoding="utf-8")


def read_book(data_dir):
    """Give the book of the gateway that keeps its file in a folder."""
    with closing(sqlite3.connect(f"file:{data_dir / BOOK_NAME}?mode=ro", uri=True)) as connection:
        return Book([Posting(*row) for row in connection.execute(POSTINGS)])

"""The mailbox's memory: mails as they came, in SQLite; a repeat under the same Message-ID is counted, not kept.

Calls are synchronous: each is one short statement or transaction on a local file, by one process.
"""

import sqlite3
from email import message_from_bytes, policy
from email.message import EmailMessage
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec

from engine.limits import MAIL_SINK_MESSAGES_MAX
from engine.paths import SQL_DIR


class MailLine(msgspec.Struct, frozen=True, kw_only=True):
    """A mail in the list. `copies` counts how often it came; `kind` is its X-Seatlock-Kind."""

    id: int
    message_id: str
    recipients: str
    subject: str
    kind: str
    copies: int
    received_at_ms: int


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a mail; `content_id` names a picture that the HTML shows."""

    name: str
    media_type: str
    content: bytes
    content_id: str


class Mail(MailLine, frozen=True, kw_only=True):
    """A mail, whole."""

    source: bytes
    text: str
    html: str
    parts: tuple[Part, ...]


class Store:
    """Mails in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it if need be."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.executescript(_statement("schema"))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def keep(self, recipients: str, source: bytes, received_at_ms: int) -> None:
        """Keep a mail; the oldest goes when there are too many."""
        message = read_mail(source)
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:
            self._run(
                "keep_message",
                message_id=_header(message, "Message-ID") or f"<{uuid4().hex}@sink>",
                recipients=recipients,
                subject=_header(message, "Subject"),
                kind=_header(message, "X-Seatlock-Kind"),
                source=source,
                received_at_ms=received_at_ms,
            )
            self._run("drop_old_messages", keep=MAIL_SINK_MESSAGES_MAX)

    def list_mails(self, recipient: str | None, limit: int) -> list[MailLine]:
        """List mails, the newest first; those to one address if asked."""
        rows = self._run("list_messages", recipient=recipient, limit=limit).fetchall()
        return [msgspec.convert(dict(row), MailLine) for row in rows]

    def read(self, number: int) -> Mail | None:
        """Read a mail."""
        row = self._run("read_message", id=number).fetchone()
        if row is None:
            return None
        message = read_mail(row["source"])
        text, html = message.get_body(("plain",)), message.get_body(("html",))
        return Mail(
            **dict(row),
            text=_content(text) if text else "",
            html=_content(html) if html else "",
            parts=tuple(_parts(message)),
        )

    def _run(self, name: str, **values: Any) -> sqlite3.Cursor:
        return self._database.execute(_statement(name), values)


def read_mail(source: bytes) -> EmailMessage:
    """Read a mail as it came."""
    return message_from_bytes(source, _class=EmailMessage, policy=policy.default)


def _header(message: EmailMessage, name: str) -> str:
    # A long one is folded, and may begin on a line of its own.
    return str(message.get(name, "")).strip()


def _bytes(part: Any) -> bytes:
    return part.get_payload(decode=True) or b""


def _content(part: Any) -> str:
    return _bytes(part).decode(part.get_content_charset("utf-8"), "replace").replace("\r\n", "\n")


def _parts(message: EmailMessage) -> list[Part]:
    """Give every part that has a name or is shown inside the HTML."""
    return [
        Part(
            name=part.get_filename() or "part",
            media_type=part.get_content_type(),
            content=_bytes(part),
            content_id=str(part.get("Content-ID", "")).strip("<> "),
        )
        for part in message.walk()
        if not part.is_multipart() and (part.get_filename() or part.get("Content-ID"))
    ]


@cache
def _statement(name: str) -> str:
    return (SQL_DIR / "mail_sink" / f"{name}.sql").read_text(encoding="utf-8")

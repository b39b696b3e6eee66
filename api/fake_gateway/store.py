"""The fake gateway's memory: sessions, and the events that the webhook has not accepted yet. SQLite.

Calls are synchronous: each is one short statement or transaction on a local file, by one process.
"""

import sqlite3
from functools import cache
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import msgspec

from api.fake_gateway.cards import Ending
from engine.limits import GATEWAY_DELIVERIES_MAX, GATEWAY_LATE_MS
from engine.orders.gateways.protocol import (
    PAYMENT_EXPIRED,
    PAYMENT_FAILED,
    PAYMENT_SUCCESS,
    NewSession,
    PaymentEvent,
)
from engine.paths import SQL_DIR

EVENT_TYPES = {"captured": PAYMENT_SUCCESS, "failed": PAYMENT_FAILED, "expired": PAYMENT_EXPIRED}
"""The endings that the webhook is told of."""

State = Literal["open", "stalled", "late", "failed", "expired", "captured"]


class Session(NewSession, frozen=True, kw_only=True):
    """A session and its state."""

    state: State


class AlreadyCapturedError(Exception):
    """The session's money has been taken; it can end in no other way."""


class Store:
    """Sessions and undelivered events in one SQLite file."""

    def __init__(self, path: Path) -> None:
        """Open the file, and make it if need be."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._database = sqlite3.connect(path, isolation_level=None)
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        self._database.executescript(_statement("schema"))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def open_session(self, session: NewSession) -> bool:
        """Keep a new session; False if it was there already, which changes nothing."""
        return self._run("open_session", **msgspec.to_builtins(session)).rowcount == 1

    def read_session(self, session_id: str) -> Session | None:
        """Read a session."""
        row = self._run("read_session", session_id=session_id).fetchone()
        return msgspec.convert(dict(row), Session) if row else None

    def end_session(self, session: Session, ending: Ending, now_ms: int, failure_code: str | None = None) -> str | None:
        """Let a session end in one way, and queue the event that tells of it, both or neither.

        Asking for the payment of a captured session gives the event that told of it again.

        Returns:
            The event's id; None for an ending that the webhook is not told of (yet).

        Raises:
            AlreadyCapturedError: its money was taken, and another ending is asked for.
        """
        if session.state == "captured":
            if ending != "captured":
                raise AlreadyCapturedError
            return str(self._run("success_event", session_id=session.session_id).fetchone()["event_id"])
        due_ms = max(now_ms, session.expires_at_ms) + GATEWAY_LATE_MS if ending == "late" else None
        self._database.execute("BEGIN IMMEDIATE")
        with self._database:
            self._run("move_session", session_id=session.session_id, state=ending, due_ms=due_ms)
            return (
                self._add_event(session, EVENT_TYPES[ending], now_ms, failure_code) if ending in EVENT_TYPES else None
            )

    def end_due_sessions(self, now_ms: int) -> int:
        """Expire open sessions whose time is over and capture late payments; give how many."""
        rows = self._run("due_sessions", now_ms=now_ms).fetchall()
        for row in rows:
            session = self.read_session(row["session_id"])
            assert session is not None
            self.end_session(session, "captured" if session.state == "late" else "expired", now_ms)
        return len(rows)

    def due_events(self, now_ms: int) -> list[str]:
        """List events to deliver now, the longest waiting first."""
        rows = self._run("due_events", now_ms=now_ms, limit=GATEWAY_DELIVERIES_MAX).fetchall()
        return [row["event_id"] for row in rows]

    def read_event(self, event_id: str) -> tuple[bytes, int]:
        """Give an event's body and how often it was sent."""
        row = self._run("read_event", event_id=event_id).fetchone()
        return row["body"], row["attempts"]

    def note_delivery(self, event_id: str, next_due_ms: int | None) -> None:
        """Note that an event was sent, and when it will be again; None when it was accepted."""
        self._run("event_attempted", event_id=event_id, due_ms=next_due_ms)

    def next_due_ms(self) -> int | None:
        """Tell when anything is to be done next."""
        due_ms: int | None = self._run("next_due").fetchone()["due_ms"]
        return due_ms

    def _add_event(self, session: Session, event_type: str, now_ms: int, failure_code: str | None) -> str:
        event = PaymentEvent(
            id=f"evt_{uuid4().hex}",
            type=event_type,
            session_id=session.session_id,
            amount_minor=session.amount_minor,
            currency=session.currency,
            failure_code=failure_code,
        )
        body = msgspec.json.encode(event)
        self._run(
            "add_event", event_id=event.id, session_id=event.session_id, type=event_type, body=body, now_ms=now_ms
        )
        return event.id

    def _run(self, name: str, **values: Any) -> sqlite3.Cursor:
        return self._database.execute(_statement(name), values)


@cache
def _statement(name: str) -> str:
    return (SQL_DIR / "fake_gateway" / f"{name}.sql").read_text(encoding="utf-8")

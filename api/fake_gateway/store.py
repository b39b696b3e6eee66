"""The fake gateway's memory: sessions, and the events that tell of them."""

from typing import Literal
from uuid import uuid4

import msgspec

from api.fake_gateway.book import post_capture
from api.fake_gateway.cards import Ending
from api.fake_gateway.database import Database
from api.fake_gateway.faults import Faults
from engine.limits import GATEWAY_DELIVERIES_MAX, GATEWAY_LATE_MS, GATEWAY_PAGE_MAX
from engine.orders.gateways.fake import OutcomePage
from engine.orders.gateways.protocol import (
    PAYMENT_EXPIRED,
    PAYMENT_FAILED,
    PAYMENT_SUCCESS,
    NewSession,
    PaymentEvent,
    SessionOutcome,
)

EVENT_TYPES = {"captured": PAYMENT_SUCCESS, "failed": PAYMENT_FAILED, "expired": PAYMENT_EXPIRED}
"""The endings that the webhook is told of."""

State = Literal["open", "stalled", "late", "failed", "expired", "captured"]


class Session(NewSession, frozen=True, kw_only=True):
    """A session and its state."""

    state: State


class EventRow(msgspec.Struct, frozen=True):
    """An event, how often it was sent and accepted, and when it is to be sent next."""

    body: bytes
    attempts: int
    accepted: int
    due_ms: int | None

    @property
    def event(self) -> PaymentEvent:
        """What it tells."""
        return msgspec.json.decode(self.body, type=PaymentEvent)


class AlreadyCapturedError(Exception):
    """The session's money has been taken; it can end in no other way."""


class Store:
    """Sessions, and events until the webhook has accepted them."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self._database = database
        self._faults = faults

    def count_attempt(self, kind: str, name: str) -> int:
        """Count one more attempt at something, and give its number, from 1; not kept while nothing goes wrong."""
        if not self._faults.any:
            return 1
        made: int = self._database.run("count_attempt", kind=kind, about=name).fetchone()["made"]
        return made

    def open_session(self, session: NewSession) -> bool:
        """Keep a new session; False if it was there already, which changes nothing."""
        return self._database.run("open_session", **msgspec.to_builtins(session)).rowcount == 1

    def read_session(self, session_id: str) -> Session | None:
        """Read a session."""
        row = self._database.run("read_session", session_id=session_id).fetchone()
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
            return str(self._database.run("success_event", session_id=session.session_id).fetchone()["event_id"])
        due_ms = max(now_ms, session.expires_at_ms) + GATEWAY_LATE_MS if ending == "late" else None
        with self._database.transaction():
            self._database.run("move_session", session_id=session.session_id, state=ending, due_ms=due_ms)
            if ending == "captured":
                post_capture(self._database, session.session_id, session.amount_minor, session.currency, now_ms)
            if ending not in EVENT_TYPES:
                return None
            event = tell(session, EVENT_TYPES[ending], failure_code)
            self.add_event(event, now_ms)
            return event.id

    def end_due_sessions(self, now_ms: int) -> int:
        """Expire open sessions whose time is over and capture late payments; give how many."""
        rows = self._database.run("due_sessions", now_ms=now_ms).fetchall()
        for row in rows:
            session = self.read_session(row["session_id"])
            assert session is not None
            self.end_session(session, "captured" if session.state == "late" else "expired", now_ms)
        return len(rows)

    def due_events(self, now_ms: int) -> list[str]:
        """List events to deliver now, the longest waiting first."""
        rows = self._database.run("due_events", now_ms=now_ms, limit=GATEWAY_DELIVERIES_MAX).fetchall()
        return [row["event_id"] for row in rows]

    def read_event(self, event_id: str) -> EventRow:
        """Read an event for its delivery."""
        return msgspec.convert(dict(self._database.run("read_event", event_id=event_id).fetchone()), EventRow)

    def note_delivery(self, event_id: str, next_due_ms: int | None, *, accepted: bool) -> None:
        """Note that an event was sent, and when it will be again; None when it will not."""
        self._database.run("event_attempted", event_id=event_id, due_ms=next_due_ms, accepted=accepted)

    def next_due_ms(self) -> int | None:
        """Tell when anything is to be done next."""
        due_ms: int | None = self._database.run("next_due").fetchone()["due_ms"]
        return due_ms

    def add_event(self, event: PaymentEvent, now_ms: int) -> None:
        """Queue an event for the webhook, now or as the faults have it; inside the transaction of what it tells of."""
        delay_ms = self._faults.event_delay_ms(event.type, event.refund_id or event.session_id)
        self._database.run(
            "add_event",
            event_id=event.id,
            session_id=event.session_id,
            type=event.type,
            body=msgspec.json.encode(event),
            due_ms=None if delay_ms is None else now_ms + delay_ms,
            now_ms=now_ms,
        )

    def list_events(self, since_ms: int, after: int) -> OutcomePage:
        """List events since a time, behind the one with a number; whether they were delivered or not."""
        rows = self._database.run("list_events", since_ms=since_ms, after=after, limit=GATEWAY_PAGE_MAX).fetchall()
        items = [
            SessionOutcome(event=msgspec.json.decode(row["body"], type=PaymentEvent), at_ms=row["at_ms"])
            for row in rows
        ]
        return OutcomePage(items, rows[-1]["number"] if len(rows) == GATEWAY_PAGE_MAX else None)


def tell(session: NewSession, event_type: str, failure_code: str | None = None) -> PaymentEvent:
    """Say how a session ended."""
    return PaymentEvent(
        id=f"evt_{uuid4().hex}",
        type=event_type,
        session_id=session.session_id,
        amount_minor=session.amount_minor,
        currency=session.currency,
        failure_code=failure_code,
    )

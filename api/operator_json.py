"""Blocks, holds, acts and cases as operators read them."""

from typing import Any

import msgspec

from api.wire import Page, Timestamp, rfc3339
from engine.catalogue.layouts import Layout
from engine.ledger.records import Act, Block, Case
from engine.seats.records import HoldLine, HoldStatus


class BlockAnswer(msgspec.Struct):
    """Seats that are out of sale; until `release_at` if that is given."""

    id: int
    showtime_id: int
    seats: list[str]
    reason: str
    channel: str | None
    evict: bool
    created_by: str
    created_at: Timestamp
    release_at: Timestamp | None
    released_at: Timestamp | None


class HoldLineAnswer(msgspec.Struct):
    """A live hold as operators see it."""

    id: str
    status: HoldStatus
    seats: list[str]
    claimed_at: Timestamp
    payment_open: bool
    expires_at: Timestamp
    expires_in_ms: int
    server_time: Timestamp


class HoldPage(Page[HoldLineAnswer]):
    """A page of holds, and how many there are."""

    total: int


class ActAnswer(msgspec.Struct):
    """One act of an operator: who, what, on what, why."""

    id: int
    actor: str
    verb: str
    subject: str
    reason: str
    details: Any
    acted_at: Timestamp


class CaseAnswer(msgspec.Struct):
    """What a person has to look at."""

    id: int
    business_id: str
    kind: str
    showtime_id: int | None
    booking_id: str | None
    session_id: str | None
    details: Any
    opened_at: Timestamp
    closed_at: Timestamp | None


def block_json(block: Block) -> BlockAnswer:
    """Build one block."""
    return BlockAnswer(
        id=block.id,
        showtime_id=block.showtime,
        seats=[seat.seat for seat in block.seats],
        reason=block.reason,
        channel=block.channel,
        evict=block.evict,
        created_by=block.created_by,
        created_at=rfc3339(block.created_at_ms),
        release_at=None if block.release_at_ms is None else rfc3339(block.release_at_ms),
        released_at=None if block.released_at_ms is None else rfc3339(block.released_at_ms),
    )


def hold_json(layout: Layout, hold: HoldLine, now_ms: int) -> HoldLineAnswer:
    """Build one hold; `now_ms` is Redis' clock."""
    return HoldLineAnswer(
        id=hold.id,
        status=hold.status,
        seats=[layout.seats[index].seat for index in hold.seats],
        claimed_at=rfc3339(hold.claimed_at_ms),
        payment_open=hold.payment_open,
        expires_at=rfc3339(hold.deadline_ms),
        expires_in_ms=max(0, hold.deadline_ms - now_ms),
        server_time=rfc3339(now_ms),
    )


def act_json(act: Act) -> ActAnswer:
    """Build one act."""
    return ActAnswer(
        id=act.id,
        actor=act.actor,
        verb=act.verb,
        subject=act.subject,
        reason=act.reason,
        details=act.details,
        acted_at=rfc3339(act.acted_at_ms),
    )


def case_json(case: Case) -> CaseAnswer:
    """Build one case."""
    return CaseAnswer(
        id=case.id,
        business_id=case.business_id,
        kind=case.kind,
        showtime_id=case.showtime,
        booking_id=case.booking_id,
        session_id=case.session_id,
        details=case.details,
        opened_at=rfc3339(case.opened_at_ms),
        closed_at=None if case.closed_at_ms is None else rfc3339(case.closed_at_ms),
    )

"""The projector: facts become rows of the ledger, each once and in the order of its showtime, many in one transaction.

A fact is applied if its seq follows the last one applied for its showtime and generation. A lower one was seen before
and changes nothing; a higher one waits (is parked) for those between. So facts that are doubled, shuffled, delayed or
delivered by another worker make the same ledger.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec
import structlog

from engine.errors import Refusal, Unavailable
from engine.ledger.bookkeeping import Place, ask_rebuilds, lock_heads, read_books, write_books, write_facts
from engine.ledger.database import committing
from engine.ledger.facts import BookingEnded, Fact, readable
from engine.ledger.judge import judge
from engine.ledger.part import open_case
from engine.ledger.queries import query

log = structlog.get_logger()

Describe = Callable[[int, Sequence[int]], Awaitable[list[tuple[str, str]]]]
"""Gives (label, tier) of each asked seat of a showtime. Raises Refusal or IndexError for what does not exist."""


@dataclass
class Projection:
    """What became of a batch, after COMMIT.

    Attributes:
        done: facts that the ledger has, now or before, or that became a case: to be acknowledged.
        parked: facts that wait for others.
        sessions: payment sessions whose waiters are to be woken.
    """

    done: list[Fact] = field(default_factory=list)
    parked: list[Fact] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)


async def project(connection: Any, facts: Sequence[Fact], describe: Describe) -> Projection:
    """Apply a batch in one transaction; if one fact is poison, each in its own.

    Args:
        connection: the session that holds the partitions of these facts.
        facts: in any order, with repeats, of any showtimes.
        describe: knows the layouts.

    Raises:
        Unavailable: `ledger_unavailable`: nothing may be acknowledged. The same call is safe, also after an unknown
            outcome.
    """
    described = {(fact.partition, fact.entry): await _described(fact, describe) for fact in facts}
    try:
        return await _project_together(connection, facts, described)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 (one fact of the batch is at fault, and the others must flow on)
        log.warning("batch_taken_apart", facts=len(facts), error=str(error))
    projection = Projection()
    for fact in in_order(facts):
        one = await _project_one(connection, fact, described)
        projection.done += one.done
        projection.parked += one.parked
        projection.sessions += one.sessions
    return projection


def in_order(facts: Sequence[Fact]) -> list[Fact]:
    """Sort by place and seq, so that each place's facts can be applied from left to right."""
    return sorted(facts, key=lambda fact: (fact.showtime, fact.generation, fact.seq))


async def _project_together(
    connection: Any, facts: Sequence[Fact], described: dict[tuple[int, bytes], Any]
) -> Projection:
    projection = Projection()
    async with committing(connection):
        heads = await lock_heads(connection, sorted({(fact.showtime, fact.generation) for fact in facts}))
        due = _split(facts, heads, projection)
        await _compare(connection, projection.done)
        if due:
            books = await read_books(connection, due)
            for fact in due:
                judge(fact, books, described[fact.partition, fact.entry])
            await write_books(connection, books)
            await write_facts(connection, due)
            projection.sessions = books.sessions
    projection.done += due
    return projection


def _split(facts: Sequence[Fact], heads: dict[Place, int], projection: Projection) -> list[Fact]:
    """Give the facts that are next, in order; put the others into the projection as seen or parked."""
    due: list[Fact] = []
    for fact in in_order(facts):
        place = (fact.showtime, fact.generation)
        if fact.seq <= heads[place]:
            projection.done.append(fact)
        elif fact.seq == heads[place] + 1:
            heads[place] = fact.seq
            due.append(fact)
        else:
            projection.parked.append(fact)
    return due


async def _compare(connection: Any, seen: Sequence[Fact]) -> None:
    """Tell a fact that was applied before from another one that got the same seq.

    That can happen when Redis lost facts which the reader had in its hands: the showtime was loaded with the seq
    before them, and counted on from there. Such a fact is a case, and its showtime is built anew.
    """
    if not seen:
        return
    keys = [[fact.showtime for fact in seen], [fact.generation for fact in seen], [fact.seq for fact in seen]]
    rows = await connection.fetch(query("list_fact_names"), *keys)
    names = {(row["showtime_id"], row["generation"], row["seq"]): row["business_id"] for row in rows}
    for fact in seen:
        known = names.get((fact.showtime, fact.generation, fact.seq))
        if known is not None and known != fact.business_id:
            details = {"seq": fact.seq, "generation": fact.generation, "kind": fact.kind, "known": known}
            details |= {"business_id": fact.business_id, "data": readable(fact.raw)}
            name = f"fact_conflict:{fact.showtime}:{fact.generation}:{fact.seq}:{fact.business_id}"
            await open_case(connection, "fact_conflict", name, details, showtime=fact.showtime)
            await ask_rebuilds(connection, {fact.showtime: "fact_conflict"}, automatic=True)
            log.error("fact_conflict", showtime=fact.showtime, **details)


async def _project_one(connection: Any, fact: Fact, described: dict[tuple[int, bytes], Any]) -> Projection:
    try:
        return await _project_together(connection, [fact], described)
    except Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 (whatever a fact does, it must not stop its partition)
        await _set_aside(connection, fact, f"{type(error).__name__}: {error}")
        return Projection(done=[fact])


async def _set_aside(connection: Any, fact: Fact, why: str) -> None:
    """Make a fact that cannot be applied a case: its seq is kept, its showtime frozen until an operator has looked."""
    log.error("poison_fact", showtime=fact.showtime, generation=fact.generation, seq=fact.seq, kind=fact.kind, why=why)
    whole = readable(fact.raw)
    details = {"why": why, "kind": fact.kind, "business_id": fact.business_id, "at_ms": fact.at_ms, "data": whole}
    kept = msgspec.structs.replace(fact, kind="poison", raw=msgspec.json.encode({"kind": fact.kind, "data": whole}))
    name = f"poison_fact:{fact.showtime}:{fact.generation}:{fact.seq}"
    booking_id: UUID | None = getattr(fact.data, "booking", None)
    async with committing(connection):
        await lock_heads(connection, [(fact.showtime, fact.generation)])
        await write_facts(connection, [kept])
        await open_case(connection, "poison_fact", name, details, showtime=fact.showtime, booking_id=booking_id)
        await ask_rebuilds(connection, {fact.showtime: "poison_fact"}, automatic=False)


async def set_aside_entry(connection: Any, partition: int, entry: bytes, content: dict[str, Any], why: str) -> None:
    """Make a stream entry that belongs to no showtime a case.

    Raises:
        Unavailable: `ledger_unavailable`; the same call is safe.
    """
    log.error("poison_entry", partition=partition, entry=entry.decode(), why=why)
    async with committing(connection):
        details = {"why": why, "entry": content}
        await open_case(connection, "poison_fact", f"poison_entry:{partition}:{entry.decode()}", details)


async def close_gap(connection: Any, place: Place, first_parked_seq: int) -> None:
    """Stop waiting for facts that are not in the stream: their seqs are filled, and the showtime is built again.

    The money of a sale whose fact was lost is still an open capture, which the worker settles after the rebuild.

    Raises:
        Unavailable: `ledger_unavailable`; the same call is safe.
    """
    showtime, generation = place
    async with committing(connection):
        head = (await lock_heads(connection, [place]))[place]
        lost = [_filler(showtime, generation, seq) for seq in range(head + 1, first_parked_seq)]
        if lost:
            await write_facts(connection, lost)
            details = {"generation": generation, "first": head + 1, "last": first_parked_seq - 1}
            name = f"facts_missing:{showtime}:{generation}:{head + 1}"
            await open_case(connection, "facts_missing", name, details, showtime=showtime)
            await ask_rebuilds(connection, {showtime: "facts_missing"}, automatic=True)
            log.error("facts_missing", showtime=showtime, **details)


def _filler(showtime: int, generation: int, seq: int) -> Fact:
    return Fact(
        partition=0,
        entry=b"",
        kind="facts_missing",
        showtime=showtime,
        generation=generation,
        seq=seq,
        business_id="",
        at_ms=0,
        data=None,
        raw=b"{}",
    )


async def _described(fact: Fact, describe: Describe) -> list[tuple[str, str]] | None:
    if not isinstance(fact.data, BookingEnded):
        return None
    try:
        return await describe(fact.showtime, fact.data.seats)
    except (Refusal, IndexError):
        return None

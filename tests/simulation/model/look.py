"""Everything that is kept of a showtime, in one form for both worlds, so that they can be compared."""

from dataclasses import dataclass, fields
from json import loads
from struct import unpack
from typing import Any

from tests.seat_places import read_customer, read_hold, read_policy
from tests.simulation.model.bits import as_bitmap
from tests.simulation.model.model import Model
from tests.simulation.model.records import BLOCKED, Fact, Policy

SUBJECT_BYTES = 16


@dataclass(frozen=True)
class Look:
    """What stands in Redis: of a showtime that is not loaded, only `hint` and `loading`.

    Attributes:
        meta: status, seats, generation, seq, version, fence, loaded_ms, next_lapse_ms, policy.
        sold, locked, blocked: bitmaps with the bit after the last seat.
        owners: the number in each seat's cell.
        holds: owner number -> subject, claimed_at_ms, status, extensions, retries, payment open, seats.
        deadlines: owner number -> ms.
        customers: subject -> seats bought, owner numbers.
        lapses: subject -> holds left to lapse, when the latest did.
        checkouts: owner number -> text.
        hint: the earliest deadline that the worker's timer knows, None without one.
        loading: nonce, and what each customer has bought, of a load in progress.
    """

    meta: dict[str, Any]
    sold: bytes
    locked: bytes
    blocked: bytes
    owners: tuple[int, ...]
    holds: dict[int, tuple[Any, ...]]
    deadlines: dict[int, int]
    customers: dict[bytes, tuple[Any, ...]]
    lapses: dict[bytes, tuple[int, int]]
    checkouts: dict[int, bytes]
    hint: int | None
    loading: tuple[bytes, dict[bytes, int]] | None

    def differences(self, other: "Look") -> dict[str, tuple[Any, Any]]:
        """Give, by field, what this one and the other have where they differ."""
        pairs = {field.name: (getattr(self, field.name), getattr(other, field.name)) for field in fields(self)}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


NOT_LOADED: dict[str, Any] = {
    "meta": {},
    "sold": b"",
    "locked": b"",
    "blocked": b"",
    "owners": (),
    "holds": {},
    "deadlines": {},
    "customers": {},
    "lapses": {},
    "checkouts": {},
}


def look_of_model(model: Model) -> Look:
    """Look at the model."""
    load, showtime = model.load, model.loaded
    loading = (load.nonce, {subject: kept.bought for subject, kept in load.customers.items()}) if load else None
    hint = model.lapses.get(model.number)
    if showtime is None:
        return Look(**NOT_LOADED, hint=hint, loading=loading)
    holds = showtime.holds
    held = {seat: hold.owner for hold in holds.values() for seat in hold.seats}
    cells = {**held, **showtime.sold, **dict.fromkeys(showtime.blocked, BLOCKED)}
    names = (
        "status",
        "seats",
        "generation",
        "seq",
        "version",
        "fence",
        "loaded_ms",
        "next_lapse_ms",
        "policy",
    )
    return Look(
        meta={name: getattr(showtime, name) for name in names},
        sold=as_bitmap(showtime.sold, showtime.seats),
        locked=as_bitmap(held, showtime.seats),
        blocked=as_bitmap(showtime.blocked, showtime.seats),
        owners=tuple(cells.get(seat, 0) for seat in range(showtime.seats)),
        holds={
            owner: (
                hold.subject,
                hold.claimed_at_ms,
                hold.status.encode(),
                hold.extensions,
                hold.retries,
                int(hold.payment_open),
                tuple(hold.seats),
            )
            for owner, hold in holds.items()
        },
        deadlines={owner: hold.deadline_ms for owner, hold in holds.items()},
        customers={
            subject: (customer.bought, tuple(customer.holds)) for subject, customer in showtime.customers.items()
        },
        lapses={subject: (kept.count, kept.last_ms) for subject, kept in showtime.lapses.items()},
        checkouts={owner: hold.checkout for owner, hold in holds.items() if hold.checkout is not None},
        hint=hint,
        loading=loading,
    )


READING = (
    ("HGETALL", "meta"),
    ("GET", "seats"),
    ("ZRANGE", "deadlines", 0, -1, "WITHSCORES"),
    ("HGETALL", "checkouts"),
    ("HGETALL", "loading"),
)
"""Commands that read all keys of a showtime; their second word is the key's."""


def look_of_replies(replies: list[Any], hint: bytes | None) -> Look:
    """Look at what Redis has: the replies to READING, and the score in the timer's sorted set."""
    meta, seats, deadlines, checkouts, loading = replies
    hint_ms = None if hint is None else int(float(hint))
    load = pairs_of(loading)
    nonce = load.pop(b"nonce", None)
    bought = {field: unpack(">H", packed)[0] for field, packed in load.items() if len(field) == SUBJECT_BYTES}
    loading = (nonce, bought) if nonce is not None else None
    if not meta:
        assert not any(replies[:-1]), f"some keys outlived meta: {replies}"
        return Look(**NOT_LOADED, hint=hint_ms, loading=loading)
    fields, scores, texts = (pairs_of(reply) for reply in (meta, deadlines, checkouts))
    assert scores.pop(b"0", None) == b"inf", "the sentinel of `deadlines` is lost"
    of_subjects = {field: fields.pop(field) for field in list(fields) if len(field) == SUBJECT_BYTES}
    packed_holds = {int(field): fields.pop(field) for field in list(fields) if field.isdigit()}
    records = {subject: read_customer(packed) for subject, packed in of_subjects.items()}
    count = int(fields[b"seats_count"])
    size = count // 8 + 1
    assert len(seats) == 3 * size + 4 * count, f"{len(seats)} bytes for {count} seats"
    return Look(
        meta=_meta_of(fields),
        sold=seats[:size],
        locked=seats[size : 2 * size],
        blocked=seats[2 * size : 3 * size],
        owners=unpack(f">{count}I", seats[3 * size :]),
        holds={owner: read_hold(packed) for owner, packed in packed_holds.items()},
        deadlines={int(owner): int(float(score)) for owner, score in scores.items()},
        customers={subject: (bought, holds) for subject, (bought, _, holds) in records.items() if bought or holds},
        lapses={subject: lapses for subject, (_, lapses, _) in records.items() if lapses},
        checkouts={int(owner): text for owner, text in texts.items()},
        hint=hint_ms,
        loading=loading,
    )


def pairs_of(flat: list[Any]) -> dict[Any, Any]:
    """Give a flat list of keys and values as a dict."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _meta_of(fields: dict[bytes, bytes]) -> dict[str, Any]:
    meta: dict[str, Any] = {name.decode(): value for name, value in fields.items()}
    meta["seats"] = meta.pop("seats_count")
    numbers = {name: int(value) for name, value in meta.items() if name not in {"status", "policy"}}
    return {**numbers, "status": meta["status"].decode(), "policy": Policy(*read_policy(meta["policy"]))}


def facts_of(entries: list[Any]) -> list[Fact]:
    """Give the facts of entries of the stream."""
    facts = []
    for _, flat in entries:
        entry = {name.decode(): value.decode() for name, value in pairs_of(flat).items()}
        numbers = {name: int(entry[name]) for name in ("showtime", "generation", "seq", "at")}
        facts.append(Fact(**{**entry, **numbers, "data": loads(entry["data"])}))
    return facts

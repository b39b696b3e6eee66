"""Histories: what clients asked, when, and what they were told; the checker decides whether one seat map explains it.

    recorder = Recorder(folder / "calls.jsonl")          # or Recorder(): in memory only
    seats = RecordedSeats(engine, recorder)              # calls in process; seats are indexes
    watch(recorder, customer)                            # of watched.py: a Customer of tests/flow/town.py; labels
    with recorder.during("lost"):                        # all holds may vanish; see `MARKS`
        ...
    calls = recorder.calls                               # or read_calls(path), of many processes

One call is `{op, key, args, start, end, result | unknown}`: `key` is the showtime (0: all of them), times are ms of the
machine's monotonic clock, the same in each of its processes. A hold is named by its owner number, `who` is a subject,
`now` and deadlines are Redis' ms, `taken` is [[seat, reason, owner?, deadline?]...], `request` names what is repeated.

    op            args                   result: {"word": ...} and
    claim         who seats request      claimed: owner deadline now seats; seats_taken: taken now?
    extend        who owner request      extended: deadline now seats
    change        who owner add remove   changed: deadline now seats; seats_taken: taken now?
    check_out     who owner request      checked_out: deadline now seats; checked_out_before
    open_payment  who owner              payment_opened
    close_payment owner                  payment_closed: deadline now
    release       who owner              released, gone, or over (one of both: HTTP does not tell)
    read_hold     who owner              hold: deadline now seats
    read_map      who                    map: status [[seat, word]...] of seats that are not free; now
    sell          who owner seats        sold: late; sold_already
    read_booking  who owner              confirmed: seats, as the ledger has them
    refund        who owner              refunded: its seats will be free, some time
    restock       owner seats            restocked: seats
    block unblock seats evict            blocked, unblocked
    cancel                               cancelled: the whole showtime

Every other word is a refusal: nothing was changed. Without a result it is unknown whether the call has happened.
"""

import asyncio
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from engine.errors import Refusal, SeatlockError, Unavailable
from engine.seats.ids import parse_hold_id

EVERY_SHOWTIME = 0
SCRIPT_WORDS = {"map": ("seats",), "checked_out_before": ("already_checked_out",)}
TELLS_VERSION = (b"claimed", b"changed", b"extended", b"checked_out", b"released", b"hold", b"seats")
MARKS = ("lost", "clock")
"""`lost`: Redis forgot holds at some moment of it; `clock`: its clock was set, so that deadlines mean little."""


class Call(msgspec.Struct, omit_defaults=True):
    """One call, or a mark; see the module. `end` is None while nobody knows when it ended, or whether."""

    op: str
    key: int
    args: dict[str, Any]
    start: float
    end: float | None = None
    result: dict[str, Any] | None = None

    @property
    def unknown(self) -> bool:
        """Whether it may have happened, or may happen yet."""
        return self.result is None


def now() -> float:
    """Give ms of the monotonic clock."""
    return monotonic() * 1000


class Recorder:
    """Keeps calls: in memory, or as JSON lines in a file to which any number of processes append.

    Attributes:
        calls: what was recorded here, unless it goes to a file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.calls: list[Call] = []
        self._encode = msgspec.json.Encoder().encode
        self._file = None if path is None else os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = threading.Lock()

    def note(self, call: Call) -> None:
        """Record a call that has ended, or whose end will never be known."""
        if self._file is None:
            self.calls.append(call)
            return
        line = self._encode(call) + b"\n"
        with self._lock:  # one write of O_APPEND is never torn by another process; a short one could be
            while line:
                line = line[os.write(self._file, line) :]

    def add(self, op: str, key: int, args: dict[str, Any], start: float, result: dict[str, Any] | None) -> None:
        """Record a call that ends now; `result` None: unknown."""
        self.note(Call(op, key, args, start, now() if result is not None else None, result))

    @contextmanager
    def during(self, mark: str, key: int = EVERY_SHOWTIME, **args: Any):
        """Record that something happened to Redis at some moment while the block runs."""
        assert mark in MARKS, mark
        start = now()
        try:
            yield
        finally:
            self.add(mark, key, args, start, {"word": mark})

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            os.close(self._file)


def read_calls(path: Path) -> list[Call]:
    """Read calls that were recorded in a file; a last line that a dying process left torn is no call."""
    decode = msgspec.json.Decoder(Call).decode
    return [decode(line) for line in path.read_bytes().split(b"\n")[:-1] if line]


class RecordedSeats:
    """The seat engine, with every call recorded; the methods have its names and give what it gives.

    What was refused or unknown is raised as the engine raises it.
    """

    def __init__(self, engine: Any, recorder: Recorder) -> None:
        self._engine = engine
        self._recorder = recorder
        if not hasattr(engine, "told"):
            engine.told = None
            for name in ("_write_once", "_read_once"):
                if hasattr(engine, name):
                    setattr(engine, name, _listening(engine, getattr(engine, name)))

    async def claim_seats(self, showtime, subject, seats, request=None):
        """Claim seats."""
        args = _named({"who": subject, "seats": seats}, request)
        call = self._engine.claim_seats(showtime, subject, seats, request)
        return await self._record("claim", showtime, args, call, _claimed)

    async def extend_hold(self, hold_id, subject, request=None):
        """Give a hold its time again."""
        args = _named({"who": subject, "owner": hold_id.owner}, request)
        call = self._engine.extend_hold(hold_id, subject, request)
        return await self._record("extend", hold_id.showtime, args, call, _extended)

    async def change_hold(self, hold_id, subject, add=(), remove=(), request=None):
        """Add seats to a hold, and take some off it."""
        args = _named({"who": subject, "owner": hold_id.owner, "add": add, "remove": remove}, request)
        call = self._engine.change_hold(hold_id, subject, add, remove, request)
        return await self._record("change", hold_id.showtime, args, call, _changed)

    async def check_out(self, hold_id, subject, checkout, request=None):
        """Make a hold a booking."""
        args = _named({"who": subject, "owner": hold_id.owner}, request)
        call = self._engine.check_out(hold_id, subject, checkout, request)
        return await self._record("check_out", hold_id.showtime, args, call, _checked_out)

    async def open_payment(self, hold_id, subject, request=None):
        """Mark that a payment session is open."""
        args = _named({"who": subject, "owner": hold_id.owner}, request)
        call = self._engine.open_payment(hold_id, subject, request)
        return await self._record("open_payment", hold_id.showtime, args, call, lambda _: {"word": "payment_opened"})

    async def release_hold(self, hold_id, subject, ending="cancelled", reason="customer", request=None):
        """End a hold before its time."""
        args = _named({"who": subject, "owner": hold_id.owner}, request)
        call = self._engine.release_hold(hold_id, subject, ending, reason, request)
        return await self._record("release", hold_id.showtime, args, call, _released)

    async def read_hold(self, hold_id, subject=None):
        """Read a live hold."""
        args = {"who": subject, "owner": hold_id.owner}
        call = self._engine.read_hold(hold_id, subject)
        return await self._record("read_hold", hold_id.showtime, args, call, _read)

    async def sell_seats(self, hold_id, subject, *, gateway, session_id, seats, request=None):
        """Sell the seats of a hold."""
        args = _named({"who": subject, "owner": hold_id.owner, "seats": seats}, request)
        call = self._engine.sell_seats(
            hold_id, subject, gateway=gateway, session_id=session_id, seats=seats, request=request
        )
        return await self._record("sell", hold_id.showtime, args, call, _sold)

    async def restock_seats(self, showtime, subject, booking_id, sale_number, business_id, seats, request=None):
        """Give the seats of a sale back to stock."""
        args = _named({"owner": sale_number, "seats": seats}, request)
        call = self._engine.restock_seats(showtime, subject, booking_id, sale_number, business_id, seats, request)
        return await self._record("restock", showtime, args, call, lambda freed: {"word": "restocked", "seats": freed})

    async def block_seats(self, showtime, seats, *, evict=False, request=None):
        """Take seats out of sale."""
        args = _named({"seats": seats, "evict": evict}, request)
        call = self._engine.block_seats(showtime, seats, evict=evict, request=request)
        return await self._record("block", showtime, args, call, lambda _: {"word": "blocked"})

    async def unblock_seats(self, showtime, seats, request=None):
        """Give blocked seats back."""
        call = self._engine.unblock_seats(showtime, seats, request)
        args = _named({"seats": seats}, request)
        return await self._record("unblock", showtime, args, call, lambda _: {"word": "unblocked"})

    async def close_showtime(self, showtime, request=None):
        """Cancel a showtime for ever."""
        call = self._engine.close_showtime(showtime, request)
        return await self._record("cancel", showtime, {}, call, lambda _: {"word": "cancelled"})

    async def read_seats(self, showtime, subject=None):
        """Read the map."""
        call = self._engine.read_seats(showtime, subject)
        return await self._record("read_map", showtime, {"who": subject}, call, seen_on)

    async def _record(self, op, showtime, args, call, result_of):
        start = now()
        try:
            answer = await call
        except Refusal as refusal:
            self._recorder.add(op, showtime, args, start, self._timed(refused(refusal)))
            raise
        except Unavailable as away:
            known = {"word": away.code} if away.outcome == "definite" else None
            self._recorder.add(op, showtime, args, start, known)
            raise
        except (asyncio.CancelledError, SeatlockError):
            self._recorder.add(op, showtime, args, start, None)
            raise
        self._recorder.add(op, showtime, args, start, self._timed(result_of(answer)))
        return answer

    def _timed(self, result):
        """Add Redis' time to a result, and the version of the map where the script tells it."""
        told = self._engine.told
        if told and told[0] != b"replayed" and told[0].decode() in SCRIPT_WORDS.get(result["word"], result["word"]):
            result["now"] = told[1]
            if told[0] in TELLS_VERSION:
                result["version"] = told[2]
        return result


def _listening(engine, run):
    """Keep what a script has answered until the call it belongs to is recorded, which is at once."""

    async def run_and_keep(*args, **named):
        engine.told = answer = await run(*args, **named)
        return answer

    return run_and_keep


def _named(args, request):
    """Name the request, where it may be repeated."""
    if request is not None and request.id:
        args["request"] = request.id
    return args


def _hold(word, hold):
    if hold.replayed:  # what it tells of time is of the repeat, not of the call that is repeated
        return {"word": word, "owner": hold.owner, "deadline": hold.deadline_ms, "seats": hold.seats, "replayed": True}
    return {"word": word, "owner": hold.owner, "deadline": hold.deadline_ms, "now": hold.now_ms, "seats": hold.seats}


def _claimed(hold):
    return _hold("claimed", hold)


def _extended(hold):
    return _hold("extended", hold)


def _changed(hold):
    return _hold("changed", hold)


def _read(hold):
    return _hold("hold", hold)


def _checked_out(pair):
    hold, created = pair
    return _hold("checked_out" if created else "checked_out_before", hold)


def _released(there):
    return {"word": "released" if there else "gone"}


def _sold(sold):
    return {"word": "sold_already" if sold.already else "sold", "late": sold.late}


def refused(refusal: Refusal) -> dict[str, Any]:
    """Give the result of a refusal of the seat engine."""
    result: dict[str, Any] = {"word": refusal.code}
    details = refusal.details
    if refusal.code == "seats_taken":
        result["taken"] = taken = [taken_seat(entry) for entry in details["seats"]]
        deadlines = [deadline for *_, deadline in taken if deadline]
        if "retry_after_ms" in details and deadlines:
            result["now"] = max(deadlines) - details["retry_after_ms"]
    elif "showtime_status" in details:
        result["closed"] = details["showtime_status"]
    return result


def taken_seat(entry) -> tuple[Any, str, int | None, int | None]:
    """Give one entry of `seats_taken`, of the engine or of the wire: seat, reason, owner, deadline."""
    owner = parse_hold_id(entry["hold_id"]).owner if "hold_id" in entry else None
    return entry["seat"], entry["reason"], owner, entry.get("deadline_ms")


def seen_on(seat_map) -> dict[str, Any]:
    """Give the result of a map of the seat engine: what is not free."""
    status = []
    mine = set(seat_map.mine)
    for word, bitmap in (("SOLD", seat_map.sold), ("LOCKED", seat_map.locked), ("BLOCKED", seat_map.blocked)):
        bits = int.from_bytes(bitmap, "big")
        top = 8 * len(bitmap) - 1
        while bits:
            place = bits.bit_length() - 1
            seat = top - place
            if seat < seat_map.seats:
                status.append((seat, "LOCKED_BY_ME" if seat in mine else word))
            bits ^= 1 << place
    return {"word": "map", "status": status, "now": seat_map.now_ms, "closed": seat_map.status}

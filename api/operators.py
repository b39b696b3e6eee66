"""What operators do to showtimes on sale: freeze, take seats out of sale, end holds; and what they look at."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.operator_catalogue import committed, operated_showtime, operator_showtime_json, tell_redis
from api.seat_labels import in_labels, seat_indexes
from api.wire import (
    Body,
    Input,
    answer,
    expiry,
    no_content,
    page,
    page_cursor,
    page_limit,
    rfc3339,
    row_number,
)
from engine.blocking import lift_block, put_block
from engine.catalogue.desk import Decided
from engine.catalogue.records import Moment, RowId
from engine.errors import InvalidInput, Refusal
from engine.ledger.blocks import NewBlock
from engine.ledger.database import to_ms
from engine.ledger.records import Act, Block, BlockSeat, Case
from engine.ledger.requests import recall
from engine.limits import SEAT_LABEL_LENGTH_MAX, SEATS_PER_BLOCK_MAX
from engine.runtime import Runtime
from engine.seats.ids import parse_hold_id
from engine.seats.records import HoldLine, MetaStatus

Reason = Annotated[str, Meta(min_length=1, max_length=500)]
Label = Annotated[str, Meta(min_length=1, max_length=SEAT_LABEL_LENGTH_MAX)]


class ReasonBody(Input, frozen=True):
    """Why an operator does something; it is written down."""

    reason: Reason


class FreezeAllBody(Input, frozen=True):
    """Freeze, or open, all showtimes to come: of one cinema, or of all."""

    reason: Reason
    cinema: RowId | None = None


class BlockBody(Input, frozen=True):
    """Take seats out of sale, all or none; `evict` ends the holds that have some of them."""

    seats: Annotated[tuple[Label, ...], Meta(min_length=1)]
    reason: Reason
    evict: bool = False
    release_at: Moment | None = None
    channel: Annotated[str, Meta(min_length=1, max_length=100)] | None = None


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a list goes on: an id, or how many were seen."""

    at: Annotated[int, Meta(ge=0, lt=2**53)]


REASON, FREEZE_ALL, BLOCK = Body(ReasonBody), Body(FreezeAllBody), Body(BlockBody)


# --- Freezing


async def freeze_showtime(request: Request) -> Response:
    """Freeze a showtime: no new claims; running check-outs may finish. A repeat is harmless."""
    return await _set_status(request, "FROZEN", "frozen")


async def unfreeze_showtime(request: Request) -> Response:
    """Open a frozen showtime again. A repeat is harmless."""
    return await _set_status(request, "OPEN", "open")


async def _set_status(request: Request, status: Decided, state: MetaStatus) -> Response:
    runtime, body, subject = _runtime(request), await REASON.read(request), caller(request).subject
    showtime = await operated_showtime(request)
    desk, remembered = runtime.catalogue.desk, engine_request(request, subject, body)
    replayed = await desk.set_status(subject, showtime.id, status, body.reason, remembered)
    runtime.catalogue.forget(showtime.id)

    async def tell(number: int) -> None:
        await runtime.seats.freeze_showtime(number, state)

    await tell_redis(tell, await desk.standing([showtime.id], status) if replayed else [showtime.id])
    showtime = await runtime.catalogue.read_showtime(showtime.id)
    if replayed:
        reason = body.reason if status == "FROZEN" else None
        showtime = msgspec.structs.replace(showtime, status=status, status_reason=reason)
    return answer(operator_showtime_json(showtime), 200, REPLAYED if replayed else None)


async def freeze_showtimes(request: Request) -> Response:
    """Freeze all showtimes to come, of a cinema or of all; a repeat tells Redis again."""
    runtime, body, subject = _runtime(request), await _read_all(request), caller(request).subject
    desk, remembered = runtime.catalogue.desk, engine_request(request, subject, body)
    numbers, replayed = await desk.freeze_showtimes(subject, body.cinema, body.reason, remembered)

    async def tell(number: int) -> None:
        runtime.catalogue.forget(number)
        await runtime.seats.freeze_showtime(number, "frozen")

    await tell_redis(tell, await desk.standing(numbers, "FROZEN") if replayed else numbers)
    return answer({"frozen": len(numbers)}, 200, REPLAYED if replayed else None)


async def unfreeze_showtimes(request: Request) -> Response:
    """Open all frozen showtimes to come again, but for those whose seats wait to be built again."""
    runtime, body, subject = _runtime(request), await _read_all(request), caller(request).subject
    desk, remembered = runtime.catalogue.desk, engine_request(request, subject, body)
    numbers, replayed = await desk.unfreeze_showtimes(subject, body.cinema, body.reason, remembered)

    async def tell(number: int) -> None:
        runtime.catalogue.forget(number)
        seat_map = await runtime.seats.peek_seats(number)
        # Only what is loaded and frozen is told; telling the others would disturb showtimes that are just loading.
        if seat_map is not None and seat_map.status == "FROZEN":
            await runtime.seats.freeze_showtime(number, "open")

    await tell_redis(tell, await desk.standing(numbers, "OPEN") if replayed else numbers)
    return answer({"open": len(numbers)}, 200, REPLAYED if replayed else None)


async def _read_all(request: Request) -> FreezeAllBody:
    body, identity = await FREEZE_ALL.read(request), caller(request)
    if body.cinema is not None:
        identity.require_cinema(body.cinema)
    elif identity.role != "admin":
        raise Refusal("forbidden", "Name a cinema; only admins act on all of them.")
    return body


# --- Blocks


async def create_block(request: Request) -> Response:
    """Take seats out of sale: the ledger first, then Redis; 409 `seats_taken` undoes it."""
    runtime, identity = _runtime(request), caller(request)
    body = await BLOCK.read(request)
    showtime = await operated_showtime(request)
    layout = await runtime.catalogue.layout(showtime.layout_id)
    indexes = seat_indexes(layout, body.seats, SEATS_PER_BLOCK_MAX)
    remembered = engine_request(request, identity.subject, body)
    known = await recall(runtime.pool, remembered)
    if known is None and body.release_at is not None and body.release_at <= datetime.now(UTC):
        raise InvalidInput("/release_at", "lies in the past")
    block = await runtime.ledger.add_block(
        NewBlock(
            showtime=showtime.id,
            seats=tuple(BlockSeat(index, layout.seats[index].seat) for index in indexes),
            reason=body.reason,
            created_by=identity.subject,
            channel=body.channel,
            evict=body.evict,
            release_at_ms=None if body.release_at is None else to_ms(body.release_at),
        ),
        remembered,
    )
    if block.replayed and (block.applied or block.released_at_ms is not None):
        return answer(_block_json(block), 201, REPLAYED)
    with committed():
        try:
            await in_labels(layout, put_block(runtime.seats, block))
        except Refusal:
            block = await runtime.ledger.release_block(block.id, remembered)
            await lift_block(runtime.seats, runtime.ledger, block)
            await runtime.ledger.finish_block(block)
            raise
        await runtime.ledger.finish_block(block)
    details = {"block": block.id, "seats": [seat.seat for seat in block.seats], "evict": body.evict}
    await runtime.ledger.record_act(identity.subject, "block_seats", f"showtime:{showtime.id}", body.reason, details)
    return answer(_block_json(block), 201, REPLAYED if block.replayed else None)


async def list_blocks(request: Request) -> Response:
    """List the blocks of a showtime that are in force; a showtime has few, so there is one page."""
    showtime = await operated_showtime(request)
    return answer(page([_block_json(block) for block in await _runtime(request).ledger.list_blocks(showtime.id)]))


async def delete_block(request: Request) -> Response:
    """Give blocked seats back; 204, and 204 again."""
    runtime, identity = _runtime(request), caller(request)
    block = await runtime.ledger.read_block(row_number(request))
    showtime = await runtime.catalogue.read_showtime(block.showtime)
    identity.require_cinema(showtime.cinema_id)
    block = await runtime.ledger.release_block(block.id)
    if not block.applied:
        with committed():
            await lift_block(runtime.seats, runtime.ledger, block)
            await runtime.ledger.finish_block(block)
            await runtime.ledger.record_act(
                identity.subject, "unblock_seats", f"showtime:{showtime.id}", details={"block": block.id}
            )
    return no_content()


def _block_json(block: Block) -> dict[str, Any]:
    return {
        "id": block.id,
        "showtime_id": block.showtime,
        "seats": [seat.seat for seat in block.seats],
        "reason": block.reason,
        "channel": block.channel,
        "evict": block.evict,
        "created_by": block.created_by,
        "created_at": rfc3339(block.created_at_ms),
        "release_at": None if block.release_at_ms is None else rfc3339(block.release_at_ms),
        "released_at": None if block.released_at_ms is None else rfc3339(block.released_at_ms),
    }


# --- Holds


async def list_holds(request: Request) -> Response:
    """List a showtime's live holds, those that end first first."""
    runtime = _runtime(request)
    showtime = await operated_showtime(request)
    layout = await runtime.catalogue.layout(showtime.layout_id)
    after, limit = page_cursor(request, Position), page_limit(request)
    seen = after.at if after else 0
    holds = await runtime.seats.read_holds(showtime.id, seen, limit)

    def line(hold: HoldLine) -> dict[str, Any]:
        return {
            "id": hold.id,
            "status": hold.status,
            "seats": [layout.seats[index].seat for index in hold.seats],
            "claimed_at": rfc3339(hold.claimed_at_ms),
            "payment_open": hold.payment_open,
            **expiry(hold.deadline_ms, holds.now_ms),
        }

    seen += len(holds.holds)
    position = [seen] if holds.holds and seen < holds.total else None
    return answer({**page([line(hold) for hold in holds.holds], position), "total": holds.total})


async def delete_hold(request: Request) -> Response:
    """End anybody's hold, or a booking that waits for its payment; 204, and 204 again."""
    runtime, identity = _runtime(request), caller(request)
    body = await REASON.read(request)
    hold_id = parse_hold_id(request.path_params["hold"])
    showtime = await runtime.catalogue.read_showtime(hold_id.showtime)
    identity.require_cinema(showtime.cinema_id)
    # The ledger first: a booking that is paid or settling refuses, and its seats stay.
    await runtime.ledger.cancel_booking(str(hold_id), None, "staff")
    await runtime.seats.release_hold(hold_id, None, ending="cancelled", reason="staff")
    await runtime.ledger.record_act(
        identity.subject, "release_hold", f"showtime:{showtime.id}", body.reason, {"hold": str(hold_id)}
    )
    return no_content()


# --- What operators look at


async def list_acts(request: Request) -> Response:
    """List every operator's acts, newest first."""
    after = page_cursor(request, Position)
    acts, cursor = await _runtime(request).ledger.list_acts(str(after.at) if after else None, page_limit(request))
    return answer(page([_act_json(act) for act in acts], None if cursor is None else [int(cursor)]))


async def list_cases(request: Request) -> Response:
    """List what a person has to look at, newest first; `?closed=true` with what was closed."""
    after = page_cursor(request, Position)
    cases, cursor = await _runtime(request).ledger.list_cases(
        str(after.at) if after else None, page_limit(request), closed=request.query_params.get("closed") == "true"
    )
    return answer(page([_case_json(case) for case in cases], None if cursor is None else [int(cursor)]))


def _act_json(act: Act) -> dict[str, Any]:
    body = msgspec.structs.asdict(act)
    body["acted_at"] = rfc3339(body.pop("acted_at_ms"))
    return body


def _case_json(case: Case) -> dict[str, Any]:
    body = msgspec.structs.asdict(case)
    closed_at_ms = body.pop("closed_at_ms")
    body["showtime_id"] = body.pop("showtime")
    body["opened_at"] = rfc3339(body.pop("opened_at_ms"))
    body["closed_at"] = None if closed_at_ms is None else rfc3339(closed_at_ms)
    return body


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime

"""What operators do to showtimes on sale: freeze, take seats out of sale, end holds; and what they look at."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request
from api.openapi.describe import PAGE, describe
from api.operator_catalogue import (
    OperatorShowtimeAnswer,
    committed,
    operated_showtime,
    operator_showtime_json,
    tell_redis,
)
from api.operator_json import ActAnswer, BlockAnswer, CaseAnswer, HoldPage, act_json, block_json, case_json, hold_json
from api.seat_labels import in_labels, seat_indexes
from api.wire import (
    Body,
    Input,
    Page,
    answer,
    cursor_of,
    no_content,
    page,
    page_cursor,
    page_limit,
    row_number,
)
from engine.blocking import lift_block, put_block
from engine.catalogue.desk import Decided
from engine.catalogue.records import Moment, RowId
from engine.errors import InvalidInput, Refusal
from engine.ledger.blocks import NewBlock
from engine.ledger.database import to_ms
from engine.ledger.records import BlockSeat
from engine.ledger.requests import recall
from engine.limits import SEAT_LABEL_LENGTH_MAX, SEATS_PER_BLOCK_MAX
from engine.runtime import Runtime
from engine.seats.ids import parse_hold_id
from engine.seats.records import MetaStatus

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


class FrozenAnswer(msgspec.Struct):
    """How many showtimes are frozen now."""

    frozen: int


class OpenAnswer(msgspec.Struct):
    """How many showtimes are open again."""

    open: int


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a list goes on: an id, or how many were seen."""

    at: Annotated[int, Meta(ge=0, lt=2**53)]


REASON, FREEZE_ALL, BLOCK = Body(ReasonBody), Body(FreezeAllBody), Body(BlockBody)


# --- Freezing


@describe({200: OperatorShowtimeAnswer}, body=ReasonBody, refuses=("showtime_closed", "showtime_frozen"))
async def freeze_showtime(request: Request) -> Response:
    """Freeze a showtime: no new claims; running check-outs may finish. A repeat is harmless."""
    return await _set_status(request, "FROZEN", "frozen")


@describe({200: OperatorShowtimeAnswer}, body=ReasonBody, refuses=("showtime_closed", "showtime_frozen"))
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


@describe({200: FrozenAnswer}, body=FreezeAllBody, refuses=("showtime_frozen",))
async def freeze_showtimes(request: Request) -> Response:
    """Freeze all showtimes to come, of a cinema or of all; a repeat tells Redis again."""
    runtime, body, subject = _runtime(request), await _read_all(request), caller(request).subject
    desk, remembered = runtime.catalogue.desk, engine_request(request, subject, body)
    numbers, replayed = await desk.freeze_showtimes(subject, body.cinema, body.reason, remembered)

    async def tell(number: int) -> None:
        runtime.catalogue.forget(number)
        await runtime.seats.freeze_showtime(number, "frozen")

    await tell_redis(tell, await desk.standing(numbers, "FROZEN") if replayed else numbers)
    return answer(FrozenAnswer(len(numbers)), 200, REPLAYED if replayed else None)


@describe({200: OpenAnswer}, body=FreezeAllBody, refuses=("showtime_frozen",))
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
    return answer(OpenAnswer(len(numbers)), 200, REPLAYED if replayed else None)


async def _read_all(request: Request) -> FreezeAllBody:
    body, identity = await FREEZE_ALL.read(request), caller(request)
    if body.cinema is not None:
        identity.require_cinema(body.cinema)
    elif identity.role != "admin":
        raise Refusal("forbidden", "Name a cinema; only admins act on all of them.")
    return body


# --- Blocks


@describe(
    {201: BlockAnswer},
    body=BlockBody,
    refuses=(
        "seats_taken",
        "showtime_closed",
        "unknown_seat",
        "duplicate_seat",
        "too_many_seats",
        "showtime_frozen",
    ),
)
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
        return answer(block_json(block), 201, REPLAYED)
    with committed():
        try:
            await in_labels(layout, put_block(runtime.seats, block))
        except Refusal:
            # Its row stays, ended: the acts name it, and seats of it that a load brought to Redis are to be freed.
            block = await runtime.ledger.release_block(
                block.id, remembered, actor=identity.subject, reason="seats_taken"
            )
            await lift_block(runtime.seats, runtime.ledger, block)
            await runtime.ledger.finish_block(block)
            raise
        await runtime.ledger.finish_block(block)
    return answer(block_json(block), 201, REPLAYED if block.replayed else None)


@describe({200: Page[BlockAnswer]})
async def list_blocks(request: Request) -> Response:
    """List the blocks of a showtime that are in force; a showtime has few, so there is one page."""
    showtime = await operated_showtime(request)
    return answer(page([block_json(block) for block in await _runtime(request).ledger.list_blocks(showtime.id)]))


@describe({204: None}, refuses=("showtime_frozen",))
async def delete_block(request: Request) -> Response:
    """Give blocked seats back; 204, and 204 again."""
    runtime, identity = _runtime(request), caller(request)
    block = await runtime.ledger.read_block(row_number(request))
    showtime = await runtime.catalogue.read_showtime(block.showtime)
    identity.require_cinema(showtime.cinema_id)
    block = await runtime.ledger.release_block(block.id, actor=identity.subject)
    if not block.applied:
        with committed():
            await lift_block(runtime.seats, runtime.ledger, block)
            await runtime.ledger.finish_block(block)
    return no_content()


# --- Holds


@describe({200: HoldPage}, query=PAGE, refuses=("showtime_frozen",))
async def list_holds(request: Request) -> Response:
    """List a showtime's live holds, those that end first first."""
    runtime = _runtime(request)
    showtime = await operated_showtime(request)
    layout = await runtime.catalogue.layout(showtime.layout_id)
    after, limit = page_cursor(request, Position), page_limit(request)
    seen = after.at if after else 0
    holds = await runtime.seats.read_holds(showtime.id, seen, limit)

    seen += len(holds.holds)
    position = [seen] if holds.holds and seen < holds.total else None
    return answer(
        HoldPage([hold_json(layout, hold, holds.now_ms) for hold in holds.holds], cursor_of(position), holds.total)
    )


@describe({204: None}, body=ReasonBody, refuses=("not_cancellable", "showtime_frozen"))
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


@describe({200: Page[ActAnswer]}, query=PAGE)
async def list_acts(request: Request) -> Response:
    """List every operator's acts, newest first."""
    after = page_cursor(request, Position)
    acts, cursor = await _runtime(request).ledger.list_acts(str(after.at) if after else None, page_limit(request))
    return answer(page([act_json(act) for act in acts], None if cursor is None else [int(cursor)]))


@describe({200: Page[CaseAnswer]}, query=("closed", *PAGE))
async def list_cases(request: Request) -> Response:
    """List what a person has to look at, newest first; `?closed=true` with what was closed."""
    after = page_cursor(request, Position)
    cases, cursor = await _runtime(request).ledger.list_cases(
        str(after.at) if after else None, page_limit(request), closed=request.query_params.get("closed") == "true"
    )
    return answer(page([case_json(case) for case in cases], None if cursor is None else [int(cursor)]))


def _runtime(request: Request) -> Runtime:
    runtime: Runtime = request.app.state.runtime
    return runtime

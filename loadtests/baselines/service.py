"""A baseline behind our own HTTP stack: the real application, whose claims and releases go to another design.

    python -m loadtests.baselines.service loadtests.baselines.for_update:ForUpdate --url postgresql://... \
        --showtimes 2000 --seats 300

Server, middleware, tokens, limits on requests, body, layout, prices and answer are the same code with the same
settings (`SEATLOCK_*`); a rival is spared what it has no notion of: keys that are remembered, limits per customer,
other seats to choose from. Only measurements serve this.
"""

import argparse
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from api.app import create_app
from api.auth import Access, caller
from api.holds import CLAIM, HoldAnswer, SeatAnswer
from api.idempotency import engine_request
from api.openapi.describe import describe
from api.routes import Endpoint, build_routes
from api.seat_labels import read_hall, seat_indexes
from api.wire import answer, no_content, now_ms, rfc3339, showtime_number
from engine.errors import Refusal
from engine.limits import SEATS_PER_HOLD_CEILING
from engine.listening import listen
from engine.logs import configure_logs
from engine.serving import serve
from engine.settings import Settings, load_settings
from loadtests.baselines import HOLD_S


@describe({201: HoldAnswer})
async def claim_seats(request: Request) -> Response:
    """Claim seats of a showtime, all or none: 201, or 409 `seats_taken`."""
    runtime = request.app.state.runtime
    subject = caller(request).subject
    number = showtime_number(request)
    body = await CLAIM.read(request)
    hall = await read_hall(runtime.catalogue, number)
    seats = seat_indexes(hall.layout, body.seats, SEATS_PER_HOLD_CEILING)
    engine_request(request, subject, body)
    if not await request.app.state.design.claim(number, seats, subject):
        raise Refusal("seats_taken", seats=[{"seat": label, "reason": "LOCKED"} for label in body.seats])
    prices = hall.showtime.prices
    lines = [
        SeatAnswer(seat.seat, seat.tier, prices[seat.tier]) for seat in (hall.layout.seats[index] for index in seats)
    ]
    at_ms, hold_id = now_ms(), "-".join(map(str, (number, *seats)))
    held = HoldAnswer(
        id=hold_id,
        showtime_id=number,
        seats=lines,
        amount=sum(line.price for line in lines),
        currency=hall.showtime.currency,
        status="HELD",
        expires_at=rfc3339(at_ms + HOLD_S * 1000),
        expires_in_ms=HOLD_S * 1000,
        server_time=rfc3339(at_ms),
    )
    return answer(held, 201, {"Location": f"/api/v1/holds/{hold_id}"})


@describe({204: None})
async def release_hold(request: Request) -> Response:
    """Give the seats back."""
    showtime, *seats = map(int, request.path_params["hold"].split("-"))
    await request.app.state.design.release(showtime, seats, caller(request).subject)
    return no_content()


def create_service(settings: Settings, design: Any, url: str, showtimes: int, seats: int) -> Starlette:
    """Build the application around a design; showtimes 1.. of the catalogue have so many seats each.

    Args:
        settings: as of the API.
        design: as `loadtests.baselines` describes it.
        url: where the design keeps its seats.
    """
    app = create_app(settings)
    app.router.routes[:0] = build_routes(
        [
            Endpoint("POST", "/showtimes/{showtime:int}/holds", claim_seats, Access.CUSTOMER),
            Endpoint("DELETE", "/holds/{hold}", release_hold, Access.CUSTOMER),
        ]
    )
    inner = app.router.lifespan_context

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with inner(app):
            await design.open(url, 32)
            await design.prepare(showtimes, seats)
            app.state.design = design
            yield
            await design.close()

    app.router.lifespan_context = lifespan  # type: ignore[assignment]
    return app


def main() -> None:
    """Serve one design on SEATLOCK_HOST and SEATLOCK_PORT, by uvicorn as `seatlock api` sets it up."""
    parser = argparse.ArgumentParser(prog="python -m loadtests.baselines.service")
    parser.add_argument("design", help="module:Class")
    parser.add_argument("--url", required=True)
    parser.add_argument("--showtimes", type=int, required=True)
    parser.add_argument("--seats", type=int, required=True)
    options = parser.parse_args()
    settings = load_settings()
    configure_logs(settings.log_level)
    module, _, name = options.design.partition(":")
    design = getattr(importlib.import_module(module), name)()
    serve(
        lambda: create_service(settings, design, options.url, options.showtimes, options.seats),
        listen(settings.host, settings.port),
        settings,
    )


if __name__ == "__main__":
    main()

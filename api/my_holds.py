"""A customer's own holds of all showtimes, over HTTP; what was checked out is among the bookings."""

from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.holds import HoldAnswer, hold_json
from api.openapi.describe import describe
from api.seat_labels import read_hall
from api.wire import Page, answer, no_content, page
from engine.runtime import Runtime


@describe({200: Page[HoldAnswer]}, refuses=("showtime_frozen",))
async def list_my_holds(request: Request) -> Response:
    """List one's own live holds that are not checked out, newest first."""
    runtime: Runtime = request.app.state.runtime
    holds = await runtime.orders.belongings.live_holds(caller(request).subject)
    own = [hold for hold in holds if hold.status == "HELD"]
    return answer(page([hold_json(await read_hall(runtime.catalogue, hold.showtime), hold) for hold in own]))


@describe({204: None}, refuses=("showtime_frozen",))
async def release_my_holds(request: Request) -> Response:
    """Give the seats of all of one's own holds back; a repeat is harmless, and bookings stay."""
    runtime: Runtime = request.app.state.runtime
    await runtime.orders.belongings.release_holds(caller(request).subject)
    return no_content()

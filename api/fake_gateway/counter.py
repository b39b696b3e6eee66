"""What only the seller asks the fake gateway for: money back, and what has happened."""

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.fake_gateway.book import list_postings
from api.fake_gateway.courier import Courier
from api.fake_gateway.database import Database
from api.fake_gateway.faults import Faults
from api.fake_gateway.refunds import Course, RefundRefusedError, Refunds
from api.fake_gateway.store import Store
from api.fake_gateway.wire import Guard, hang, json_answer
from engine.orders.gateways.fake import Refused
from engine.orders.gateways.protocol import RefundOrder


class Counter:
    """The handlers, and what they share."""

    def __init__(
        self,
        database: Database,
        store: Store,
        refunds: Refunds,
        courier: Courier,
        guard: Guard,
        faults: Faults,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._store = store
        self._refunds = refunds
        self._courier = courier
        self._guard = guard
        self._faults = faults
        self._clock = clock

    async def refund(self, request: Request) -> Response:
        """Give money back, or say how that refund stands; 409 or 422 with a code when it cannot go back."""
        order = msgspec.json.decode(await self._guard.read_body(request), type=RefundOrder)
        attempt = self._store.count_attempt("refund", order.refund_id)
        silence = self._faults.silence("refund", order.refund_id, attempt)
        if silence == "not_done":
            return await hang(self._faults)
        try:
            state = self._refunds.ask(order, self._clock(), self._decide)
        except RefundRefusedError as error:
            return json_answer(Refused(error.code), error.status)
        self._courier.wake()
        return await hang(self._faults) if silence else json_answer(state, 200)

    def _decide(self, refund_id: str, attempt: int) -> Course:
        return Course(
            "FAILED" if self._faults.fails_refund(refund_id, attempt) else "SETTLED",
            self._faults.refund_pending_ms(refund_id, attempt),
        )

    async def list_outcomes(self, request: Request) -> Response:
        """List events since a time, whether they were delivered or not."""
        self._guard.check_target(request)
        asked = msgspec.convert(dict(request.query_params), dict[str, int], strict=False)
        return json_answer(self._store.list_events(asked.get("since_ms", 0), asked.get("after", 0)), 200)

    async def show_book(self, request: Request) -> Response:
        """Show every movement of money."""
        self._guard.check_target(request)
        return json_answer(list_postings(self._database), 200)

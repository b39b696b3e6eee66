"""The fake gateway's refunds: once per id, never more than was paid."""

from collections.abc import Callable
from hashlib import blake2b
from typing import Literal

import msgspec

from api.fake_gateway.book import post_refund
from api.fake_gateway.database import Database
from api.fake_gateway.store import Store
from engine.limits import GATEWAY_DELIVERIES_MAX
from engine.orders.gateways.protocol import REFUND_FAILED, REFUND_SETTLED, PaymentEvent, RefundOrder, RefundState

FAILURE = "bank_refused"
"""Why refunds fail here, when they do."""

Status = Literal["SETTLED", "PENDING", "FAILED"]


class Course(msgspec.Struct, frozen=True):
    """How one attempt at a refund goes: at once, or pending until a time and then so."""

    status: Literal["SETTLED", "FAILED"] = "SETTLED"
    pending_ms: int = 0


class RefundRow(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as it is kept."""

    refund_id: str
    session_id: str
    amount: int
    currency: str
    reason: str
    status: Status
    gateway_refund: str
    failure_code: str | None
    attempts: int
    due_status: Literal["SETTLED", "FAILED"] | None

    @property
    def order(self) -> RefundOrder:
        """What was asked for."""
        return RefundOrder(
            refund_id=self.refund_id,
            session_id=self.session_id,
            amount_minor=self.amount,
            currency=self.currency,
            reason=self.reason,
        )

    @property
    def state(self) -> RefundState:
        """What the asker is told."""
        return RefundState(status=self.status, gateway_refund=self.gateway_refund, failure_code=self.failure_code)


class RefundRefusedError(Exception):
    """This money cannot go back; `code` says why, `status` is that of the answer."""

    def __init__(self, code: str, status: int) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


class Refunds:
    """Refunds of the sessions of a store, in the same file."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store

    def ask(self, order: RefundOrder, now_ms: int, decide: Callable[[str, int], Course]) -> RefundState:
        """Give the state of a refund, after trying it if it is new or has failed before.

        Args:
            order: what is to go back.
            now_ms: Unix time in ms.
            decide: says how attempt n (from 1) at a refund id goes.

        Raises:
            RefundRefusedError: it cannot go back, or the same id was asked for with other money.
        """
        with self._database.transaction():
            known = self._read(order.refund_id)
            if known is not None and (known.session_id, known.amount, known.currency) != (
                order.session_id,
                order.amount_minor,
                order.currency,
            ):
                raise RefundRefusedError("refund_changed", 409)
            if known is None or known.status == "FAILED":
                self._check(order)
                attempt = known.attempts + 1 if known else 1
                self._try(order, attempt, decide(order.refund_id, attempt), now_ms)
            known = self._read(order.refund_id)
            assert known is not None
            return known.state

    def end_due(self, now_ms: int) -> int:
        """End pending refunds whose time has come, each with the event that tells of it; give how many."""
        rows = self._database.run("due_refunds", now_ms=now_ms, limit=GATEWAY_DELIVERIES_MAX).fetchall()
        for row in rows:
            with self._database.transaction():
                refund = self._read(row["refund_id"])
                assert refund is not None
                assert refund.due_status is not None
                self._keep(refund.order, refund.attempts, refund.due_status, now_ms)
                self._tell(refund, now_ms)
        return len(rows)

    def _read(self, refund_id: str) -> RefundRow | None:
        row = self._database.run("read_refund", refund_id=refund_id).fetchone()
        return msgspec.convert(dict(row), RefundRow) if row else None

    def _check(self, order: RefundOrder) -> None:
        session = self._store.read_session(order.session_id)
        if session is None:
            raise RefundRefusedError("unknown_session", 422)
        if session.currency != order.currency:
            raise RefundRefusedError("wrong_currency", 422)
        if session.state != "captured":
            raise RefundRefusedError("not_paid", 409)
        others = self._database.run("sum_refunds", session_id=order.session_id).fetchone()["amount"]
        if others + order.amount_minor > session.amount_minor:
            raise RefundRefusedError("over_refund", 409)

    def _try(self, order: RefundOrder, attempt: int, course: Course, now_ms: int) -> None:
        if course.pending_ms:
            self._keep(order, attempt, "PENDING", now_ms, now_ms + course.pending_ms, course.status)
        else:
            self._keep(order, attempt, course.status, now_ms)

    def _keep(
        self,
        order: RefundOrder,
        attempt: int,
        status: Status,
        now_ms: int,
        due_ms: int | None = None,
        due_status: str | None = None,
    ) -> None:
        """Write where a refund stands, and the money that moves with it."""
        values = msgspec.to_builtins(order)
        self._database.run(
            "keep_refund",
            **values,
            status=status,
            gateway_refund=f"re_{blake2b(order.refund_id.encode(), digest_size=12).hexdigest()}",
            failure_code=FAILURE if status == "FAILED" else None,
            attempts=attempt,
            due_ms=due_ms,
            due_status=due_status,
        )
        if status == "SETTLED":
            post_refund(self._database, order, now_ms)

    def _tell(self, refund: RefundRow, now_ms: int) -> None:
        settled = refund.due_status == "SETTLED"
        event = PaymentEvent(
            id=f"evt_{refund.gateway_refund}_{refund.attempts}",
            type=REFUND_SETTLED if settled else REFUND_FAILED,
            session_id=refund.session_id,
            amount_minor=refund.amount,
            currency=refund.currency,
            failure_code=None if settled else FAILURE,
            refund_id=refund.refund_id,
        )
        self._store.add_event(event, now_ms)

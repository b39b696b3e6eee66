"""A payment gateway: takes money, tells of it twice, late, in any order or never; pays each refund once.

It never dies, and knows nothing of the ledger: what it says about money is held against what the ledger says.
"""

import msgspec

from engine.errors import Refusal, Unavailable
from engine.orders.gateways.protocol import PaymentEvent, RefundState, SessionOutcome
from tests.simulation.world.loop import WORLD

TRIES_MAX = 8


class Bank:
    """The gateway itself.

    Attributes:
        up: it answers.
        sessions: session id -> {amount, currency, expires_ms, status, captured}.
        refunds: refund id -> {session, amount, status}.
        history: every outcome with its time, for whoever asks.
        hasty: sessions of which 2xx was said before the ledger had an outcome.
    """

    def __init__(self, world):
        self.world = world
        self.up = True
        self.sessions, self.refunds, self.history = {}, {}, []
        self.hasty = []

    def now_ms(self):
        return int(self.world.loop.unix_s() * 1000)

    # --- What customers do there

    def pay(self, session_id):
        """Take the money of a session; whether it did. Some banks let a customer pay after the session's end."""
        session = self.sessions.get(session_id)
        if session is None or session["captured"]:
            return False
        session["captured"], session["status"] = session["amount"], "success"
        self.world.note("paid", session_id)
        self._happened("payment.success", session_id)
        return True

    def fail(self, session_id):
        """Refuse a customer's card."""
        session = self.sessions.get(session_id)
        if session is not None and session["status"] == "open":
            session["status"] = "failed"
            self._happened("payment.failed", session_id)

    def expire(self, session_id):
        """End a session that nobody paid."""
        session = self.sessions.get(session_id)
        if session is not None and session["status"] == "open":
            session["status"] = "expired"
            self._happened("payment.expired", session_id)

    def pay_unknown(self, amount):
        """Take money for a session that the seller never made."""
        session_id = f"stray_{len(self.sessions)}"
        self.sessions[session_id] = self._session(amount, "IDR", 0)
        self.pay(session_id)

    @staticmethod
    def _session(amount, currency, expires_ms):
        return {"amount": amount, "currency": currency, "expires_ms": expires_ms, "status": "open", "captured": 0}

    # --- Telling

    def _happened(self, type, session_id, refund_id=None, amount=None):
        session = self.sessions[session_id]
        event = PaymentEvent(
            id=f"evt_{len(self.history)}",
            type=type,
            session_id=session_id,
            amount_minor=session["amount"] if amount is None else amount,
            currency=session["currency"],
            refund_id=refund_id,
            failure_code="card_declined" if type == "payment.failed" else None,
        )
        self.history.append(SessionOutcome(event=event, at_ms=self.now_ms()))
        for delay_s in self.world.chaos.deliveries():
            self.world.loop.call_later(delay_s, self._deliver, event, 0, context=WORLD)

    def _deliver(self, event, tries):
        """Tell the seller; again, later each time, until it says that the outcome is durable."""

        def answered(ok):
            self.world.note("event", event.type, event.session_id, "processed" if ok else "refused")
            if ok and event.type == "payment.success" and not self.world.has_outcome(event.session_id):
                self.hasty.append(event.session_id)
            if not ok and tries < TRIES_MAX:
                pause = 0.5 * 2**tries
                self.world.loop.call_later(pause, self._deliver, event, tries + 1, context=WORLD)

        self.world.tell_seller(msgspec.json.encode(event), answered)

    # --- What the seller asks

    def create_session(self, new):
        if new.session_id not in self.sessions:
            self.sessions[new.session_id] = self._session(new.amount_minor, new.currency, new.expires_at_ms)
            wait_s = max(new.expires_at_ms - self.now_ms(), 0) / 1000
            self.world.loop.call_later(wait_s, self.expire, new.session_id, context=WORLD)
        return f"https://bank.example/{new.session_id}"

    def refund(self, order):
        known = self.refunds.get(order.refund_id)
        if known is None or known["status"] == "FAILED":
            fate = self.world.chaos.refund_fate()
            known = {"session": order.session_id, "amount": order.amount_minor, "status": fate}
            self.refunds[order.refund_id] = known
            self.world.note("refund", order.refund_id[:8], order.session_id, order.amount_minor, fate)
            if fate == "PENDING":
                pause = self.world.chaos.pause_s()
                self.world.loop.call_later(pause, self._settle, order.refund_id, context=WORLD)
        if known["status"] == "FAILED":
            raise Refusal("refund_refused", failure_code="bank_away")
        return RefundState(status=known["status"], gateway_refund=f"gr_{order.refund_id}")

    def _settle(self, refund_id):
        refund = self.refunds[refund_id]
        refund["status"] = "SETTLED"
        self._happened("refund.settled", refund["session"], refund_id, refund["amount"])

    def paid_back(self, session_id):
        """Give what has gone back of a session."""
        return sum(
            refund["amount"]
            for refund in self.refunds.values()
            if refund["session"] == session_id and refund["status"] != "FAILED"
        )


class BankClient:
    """The gateway as a process of ours reaches it; the protocol of engine/orders/gateways/protocol.py."""

    name = "fake"

    def __init__(self, bank, process):
        self._bank, self._process = bank, process

    async def _ask(self, verb, action):
        def checked():
            if not self._bank.up:
                raise Unavailable("gateway_unavailable", "the gateway is away", outcome="unknown")
            return action()

        return await self._process.io(("bank", verb), checked, _lost)

    async def create_session(self, session):
        return await self._ask("create_session", lambda: self._bank.create_session(session))

    async def refund(self, order):
        return await self._ask("refund", lambda: self._bank.refund(order))

    async def list_outcomes(self, since_ms):
        return await self._ask(
            "list_outcomes", lambda: [outcome for outcome in self._bank.history if outcome.at_ms >= since_ms]
        )

    def read_event(self, headers, body, now_s):
        return msgspec.json.decode(body, type=PaymentEvent)

    async def close(self):
        """Nothing to close."""


def _lost(fate):
    outcome = "definite" if fate == "refused" else "unknown"
    return Unavailable("gateway_unavailable", "the gateway does not answer", outcome=outcome)

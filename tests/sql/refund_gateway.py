"""A gateway that does what a test tells it to, and money that is owed: for tests of the refund pipeline."""

import asyncio

from engine.errors import Refusal, Unavailable
from engine.orders.gateways.protocol import RefundState
from engine.orders.refunds import Refunds
from tests.ledgers import PRICE_MINOR

RETRY_MIN_MS = 60_000
"""Longer than any test: pauses are over when `Till.hurry` says so."""
REFUSED = Refusal("refund_refused", "insufficient balance", failure_code="insufficient_funds")
AWAY = Unavailable("gateway_unavailable", "connection refused")
LOST = Unavailable("gateway_unavailable", "no answer", outcome="unknown")


def anywhere(cinema):
    """Permit every cinema, and money of no cinema."""


class ScriptedGateway:
    """Answers each ask for a refund by the next word of its script, by SETTLED at the end of it.

    What it paid it never pays twice: `paid` counts the money that left, by refund. LOST has paid and says nothing.
    """

    name = "fake"

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []
        self.paid = {}
        self.at_once = self.most_at_once = 0
        self.holding = None

    async def refund(self, order):
        """Answer, or raise."""
        self.asked.append(order)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await (asyncio.sleep(0.001) if self.holding is None else self.holding.wait())
        finally:
            self.at_once -= 1
        word = self.script.pop(0) if self.script else "SETTLED"
        if word is LOST or word == "SETTLED":
            self.paid.setdefault(order.refund_id, order.amount_minor)
        if isinstance(word, Exception):
            raise word
        if order.refund_id in self.paid:
            word = "SETTLED"
        code = "insufficient_funds" if word == "FAILED" else None
        return RefundState(status=word, gateway_refund=f"re_{order.refund_id}", failure_code=code)


class Till:
    """A ledger that owes money, and a worker that pays it."""

    def __init__(self, world, gateway):
        self.world, self.gateway = world, gateway
        self.refunds = Refunds(world.ledger, gateway, RETRY_MIN_MS)

    async def owe(self, count=1):
        """Take money of sessions that nobody knows: all of it is owed."""
        for number in range(1, count + 1):
            await self.world.pay(number, PRICE_MINOR, session=f"stray{number}")
        return [row[0] for row in await self.world.fetch("SELECT id::text FROM refunds ORDER BY session_id")]

    async def hurry(self):
        """Let everything be due now."""
        await self.world.pool.execute("UPDATE refunds SET due_at = now() WHERE due_at IS NOT NULL")

    async def send(self, rounds=1):
        """Run the duty, with all pauses over; give how often the gateway was asked."""
        asked = 0
        for _ in range(rounds):
            await self.hurry()
            asked += await self.refunds.send_refunds()
        return asked

    async def states(self):
        """Give status, attempts and whether something is due of all refunds."""
        return await self.world.fetch(
            "SELECT status, attempts, due_at IS NOT NULL FROM refunds ORDER BY session_id, created_at"
        )

    async def attempts(self):
        """Give number, outcome and error of all attempts."""
        return await self.world.fetch("SELECT attempt, outcome, error FROM refund_attempts ORDER BY refund_id, attempt")

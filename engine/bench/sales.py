"""Sales that only lack their money, made through the engine's own parts, for measurements of what follows the money."""

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeVar
from uuid import uuid4

import msgspec

from engine.bench.stage import WEBHOOK_SECRET, Stage
from engine.errors import CommandError
from engine.ledger.records import GatewayEvent, Intent
from engine.orders.gateways.protocol import PaymentEvent
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign
from engine.orders.records import Buyer
from engine.runtime import Runtime, open_runtime
from engine.seats.ids import parse_hold_id

T = TypeVar("T")
R = TypeVar("R")
GATEWAY = "fake"
SEATS_EACH = 2
AT_ONCE = 16


def free_pairs(stage: Stage, showtimes: Sequence[int]) -> Iterator[tuple[int, tuple[int, int]]]:
    """Give each pair of neighbouring seats once, over all the showtimes in turn."""
    for seat in range(0, len(stage.labels) - 1, SEATS_EACH):
        for showtime in showtimes:
            yield showtime, (seat, seat + 1)


async def prepare(stage: Stage, pairs: Iterator[tuple[int, tuple[int, int]]], count: int) -> list[Intent]:
    """Claim, check out, and note the intent to pay, so many times.

    Raises:
        CommandError: there are not as many pairs.
    """
    async with open_runtime(stage.settings, "api") as runtime:
        intents = await _some_at_once(itertools.islice(pairs, count), lambda pair: _intend(runtime, *pair))
    if len(intents) < count:
        raise CommandError("there are not enough seats for so many rounds")
    return intents


async def pay_without_api(stage: Stage, intents: Sequence[Intent]) -> None:
    """Capture and sell all of them, as an API does, but wait for no outcome: the facts stay in the stream."""

    async def pay(runtime: Runtime, intent: Intent) -> None:
        event = event_of(intent)
        judgement = await runtime.ledger.record_event(
            GatewayEvent(
                gateway=GATEWAY,
                event_id=event.id,
                type=event.type,
                session_id=event.session_id,
                amount_minor=intent.amount_minor,
                currency=intent.currency,
                body=msgspec.to_builtins(event),
            )
        )
        assert judgement.capture is not None
        assert await runtime.orders.payments.settle_capture(judgement.capture) is None

    async with open_runtime(stage.settings, "api") as runtime:
        await _some_at_once(intents, lambda intent: pay(runtime, intent))


def webhooks_of(intents: Iterable[Intent]) -> list[dict[str, object]]:
    """Give the gateway's signed events as requests of the open-loop generator."""
    requests: list[dict[str, object]] = []
    for intent in intents:
        body = msgspec.json.encode(event_of(intent))
        headers = {SIGNATURE_HEADER: sign(WEBHOOK_SECRET, body, int(time.time()))}
        requests.append({"path": "/api/v1/payments/webhook", "body": body.decode(), "headers": headers})
    return requests


def event_of(intent: Intent) -> PaymentEvent:
    """Give the event that the session was paid."""
    return PaymentEvent(
        id=f"evt_{intent.session_id}",
        type="payment.success",
        session_id=intent.session_id,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
    )


async def _intend(runtime: Runtime, showtime: int, seats: tuple[int, int]) -> Intent:
    subject = str(uuid4())
    buyer = Buyer(subject=subject, email="buyer@example.com")
    booking, _ = await runtime.orders.bookings.claim_and_check_out(showtime, seats, buyer)
    hold = await runtime.seats.open_payment(parse_hold_id(booking.id), subject)
    intent = await runtime.orders.payments.intend(hold, subject)
    await runtime.ledger.record_intent(intent)
    return intent


async def _some_at_once(items: Iterable[T], work: Callable[[T], Awaitable[R]]) -> list[R]:
    """Work on all items, a few at a time."""
    source, results = iter(items), []

    async def one_after_another() -> None:
        results.extend([await work(item) for item in source])

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))
    return results

"""Buyers: customers who reach the APIs as through a load balancer, and what was seen of all of them together."""

import asyncio
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx

from tests.simulation.history import Recorder
from tests.simulation.watched import watch

TRIES_MAX = 3
AGAIN_AFTER_S = (0.1, 0.4)
AWAY = (502, 503, 504)
TIMEOUT = httpx.Timeout(5, connect=1)


@dataclass
class Seen:
    """What the buyers of one run have seen.

    Attributes:
        recorder: every call, for the history checker.
        counts: claims, conflicts and confirmed bookings; calls that are unknown (nobody can say what happened) or
            unserved (nobody was there, or a definite 503).
        confirmed: booking id -> what a customer has read as CONFIRMED: subject, showtime, tickets, amount.
        odd: answers that no fault excuses.
    """

    recorder: Recorder = field(default_factory=Recorder)
    counts: Counter = field(default_factory=Counter)
    confirmed: dict[str, dict[str, Any]] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def count(self, what: str) -> None:
        """Count one more."""
        self.counts[what] += 1
        self._changed.set()

    def note_confirmed(self, subject: str, shown: dict[str, Any]) -> None:
        """Remember what a customer believes to have bought."""
        if shown["id"] not in self.confirmed:
            self.count("confirmed")
        self.confirmed[shown["id"]] = {
            "subject": subject,
            "at": time.monotonic(),
            "showtime": shown["showtime_id"],
            "tickets": {ticket["seat"]: ticket["price"] for ticket in shown["tickets"]},
            "amount": shown["amount"],
        }

    async def reaches(self, what: str, count: int, timeout_s: float = 30) -> None:
        """Wait until that many of something were counted."""
        async with asyncio.timeout(timeout_s):
            while self.counts[what] < count:
                self._changed.clear()
                await self._changed.wait()

    async def met(self, share: float, timeout_s: float) -> None:
        """Wait until so large a share of the claims met another one, or until the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.counts["conflicts"] < share * self.counts["seat_claims"]:
                    self._changed.clear()
                    await self._changed.wait()


class Balancer:
    """Sends a customer's request to one of the APIs, to the next one if nobody is there; never twice to one that is.

    Args:
        client: shared by all.
        urls: of the APIs.
        chance: which API is asked first.
        token: of the customer.
    """

    def __init__(self, client: httpx.AsyncClient, urls, chance, token: str) -> None:
        self._client = client
        self._urls = urls
        self._chance = chance
        self._token = token

    async def request(self, method, path, *, headers=None, **options) -> httpx.Response:
        """Send a request whose path begins behind `/api/v1`."""
        headers = {"Authorization": f"Bearer {self._token}", **(headers or {})}
        nobody = httpx.ConnectError("no API")
        for url in self._chance.sample(self._urls, len(self._urls)):
            try:
                return await self._client.request(method, f"{url}/api/v1{path}", headers=headers, **options)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                nobody = httpx.ConnectError(str(error))
        raise nobody


class Buyer:
    """A customer who asks again under the same Idempotency-Key while nobody knows what has happened."""

    def __init__(self, balancer: Balancer, subject: str, seen: Seen, chance) -> None:
        self.subject = subject
        self.seen = seen
        self._balancer = balancer
        self._chance = chance
        watch(seen.recorder, balancer, subject)

    async def call(self, method, path, body=None, *, tries=TRIES_MAX) -> dict[str, Any] | None:
        """Give the answer's JSON, with its status as `http`; None if nobody knows, or nobody was there."""
        headers = {"Idempotency-Key": uuid4().hex} if method == "POST" else {}
        certain = True
        for turn in range(tries):
            if turn:
                await asyncio.sleep(self._chance.uniform(*AGAIN_AFTER_S))
            answer, known = await self._ask(method, path, headers, body)
            if answer is not None:
                return answer
            certain = certain and known
        self.seen.count("unserved" if certain else "unknown")
        return None

    async def _ask(self, method, path, headers, body) -> tuple[dict[str, Any] | None, bool]:
        """Ask once; give the answer, if it is one, and whether it is known what has happened."""
        try:
            answer = await self._balancer.request(method, path, headers=headers, json=body)
        except httpx.ConnectError:
            return None, True
        except httpx.TransportError:
            return None, False
        shown = answer.json() if answer.content else {}
        if answer.status_code in AWAY:
            return None, shown.get("outcome") == "definite"
        if shown.get("code") == "idempotency_key_in_flight":
            return None, False
        if answer.status_code >= 500:
            self.seen.odd.append(f"{method} {path}: {answer.status_code} {answer.text[:300]}")
            return None, False
        return {**shown, "http": answer.status_code}, True

"""Buyers in a loop over few hot showtimes, so that many claims meet each other."""

import asyncio
import contextlib
import random
from collections import defaultdict
from uuid import uuid4

import httpx

from engine.accounts.tokens import Identity
from tests.faults.harness.buyers import TIMEOUT, Balancer, Buyer, Seen
from tests.small_catalogue import SEATS

BUYERS = 8
POPULAR = SEATS[8:24]
"""The middle rows, which more than half of all buyers want."""
HOT = 2
"""So many showtimes are sold at once."""
WORN_AFTER = 8
"""A showtime that has refused so many claims in a row is followed by the next one."""
CARDS = {"pays": "4242 4242 4242 4242", "declined": "4000 0000 0000 0002", "late": "4000 0000 0000 0044"}
OVER = ("CONFIRMED", "REFUNDED", "CANCELLED", "EXPIRED")
PAY_TIMEOUT_S = 12
WAIT_S = 15
"""How long a customer looks at a paid booking before closing the page."""


class Load:
    """Buyers on the showtimes of a world.

    Args:
        world: gives addresses, tokens and showtimes.
        seed: of what the buyers do.
        seen: where they note what they see.
        client: what they ask with.
    """

    def __init__(self, world, seed: int, *, seen: Seen | None = None, client: httpx.AsyncClient | None = None) -> None:
        self._world = world
        self._seed = seed
        self.seen = seen or Seen()
        self._hot: list[int] = []
        self._refused: defaultdict[int, int] = defaultdict(int)
        self._ending = asyncio.Event()
        self._tasks: list[asyncio.Task] = []
        self._client = client or httpx.AsyncClient(
            trust_env=False, verify=False, timeout=TIMEOUT, limits=httpx.Limits(max_connections=None)
        )

    def start(self, buyers: int = BUYERS) -> None:
        """Let the buyers come."""
        self._hot = [self._world.next_showtime() for _ in range(HOT)]
        self._tasks = [asyncio.create_task(self._live(random.Random(f"{self._seed}:{n}"))) for n in range(buyers)]

    async def stop(self, patience_s: float = 20) -> None:
        """Let each end what it has begun; raises what went wrong in one of them."""
        self._ending.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=patience_s)
        for ending in await self.drop():
            if isinstance(ending, Exception):
                raise ending

    async def drop(self) -> list:
        """Send all buyers away at once; gives how each ended."""
        for task in self._tasks:
            task.cancel()
        endings = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._client.aclose()
        return endings

    def buyer(self, chance: random.Random) -> Buyer:
        """Give somebody new."""
        subject = str(uuid4())
        token = self._world.tokens.issue(Identity(subject=subject, guest=False, email="buyer@example.com"), "access")
        balancer = Balancer(self._client, [api.url for api in self._world.apis], chance, token)
        return Buyer(balancer, subject, self.seen, chance)

    async def buy(self, buyer: Buyer, showtime: int, seats: list[str]) -> bool:
        """Claim, check out, pay, and look until it is over; whether it was confirmed."""
        held = await self.claim(buyer, showtime, seats)
        booking = held and await self.check_out(buyer, held)
        return bool(booking and await self.pay(buyer, booking))

    async def _live(self, chance: random.Random) -> None:
        while not self._ending.is_set():
            before = self._troubles()
            await self.visit(chance)
            await self._pause(chance.uniform(0.05, 0.3) if self._troubles() > before else chance.uniform(0, 0.04))

    def _troubles(self) -> int:
        return self.seen.counts["unserved"] + self.seen.counts["unknown"]

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def visit(self, chance: random.Random) -> None:
        """One customer's visit: most buy, some change their mind at one of the steps."""
        buyer = self.buyer(chance)
        seats = chance.sample(POPULAR if chance.random() < 0.6 else SEATS, chance.choice((1, 1, 2, 3)))
        held = await self.claim(buyer, chance.choice(self._hot), seats)
        if held is None:
            return
        path = f"/holds/{held['id']}"
        match chance.choices(("buy", "leave", "release", "extend", "change"), (78, 6, 6, 5, 5))[0]:
            case "leave":
                return
            case "release":
                await buyer.call("DELETE", path)
                return
            case "extend":
                await buyer.call("POST", f"{path}/extend")
            case "change":
                mine = [seat["seat"] for seat in held["seats"]]
                await buyer.call("PATCH", path, {"add": [chance.choice([s for s in SEATS if s not in mine])]})
        booking = await self.check_out(buyer, held)
        if booking is None or self._ending.is_set():
            return
        path = f"/bookings/{booking['id']}"
        match chance.choices(("pay", "leave", "cancel", "declined", "late"), (82, 4, 5, 5, 4))[0]:
            case "pay":
                if await self.pay(buyer, booking) and chance.random() < 0.25:
                    await buyer.call("POST", f"{path}/refunds", {"reason": "cannot come"})
            case "cancel":
                await buyer.call("POST", f"{path}/cancel", {"reason": "changed my mind"})
            case "declined" | "late" as card:
                await self.pay(buyer, booking, card)

    async def claim(self, buyer: Buyer, showtime: int, seats: list[str]):
        """Claim seats; give the hold."""
        answer = await buyer.call("POST", f"/showtimes/{showtime}/holds", {"seats": seats})
        if answer is None:
            return None
        taken = answer.get("code") == "seats_taken"
        self.seen.count("claims")
        self.seen.counts["seat_claims"] += taken or answer["http"] == 201
        self.seen.counts["conflicts"] += taken
        self._refused[showtime] = self._refused[showtime] + 1 if taken else 0
        if self._refused[showtime] >= WORN_AFTER and showtime in self._hot:
            self._hot[self._hot.index(showtime)] = self._world.next_showtime()
        return answer if answer["http"] == 201 else None

    async def check_out(self, buyer: Buyer, held):
        """Check a hold out; give the booking."""
        answer = await buyer.call("POST", "/bookings", {"hold_id": held["id"], "email": "buyer@example.com"})
        return answer if answer and answer["http"] in (200, 201) else None

    async def pay(self, buyer: Buyer, booking, card: str = "pays") -> bool:
        """Begin a payment, pay at the gateway's page, and look until the booking is over; whether it is confirmed."""
        payment = await buyer.call("POST", f"/bookings/{booking['id']}/payments", {})
        if not payment or payment["http"] not in (200, 201) or not payment["payment_url"]:
            return False
        with contextlib.suppress(httpx.TransportError):
            form = {"card": CARDS[card]}
            await self._client.post(f"{payment['payment_url']}/pay", data=form, timeout=PAY_TIMEOUT_S)
        return card == "pays" and await self._look(buyer, booking)

    async def _look(self, buyer: Buyer, booking) -> bool:
        """Read a booking until it is over or the customer goes; whether it was shown as CONFIRMED."""
        loop = asyncio.get_running_loop()
        gone, pause_s = loop.time() + WAIT_S, 0.05
        while not self._ending.is_set() and loop.time() < gone:
            shown = await buyer.call("GET", f"/bookings/{booking['id']}", tries=1)
            if shown and (shown["http"] != 200 or shown["status"] in OVER):
                if shown["http"] == 200 and shown["status"] == "CONFIRMED":
                    self.seen.note_confirmed(buyer.subject, shown)
                    return True
                return False
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.8)
        return False

"""Clients: customers who buy, repeat, give up and give back; and an operator who cancels a showtime.

They know only what they are answered, and write down what they were shown: the checks hold it against the ledger.
"""

import asyncio

from engine.cancelling import close_showtime
from engine.errors import Refusal, Unavailable
from engine.orders.records import Buyer
from engine.seats.ids import parse_hold_id
from engine.seats.records import Request
from tests.simulation.world.world import NoAnswer

TRIES_MAX = 7
FINAL = ("CONFIRMED", "REFUNDED", "CANCELLED", "EXPIRED")


class GivenUp(Exception):
    """A client has lost patience."""


class Client:
    """One customer; `shown` collects what the world promised to all of them."""

    def __init__(self, world, number, shown):
        self.world, self.rng = world, world.rng
        self.subject = f"guest:{number}"
        self.shown = shown
        self._keys = 0

    async def live(self, rounds, beginning_s):
        """Buy a few times."""
        await asyncio.sleep(self.rng.uniform(0, beginning_s))
        for _ in range(rounds):
            try:
                await self._buy()
            except (GivenUp, Refusal):
                await asyncio.sleep(self.rng.uniform(0.1, 1.5))

    def _key(self, verb):
        self._keys += 1
        return Request(f"{self.subject}:{self._keys}:{verb}", verb)

    async def _insist(self, verb, work, name=None):
        """Repeat a request, always the same, until it is answered; then now and then once more (I7)."""
        request = self._key(verb)
        lives = self.world.redis.lives
        for _ in range(TRIES_MAX):
            try:
                answer = await self.world.ask(lambda api: work(api, request))
                break
            except (NoAnswer, Unavailable):
                await asyncio.sleep(self.rng.uniform(0.05, 2.0))
        else:
            raise GivenUp(verb)
        self.world.note(self.subject, verb, "->", name(answer) if name else "done")
        if name and self.rng.random() < (0.5 if self.world.dense else 0.15):
            await self._repeat(verb, work, request, name, name(answer), lives)
        return answer

    async def _repeat(self, verb, work, request, name, first, lives):
        """Send an answered request again: the same answer, as long as that is remembered."""
        try:
            again = name(await self.world.ask(lambda api: work(api, request)))
        except (NoAnswer, Unavailable):
            return
        except Refusal as refusal:
            again = refusal.code
        remembered = verb in ("pay", "refund") or lives == self.world.redis.lives
        if again != first and remembered:
            self.shown.broken.append(f"I7: {verb} was answered {first}, and repeated {again}")

    async def _buy(self):
        rng, subject = self.rng, self.subject
        showtime = rng.choice(self.world.showtimes)
        seats = tuple(sorted(rng.sample(range(self.world.seats), rng.randint(1, min(3, self.world.seats)))))
        hold = await self._insist(
            "claim", lambda api, request: api.seats.claim_seats(showtime, subject, seats, request), _id_of
        )
        if rng.random() < 0.1:
            return  # it is left to lapse
        buyer = Buyer(subject=subject, email="a@example.org")
        await self._insist(
            "check_out", lambda api, request: api.bookings.check_out(hold.id, buyer, request), lambda done: done[0].id
        )
        if rng.random() < 0.1:
            await self._insist("cancel", lambda api, request: api.bookings.cancel(hold.id, subject, request))
            return
        await asyncio.sleep(rng.choice((0.0, 0.1, 1.0, 5.0)))
        await self._pay(hold, seats)
        booking = await self._watch(hold.id)
        if booking is not None and booking.status == "CONFIRMED" and rng.random() < (0.7 if self.world.dense else 0.35):
            await self._give_back(booking)

    async def _pay(self, hold, seats):
        rng, bank = self.rng, self.world.bank
        sessions = []
        for _ in range(rng.choice((1, 1, 1, 2))):
            begun = await self._insist(
                "pay",
                lambda api, request: api.payments.begin_payment(hold.id, self.subject, request=request),
                lambda begun: begun.payment.session_id,
            )
            sessions.append(begun.payment.session_id)
            await asyncio.sleep(rng.choice((0.01, 0.2, 2.0)))
            what = rng.random()
            if what < 0.75:
                bank.pay(sessions[-1])
            elif what < 0.9:
                bank.fail(sessions[-1])
            await asyncio.sleep(rng.choice((0.0, 0.05, 0.5)))
        if rng.random() < 0.15:
            await asyncio.sleep(rng.uniform(0, 10))
            bank.pay(rng.choice(sessions))  # late, or for the second time

    async def _watch(self, booking_id):
        """Look at the booking until it is over, or for a while."""
        for _ in range(25):
            try:
                booking = await self.world.ask(lambda api: api.bookings.read_booking(booking_id, self.subject))
            except (NoAnswer, Unavailable):
                booking = None
            except Refusal:
                return None
            if booking is not None and booking.status == "CONFIRMED":
                self.shown.confirm(booking)
            if booking is not None and booking.status in FINAL and not booking.settling:
                return booking
            await asyncio.sleep(1.0)
        return None

    async def _give_back(self, booking):
        await asyncio.sleep(self.rng.uniform(0, 2))
        tickets = None if self.rng.random() < 0.6 else (self.rng.choice(booking.tickets).id,)
        await self._insist(
            "refund",
            lambda api, request: api.ticket_refunds.refund(booking.id, self.subject, tickets, "", request=request),
            lambda done: done.refund_id,
        )


class Shown:
    """What clients were shown, and promises that were seen broken."""

    def __init__(self):
        self.confirmed, self.broken = {}, []

    def confirm(self, booking):
        """A customer has seen CONFIRMED."""
        seats = frozenset((seat.index, seat.price_minor) for seat in booking.seats)
        self.confirmed[booking.id] = (booking.subject, seats)


async def cancel_showtime(world, showtime, after_s):
    """An operator cancels a showtime: the ledger first, then Redis, as the handler does; until it is done."""
    await asyncio.sleep(after_s)

    async def work(api):
        await api.ledger.cancel_showtime("admin", showtime, "projector", Request("cancel:1", "cancel"))
        await close_showtime(api.ledger, api.seats, showtime)

    while True:
        try:
            await world.ask(work)
        except (NoAnswer, Unavailable):
            await asyncio.sleep(0.5)
        else:
            world.note("operator cancelled", showtime)
            return


def _id_of(hold):
    parse_hold_id(hold.id)
    return hold.id

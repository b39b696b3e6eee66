"""The engine with one guard taken out: each of these must be caught by some story, or the stories prove nothing."""

from contextlib import contextmanager

import msgspec

from engine.errors import SeatlockError
from engine.ledger import projector
from engine.ledger.drained import Drain
from engine.ledger.fact_stream import FactStreams
from engine.ledger.generations import Generations
from engine.ledger.ledger import Ledger
from engine.ledger.reader import FactReader
from engine.ledger.records import Begun
from engine.orders.gateways.protocol import PAYMENT_SUCCESS
from engine.orders.payments import Payments
from engine.orders.refunds import Refunds
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_key
from engine.seats.script_calls import ScriptCalls

MUTANTS = {}


def mutant(owner, name):
    """Register a replacement of a method; it is told what it replaces."""

    def register(make):
        MUTANTS[make.__name__] = (owner, name, make)
        return make

    return register


@contextmanager
def planted(which):
    """Let the engine run with one mutant."""
    owner, name, make = MUTANTS[which]
    original = getattr(owner, name)
    setattr(owner, name, make(original))
    try:
        yield
    finally:
        setattr(owner, name, original)


@mutant(FactReader, "_process")
def acknowledge_before_commit(original):
    """A fact is acknowledged before what it led to is committed."""

    async def process(self, session, entries):
        taken = {}
        for partition, entry, _ in entries:
            taken.setdefault(partition, []).append(entry)
        if taken:
            await self._streams.acknowledge(taken)
        await original(self, session, entries)

    return process


@mutant(Payments, "_process")
def sell_before_the_capture(original):
    """Seats are sold before the money is written down."""

    async def process(self, event):
        if event.type == PAYMENT_SUCCESS:
            try:
                payment = await self._ledger.read_payment(event.session_id)
                known = await self._ledger.read_booking(payment.booking_id)
                await self._seats.sell_seats(
                    parse_hold_id(payment.booking_id),
                    known.subject,
                    gateway="fake",
                    session_id=event.session_id,
                    seats=[seat.index for seat in known.seats],
                )
            except SeatlockError:
                pass
        return await original(self, event)

    return process


@mutant(ScriptCalls, "_write_once")
def forget_what_a_script_answered(original):
    """A claim that is repeated after a lost answer is a new claim."""

    async def write_once(self, name, showtime, args, request=None, *rest, **named):
        return await original(self, name, showtime, args, None, *rest, **named)

    return write_once


@mutant(projector, "_split")
def apply_facts_as_they_come(original):
    """A fact does not wait for the one before it."""

    def split(facts, heads, projection):
        due = []
        for fact in projector.in_order(facts):
            place = (fact.showtime, fact.generation)
            if fact.seq <= heads[place]:
                projection.done.append(fact)
            else:
                heads[place] = fact.seq
                due.append(fact)
        return due

    return split


@mutant(Refunds, "_ask")
def ask_for_a_refund_under_another_name(original):
    """Each attempt of a refund has an id of its own."""

    async def ask(self, refund):
        return await original(self, msgspec.structs.replace(refund, id=f"{refund.id}:{refund.attempt}"))

    return ask


@mutant(Payments, "_settle")
def say_processed_before_it_is(original):
    """The gateway hears 2xx although the ledger has no outcome yet."""

    async def settle(self, capture):
        await self.settle_capture(capture)

    return settle


@mutant(Generations, "identify")
def take_every_redis_for_the_same(original):
    """A Redis that came back with less is not noticed."""

    async def identify(self, run_id, replication_id, *, begin=True):
        await original(self, run_id, replication_id)
        return 1

    return identify


@mutant(FactStreams, "trim")
def trim_by_length(original):
    """The stream is cut, whoever has read it."""

    async def trim(self, partition):
        return await self._redis.xtrim(partition_key(partition, "facts"), minid="9" * 15, approximate=False)

    return trim


@mutant(Drain, "wait")
def load_before_the_facts_have_arrived(original):
    """A showtime is loaded from a ledger that facts are still on their way to."""

    async def wait(self, showtime, deadline):
        return None

    return wait


@mutant(Ledger, "record_intent")
def open_a_new_session_at_each_repeat(original):
    """A repeated request to pay makes another session."""

    async def record_intent(self, intent, request=None):
        begun = await original(self, intent, None)
        return Begun(begun.payment, begun.created)

    return record_intent

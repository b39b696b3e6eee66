"""The ledger's methods for the rest of the engine, gathered from its themes."""

from engine.ledger.blocks import Blocks
from engine.ledger.bookings import Bookings
from engine.ledger.captures import Captures
from engine.ledger.intents import Intents
from engine.ledger.journal import Journal
from engine.ledger.refunds import Refunds


class Ledger(Intents, Captures, Bookings, Blocks, Journal, Refunds):
    """PostgreSQL as the engine sees it: `Ledger(pool)`. Every method is one transaction or one read."""

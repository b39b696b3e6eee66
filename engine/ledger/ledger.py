"""The ledger's methods for the rest of the engine, gathered from its themes."""

from engine.ledger.blocks import Blocks
from engine.ledger.bookings import Bookings
from engine.ledger.cancellations import Cancellations
from engine.ledger.captures import Captures
from engine.ledger.check_ins import CheckIns
from engine.ledger.intents import Intents
from engine.ledger.journal import Journal
from engine.ledger.refunds import Refunds
from engine.ledger.ticket_refunds import TicketRefunds


class Ledger(Intents, Captures, Bookings, Blocks, Journal, Refunds, TicketRefunds, Cancellations, CheckIns):
    """PostgreSQL as the engine sees it: `Ledger(pool)`. Every method is one transaction or one read."""

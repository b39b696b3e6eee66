"""The orders room as the rest of the engine gets it."""

from engine.catalogue.catalogue import Catalogue
from engine.ledger.ledger import Ledger
from engine.ledger.outcomes import Outcomes
from engine.orders.belongings import Belongings
from engine.orders.bookings import Bookings
from engine.orders.gateways.fake import FakeGateway
from engine.orders.payments import Payments
from engine.orders.refunds import Refunds
from engine.orders.ticket_refunds import TicketRefunds
from engine.seats.seat_engine import SeatEngine
from engine.settings import Settings


class Orders:
    """Bookings, payments, and the gateway that takes the money."""

    def __init__(
        self, settings: Settings, seats: SeatEngine, catalogue: Catalogue, ledger: Ledger, outcomes: Outcomes
    ) -> None:
        self.gateway = FakeGateway(settings.gateway_url, settings.webhook_secret)
        self.belongings = Belongings(seats, ledger)
        self.bookings = Bookings(seats, catalogue, ledger, self.belongings)
        self.ticket_refunds = TicketRefunds(ledger, seats, self.bookings, settings.refund_tiers)
        self.refunds = Refunds(ledger, self.gateway, settings.refund_retry_min_ms)
        self.payments = Payments(seats, catalogue, ledger, outcomes, self.gateway, self.refunds)

    async def close(self) -> None:
        """Finish the payments that are under way and close the connections to the gateway."""
        await self.payments.close()

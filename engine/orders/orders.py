"""The orders room as the rest of the engine gets it."""

from engine.catalogue.catalogue import Catalogue
from engine.ledger.ledger import Ledger
from engine.ledger.outcomes import Outcomes
from engine.orders.belongings import Belongings
from engine.orders.bookings import Bookings
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.protocol import Gateway
from engine.orders.payments import Payments
from engine.orders.reconciler import Reconciler
from engine.orders.refunds import Refunds
from engine.orders.ticket_refunds import TicketRefunds
from engine.seats.seat_engine import SeatEngine
from engine.settings import Settings


class Orders:
    """Bookings, payments, and the gateway that takes the money."""

    def __init__(
        self, settings: Settings, seats: SeatEngine, catalogue: Catalogue, ledger: Ledger, outcomes: Outcomes
    ) -> None:
        self.gateway = open_gateway(settings, ledger)
        self.belongings = Belongings(seats, ledger)
        self.bookings = Bookings(seats, catalogue, ledger, self.belongings)
        self.ticket_refunds = TicketRefunds(ledger, seats, self.bookings, settings.refund_tiers)
        self.refunds = Refunds(ledger, self.gateway, settings.refund_retry_min_ms)
        self.payments = Payments(seats, catalogue, ledger, outcomes, self.gateway, self.refunds)
        self.reconciler = Reconciler(ledger.pool, self.gateway, self.payments.take_event)

    async def close(self) -> None:
        """Finish the payments that are under way and close the connections to the gateway."""
        await self.payments.close()


def open_gateway(settings: Settings, ledger: Ledger) -> Gateway:
    """Make the client of the gateway that the settings name."""
    if settings.gateway == "fake":
        return FakeGateway(settings.gateway_url, settings.webhook_secret)
    # Not above: its SDK takes half a second to import, and most processes never need it.
    from engine.orders.gateways.stripe import StripeGateway  # noqa: PLC0415

    async def find_payment(session_id: str) -> str | None:
        return await ledger.find_gateway_payment(StripeGateway.name, session_id)

    return StripeGateway(
        settings.stripe_key,
        settings.stripe_webhook_secret,
        find_payment,
        home_url=settings.home_url,
        api_url=settings.stripe_api_url,
    )

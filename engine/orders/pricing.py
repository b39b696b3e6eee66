"""What the seats of a hold cost: the prices that the check-out froze, or today's before it."""

from collections.abc import Mapping

import msgspec

from engine.catalogue.catalogue import Catalogue
from engine.catalogue.records import Showtime
from engine.ledger.records import BookedSeat, Entry
from engine.orders.records import Buyer, Checkout
from engine.seats.records import Hold


async def freeze_prices(catalogue: Catalogue, showtime: int, buyer: Buyer, email: str) -> bytes:
    """Build the check-out of a showtime as JSON: the buyer, and today's price of every tier.

    Raises:
        Refusal: `not_found`, there is no such showtime.
        Unavailable: `ledger_unavailable`, and this process has never seen the showtime.
    """
    shown = await catalogue.showtime(showtime)
    return msgspec.json.encode(
        Checkout(
            subject=buyer.subject,
            email=email,
            phone=buyer.phone,
            locale=buyer.locale,
            currency=shown.currency,
            prices=shown.prices,
        )
    )


def read_checkout(hold: Hold) -> Checkout | None:
    """Give what the check-out of a hold has frozen; None before it."""
    return None if hold.checkout is None else msgspec.json.decode(hold.checkout, type=Checkout)


async def enter(catalogue: Catalogue, hold: Hold, subject: str) -> Entry:
    """Give a checked-out hold of the subject's as the ledger enters it; errors as in `freeze_prices`."""
    checkout = read_checkout(hold)
    assert checkout is not None, "the hold is not checked out"
    seats, currency = await price_seats(catalogue, hold)
    return Entry(
        booking_id=hold.id,
        showtime=hold.showtime,
        subject=subject,
        email=checkout.email,
        phone=checkout.phone,
        locale=checkout.locale,
        owner_number=hold.owner,
        claimed_at_ms=hold.claimed_at_ms,
        expires_at_ms=hold.deadline_ms,
        currency=currency,
        seats=seats,
    )


async def price_seats(catalogue: Catalogue, hold: Hold) -> tuple[tuple[BookedSeat, ...], str]:
    """Give the seats of a hold with their prices, and the currency; errors as in `freeze_prices`."""
    shown = await catalogue.showtime(hold.showtime)
    layout = await catalogue.layout(shown.layout_id)
    prices, currency = prices_of(shown, hold)
    seats = [layout.seats[index] for index in hold.seats]
    return tuple(BookedSeat(seat.index, seat.seat, seat.tier, prices[seat.tier]) for seat in seats), currency


def prices_of(shown: Showtime, hold: Hold) -> tuple[Mapping[str, int], str]:
    """Give the price of every tier for a hold of this showtime, and the currency."""
    checkout = read_checkout(hold)
    return (shown.prices, shown.currency) if checkout is None else (checkout.prices, checkout.currency)

"""What a hold costs: prices are frozen by the check-out."""

import pytest

from engine.catalogue.floor_plans import draw_layout
from engine.orders.pricing import freeze_prices, price_seats
from engine.orders.records import Buyer
from engine.seats.records import Hold


class Shown:
    """Stands for a showtime."""

    layout_id = 1
    currency = "IDR"

    def __init__(self, **prices):
        self.prices = prices


class Shelf:
    """Stands for the catalogue: one showtime, whose prices may change."""

    def __init__(self, **prices):
        self.shown = Shown(**prices)

    async def showtime(self, number):
        return self.shown

    async def layout(self, layout_id):
        return draw_layout("hall", ["A RRVV"])


def hold(*seats, checkout=None):
    """Describe a hold of these seats."""
    return Hold(
        id="id",
        showtime=42,
        owner=1,
        status="PENDING" if checkout else "HELD",
        seats=seats,
        claimed_at_ms=0,
        deadline_ms=0,
        extensions_left=0,
        extendable_until_ms=0,
        payment_open=False,
        subject_key=b"",
        checkout=checkout,
        version=1,
        now_ms=0,
    )


async def cost(shelf, held):
    """Give what a hold costs."""
    seats, currency = await price_seats(shelf, held)
    return sum(seat.price_minor for seat in seats), currency


@pytest.mark.covers("004.10")
async def test_prices_stand_from_the_check_out_on():
    """The cinema raises its prices: who has checked out pays the old ones, even for seats that are added later."""
    shelf = Shelf(REGULAR=10, VIP=100)
    checkout = await freeze_prices(shelf, 42, Buyer(subject="someone", email="a@b.example"), "a@b.example")
    shelf.shown = Shown(REGULAR=11, VIP=111)
    assert await cost(shelf, hold(0, 1)) == (22, "IDR")
    assert await cost(shelf, hold(0, 1, checkout=checkout)) == (20, "IDR")
    assert await cost(shelf, hold(0, 3, checkout=checkout)) == (110, "IDR")

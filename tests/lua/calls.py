"""A call of every script that would succeed on a prepared showtime: for rules that hold for all of them."""

from collections.abc import Callable
from typing import Any

from tests.lua.house import ANN, BOB, BOOKING, EVE, HoldAnswer, House

SUCCESS = {
    "claim_seats": "claimed",
    "change_hold": "changed",
    "extend_hold": "extended",
    "release_hold": "released",
    "check_out": "checked_out",
    "open_payment": "payment_opened",
    "close_payment": "payment_closed",
    "move_hold": "moved",
    "sell_seats": "sold",
    "restock_seats": "restocked",
    "expire_holds": "expired",
    "block_seats": "blocked",
    "change_policy": "policy_changed",
}
"""Writers that compare the generation -> their word of success."""
READERS = {"read_seats": "seats", "read_hold": "hold", "read_holds": "holds", "find_holds": "found"}


class Prepared:
    """A showtime with a held hold of Ann (seats 1, 2), a booking of Bob (3, 4), and a sale of Bob (5)."""

    def __init__(self, house: House) -> None:
        self.house = house
        sold = house.check_out(house.claim(BOB, 5))
        self.sale = house.sell(sold, session="sess_0")[2]
        self.held: HoldAnswer = house.claim(ANN, 1, 2)
        house.set_deadline(self.held, self.held.deadline_ms - 1_000)
        self.booking: HoldAnswer = house.check_out(house.claim(BOB, 3, 4))
        house.write("open_payment", *self.booking.name, BOB)

    def arguments(self, name: str) -> tuple[Any, ...]:
        """Give the arguments with which a script succeeds here."""
        held, booking = self.held, self.booking
        arguments: dict[str, Callable[[], tuple[Any, ...]]] = {
            "claim_seats": lambda: (EVE, 10, 11),
            "change_hold": lambda: (*held.name, ANN, 1, 12, 1),
            "extend_hold": lambda: (*held.name, ANN),
            "release_hold": lambda: (*held.name, ANN, "cancelled", "customer"),
            "check_out": lambda: (*held.name, ANN, "{}"),
            "open_payment": lambda: (*booking.name, BOB),
            "close_payment": lambda: booking.name,
            "move_hold": lambda: (*booking.name, BOB, EVE, booking.checkout, '{"email":"eve@b.c"}'),
            "sell_seats": lambda: (*booking.name, BOB, BOOKING, "fake", "sess_1", 3, 4),
            "restock_seats": lambda: (BOB, BOOKING, self.sale, "restock:1", 5),
            "expire_holds": lambda: (10,),
            "block_seats": lambda: ("block", 0, 20),
            "change_policy": lambda: tuple(self.house.policy(hold_ttl_ms=1_000)),
            "close_showtime": tuple,
            "freeze_showtime": lambda: ("frozen",),
            "adopt_showtime": lambda: (3, self.house.meta("seq"), 2 << 24),
            "read_seats": lambda: (ANN, ""),
            "read_hold": lambda: (*held.name, ANN),
            "read_holds": lambda: (0, 10),
            "find_holds": lambda: (ANN,),
        }
        return arguments[name]()

    def run(self, name: str, **options: Any) -> list[Any]:
        """Call a script so that it succeeds, unless something else is in its way."""
        return self.call(name, *self.arguments(name), **options)

    def call(self, name: str, *arguments: Any, **options: Any) -> list[Any]:
        """Call a script."""
        call = self.house.call if name in READERS else self.house.write
        return call(name, *arguments, **options)

"""What an e-ticket shows. Whoever has the showtime and the booking fills it in; see `engine/orders/e_tickets.py`."""

from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

Locale = Literal["id", "en"]
Size = Literal["phone", "a4"]


class ETicket(msgspec.Struct, frozen=True, kw_only=True):
    """One ticket with everything that is written on it; times are aware, money is in minor units.

    Attributes:
        code: signed; what the QR shows.
        row, number: of the seat, as people say them; `seat` is its label.
        timezone: of the cinema; all times are shown in it.
        locale: of the booking.
    """

    code: str
    ticket_id: str
    booking_id: str
    movie: str
    rating: str
    cinema: str
    city: str
    auditorium: str
    timezone: str
    starts_at: datetime
    ends_at: datetime
    sold_at: datetime
    seat: str
    row: str
    number: str
    tier: str
    price_minor: int
    currency: str
    locale: Locale = "id"

    @property
    def starts_local(self) -> datetime:
        """When the show begins, by the cinema's clock."""
        return self.starts_at.astimezone(ZoneInfo(self.timezone))

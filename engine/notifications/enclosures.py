"""What comes with a mail about a booking: its valid tickets, as links, pictures and files."""

from collections.abc import Sequence
from typing import NamedTuple

from engine.catalogue.catalogue import Catalogue
from engine.ledger.records import Booking
from engine.notifications.records import Attachment
from engine.orders.e_tickets import e_ticket, is_valid
from engine.tickets.keys import TicketKeys
from engine.tickets.press import TicketPress
from engine.tickets.records import Locale


class ShownTicket(NamedTuple):
    """A ticket as a template names it; its QR is the picture `content_id`, where pictures are enclosed."""

    seat: str
    pdf_url: str
    content_id: str


class Enclosed(NamedTuple):
    """The tickets of a booking, and the files that show them."""

    tickets: Sequence[ShownTicket]
    attachments: Sequence[Attachment]


class Enclosures:
    """Makes what comes with a mail.

    Args:
        keys: sign the codes.
        press: prints.
        catalogue: showtimes and layouts.
    """

    def __init__(self, keys: TicketKeys, press: TicketPress, catalogue: Catalogue) -> None:
        self._keys = keys
        self._press = press
        self._catalogue = catalogue

    async def enclose(self, booking: Booking, language: Locale, api_url: str, *, whole: bool) -> Enclosed:
        """Give the tickets of a booking that are valid now.

        Args:
            booking: as the ledger has it now.
            language: of the documents.
            api_url: what the links begin with; the code in them is the permission.
            whole: with QR pictures, a PDF and a calendar entry; else links only.
        """
        showtime = await self._catalogue.read_showtime(booking.showtime)
        layout = await self._catalogue.layout(showtime.layout_id)
        valid = [ticket for ticket in booking.tickets if is_valid(showtime, ticket)]
        printed = [e_ticket(self._keys, showtime, layout, ticket, booking.id, language) for ticket in valid]
        shown = [
            ShownTicket(one.seat, f"{api_url}/tickets/{one.code}.pdf", f"{one.ticket_id}@seatlock") for one in printed
        ]
        if not whole or not printed:
            return Enclosed(shown, ())
        files = [
            Attachment(name="tickets.pdf", media_type="application/pdf", content=await self._press.pdf(printed)),
            Attachment(name="showtime.ics", media_type="text/calendar", content=await self._press.ics(printed)),
        ]
        for one, ticket in zip(printed, shown, strict=True):
            picture = await self._press.png(one.code)
            name = f"{one.ticket_id}.png"
            files.append(Attachment(name=name, media_type="image/png", content=picture, content_id=ticket.content_id))
        return Enclosed(shown, files)

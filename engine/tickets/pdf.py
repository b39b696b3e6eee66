"""Tickets as a PDF: a page for a phone's screen each, and pages of A4 to print, three tickets on one.

Texts of Latin-1 are set in Helvetica, which every reader has. Any other text needs a font in the file, which takes
most of the time; it is a subset of DejaVu Sans, and what even that has no letter for is shown as a box.
"""

import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC
from functools import cache
from pathlib import Path
from typing import Final

from fpdf import FPDF
from fpdf.enums import Align, XPos, YPos
from fpdf.fonts import TTFFont

from engine.tickets.pictures import BORDER, qr_matrix
from engine.tickets.records import ETicket, Size
from engine.tickets.words import LABELS, amount_text, day_text, time_text

FONT: Final = Path(__file__).parent / "vendor" / "dejavu-fonts-ttf-2.37.3" / "DejaVuSans.ttf"
PHONE_MM: Final = (90.0, 190.0)
A4_MM: Final = (210.0, 297.0)
MARGIN_MM: Final = 8.0
PHONE_QR_MM: Final = 66.0
A4_QR_MM: Final = 60.0
TICKETS_PER_SHEET: Final = 3
NO_LETTER: Final = "\u25a1"


def ticket_pdf(tickets: Sequence[ETicket], size: Size | None = None) -> bytes:
    """Make one document of some tickets; the same tickets give the same bytes.

    It takes the processor for milliseconds, with a font for a tenth of a second: call it through `TicketPress`.

    Args:
        tickets: at least one, in the order of the pages.
        size: only pages of this size; None for both, the phone's first.
    """
    paper = _Paper(tickets)
    if size != "a4":
        for ticket in tickets:
            paper.add_page(format=PHONE_MM)
            paper.put_ticket(ticket, MARGIN_MM, MARGIN_MM, PHONE_MM[0] - 2 * MARGIN_MM, PHONE_QR_MM, beside=False)
    if size != "phone":
        strip = A4_MM[1] / TICKETS_PER_SHEET
        for place, ticket in enumerate(tickets):
            if place % TICKETS_PER_SHEET == 0:
                paper.add_page(format=A4_MM)
            top = place % TICKETS_PER_SHEET * strip
            if place % TICKETS_PER_SHEET:
                paper.put_fold(top)
            paper.put_ticket(ticket, MARGIN_MM, top + MARGIN_MM, A4_MM[0] - 2 * MARGIN_MM, A4_QR_MM, beside=True)
    return bytes(paper.output())


class _Paper(FPDF):
    """A document in the one font that can write all of its texts."""

    def __init__(self, tickets: Sequence[ETicket]) -> None:
        super().__init__(unit="mm", format=PHONE_MM)
        self.set_auto_page_break(auto=False)
        self.set_margin(0)
        self.set_title(_plain(tickets[0].movie))
        self.set_creator("seatlock")
        self.set_creation_date(max(ticket.sold_at for ticket in tickets).astimezone(UTC))
        self._embedded = not all(text.isascii() or _is_latin(text) for text in _texts(tickets))
        if self._embedded:
            self.add_font("DejaVu", "", FONT)

    def put_ticket(self, ticket: ETicket, left: float, top: float, width: float, qr_mm: float, *, beside: bool) -> None:
        """Draw one ticket into a frame: the QR, and the text below it or beside it."""
        if beside:
            self._put_qr(ticket.code, left, top, qr_mm)
            left, width = left + qr_mm + MARGIN_MM, width - qr_mm - MARGIN_MM
        else:
            self._put_qr(ticket.code, left + (width - qr_mm) / 2, top, qr_mm)
            top += qr_mm + 2
        self.set_xy(left, top)
        labels, local = LABELS[ticket.locale], ticket.starts_local
        self._put(width, ticket.movie + (f"  ({ticket.rating})" if ticket.rating else ""), 15, bold=True)
        self._put(width, f"{ticket.cinema}, {ticket.city}", 11)
        self._put(width, f"{labels['auditorium']}: {ticket.auditorium}", 11)
        self._put(width, day_text(local, ticket.locale), 11)
        self._put(width, time_text(local, ticket.locale), 15, bold=True)
        self._put(width, f"{labels['seat']} {ticket.seat}", 19, bold=True)
        place = f"{labels['row']} {ticket.row}, {labels['seat'].lower()} {ticket.number}, {ticket.tier}"
        self._put(width, place, 9)
        self._put(width, f"{labels['price']}: {amount_text(ticket.price_minor, ticket.currency, ticket.locale)}", 9)
        self._put(width, f"{labels['booking']}: {ticket.booking_id}", 8)
        self._put(width, labels["hint"], 8)

    def put_fold(self, top: float) -> None:
        """Draw the line between two tickets of a sheet."""
        self.set_draw_color(160)
        self.set_dash_pattern(dash=2, gap=2)
        self.line(0, top, A4_MM[0], top)
        self.set_dash_pattern()

    def _put(self, width: float, text: str, points: float, *, bold: bool = False) -> None:
        """Write a paragraph below the last one; a long text is set smaller, so that a ticket never overflows."""
        text = _plain(text)
        if len(text) > 40:
            points = min(points, 11.0 if len(text) <= 80 else 8.0)
        if self._embedded:
            known = _letters()
            text = "".join(letter if ord(letter) in known else NO_LETTER for letter in text)
            self.set_font("DejaVu", size=points)
        else:
            self.set_font("Helvetica", "B" if bold else "", points)
        height = points * 0.46
        self.multi_cell(width, height, text, align=Align.L, new_x=XPos.LEFT, new_y=YPos.NEXT)

    def _put_qr(self, code: str, left: float, top: float, qr_mm: float) -> None:
        """Draw the dark modules; runs of them as one rectangle, so that no hairline shows between."""
        matrix = qr_matrix(code)
        module = qr_mm / (len(matrix) + 2 * BORDER)
        self.set_fill_color(0)
        for y, row in enumerate(matrix):
            for x, length in _runs(row):
                self.rect(left + (x + BORDER) * module, top + (y + BORDER) * module, length * module, module, style="F")


def _runs(row: bytearray) -> Iterable[tuple[int, int]]:
    """Give start and length of each run of dark modules."""
    start = None
    for x, dark in enumerate([*row, 0]):
        if dark and start is None:
            start = x
        elif not dark and start is not None:
            yield start, x - start
            start = None


def _texts(tickets: Sequence[ETicket]) -> Iterable[str]:
    for ticket in tickets:
        yield _plain(f"{ticket.movie}{ticket.rating}{ticket.cinema}{ticket.city}{ticket.auditorium}")
        yield _plain(f"{ticket.seat}{ticket.row}{ticket.number}{ticket.tier}")


def _plain(text: str) -> str:
    """Give a text on one line, without what has no shape; letters and their accents composed."""
    composed = unicodedata.normalize("NFC", " ".join(text.split()))
    return "".join(letter for letter in composed if letter.isprintable())


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


@cache
def _letters() -> frozenset[int]:
    """Give the code points that the font has a letter for."""
    probe = FPDF()
    probe.add_font("DejaVu", "", FONT)
    font = probe.fonts["dejavu"]
    assert isinstance(font, TTFFont)
    return frozenset(font.cmap)

"""What is made of a ticket: pictures, documents, calendar entries. The same ticket gives the same bytes."""

import asyncio
import io
import re
import xml.etree.ElementTree as ET
import zlib
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from icalendar import Calendar
from PIL import Image

from engine.errors import Unavailable
from engine.limits import TICKET_PRINTS_WAITING_MAX
from engine.tickets.calendar import calendar_event
from engine.tickets.pdf import ticket_pdf
from engine.tickets.pictures import BORDER, PNG_SCALE, qr_matrix, qr_png, qr_svg
from engine.tickets.press import TicketPress
from engine.tickets.records import ETicket
from engine.tickets.words import amount_text
from tests.qr import SIZE, read_qr
from tests.unit.engine.tickets.test_codes import CODE

TICKET = ETicket(
    code=CODE,
    ticket_id="0199c2a4-7d10-7e51-9c2b-3f5e6a7b8c9d",
    booking_id="0199c2a4-6b1e-7c3f-8a51-00020000002a",
    movie="Laut Bercerita",
    rating="R13+",
    cinema="Teater Kencana",
    city="Makassar",
    auditorium="Audi 1",
    timezone="Asia/Makassar",
    starts_at=datetime(2026, 11, 21, 12, 30, tzinfo=UTC),
    ends_at=datetime(2026, 11, 21, 14, 20, tzinfo=UTC),
    sold_at=datetime(2026, 11, 20, 8, 0, tzinfo=UTC),
    seat="C7",
    row="C",
    number="7",
    tier="PREMIUM",
    price_minor=7_500_000,
    currency="IDR",
)
NEIGHBOUR = msgspec.structs.replace(TICKET, seat="C8", number="8")


def streams(document):
    """Give the content of each compressed stream of a PDF."""
    for raw in re.findall(rb"stream\r?\n(.*?)\r?\nendstream", document, re.DOTALL):
        try:
            # Not `decompress`: the last byte of a checksum may look like the end of the line before `endstream`.
            yield zlib.decompressobj().decompress(raw).decode("latin-1")
        except zlib.error:
            continue


def texts(document):
    """Give the texts of a document in Helvetica, page by page."""
    pages = [page for page in streams(document) if " Tf" in page]
    return [" ".join(re.findall(r"\((.*?)(?<!\\)\) Tj", page)).replace("\\", "") for page in pages]


def squares(page, qr_mm):
    """Give the matrix that a page draws: rectangles in points from the bottom, back in modules."""
    found = [tuple(map(float, four)) for four in re.findall(r"([\d.-]+) ([\d.-]+) ([\d.-]+) ([\d.-]+) re f", page)]
    module = qr_mm / (SIZE + 2 * BORDER) * 72 / 25.4
    left, top = min(one[0] for one in found), max(one[1] for one in found)
    matrix = [[0] * SIZE for _ in range(SIZE)]
    for x, y, width, _ in found:
        start = round((x - left) / module)
        for column in range(start, start + round(width / module)):
            matrix[round((top - y) / module)][column] = 1
    return matrix


@pytest.mark.covers("000.9")
def test_a_qr_reads_back_as_the_code():
    """By the standard, not by the library that drew it."""
    assert read_qr(qr_matrix(CODE)) == CODE


def test_a_png_shows_the_qr_with_its_quiet_zone():
    """Every module is where it belongs, and around them it is white."""
    with Image.open(io.BytesIO(qr_png(CODE))) as image:
        modules = image.convert("L").resize((SIZE + 2 * BORDER,) * 2, Image.Resampling.NEAREST)
        assert image.width == (SIZE + 2 * BORDER) * PNG_SCALE
    rows = [[modules.getpixel((x, y)) < 128 for x in range(modules.width)] for y in range(modules.height)]
    assert not any(any(row) for row in (*rows[:BORDER], *rows[-BORDER:]))
    assert read_qr([[int(dark) for dark in row[BORDER:-BORDER]] for row in rows[BORDER:-BORDER]]) == CODE


def test_an_svg_shows_the_qr():
    """One path of horizontal strokes; each is a run of dark modules."""
    (path,) = ET.fromstring(qr_svg(CODE)).iter("{http://www.w3.org/2000/svg}path")
    matrix, x, y = [[0] * SIZE for _ in range(SIZE)], 0.0, 0.0
    for command, numbers in re.findall(r"([Mmh])([^Mmh]*)", path.attrib["d"]):
        values = [float(number) for number in re.findall(r"-?[\d.]+", numbers)]
        if command == "h":
            for column in range(int(x), int(x + values[0])):
                matrix[int(y - BORDER)][column - BORDER] = 1
            x += values[0]
        else:
            x, y = (values[0], values[1]) if command == "M" else (x + values[0], y + values[1])
    assert read_qr(matrix) == CODE


@pytest.mark.covers("000.9", "001.14")
def test_a_document_says_where_and_when_by_the_cinemas_clock():
    """Film, cinema, hall, seat, local day and time, price, booking: in Indonesian, on both pages."""
    phone, sheet = texts(ticket_pdf([TICKET]))
    assert phone == sheet
    for said in (
        "Laut Bercerita (R13+)",
        "Teater Kencana, Makassar",
        "Studio: Audi 1",
        "Sabtu, 21 November 2026",
        "20.30 WITA",
        "Kursi C7",
        "Baris C, kursi 7, PREMIUM",
        "Harga: Rp 75.000",
        "0199c2a4-6b1e-7c3f-8a51-00020000002a",
    ):
        assert said in " ".join(phone.split())


def test_a_document_in_english():
    """By the booking's language."""
    (page,) = texts(ticket_pdf([msgspec.structs.replace(TICKET, locale="en", price_minor=7_500_050)], "phone"))
    for said in ("Saturday, 21 November 2026", "20:30 WITA", "Seat C7", "Auditorium: Audi 1", "IDR 75,000.50"):
        assert said in page


@pytest.mark.parametrize(("size", "qr_mm"), [("phone", 66), ("a4", 60)])
def test_a_documents_qr_reads_back_as_the_code(size, qr_mm):
    """What is printed can be scanned."""
    (page,) = (text for text in streams(ticket_pdf([TICKET], size)) if " Tf" in text)
    assert read_qr(squares(page, qr_mm)) == CODE


def test_a_sheet_has_three_tickets_and_a_phone_one_a_page():
    """A booking is one document."""
    booking = [TICKET, NEIGHBOUR] * 2
    assert len(texts(ticket_pdf(booking, "phone"))) == 4
    first, second = texts(ticket_pdf(booking, "a4"))
    assert (first.count("Kursi C"), second.count("Kursi C")) == (3, 1)
    assert len(texts(ticket_pdf(booking))) == 6


@pytest.mark.parametrize(
    ("movie", "shown"),
    [
        ("Левиафан", "Левиафан"),
        ("Amélie \u2014 “le film”", "Amélie \u2014 “le film”"),
        ("Ame\u0301lie \u0141", "Amélie Ł"),
        ("東京\tstory\n2", "□□ story 2"),
        ("\U0001f3ac Film \u202e", "□ Film"),
    ],
)
def test_a_title_of_any_script_is_written(movie, shown):
    """In a font that is part of the file; what that has no letter for is a box, and never a question mark."""
    document = ticket_pdf([msgspec.structs.replace(TICKET, movie=movie, rating="")], "phone")
    table = re.findall(rb"<(\w{4})> <(\w{4,8})>", document)
    letters = {int(glyph, 16): bytes.fromhex(letter.decode()).decode("utf-16-be") for glyph, letter in table}
    (page,) = (text for text in streams(document) if " Tf" in text)
    raw = [text.encode("latin-1") for text in re.findall(r"\((.*?)(?<!\\)\) Tj", page, re.DOTALL)]
    plain = [re.sub(rb"\\([()\\])", rb"\1", text).replace(b"\\r", b"\r") for text in raw]
    said = "".join(letters[int.from_bytes(text[at : at + 2])] for text in plain for at in range(0, len(text), 2))
    assert said.startswith(shown)


def test_the_longest_names_stay_on_their_page():
    """Names of 200 characters are set smaller; the last line still has its place."""
    long = msgspec.structs.replace(TICKET, movie="Wide " * 40, cinema="Wide " * 40, auditorium="Wide " * 40)
    for size in ("phone", "a4"):
        (page,) = (text for text in streams(ticket_pdf([long], size)) if " Tf" in text)
        heights = [float(y) for y in re.findall(r"BT [\d.]+ ([\d.-]+) Td", page)]
        strip = 297 / 3 * 2 / 25.4 * 72 if size == "a4" else 0
        assert min(heights) > strip


def test_the_same_ticket_gives_the_same_document():
    """A mail that is sent again carries the same."""
    assert ticket_pdf([TICKET]) == ticket_pdf([TICKET])
    assert calendar_event([TICKET]) == calendar_event([TICKET])


def test_a_calendar_entry_is_at_the_cinemas_local_time():
    """20:30 in Makassar, whatever clock the server has; both seats in one entry."""
    calendar = Calendar.from_ical(calendar_event([TICKET, NEIGHBOUR]))
    (event,) = calendar.walk("VEVENT")
    assert calendar.walk("VTIMEZONE")
    assert event["DTSTART"].params["TZID"] == "Asia/Makassar"
    start = event.decoded("DTSTART")
    assert (start.hour, start.minute, start.utcoffset()) == (20, 30, timedelta(hours=8))
    assert (start, event.decoded("DTEND")) == (TICKET.starts_at, TICKET.ends_at)
    assert (event["SUMMARY"], event["UID"]) == ("Laut Bercerita", f"{TICKET.booking_id}@seatlock")
    assert event["LOCATION"] == "Audi 1, Teater Kencana, Makassar"
    assert "C7, C8" in event["DESCRIPTION"]


@pytest.mark.parametrize(
    ("amount", "currency", "locale", "text"),
    [
        (7_500_000, "IDR", "id", "Rp 75.000"),
        (123_456_789, "IDR", "id", "Rp 1.234.567,89"),
        (7_500_000, "IDR", "en", "IDR 75,000"),
        (1_250, "JPY", "en", "JPY 1,250"),
        (1_250, "KWD", "id", "KWD 1,250"),
        (5, "USD", "en", "USD 0.05"),
    ],
)
def test_amounts_are_written_as_the_language_does(amount, currency, locale, text):
    """Marks between thousands and before the rest change places."""
    assert amount_text(amount, currency, locale) == text


async def test_a_press_with_too_much_to_do_says_so():
    """It keeps what it can print soon, and refuses the rest at once."""
    press = TicketPress()
    try:
        prints = [asyncio.create_task(press.svg(CODE)) for _ in range(TICKET_PRINTS_WAITING_MAX)]
        await asyncio.sleep(0)
        with pytest.raises(Unavailable, match="Too many tickets"):
            await press.svg(CODE)
        assert len(set(await asyncio.gather(*prints))) == 1
        assert await press.svg(CODE) == qr_svg(CODE)
    finally:
        press.close()

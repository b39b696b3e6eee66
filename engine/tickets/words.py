"""The words on a ticket, in Indonesian and English: labels, days, times, amounts."""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from engine.orders.money import EXPONENTS
from engine.tickets.records import Locale

DAYS: Final[Mapping[Locale, tuple[str, ...]]] = {
    "id": ("Senin", "Selasa", "Rabu", "Kamis", "Jumat", "Sabtu", "Minggu"),
    "en": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"),
}
_MONTHS_ID = "Januari Februari Maret April Mei Juni Juli Agustus September Oktober November Desember"
_MONTHS_EN = "January February March April May June July August September October November December"
MONTHS: Final[Mapping[Locale, tuple[str, ...]]] = {
    "id": tuple(_MONTHS_ID.split()),
    "en": tuple(_MONTHS_EN.split()),
}
LABELS: Final[Mapping[Locale, Mapping[str, str]]] = {
    "id": {
        "auditorium": "Studio",
        "row": "Baris",
        "seat": "Kursi",
        "price": "Harga",
        "booking": "Kode pemesanan",
        "hint": "Tunjukkan kode ini di pintu masuk. Berlaku satu kali.",
    },
    "en": {
        "auditorium": "Auditorium",
        "row": "Row",
        "seat": "Seat",
        "price": "Price",
        "booking": "Booking",
        "hint": "Show this code at the entrance. It is valid once.",
    },
}


def day_text(local: datetime, locale: Locale) -> str:
    """Write a day, e.g. `Sabtu, 21 November 2026`."""
    return f"{DAYS[locale][local.weekday()]}, {local.day} {MONTHS[locale][local.month - 1]} {local.year}"


def time_text(local: datetime, locale: Locale) -> str:
    """Write a time of day with its zone, e.g. `19.30 WIB` or `19:30 WIB`."""
    mark = "." if locale == "id" else ":"
    return f"{local.hour:02}{mark}{local.minute:02} {local.tzname()}"


def amount_text(amount_minor: int, currency: str, locale: Locale) -> str:
    """Write an amount, e.g. 7500000 IDR as `Rp 75.000` or `IDR 75,000`; whole amounts without zeros behind."""
    exponent = EXPONENTS.get(currency, 2)
    whole, rest = divmod(amount_minor, 10**exponent)
    text = f"{whole:,}" + (f".{rest:0{exponent}d}" if rest else "")
    if locale == "id":
        text = text.translate(str.maketrans(",.", ".,"))
    return f"{'Rp' if (locale, currency) == ('id', 'IDR') else currency} {text}"

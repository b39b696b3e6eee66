"""Words of the ledger in the languages of customers: reasons of refunds, states of bookings."""

from collections.abc import Mapping
from typing import Final

from engine.tickets.records import Locale

REASONS: Final[Mapping[Locale, Mapping[str, str]]] = {
    "id": {
        "customer": "dibatalkan atas permintaan Anda.",
        "showtime_cancelled": "bioskop telah membatalkan tayangan ini.",
        "duplicate_payment": "pemesanan ini sudah dibayar dengan pembayaran lain.",
        "wrong_amount": "jumlah yang dibayar bukan jumlah pemesanan ini.",
        "superseded": "kursi pemesanan ini telah diubah, dan pembayaran ini untuk pilihan yang lama.",
        "hold_changed": "kursi pemesanan ini telah diubah, dan pembayaran ini untuk pilihan yang lama.",
        "booking_cancelled": "pemesanan ini sudah dibatalkan sebelum pembayaran tiba.",
        "booking_refunded": "pemesanan ini sudah dikembalikan dananya.",
        "showtime_closed": "pembayaran tiba setelah penjualan tayangan ini ditutup.",
        "seats_taken": "pembayaran tiba setelah batas waktu, dan kursinya sudah menjadi milik orang lain.",
        "double_sale": "kursinya sudah menjadi milik orang lain. Mohon maaf, ini kesalahan kami.",
    },
    "en": {
        "customer": "cancelled at your request.",
        "showtime_cancelled": "the cinema has cancelled this showtime.",
        "duplicate_payment": "this booking had been paid already.",
        "wrong_amount": "the amount paid is not the amount of this booking.",
        "superseded": "the seats of this booking were changed, and this payment was for the former choice.",
        "hold_changed": "the seats of this booking were changed, and this payment was for the former choice.",
        "booking_cancelled": "this booking had been cancelled before the payment arrived.",
        "booking_refunded": "the money of this booking had been paid back already.",
        "showtime_closed": "the payment arrived after sales for this showtime had closed.",
        "seats_taken": "the payment arrived too late, and somebody else has these seats now.",
        "double_sale": "somebody else has these seats. We are sorry, the mistake is ours.",
    },
}
ANY_REASON: Final[Mapping[Locale, str]] = {
    "id": "pembayaran tiba setelah batas waktu pemesanan.",
    "en": "the payment arrived after the booking's time was over.",
}
"""Said for a reason without words of its own: all of them come of payments that were too late."""
STATES: Final[Mapping[Locale, Mapping[str, str]]] = {
    "id": {
        "PENDING": "menunggu pembayaran",
        "CONFIRMED": "sudah dibayar",
        "CANCELLED": "dibatalkan",
        "EXPIRED": "batas waktu pembayaran sudah lewat",
        "REFUNDED": "dana dikembalikan",
    },
    "en": {
        "PENDING": "waiting for the payment",
        "CONFIRMED": "paid",
        "CANCELLED": "cancelled",
        "EXPIRED": "the time to pay is over",
        "REFUNDED": "refunded",
    },
}


def language_of(locale: str) -> Locale:
    """Give the language for a language tag: English for `en`, Indonesian for every other, as on tickets."""
    return "en" if locale.partition("-")[0].lower() == "en" else "id"


def reason_text(reason: str, language: Locale) -> str:
    """Say why money goes back, as the end of a sentence."""
    return REASONS[language].get(reason, ANY_REASON[language])


def one_line(text: str) -> str:
    """Put a text from outside on one line, so that a title can never look like more than a title."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())

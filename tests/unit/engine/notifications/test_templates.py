"""Every kind of notification in every language: whole, escaped, and with no name that nobody gives."""

from typing import get_args

import pytest
from jinja2 import UndefinedError

from engine.notifications.enclosures import ShownTicket
from engine.notifications.records import Kind
from engine.notifications.templates import FOLDER, render
from engine.notifications.wording import ANY_REASON, REASONS, STATES, language_of, one_line, reason_text
from engine.tickets.records import Locale

NASTY = '<b onload="x">&'
SHOW = {
    "movie": f"Laut {NASTY}",
    "cinema": f"Teater {NASTY}",
    "city": "Jakarta",
    "auditorium": "Studio 1",
    "day": "Sabtu, 21 November 2026",
    "time": "19.30 WIB",
}
SEATS = {"show": SHOW, "seats": "C1, C2", "amount": "Rp 100.000", "booking_id": "0199c2a4"}
TICKETS = [ShownTicket("C1", "https://x.org/api/v1/tickets/AAA.pdf", "t1@seatlock")]
REFUND = {"refund_id": "7f3c", "reason": REASONS["en"]["seats_taken"]}
FACTS = {
    "ticket": {**SEATS, "tickets": TICKETS},
    "showtime_cancelled": SEATS,
    "refund_done": {**SEATS, **REFUND},
    "refund_queued": {**SEATS, **REFUND},
    "refund_manual": {
        **REFUND,
        "amount": "Rp 100.000",
        "attempts": 5,
        "booking_id": "-",
        "gateway": "fake",
        "session_id": "sess_1",
        "failure": f"card_closed {NASTY}",
        "api_url": "https://x.org/api/v1",
    },
    "lapsing": {**SEATS, "until": "19.45 WIB"},
    "lookup": {**SEATS, "state": "paid", "refunded": None, "tickets": TICKETS},
}
"""What each kind is given; a kind without an entry here fails."""


@pytest.mark.parametrize("language", get_args(Locale))
@pytest.mark.parametrize("kind", get_args(Kind))
def test_a_kind_is_written_in_each_language(kind, language):
    """Subject in one line, text, HTML of one page; what comes from outside is escaped in HTML and plain in the text."""
    subject, text, html = render(kind, language, FACTS[kind])
    assert subject
    assert subject.splitlines() == [subject]
    assert "Rp 100.000" in text
    assert "{" not in text
    assert NASTY in subject + text
    assert NASTY not in html
    assert "&lt;b onload" in html
    assert f'<html lang="{language}">' in html
    assert html.count("<h1") == 1


def test_a_name_that_nobody_gives_is_an_error():
    """A template never sends a hole."""
    with pytest.raises(UndefinedError):
        render("lapsing", "id", SEATS)


def test_no_template_is_left_over():
    """Each file is a kind's, in both languages, or the frame of all."""
    wanted = {
        f"{locale}/{kind}.{form}" for locale in get_args(Locale) for kind in get_args(Kind) for form in ("txt", "html")
    }
    found = {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*")}
    assert found == wanted | {"frame.html", "parts.html"}


@pytest.mark.parametrize("language", get_args(Locale))
def test_a_booking_that_is_looked_up_tells_what_was_paid_back(language):
    """Its total and seats are those of the sale, so what went back since stands beside them, if anything did."""
    for refunded in (None, "Rp 45.000"):
        _, text, html = render("lookup", language, FACTS["lookup"] | {"refunded": refunded})
        for form in (text, html):
            assert ("Rp 45.000" in form) == bool(refunded)
            assert "None" not in form


def test_a_cancelled_showtime_that_was_not_paid_promises_nothing():
    """Without an amount the mail says that nothing was paid."""
    _, text, html = render("showtime_cancelled", "en", SEATS | {"amount": None})
    assert "not paid yet" in text
    assert "not paid yet" in html


def test_both_languages_have_the_same_words():
    """A reason or a state is missing in neither; an unknown reason has words, too."""
    assert REASONS["id"].keys() == REASONS["en"].keys()
    assert STATES["id"].keys() == STATES["en"].keys()
    assert reason_text("never_heard_of", "en") == ANY_REASON["en"]
    assert [language_of(tag) for tag in ("id", "en", "en-GB", "EN", "", "de")] == ["id", "en", "en", "en", "id", "id"]


def test_a_text_from_outside_is_put_on_one_line():
    """Line breaks of all sorts and what has no shape become spaces."""
    assert one_line("Laut\r\nBcc: a@x.org\u2028\0 Bercerita ") == "Laut Bcc: a@x.org Bercerita"

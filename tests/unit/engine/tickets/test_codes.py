"""Codes of tickets: everything that is not exactly one of ours is refused, with public keys alone."""

import base64
import json
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import CommandError
from engine.tickets.codes import CODE_LENGTH, TicketCode, read_code, ticket_code
from engine.tickets.keys import load_ticket_keys, make_ticket_key
from tests.door import public_keys
from tests.showtimes import refused

OLD, NEW = (f"{kid}:{base64.b64encode(bytes([kid]) * 32).decode()}" for kid in (1, 2))
KEYS = load_ticket_keys(OLD)
SAID = TicketCode(
    ticket_id=UUID("0199c2a4-7d10-7e51-9c2b-3f5e6a7b8c9d"), showtime=42, seat_index=37, starts_at_s=1_795_264_200
)
CODE = ticket_code(KEYS, SAID)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


@given(st.uuids(), st.integers(1, 2**32 - 1), st.integers(0, 64_999), st.integers(0, 2**32 - 1))
def test_a_code_says_what_was_signed(ticket_id, showtime, seat_index, starts_at_s):
    """Round trip, always of one length."""
    said = TicketCode(ticket_id=ticket_id, showtime=showtime, seat_index=seat_index, starts_at_s=starts_at_s)
    code = ticket_code(KEYS, said)
    assert (read_code(KEYS.public, code), len(code)) == (said, CODE_LENGTH)


def test_a_code_is_the_same_whenever_it_is_made():
    """It is kept nowhere, so what the mail had and what the page shows must be equal."""
    assert ticket_code(load_ticket_keys(OLD), SAID) == CODE


def test_a_changed_bit_is_refused():
    """In every character; so no bit of the 92 bytes, and no bit to spare of the last character, may change."""
    for place, letter in enumerate(CODE):
        for bit in range(5):
            other = ALPHABET[ALPHABET.index(letter) ^ 1 << bit]
            with refused("not_found"):
                read_code(KEYS.public, CODE[:place] + other + CODE[place + 1 :])


@pytest.mark.parametrize(
    "code",
    ["", "A", CODE[:-1], CODE + "A", CODE + "=", CODE.lower(), " " + CODE[1:], CODE[:-1] + "é", "1" * CODE_LENGTH],
    ids=["empty", "short", "cut", "long", "padded", "lower case", "space", "not ascii", "other digits"],
)
def test_what_is_no_code_is_refused(code):
    """There is one way to write a code."""
    with refused("not_found"):
        read_code(KEYS.public, code)


def test_a_code_of_another_key_is_refused():
    """Also where it gives itself the number of ours."""
    for keys in (load_ticket_keys(make_ticket_key(1)), load_ticket_keys(NEW)):
        with refused("not_found"):
            read_code(KEYS.public, ticket_code(keys, SAID))


@pytest.mark.covers("000.9")
def test_a_scanner_verifies_offline_with_what_is_published():
    """By the layout that the docstring describes, with no code of ours."""
    published = json.loads(json.dumps(KEYS.published()))
    raw = base64.b32decode(CODE + "=" * (-len(CODE) % 8))
    public_keys(published)[raw[1]].verify(raw[28:], raw[:28])
    assert (len(raw), raw[0], raw[1]) == (92, 1, 1)
    assert UUID(bytes=raw[2:18]) == SAID.ticket_id
    assert [int.from_bytes(raw[a:b]) for a, b in ((18, 22), (22, 24), (24, 28))] == [42, 37, 1_795_264_200]


def test_a_key_takes_over_from_another():
    """Both verify while both are there; the first one signs."""
    both = load_ticket_keys(f"{NEW}, {OLD}")
    fresh = ticket_code(both, SAID)
    assert fresh != CODE
    assert read_code(both.public, CODE) == read_code(both.public, fresh) == SAID
    assert [key["kid"] for key in both.published()["keys"]] == ["2", "1"]
    with refused("not_found"):
        read_code(load_ticket_keys(NEW).public, CODE)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not set"),
        (OLD.partition(":")[2], "must be a number from 0 to 255"),
        ("256" + OLD[1:], "must be a number from 0 to 255"),
        (f"{OLD},{OLD}", "key 1 is there twice"),
        (OLD[:-4], "key 1 must be 32 bytes"),
        ("1:not base64!", "key 1 must be 32 bytes"),
    ],
)
def test_a_wrong_setting_is_one_clear_line(text, says):
    """It says what is wrong, and nothing of a seed."""
    with pytest.raises(CommandError, match=says) as error:
        load_ticket_keys(text)
    assert OLD[2:12] not in str(error.value)

"""Reading the fake gateway's events: signature first, then the shape; nothing unprintable gets further."""

import json

import pytest

from engine.errors import InvalidInput, Refusal
from engine.orders.gateways.fake import FakeGateway
from engine.orders.gateways.signatures import SIGNATURE_HEADER, sign

NOW_S = 1_800_000_000
EVENT = {"id": "evt_1", "type": "payment.success", "session_id": "sess_1", "amount": 7500000, "currency": "IDR"}


def read(event, *, secret="secret"):
    """Sign an event and let the gateway's client read it."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    gateway = FakeGateway("http://gateway", "secret")
    return gateway.read_event({SIGNATURE_HEADER: sign(secret, body, NOW_S)}, body, NOW_S)


def test_a_signed_event_is_read():
    """Every field of the contract arrives, amounts in minor units."""
    event = read(EVENT)
    assert (event.id, event.type, event.session_id) == ("evt_1", "payment.success", "sess_1")
    assert (event.amount_minor, event.currency) == (7500000, "IDR")


def test_unknown_fields_and_types_pass():
    """A gateway may say more than we know, and of things that we do not know."""
    assert read({**EVENT, "risk": {"score": 3}}).id == "evt_1"
    assert read({"id": "evt_2", "type": "payment.disputed", "session_id": "s"}).type == "payment.disputed"


def test_the_signature_is_checked_before_the_body_is_looked_at():
    """What is not signed is not decoded: broken JSON under a foreign secret is a bad signature."""
    with pytest.raises(Refusal) as refused:
        read(b"{", secret="other")
    assert refused.value.code == "bad_signature"


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"id": ""}, "/id"),
        ({"id": "evt\n"}, "/id"),
        ({"id": "evt_1\n"}, "/id"),
        ({"id": "evt\u0000"}, "/id"),
        ({"id": "x" * 201}, "/id"),
        ({"id": 5}, "/id"),
        ({"session_id": None}, "/session_id"),
        ({"amount": -1}, "/amount"),
        ({"amount": 1.5}, "/amount"),
        ({"amount": 2**63}, "/amount"),
        ({"amount": True}, "/amount"),
        ({"amount": None}, "/amount"),
        ({"currency": "idr"}, "/currency"),
        ({"currency": "RUPIAH"}, "/currency"),
    ],
)
def test_a_signed_body_that_is_no_event_names_the_field(change, pointer):
    """Wrong types and texts that no column takes are the caller's mistake, never ours."""
    with pytest.raises(InvalidInput) as wrong:
        read({**EVENT, **change})
    assert wrong.value.details["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"id":"\xff"}', b'{"x":' + b"[" * 50_000])
def test_a_signed_body_that_is_not_json_is_malformed(body):
    """Signed nonsense is refused by its word."""
    with pytest.raises(Refusal) as wrong:
        read(body)
    assert wrong.value.code == "malformed_json"

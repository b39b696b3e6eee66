"""The signature of a gateway's event decides whether anything of it is believed."""

import pytest

from engine.errors import Refusal
from engine.limits import SIGNATURES_PER_EVENT_MAX, WEBHOOK_TOLERANCE_S
from engine.orders.gateways.signatures import sign, split_secrets, verify

NOW_S = 1_800_000_000
SECRET = "the secret"
BODY = b'{"id":"evt_1"}'


def refusal(header, *, body=BODY, secrets=(SECRET,), now_s=NOW_S):
    """Give the word with which a header is refused; None if it is accepted."""
    try:
        verify(secrets, header, body, now_s)
    except Refusal as error:
        return error.code
    return None


@pytest.mark.covers("004.17")
def test_our_own_signature_is_accepted():
    """What `sign` makes, `verify` takes."""
    assert refusal(sign(SECRET, BODY, NOW_S)) is None


def test_the_signature_is_hmac_sha256_of_time_dot_body():
    """A gateway that was written from the contract alone gets the same digest."""
    digest = "10c3ae5bdd0fd5c9ad60a05ea4051bb529622def626c0d64295951b2039454ed"  # openssl dgst -sha256 -hmac key
    assert sign("key", b"The quick brown fox", 0) == f"t=0,v1={digest}"


@pytest.mark.covers("004.17")
@pytest.mark.parametrize(
    ("body", "secret"), [(b'{"id":"evt_2"}', SECRET), (BODY + b" ", SECRET), (BODY, "another secret")]
)
def test_a_changed_body_or_a_foreign_secret_is_refused(body, secret):
    """One byte more or another key and nothing is believed."""
    assert refusal(sign(secret, BODY, NOW_S), body=body) == "bad_signature"


def test_a_changed_time_is_refused():
    """The time is signed too, so an old event cannot be made young."""
    header = sign(SECRET, BODY, NOW_S - 3600).replace(str(NOW_S - 3600), str(NOW_S))
    assert refusal(header) == "bad_signature"


@pytest.mark.parametrize("away_s", [-WEBHOOK_TOLERANCE_S - 1, WEBHOOK_TOLERANCE_S + 1])
def test_a_signature_too_far_from_now_is_stale_either_way(away_s):
    """Recorded events cannot be played back, nor made in advance."""
    assert refusal(sign(SECRET, BODY, NOW_S + away_s)) == "stale_signature"


@pytest.mark.parametrize("away_s", [-WEBHOOK_TOLERANCE_S, WEBHOOK_TOLERANCE_S])
def test_a_signature_at_the_edge_of_the_tolerance_is_accepted(away_s):
    """Clocks may differ by the tolerance."""
    assert refusal(sign(SECRET, BODY, NOW_S + away_s)) is None


def test_a_forged_stale_event_is_bad_not_stale():
    """A stranger learns nothing from the time that was sent."""
    assert refusal(sign("another secret", BODY, 0)) == "bad_signature"


def test_one_fitting_signature_of_several_is_enough():
    """While a secret is being changed the gateway signs with both."""
    old, new = sign("old", BODY, NOW_S), sign("new", BODY, NOW_S)
    both = f"{old},{new.partition(',')[2]}"
    assert refusal(both, secrets=("new",)) is None
    assert refusal(both, secrets=("old",)) is None
    assert refusal(both, secrets=("other",)) == "bad_signature"


def test_each_secret_in_force_is_accepted():
    """We may know two secrets at once, the first of which signs."""
    secrets = split_secrets(" new, old ,,")
    assert secrets == ("new", "old")
    assert refusal(sign("old", BODY, NOW_S), secrets=secrets) is None


def test_words_of_other_schemes_are_passed_over():
    """A header may carry newer schemes beside `v1`."""
    assert refusal(sign(SECRET, BODY, NOW_S) + ",v2=abc, x") is None


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "t=1800000000",
        "v1=" + "0" * 64,
        "t=,v1=" + "0" * 64,
        "t=now,v1=" + "0" * 64,
        "t=-5,v1=" + "0" * 64,
        "t=\u0661\u0668,v1=" + "0" * 64,
        f"t={'9' * 400},v1=" + "0" * 64,
        f"t={NOW_S},t={NOW_S},v1=" + "0" * 64,
        f"t={NOW_S},v1=" + "0" * 63,
        f"t={NOW_S},v1=" + "\u00e4" * 64,
        f"t={NOW_S}" + (",v1=" + "0" * 64) * (SIGNATURES_PER_EVENT_MAX + 1),
    ],
)
def test_a_malformed_header_is_refused(header):
    """Nothing that is not `t=<unix>,v1=<hex>` gets near the comparison, and nothing raises but the refusal."""
    assert refusal(header) == "bad_signature"


def test_more_signatures_than_allowed_are_refused_even_if_one_fits():
    """The work of one request is bounded."""
    header = sign(SECRET, BODY, NOW_S) + (",v1=" + "0" * 64) * SIGNATURES_PER_EVENT_MAX
    assert refusal(header) == "bad_signature"


def test_two_times_are_refused_even_if_one_is_signed():
    """There is no telling which of them was meant."""
    header = sign(SECRET, BODY, NOW_S)
    assert refusal(f"{header},t={NOW_S}") == "bad_signature"
    assert refusal(f"t={NOW_S - 1},{header}") == "bad_signature"


def test_without_any_secret_nothing_is_accepted():
    """An unset secret does not open the door."""
    assert refusal(sign("", BODY, NOW_S), secrets=()) == "bad_signature"

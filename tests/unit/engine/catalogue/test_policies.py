"""Policies: settings, then the cinema, then the showtime; never a contradiction."""

import msgspec
import pytest

from engine.catalogue.policies import PolicyOverrides, check_policy, merge_policy
from engine.errors import InvalidInput
from engine.settings import Settings


def test_the_nearest_number_wins():
    """A showtime's number replaces the cinema's, which replaces the setting."""
    merged = merge_policy(Settings(), {"hold_ttl_s": 300, "seats_per_hold_max": 6}, {"seats_per_hold_max": 4})
    assert (merged["hold_ttl_s"], merged["seats_per_hold_max"], merged["holds_per_customer_max"]) == (300, 4, 2)


def test_a_mixed_policy_leaves_room_for_the_payment():
    """However levels mix, a claim lives long enough for its longest hold and the payment after it."""
    merged = merge_policy(Settings(), {"hold_ttl_s": 7200}, {"claim_max_s": 60})
    assert merged["hold_max_s"] >= merged["hold_ttl_s"]
    assert merged["claim_max_s"] >= merged["hold_max_s"] + merged["payment_ttl_s"]


def test_a_number_that_would_not_hold_is_refused():
    """An operator who writes a cap below what it must hold is told so."""
    with pytest.raises(InvalidInput) as refusal:
        check_policy(Settings(), PolicyOverrides(claim_max_s=100), at="/policy")
    assert refusal.value.details["errors"][0]["pointer"] == "/policy/claim_max_s"


def test_tiers_that_make_no_sense_are_refused():
    """Well formed, and yet nearer to the start would pay more."""
    with pytest.raises(InvalidInput) as refusal:
        check_policy(Settings(), PolicyOverrides(refund_tiers="2h:50,24h:100"), at="/policy")
    assert refusal.value.details["errors"][0]["pointer"] == "/policy/refund_tiers"


@pytest.mark.parametrize(
    "body",
    [{"refund_tiers": "24h"}, {"hold_ttl_s": 0}, {"seats_per_hold_max": 19}, {"hold_ttl": 3}, {"hold_ttl_s": "9"}],
)
def test_numbers_stay_within_the_limits_of_the_design(body):
    """Zero, more seats than a hold record can name, an unknown name and a text are refused."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, PolicyOverrides)

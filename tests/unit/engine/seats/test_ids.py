"""Ids carry their showtime, and nothing that is not one of ours is taken for one."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import Refusal
from engine.limits import SHOWTIME_NUMBER_MAX
from engine.seats.ids import HoldId, parse_hold_id, subject_key

HOLD_IDS = st.builds(
    HoldId,
    claimed_at_ms=st.integers(0, 2**48 - 1),
    owner=st.integers(1, 2**32 - 2),
    showtime=st.integers(0, SHOWTIME_NUMBER_MAX),
)


@given(HOLD_IDS)
def test_an_id_is_read_back(hold_id):
    """Text and parts are the same thing, in capitals too."""
    assert parse_hold_id(str(hold_id)) == hold_id
    assert parse_hold_id(str(hold_id).upper()) == hold_id


@given(HOLD_IDS)
def test_an_id_is_a_version_7_uuid_that_ends_with_its_showtime(hold_id):
    """Any UUID library reads it; its low 32 bits are the showtime's number."""
    uuid = UUID(str(hold_id))
    assert uuid.version == 7
    assert uuid.variant == "specified in RFC 4122"
    assert uuid.int >> 80 == hold_id.claimed_at_ms
    assert uuid.int & 0xFFFFFFFF == hold_id.showtime
    assert str(uuid) == str(hold_id)


@given(HOLD_IDS, HOLD_IDS)
def test_two_holds_never_share_an_id(one, other):
    """Ids are equal only if all their parts are, and sort by the time of the claim."""
    assert (str(one) == str(other)) == (one == other)
    if one.claimed_at_ms < other.claimed_at_ms:
        assert str(one) < str(other)


@given(HOLD_IDS, st.integers(0, 127))
def test_an_id_with_a_bit_changed_is_another_or_none(hold_id, bit):
    """A changed bit never names the same hold; a changed fixed bit names none."""
    changed = str(UUID(int=UUID(str(hold_id)).int ^ (1 << bit)))
    try:
        assert parse_hold_id(changed) != hold_id
    except Refusal as refusal:
        assert refusal.code == "not_found"  # noqa: PT017 -- either outcome is right


@pytest.mark.parametrize(
    "text",
    [
        "",
        "42",
        "{0190a6f0-0000-7000-8000-00000000002a}",
        "urn:uuid:0190a6f0-0000-7000-8000-00000000002a",
        "0190a6f0000070008000-00000000002a",
        "0190a6f0-0000-4000-8000-00000000002a",
        "0190a6f0-0000-7000-8000-ffff0000002a",
        "0190a6f0-0000-7000-8000-00000000002a\n",
        "sess_0190a6f0",
        str(HoldId(claimed_at_ms=1_720_000_000_000, owner=0, showtime=42)),
        str(HoldId(claimed_at_ms=1_720_000_000_000, owner=2**32 - 1, showtime=42)),
    ],
)
def test_what_is_no_id_of_ours_is_not_found(text):
    """Other spellings, versions, fixed bits and the numbers of nobody are refused like an unknown hold."""
    with pytest.raises(Refusal, match="not_found"):
        parse_hold_id(text)


@given(st.uuids())
def test_a_uuid_subject_is_its_bytes(uuid):
    """In Redis a customer is 16 bytes; only the canonical text of a UUID stands for the UUID."""
    assert subject_key(str(uuid)) == uuid.bytes
    assert subject_key(f"{{{uuid}}}") != uuid.bytes
    spelled = str(uuid).upper()
    assert (subject_key(spelled) == uuid.bytes) == (spelled == str(uuid))


@given(st.lists(st.text(), unique=True, max_size=20))
def test_other_subjects_are_told_apart(subjects):
    """Any text has 16 bytes of its own."""
    keys = {subject_key(subject) for subject in subjects}
    assert len(keys) == len(subjects)
    assert all(len(key) == 16 for key in keys)

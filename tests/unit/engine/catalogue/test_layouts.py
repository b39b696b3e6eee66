"""Layouts: what is a valid set of seats, and that storing one loses nothing."""

import math
from dataclasses import replace

import msgspec
import pytest

from engine import limits
from engine.catalogue.floor_plans import draw_layout
from engine.catalogue.layouts import Layout, Seat, make_layout
from engine.errors import InvalidInput


def seat(index, label="", **changes):
    """Make a plain seat."""
    fields = {"row": "A", "number": str(index + 1), "tier": "REGULAR", "zone": "", "x": 10.0, "y": 10.0, **changes}
    return Seat(index=index, seat=label or f"A{index + 1}", **fields)


def refused(seats, **size):
    """Give the pointer at which a layout is refused."""
    with pytest.raises(InvalidInput) as refusal:
        make_layout("Hall", size.get("width", 100), size.get("height", 100), seats)
    return refusal.value.details["errors"][0]["pointer"]


@pytest.mark.covers("004.40")
def test_labels_map_to_indexes():
    """A label finds its seat's index, and indexes are the order of the seats."""
    layout = make_layout("Hall", 100, 100, [seat(0), seat(1, "Balkon-C7")])
    assert layout.index_of == {"A1": 0, "Balkon-C7": 1}


def test_a_label_stands_for_one_seat():
    """The second seat of the same label is pointed at."""
    assert refused([seat(0), seat(1, "A1")]) == "/seats/1/seat"


@pytest.mark.parametrize("label", ["A 1", "A/1", "A,1", "A\n1", "é" * 25, "<b>", "%41"])
def test_a_label_fits_urls_and_mails(label):
    """Spaces, slashes, markup and overlong labels are refused."""
    assert refused([seat(0, label)]) == "/seats/0/seat"


def test_indexes_are_dense():
    """A gap in the indexes would be a bit in Redis that belongs to no seat."""
    assert refused([seat(0), seat(2)]) == "/seats/1/index"


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 101.0])
def test_coordinates_are_inside_the_hall(value):
    """A position that is no number or outside is refused."""
    assert refused([seat(0, x=value)]) == "/seats/0/x"
    assert refused([seat(0, y=value)]) == "/seats/0/y"


@pytest.mark.parametrize("value", [math.nan, 0.0, limits.COORDINATE_MAX + 1])
def test_the_hall_has_a_size(value):
    """Width and height are finite and above zero."""
    assert refused([seat(0)], width=value) == "/width"
    assert refused([seat(0)], height=value) == "/height"


@pytest.mark.covers("004.34")
def test_tiers_are_the_three():
    """A tier that has no price anywhere is refused; the three are told in a fixed order."""
    assert refused([seat(0, tier="GOLD")]) == "/seats/0/tier"
    layout = make_layout("Hall", 100, 100, [seat(0, tier="VIP"), seat(1, tier="REGULAR"), seat(2, tier="PREMIUM")])
    assert layout.tiers == ("REGULAR", "PREMIUM", "VIP")


def test_a_layout_has_seats_and_not_too_many():
    """No seat, and one more than an index can name, are refused."""
    assert refused([]) == "/seats"
    one = seat(0)
    assert refused([one] * (limits.SEATS_PER_LAYOUT_MAX + 1)) == "/seats"


def test_storing_loses_nothing():
    """A layout read back from its stored body is the same, under the id that the ledger gave."""
    layout = draw_layout("Hall", ["A RRw__cRR", "", "B PPP__VVV"], zone="Dasar")
    assert Layout.from_json(bytes(layout.to_json()), name="Hall", version=7) == replace(layout, version=7)


def test_the_digest_tells_layouts_apart():
    """Equal layouts share a digest; a moved seat or another name changes it."""
    layout = draw_layout("Hall", ["A RRR"])
    assert layout.digest == replace(draw_layout("Hall", ["A RRR"]), version=5).digest
    assert layout.digest != draw_layout("Hall", ["A RR_R"]).digest
    assert layout.digest != draw_layout("Hall 2", ["A RRR"]).digest


@pytest.mark.covers("004.26")
def test_the_wire_form_has_every_field():
    """Clients read version, size, and for each seat its index, place and kind."""
    layout = replace(draw_layout("Hall", ["A wc"], zone="Dasar"), version=3)
    wire = msgspec.json.decode(layout.wire)
    assert (wire["version"], wire["width"], wire["height"]) == (3, layout.width, layout.height)
    assert wire["seats"][0] == {
        "index": 0, "seat": "A1", "row": "A", "number": "1", "tier": "REGULAR", "zone": "Dasar",
        "x": layout.seats[0].x, "y": layout.seats[0].y, "accessible": True, "companion": False,
    }  # fmt: skip


def test_gaps_are_drawn_and_not_counted():
    """An aisle or a missing seat moves what follows, and takes no number and no index."""
    layout = draw_layout("Hall", ["A RR__RR", "____", "C R_V"])
    assert [s.seat for s in layout.seats] == ["A1", "A2", "A3", "A4", "C1", "C2"]
    assert layout.seats[2].x - layout.seats[1].x == 3 * (layout.seats[1].x - layout.seats[0].x)
    assert layout.seats[4].y - layout.seats[0].y == 2 * (layout.seats[1].x - layout.seats[0].x)


@pytest.mark.parametrize(
    ("lines", "pointer"),
    [(["A RRR", "A RR"], "/lines/1"), (["A RXR"], "/lines/0"), (["A RR RR"], "/lines/0"), (["RRR"], "/lines/0")],
)
def test_a_wrong_drawing_is_pointed_at(lines, pointer):
    """A row named twice, an unknown place, a line of three words and one without a name are refused."""
    with pytest.raises(InvalidInput) as refusal:
        draw_layout("Hall", lines)
    assert refusal.value.details["errors"][0]["pointer"] == pointer


def test_a_drawing_without_seats_is_refused():
    """Aisles alone make no hall."""
    with pytest.raises(InvalidInput):
        draw_layout("Hall", ["___"])


def test_a_row_that_ends_in_a_digit_is_kept_apart_from_the_number():
    """Row 1 seat 12 and row 11 seat 2 read differently."""
    layout = draw_layout("Hall", ["1 " + "R" * 12, "11 RR"])
    assert "1-12" in layout.index_of
    assert "11-2" in layout.index_of

"""Seating-plan files: read leniently where the format is open, refused with a pointer where a file is wrong."""

import json
import time
from copy import deepcopy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import limits
from engine.catalogue.demo_halls import DATA
from engine.catalogue.layouts import LABEL
from engine.catalogue.seating_plans import read_seating_plan
from engine.errors import InvalidInput


def plan_of(*zones, categories=("Reguler",), **more):
    """Make a plan; a zone is (name, {row: [seat numbers]})."""
    guid = iter(range(100_000))
    return {
        "name": "Hall",
        "categories": [{"name": name, "color": "#000000"} for name in categories],
        "zones": [
            {
                "name": name,
                "position": {"x": 100 * z, "y": 10},
                "rows": [
                    {
                        "row_number": row,
                        "position": {"x": 0, "y": 30 * r},
                        "seats": [
                            {
                                "seat_guid": f"g{next(guid)}",
                                "seat_number": number,
                                "position": {"x": 30 * (s % 1000), "y": 0},
                                "category": categories[0],
                            }
                            for s, number in enumerate(numbers)
                        ],
                    }
                    for r, (row, numbers) in enumerate(rows)
                ],
            }
            for z, (name, rows) in enumerate(zones)
        ],
        **more,
    }


def labels(plan):
    """Give the labels that a plan's seats get."""
    return [seat.seat for seat in read_seating_plan(plan).seats]


def test_the_file_of_the_demo_is_read():
    """A real file with two zones, areas and unknown fields: tiers, wheelchair places and companion seats by name."""
    layout = read_seating_plan((DATA / "teater-kencana.json").read_bytes())
    assert (layout.name, len(layout.seats), layout.zones) == ("Teater Kencana", 230, ("Dasar", "Balkon"))
    assert layout.tiers == ("REGULAR", "PREMIUM", "VIP")
    assert [seat.seat for seat in layout.seats if seat.accessible] == ["A1", "A14"]
    assert [seat.seat for seat in layout.seats if seat.companion] == ["A2", "A13"]
    assert (layout.width, layout.height) == (920.0, 760.0)


def test_labels_stay_plain_where_they_can():
    """Row and number are enough in the first zone; a zone that would repeat them is prefixed as a whole."""
    plan = plan_of(("Stalls", [("C", ["7", "8"])]), ("Balcony", [("C", ["7"]), ("D", ["1"])]), ("Box", [("E", ["1"])]))
    assert labels(plan) == ["C7", "C8", "Balcony-C7", "Balcony-D1", "E1"]


def test_a_number_repeated_in_one_zone_is_counted():
    """Two seats C7 of one zone are told apart."""
    assert labels(plan_of(("", [("C", ["7"]), ("C", ["7", "7"])]))) == ["C7", "C7~2", "C7~3"]


def test_unknown_fields_are_ignored():
    """A newer editor's fields, areas among them, do no harm."""
    plan = plan_of(("Hall", [("A", ["1"])]), size={"width": 500, "height": 400, "unit": "px"}, version=9)
    plan["zones"][0]["areas"] = [{"shape": "circle"}]
    plan["zones"][0]["rows"][0]["row_label"] = "x"
    layout = read_seating_plan(plan)
    assert (layout.width, layout.height) == (500.0, 400.0)


def test_positions_add_up_and_are_brought_inside():
    """Zone, row and seat positions add up; a plan that sticks out of its size, or left of zero, is moved."""
    plan = plan_of(("L", [("A", ["1", "2"])]), ("R", [("B", ["1"])]), size={"width": 50, "height": 50})
    plan["zones"][0]["position"]["x"] = -400
    layout = read_seating_plan(plan)
    first, second, third = layout.seats
    assert (second.x - first.x, third.x - first.x, third.y - first.y) == (30.0, 500.0, 0.0)
    assert all(0 <= seat.x <= layout.width and 0 <= seat.y <= layout.height for seat in layout.seats)


@pytest.mark.covers("004.34")
def test_categories_become_tiers():
    """By a word of their name, or by the given mapping; what nobody knows is REGULAR."""
    plan = plan_of(("", [("A", ["1", "2", "3", "4"])]), categories=("Sofa", "Premium left", "VIP lounge", "Provip"))
    for seat, category in zip(plan["zones"][0]["rows"][0]["seats"], plan["categories"], strict=True):
        seat["category"] = category["name"]
    assert [s.tier for s in read_seating_plan(plan).seats] == ["REGULAR", "PREMIUM", "VIP", "REGULAR"]
    assert [s.tier for s in read_seating_plan(plan, {"Sofa": "VIP"}).seats] == ["VIP", "PREMIUM", "VIP", "REGULAR"]


def test_a_mapping_of_a_category_that_is_not_there_is_refused():
    """A misspelt category would silently make cheap seats."""
    with pytest.raises(InvalidInput):
        read_seating_plan(plan_of(("", [("A", ["1"])])), {"Sofa": "VIP"})


def set_at(plan, path, value):
    """Set, or with `...` delete, what a path leads to."""
    *steps, last = path
    for step in steps:
        plan = plan[step]
    if value is ...:
        del plan[last]
    else:
        plan[last] = value


SEAT = ("zones", 0, "rows", 0, "seats", 1)


@pytest.mark.parametrize(
    ("path", "value", "pointer"),
    [
        (("name",), ..., "/name"),
        (("name",), "", "/name"),
        (("zones",), ..., "/zones"),
        (("zones",), {}, "/zones"),
        (("zones",), [], "/zones"),
        (("zones", 0, "rows"), [], "/zones"),
        (("zones", 0, "rows"), ..., "/zones/0/rows"),
        (("categories",), "all", "/categories"),
        ((*SEAT, "seat_number"), 7, "/zones/0/rows/0/seats/1/seat_number"),
        ((*SEAT, "seat_guid"), ..., "/zones/0/rows/0/seats/1/seat_guid"),
        ((*SEAT, "seat_guid"), "g0", "/zones/0/rows/0/seats/1/seat_guid"),
        ((*SEAT, "category"), None, "/zones/0/rows/0/seats/1/category"),
        ((*SEAT, "position"), ..., "/zones/0/rows/0/seats/1/position"),
        ((*SEAT, "position", "x"), "10", "/zones/0/rows/0/seats/1/position/x"),
        ((*SEAT, "position", "x"), float("nan"), "/zones/0/rows/0/seats/1/position/x"),
        ((*SEAT, "position", "y"), float("inf"), "/zones/0/rows/0/seats/1/position/y"),
        ((*SEAT, "position", "y"), 10**9, "/zones/0/rows/0/seats/1/position/y"),
    ],
)
def test_a_wrong_file_is_pointed_at(path, value, pointer):
    """Each kind of mistake names its place in the file."""
    plan = plan_of(("", [("A", ["1", "2"])]))
    read_seating_plan(deepcopy(plan))
    set_at(plan, path, value)
    with pytest.raises(InvalidInput) as refusal:
        read_seating_plan(plan, at="/seating_plan")
    assert refusal.value.details["errors"][0]["pointer"] == "/seating_plan" + pointer


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'"plan"', b'{"name": NaN}', b"\xff\xfe", b"[" * 50_000])
def test_what_is_no_plan_is_refused(text):
    """Anything but a plan is InvalidInput, never a crash."""
    with pytest.raises(InvalidInput):
        read_seating_plan(text)


def test_a_plan_may_not_outgrow_the_index():
    """One seat more than two bytes can name is refused."""
    row = [str(number) for number in range(limits.SEATS_PER_LAYOUT_MAX + 1)]
    with pytest.raises(InvalidInput, match="at most"):
        read_seating_plan(plan_of(("", [("A", row)])))


def test_a_plan_of_one_number_is_labelled_in_linear_time():
    """Thousands of seats of the same number must not take thousands of tries each."""
    started = time.process_time()
    found = labels(plan_of(("", [("A", ["1"] * 20_000)])))
    assert len(set(found)) == 20_000
    assert time.process_time() - started < 5


texts = st.text(alphabet=st.sampled_from("ABC1~27 -/ßé漢\n"), max_size=40)
rows = st.lists(st.tuples(texts, st.lists(texts, min_size=1, max_size=4)), min_size=1, max_size=3)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(texts, rows), min_size=1, max_size=4))
def test_labels_are_unique_and_usable_whatever_the_file_says(zones):
    """Every seat of any plan gets a label of its own that fits the limit and URLs."""
    found = labels(plan_of(*zones))
    assert len(set(found)) == len(found)
    assert all(len(label) <= limits.SEAT_LABEL_LENGTH_MAX and LABEL.fullmatch(label) for label in found)


def test_bytes_and_decoded_json_read_alike():
    """The same plan as a file and as a field of a request gives the same layout."""
    plan = plan_of(("Hall", [("A", ["1", "2"])]))
    assert read_seating_plan(json.dumps(plan).encode()) == read_seating_plan(plan)

"""The checks after a fault are not blind: each finds what it is there for, in a ledger that was made up."""

import json

import pytest

from api.fake_gateway.book import Posting
from tests.faults.harness import checks
from tests.faults.harness.faults import FAULTS, fault
from tests.faults.harness.table import make_table
from tests.oracle import Book

SHOWN = {"subject": "anna", "showtime": 7, "tickets": {"A1": 5}, "amount": 5}
BOUGHT = {"id": "b1", "subject": "anna", "showtime": 7, "status": "CONFIRMED", "amount": 5, "repaid": True}
PAID = {"session_id": "s1", "captured": 5, "outcome": "TICKETS", "live": 5, "owed": 0, "settled": 0, "in_case": False}


class MadeUp:
    """A ledger that answers every question with the same rows."""

    def __init__(self, *rows):
        self._rows = rows

    async def fetch(self, sql, *values):
        return self._rows


def book(*movements):
    """Give a gateway's book of (kind, minor units), each entered twice as it should be."""
    sign = {"capture": -1, "refund": 1}
    return Book(
        [
            Posting(kind, f"{kind}-{number}", "s1", account, side * sign[kind] * amount, "IDR", number)
            for number, (kind, amount) in enumerate(movements)
            for account, side in (("customer", 1), ("clearing", -1))
        ]
    )


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({}, False),
        ({"tickets": {}}, True),
        ({"tickets": {"A2": 5}}, True),
        ({"tickets": {"A1": 4}}, True),
        ({"subject": "budi"}, True),
        ({"status": "EXPIRED"}, True),
        ({"status": "REFUNDED"}, False),
        ({"repaid": False}, True),
    ],
)
async def test_a_lost_confirmation_is_found(changes, found):
    """Other seats, another price, another buyer, another end, or tickets that were taken back for nothing."""
    row = {**BOUGHT, "tickets": SHOWN["tickets"], **changes}
    ledger = MadeUp({**row, "tickets": json.dumps(row["tickets"])})
    assert bool(await checks._lost_confirmations(ledger, {"b1": SHOWN})) is found


async def test_a_confirmation_without_any_ticket_is_found():
    """The ledger has nothing of it at all."""
    (wrong,) = await checks._lost_confirmations(MadeUp(), {"b1": SHOWN})
    assert wrong.startswith("I2: b1 ")


@pytest.mark.parametrize(
    ("movements", "changes", "found"),
    [
        ([("capture", 5)], {}, False),
        ([("capture", 5)], {"live": 0}, True),
        ([("capture", 5)], {"live": 0, "owed": 5}, False),
        ([("capture", 5)], {"live": 0, "in_case": True}, False),
        ([("capture", 5), ("refund", 5)], {"live": 0, "owed": 5, "settled": 5}, False),
        ([("capture", 5), ("refund", 5)], {"live": 0, "owed": 5}, True),
        ([("capture", 5), ("refund", 5), ("refund", 5)], {"live": 0, "owed": 5, "settled": 5}, True),
        ([("capture", 5), ("capture", 5)], {}, True),
        ([("capture", 6)], {}, True),
        ([], {}, True),
    ],
)
async def test_money_that_is_missing_is_found(movements, changes, found):
    """Kept for nothing, paid back twice, taken twice, another amount, or never taken at all."""
    assert bool(await checks._unbalanced(MadeUp({**PAID, **changes}), book(*movements))) is found


async def test_money_that_the_ledger_does_not_know_is_found():
    """The gateway has taken it, and nobody noticed."""
    (wrong,) = await checks._unbalanced(MadeUp(), book(("capture", 5)))
    assert "knows nothing of it" in wrong


def test_a_name_is_given_once():
    """A second fault of the same name would hide the first one's runs."""

    async def play(world, chance):
        """Break nothing."""

    fault("named-twice", holds="nothing")(play)
    with pytest.raises(AssertionError, match="two faults"):
        fault("named-twice", holds="nothing")(play)
    del FAULTS["named-twice"]


def test_the_table_tells_what_did_not_hold():
    """Runs are counted by fault; a run that failed stands below with its seed."""
    good = {"fault": "storm", "seed": 1, "claims": 10, "conflicts": 4, "recovered_claim_s": 0.5, "held": True}
    bad = {"fault": "storm", "seed": 2, "held": False, "error": "I1: two live tickets"}
    table = make_table([good, bad])
    assert "| storm | 2 | 1 |  | 10 | 40% | 0 | 0.50 / 0.50 |" in table
    assert "- storm, seed 2: I1: two live tickets" in table

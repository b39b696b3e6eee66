"""What Redis counts for each customer, against the ledger that moves a guest's tickets to an account."""

import pytest

from engine.audit.records import Bought, LedgerShowtime
from engine.audit.sales_check import _check_bought

GUEST, ACCOUNT, OTHER = 16 * b"g", 16 * b"a", 16 * b"o"


def wrong(counts, **bought):
    """Give whose count differs."""
    ledger = LedgerShowtime(
        number=42,
        status="open",
        seats=10,
        bought={subject: Bought(*bought[name]) for name, subject in NAMES.items() if name in bought},
    )
    return [one.place for one in _check_bought({NAMES[name]: count for name, count in counts.items()}, ledger)]


NAMES = {"guest": GUEST, "account": ACCOUNT, "other": OTHER}


def named(subject):
    """Give the place of a difference."""
    return f"customer {subject.hex()}"


@pytest.mark.parametrize(
    ("counts", "bought", "told"),
    [
        ({"account": 2}, {"account": (2, 0, 2)}, []),
        ({"account": 3}, {"account": (2, 0, 2)}, [ACCOUNT]),
        ({"account": 1}, {"account": (2, 0, 2)}, [ACCOUNT]),
        # Seats on their way back count until they are back.
        ({"account": 2}, {"account": (1, 1, 2)}, []),
        ({"account": 1}, {"account": (1, 1, 2)}, []),
        # A guest bought, and is an account now.
        ({"guest": 2}, {"account": (2, 0, 2)}, []),
        ({"guest": 2, "account": 1}, {"account": (3, 0, 3)}, []),
        ({"guest": 3}, {"account": (2, 0, 2)}, [GUEST]),
        ({"guest": 1}, {"account": (2, 0, 2)}, [ACCOUNT]),
        # The account gave its tickets back: Redis goes on counting them for the guest.
        ({"guest": 2}, {"account": (0, 0, 2)}, []),
        # Somebody else's count is no explanation where nothing is missing.
        ({"guest": 1, "other": 2}, {"other": (2, 0, 2)}, [GUEST]),
    ],
)
def test_what_customers_bought_is_compared(counts, bought, told):
    """A count is wrong unless a guest who became an account, or a seat on its way back, explains it."""
    assert wrong(counts, **bought) == [named(subject) for subject in told]

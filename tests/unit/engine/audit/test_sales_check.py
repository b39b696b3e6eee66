"""What Redis counts for each customer, against the ledger that moves a guest's tickets to an account; and the rules."""

import pytest

from engine.audit.records import Bought, LedgerShowtime, RedisShowtime
from engine.audit.sales_check import NUMBERS_OF_POLICY, RULES, _check_bought, _check_policy

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


def state(policy):
    """Give a showtime of which Redis has these rules."""
    empty = {"seats": b"", "holds": {}, "deadlines": {}, "customers": {}}
    return RedisShowtime(number=42, meta={b"policy": policy}, **empty, checkouts=frozenset(), wrong={})


def packed(numbers):
    """Pack rules as Redis has them."""
    sizes = zip(numbers, NUMBERS_OF_POLICY, strict=True)
    return b"".join(number.to_bytes(size, "big") for number, size in sizes)


def test_each_rule_that_the_ledger_knows_is_compared():
    """A flipped bit of any of them is named with both numbers; what is a setting of the processes is passed over."""
    numbers = dict(zip(RULES, range(100, 111), strict=True))
    ledger = LedgerShowtime(number=42, status="open", seats=10, rules=numbers)
    assert _check_policy(state(packed(numbers.values())), ledger) == []
    for name, number in numbers.items():
        told = packed((numbers | {name: number ^ 4}).values())
        (found,) = _check_policy(state(told), ledger)
        assert (found.kind, found.expected, found.found) == (
            "policy_differs",
            f"{name} {number}",
            f"{name} {number ^ 4}",
        )
        ledger.rules = {other: at for other, at in numbers.items() if other != name}
        assert _check_policy(state(told), ledger) == []
        ledger.rules = numbers


def test_rules_that_were_cut_are_damage():
    """They cannot be read, so nothing is said of what they say."""
    (found,) = _check_policy(state(b"17x"), LedgerShowtime(number=42, status="open", seats=10))
    assert (found.kind, found.found) == ("damaged", "3")

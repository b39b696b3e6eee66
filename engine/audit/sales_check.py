"""Whether what Redis has of a showtime is what the ledger says.

What is on its way is passed over: seats that go back to stock, blocks that Redis is being told of, and facts.
"""

import io

from engine.audit.records import Bought, Difference, LedgerShowtime, RedisShowtime
from engine.audit.seats_check import Seats, bought_counts, check_seats, damage, read_seats

NUMBERS_OF_POLICY = (4, 4, 4, 4, 1, 1, 2, 6, 6, 6, 6)
"""How many bytes each of them has."""
POLICY_BYTES = sum(NUMBERS_OF_POLICY)
RULES = (
    *("hold_ttl_ms", "payment_ttl_ms", "hold_max_ms", "claim_max_ms"),
    *("seats_per_hold_max", "holds_per_customer_max", "seats_per_customer_max"),
    *("sales_open_ms", "sales_stop_ms", "ends_ms", "keys_until_ms"),
)
"""What is packed in `policy`, in this order (lua/include/formats.lua)."""


def check_showtime(state: RedisShowtime, ledger: LedgerShowtime, heads_before: dict[int, int]) -> list[Difference]:
    """Find every difference of one showtime.

    Args:
        state: Redis.
        ledger: read after Redis was.
        heads_before: the last applied seqs by generation, read before Redis was.
    """
    if ledger.rebuild:
        if ledger.overdue:
            return [_difference(ledger, "rebuild_overdue", "the showtime", "built anew", f"waiting ({ledger.rebuild})")]
        return []  # what is known to be wrong is being mended, or waits for a person, which is told elsewhere
    found = damage(state)
    if not found and int(state.meta[b"seats_count"]) != ledger.seats:
        found = [
            _difference(ledger, "seat_count", "key meta", f"{ledger.seats} seats", state.meta[b"seats_count"].decode())
        ]
    if found:
        return found
    seats = read_seats(state)
    return [
        *check_seats(state, seats),
        *_check_status(state, ledger),
        *_check_policy(state, ledger),
        *_check_sold(seats, ledger),
        *_check_blocked(seats, ledger),
        *_check_bought(bought_counts(state), ledger),
        *_check_seq(state, ledger, heads_before),
    ]


def _check_status(state: RedisShowtime, ledger: LedgerShowtime) -> list[Difference]:
    found = state.meta[b"status"].decode(errors="backslashreplace")
    return [] if found == ledger.status else [_difference(ledger, "status_differs", "key meta", ledger.status, found)]


def _check_policy(state: RedisShowtime, ledger: LedgerShowtime) -> list[Difference]:
    packed = state.meta[b"policy"]
    if len(packed) != POLICY_BYTES:
        return [_difference(ledger, "damaged", "key meta", f"{POLICY_BYTES} bytes of policy", f"{len(packed)}")]
    numbers = io.BytesIO(packed)
    told = {
        name: int.from_bytes(numbers.read(size), "big") for name, size in zip(RULES, NUMBERS_OF_POLICY, strict=True)
    }
    return [
        _difference(ledger, "policy_differs", "key meta", f"{name} {wanted}", f"{name} {told[name]}")
        for name, wanted in ledger.rules.items()
        if told[name] != wanted
    ]


def _check_sold(seats: Seats, ledger: LedgerShowtime) -> list[Difference]:
    found = [
        _difference(ledger, "ticket_not_sold", f"seat {seat}", f"sale {ledger.sold[seat]}", "not sold")
        for seat in sorted(ledger.sold.keys() - seats.sold)
    ]
    for seat in sorted(seats.sold):
        cell = seats.cells[seat]
        wanted = ledger.sold.get(seat)
        if wanted is None and ledger.leaving.get(seat) != cell:
            found.append(_difference(ledger, "sold_without_ticket", f"seat {seat}", "no sale", f"sale {cell}"))
        elif wanted is not None and wanted != cell:
            found.append(_difference(ledger, "sale_differs", f"seat {seat}", f"sale {wanted}", f"sale {cell}"))
    return found


def _check_blocked(seats: Seats, ledger: LedgerShowtime) -> list[Difference]:
    wanted = ledger.blocked - ledger.sold.keys()
    missing = [(seat, "block_missing", "blocked", "not blocked") for seat in wanted - seats.blocked]
    over = [(seat, "blocked_without_block", "not blocked", "blocked") for seat in seats.blocked - wanted]
    return [
        _difference(ledger, kind, f"seat {seat}", *said)
        for seat, kind, *said in sorted(missing + over)
        if seat not in ledger.moving
    ]


def _check_bought(counts: dict[bytes, int], ledger: LedgerShowtime) -> list[Difference]:
    """Compare what each customer bought.

    The ledger moves a guest's tickets to an account, Redis counts on for the guest until the next load: so what one
    customer has too many may be what others lack, up to the tickets that those ever had.
    """
    nothing = Bought(0, 0, 0)
    over: dict[bytes, int] = {}
    short: dict[bytes, int] = {}
    slack = 0
    for subject in counts.keys() | ledger.bought.keys():
        count, bought = counts.get(subject, 0), ledger.bought.get(subject, nothing)
        slack += max(bought.ever - count, 0)
        if count > bought.live + bought.leaving:
            over[subject] = count
        elif count < bought.live:
            short[subject] = count
    too_many = sum(count - ledger.bought.get(subject, nothing).live for subject, count in over.items())
    too_few = sum(ledger.bought[subject].live - count for subject, count in short.items())
    wrong = (over if too_many > slack else {}) | (short if too_few > too_many else {})
    return [
        _difference(
            ledger,
            "bought_differs",
            f"customer {subject.hex()}",
            f"{ledger.bought.get(subject, nothing).live} bought",
            f"{wrong[subject]}",
        )
        for subject in sorted(wrong)
    ]


def _check_seq(state: RedisShowtime, ledger: LedgerShowtime, heads_before: dict[int, int]) -> list[Difference]:
    """Compare the count of facts: it only grows, so what was read before must not be above what was read after."""
    generation, seq = int(state.meta[b"generation"]), int(state.meta[b"seq"])
    before, after = heads_before.get(generation, 0), ledger.heads.get(generation, 0)
    place = f"generation {generation}"
    if seq > after:
        return [_difference(ledger, "seq_ahead", place, f"fact {after}, the ledger's last", f"fact {seq}")]
    if seq < before:
        return [_difference(ledger, "seq_behind", place, f"fact {before}, the ledger's last", f"fact {seq}")]
    return []


def _difference(ledger: LedgerShowtime, kind: str, place: str, expected: str, found: str) -> Difference:
    return Difference(side="redis", kind=kind, showtime=ledger.number, place=place, expected=expected, found=found)

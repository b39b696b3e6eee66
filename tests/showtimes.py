"""Showtimes and customers for tests: rules, a load through the seat engine's own steps, and what to look at then."""

import json
import time

import pytest

from engine.errors import Refusal
from engine.seats.ids import parse_hold_id
from engine.seats.keys import partition_key, partition_of
from engine.seats.records import Policy, ShowtimeLoad

HOUR_MS = 3_600_000
ANNA = "6f1c2b7a-4a7e-4b7e-9d39-0d6f4f4b7a11"
BUDI = "guest:budi"
CHECKOUT = json.dumps({"subject": ANNA, "prices": {"REGULAR": 7_500_000}}).encode()


def make_policy(**changes):
    """Give the rules of a showtime on sale that begins in three hours."""
    now_ms = time.time_ns() // 1_000_000
    rules = Policy(
        hold_ttl_ms=600_000,
        payment_ttl_ms=900_000,
        hold_max_ms=1_800_000,
        claim_max_ms=2_700_000,
        seats_per_hold_max=10,
        holds_per_customer_max=2,
        seats_per_customer_max=20,
        sales_open_ms=now_ms - HOUR_MS,
        sales_stop_ms=now_ms + 3 * HOUR_MS,
        ends_ms=now_ms + 5 * HOUR_MS,
        keys_until_ms=now_ms + 29 * HOUR_MS,
    )
    return type(rules)(**{name: changes.get(name, getattr(rules, name)) for name in rules.__struct_fields__})


async def load_showtime(engine, showtime, *, seats=100, sold=None, blocked=(), status="open", bought=None, **rules):
    """Load a showtime into Redis as a restore does."""
    nonce = f"nonce-{showtime}"
    assert (await engine.begin_load(showtime, nonce, force=True)).word == "loading"
    if bought:
        assert await engine.install_part(showtime, nonce, bought)
    load = ShowtimeLoad(
        status=status,
        seats=seats,
        seq=0,
        loads=1,
        sold=sold or {},
        blocked=frozenset(blocked),
        policy=make_policy(**rules),
    )
    assert await engine.finish_load(showtime, nonce, load)


def refused(code):
    """Expect a refusal with that word."""
    return pytest.raises(Refusal, match=f"^{code}$")


def named(hold):
    """Give the HoldId of a hold."""
    return parse_hold_id(hold.id)


async def read_facts(redis_client, showtime=42):
    """Give the facts of a showtime's partition as (kind, id, data)."""
    entries = await redis_client.xrange(partition_key(partition_of(showtime), "facts"))
    return [(f[b"kind"].decode(), f[b"id"].decode(), json.loads(f[b"data"])) for _, f in entries]

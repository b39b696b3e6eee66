"""A real Redis under buyers who fight for few seats: whatever it answered has an order."""

import os
import random

import pytest

from tests.simulation import many_claims
from tests.simulation.many_claims import CONFLICTS_MIN, run

CLAIMS = 1_200


@pytest.mark.covers("004.36", "004.42")
async def test_what_buyers_were_told_by_a_real_redis_has_an_order(redis_server, redis_url):
    """Claims, changes, sales, lapses, repeats, lost answers, cancellations at once: one order explains all answers."""
    seed = int(os.environ.get("SEED", random.SystemRandom().getrandbits(32)))
    print(f"SEED={seed}")
    report = await run(redis_server, redis_server.version, CLAIMS, seed)
    assert report.correct, report
    assert report.claims >= CLAIMS
    assert report.conflicts >= CONFLICTS_MIN * report.claims
    assert report.unknown > 0


async def test_an_answer_that_gives_a_taken_seat_is_found(redis_server, redis_url, monkeypatch, tmp_path):
    """One refused claim of each showtime is told to have succeeded: each of them is reported."""
    made = []

    def listen(showtime, calls, marks=()):
        claimed = [call for call in calls if call.op == "claim" and call.result and call.result["word"] == "claimed"]
        first = claimed[len(claimed) // 2]
        refused = next(
            call
            for call in calls
            if call.op == "claim"
            and call.result
            and call.result["word"] == "seats_taken"
            and len(call.result["taken"]) == len(call.args["seats"])
        )
        highest = max(call.result["owner"] for call in claimed)
        refused.result = dict(first.result, owner=highest + 1, seats=refused.args["seats"], now=refused.result["now"])
        made.append(showtime)
        return check(showtime, calls, marks)

    check = many_claims.check_showtime
    monkeypatch.setattr(many_claims, "check_showtime", listen)
    monkeypatch.setattr(many_claims, "KEPT", tmp_path)
    report = await run(redis_server, redis_server.version, 200, 7)
    assert len(report.violations) == len(made)

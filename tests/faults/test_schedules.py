"""Each schedule that the design closes is played: in the catalogue of faults, or in the room of what it is about."""

import ast

import pytest

from engine.paths import ROOT

CLOSED_ELSEWHERE = {
    "a worker dies between COMMIT and acknowledgement": (
        "tests/flow/test_fact_reader.py",
        "test_a_worker_that_dies_between_commit_and_acknowledgement_repeats_nothing",
    ),
    "a trim looks at what is pending before it looks at the group": (
        "tests/flow/test_fact_reader.py",
        "test_trimming_looks_at_the_group_before_the_pending",
    ),
    "a frozen predecessor reads once more under the shared name": (
        "tests/flow/test_fact_reader.py",
        "test_entries_taken_by_a_predecessor_after_the_takeover_are_found",
    ),
    "a gap is closed over an entry that a predecessor has": (
        "tests/flow/test_fact_reader.py",
        "test_a_gap_is_not_closed_over_an_entry_that_a_predecessor_took",
    ),
    "another fact comes under a seq that was applied": (
        "tests/flow/test_projector.py",
        "test_another_fact_under_an_applied_seq_is_noticed",
    ),
    "the same sale comes under another seq": (
        "tests/flow/test_projector.py",
        "test_the_same_sale_under_another_seq_changes_nothing",
    ),
    "a showtime is cancelled while it is loaded": (
        "tests/flow/test_restore.py",
        "test_a_showtime_that_is_cancelled_while_it_is_loaded_stays_cancelled",
    ),
    "the number of a lost hold is given again": (
        "tests/flow/test_restore.py",
        "test_a_number_of_a_lost_hold_is_never_given_again",
    ),
    "a process has not noticed that Redis was replaced": (
        "tests/flow/test_restore.py",
        "test_a_process_that_knows_an_earlier_redis_only_leaves_a_later_stamp_alone",
    ),
    "two workers take the same capture": (
        "tests/flow/test_duties.py",
        "test_two_workers_take_each_capture_once",
    ),
    "money commits while a booking expires": (
        "tests/sql/test_money.py",
        "test_money_that_commits_while_a_booking_expires_is_seen",
    ),
    "a check-in and a refund wait for each other": (
        "tests/sql/test_check_ins.py",
        "test_a_refund_waits_for_a_check_in_and_sees_it",
    ),
    "half of a thousand callers leave while answers arrive in pieces": (
        "tests/unit/engine/seats/test_lane.py",
        "test_a_storm_of_cancellations_shifts_no_answer",
    ),
}
"""Schedule -> file and name of the test that plays it."""


@pytest.mark.parametrize("schedule", CLOSED_ELSEWHERE)
def test_a_schedule_played_elsewhere_is_still_played_there(schedule):
    """The named test is in the named file; whoever moves or drops it must say where the schedule is played now."""
    file, name = CLOSED_ELSEWHERE[schedule]
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}

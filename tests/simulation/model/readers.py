"""Calls that only read."""

from typing import Any

from tests.simulation.model.bits import as_bitmap
from tests.simulation.model.records import Call, Refused
from tests.simulation.model.rules import Rules


class ReadingCalls(Rules):
    """Each method is the script of its name: its arguments after the generation, and its answer without the time."""

    def read_seats(self, call: Call, subject: bytes, known_version: bytes) -> list[Any]:
        """Give the map. Seats of lapsed holds are still locked in it, and told apart."""
        showtime, now_ms = self.look(call), call.now_ms
        version = self.seen_version(showtime, now_ms)
        if known_version and int(known_version) == version:
            return ["unchanged", version]
        lapsed = [seat for hold in self.by_deadline(showtime) if hold.deadline_ms <= now_ms for seat in hold.seats]
        mine = [seat for hold in self.holds_of(showtime, subject, now_ms) for seat in hold.seats]
        locked = [seat for hold in showtime.holds.values() for seat in hold.seats]
        rules = showtime.policy
        return [
            "seats",
            version,
            showtime.status,
            showtime.seats,
            showtime.generation,
            b"".join(as_bitmap(seats, showtime.seats) for seats in (showtime.sold, locked, showtime.blocked)),
            *(rules.sales_open_ms, rules.sales_stop_ms, rules.ends_ms),
            len(lapsed),
            *lapsed,
            *mine,
        ]

    def read_hold(self, call: Call, owner: bytes, claimed_at_ms: bytes, subject: bytes) -> list[Any]:
        """Give a live hold. Those of a cancelled showtime are over; a booking is shown as it was."""
        showtime = self.look(call)
        cancelled = showtime.status == "cancelled"
        over = Refused("hold_expired", "CANCELLED" if cancelled else "")
        try:
            hold = self.own(showtime, (int(owner), int(claimed_at_ms)), subject, call.now_ms)
        except Refused as refusal:
            raise over if refusal.args[0] == "hold_expired" else refusal from None
        if cancelled and hold.status == "H":
            raise over
        return self.hold_answer("ended" if cancelled else "hold", showtime, hold, call)

    def read_holds(self, call: Call, offset: bytes, limit: bytes) -> list[Any]:
        """Give a page of live holds by deadline."""
        showtime = self.look(call)
        live = [hold for hold in self.by_deadline(showtime) if hold.deadline_ms > call.now_ms]
        answer: list[Any] = ["holds", len(live)]
        for hold in live[int(offset) : int(offset) + int(limit)]:
            deadline_ms = self.deadline(showtime, hold, call.now_ms)
            answer += [hold.owner, hold.claimed_at_ms, hold.status, deadline_ms, int(hold.payment_open)]
            answer += [hold.subject, len(hold.seats), *hold.seats]
        return answer

    def find_holds(self, call: Call, subject: bytes) -> list[Any]:
        """Give the names of a customer's live holds."""
        live = self.holds_of(self.look(call), subject, call.now_ms)
        return ["found", *(part for hold in live for part in (hold.owner, hold.claimed_at_ms))]

"""Calls about holds: how they begin, change and end."""

from typing import Any

from tests.simulation.model.records import Call, Hold, Refused
from tests.simulation.model.rules import EXTENSIONS_PER_HOLD_MAX, Rules

SUBJECT_BYTES = 16


class HoldCalls(Rules):
    """Each method is the script of its name: its arguments after the common ones, and its answer without the time."""

    def claim_seats(self, call: Call, who: bytes, *values: bytes) -> list[Any]:
        """Give free seats to a customer: all of them, or none. Behind the subject may stand the rule of cool-downs."""
        subject, rule, now_ms = who[:SUBJECT_BYTES], who[SUBJECT_BYTES:], call.now_ms
        showtime = self.enter(call)
        self.must_be_on_sale(showtime, now_ms)
        if (wait_ms := self.cool_down_ms(showtime, subject, rule, now_ms)) > 0:
            raise Refused("cool_down", wait_ms)
        seats = self.seats_of(showtime, list(values))
        rules = showtime.policy
        if len(seats) > rules.seats_per_hold_max:
            raise Refused("too_many_seats", rules.seats_per_hold_max)
        verdict = self.judge(showtime, seats, subject, now_ms)
        if verdict.taken:
            self.mend(showtime, verdict.live, now_ms)
            raise Refused("seats_taken", *verdict.taken)
        self.must_have_room(showtime, subject, len(seats), now_ms)

        own_lapsed = self.holds_of(showtime, subject, now_ms, lapsed=True)
        for gone in verdict.lapsed + [hold for hold in own_lapsed if hold not in verdict.lapsed]:
            self.expire(showtime, gone, call)
        showtime.fence += 1
        showtime.version += 1
        hold = Hold(showtime.fence, subject, claimed_at_ms=now_ms, deadline_ms=0, seats=seats)
        showtime.holds[hold.owner] = hold
        self.set_deadline(showtime, hold, now_ms + rules.hold_ttl_ms)
        self.note(showtime, subject, new=hold)
        return self.remember(call, self.hold_answer("claimed", showtime, hold, call), hold.deadline_ms)

    def must_have_room(self, showtime: Any, subject: bytes, seats: int, now_ms: int) -> None:
        """Refuse a customer one more hold of so many seats, if that is over a limit."""
        live = self.holds_of(showtime, subject, now_ms)
        if len(live) >= showtime.policy.holds_per_customer_max:
            raise Refused("hold_limit", *(part for hold in live for part in (hold.owner, hold.claimed_at_ms)))
        left = self.seats_left(showtime, subject, now_ms)
        if seats > left:
            raise Refused("seat_limit", max(left, 0))

    def change_hold(self, call: Call, *values: bytes) -> list[Any]:
        """Add seats to a hold and take seats off it, all or nothing; what is in both lists is taken off."""
        name, subject, add_count = (int(values[0]), int(values[1])), values[2], int(values[3])
        now_ms = call.now_ms
        showtime = self.enter(call)
        rules = showtime.policy
        self.must_be_on_sale(showtime, now_ms)
        hold = self.own(showtime, name, subject, now_ms)
        if hold.payment_open:
            raise Refused("payment_open")
        add = self.seats_of(showtime, list(values[4 : 4 + add_count]))
        remove = self.seats_of(showtime, list(values[4 + add_count :]))
        added = [seat for seat in add if seat not in hold.seats and seat not in remove]
        removed = [seat for seat in hold.seats if seat in remove]
        kept = sorted(set(hold.seats) - set(removed) | set(added))
        verdict = self.judge(showtime, added, subject, now_ms)
        if verdict.taken:
            self.mend(showtime, verdict.live, now_ms)
            raise Refused("seats_taken", *verdict.taken)
        if added and len(kept) > rules.seats_per_hold_max:
            raise Refused("too_many_seats", rules.seats_per_hold_max)
        left = self.seats_left(showtime, hold.subject, now_ms) + len(removed)
        if added and len(added) > left:
            raise Refused("seat_limit", max(left, 0))
        if not kept:
            raise Refused("empty_hold")

        if added or removed:
            for gone in verdict.lapsed:
                self.expire(showtime, gone, call)
            hold.seats = kept
            showtime.version += 1
        answer = self.hold_answer("changed", showtime, hold, call)
        return self.remember(call, answer, self.deadline(showtime, hold, now_ms))

    def extend_hold(self, call: Call, owner: bytes, claimed_at_ms: bytes, subject: bytes) -> list[Any]:
        """Give a hold its full time again, some times and up to a maximum from its claim."""
        now_ms = call.now_ms
        showtime = self.enter(call)
        self.must_be_on_sale(showtime, now_ms)
        hold = self.own(showtime, (int(owner), int(claimed_at_ms)), subject, now_ms)
        later_ms = min(now_ms + showtime.policy.hold_ttl_ms, hold.claimed_at_ms + showtime.policy.hold_max_ms)
        no_later = later_ms <= self.deadline(showtime, hold, now_ms)
        if hold.status != "H" or hold.extensions >= EXTENSIONS_PER_HOLD_MAX or no_later:
            raise Refused("cannot_extend")

        hold.extensions += 1
        self.set_deadline(showtime, hold, later_ms)
        return self.remember(call, self.hold_answer("extended", showtime, hold, call), later_ms)

    def release_hold(
        self, call: Call, owner: bytes, claimed_at_ms: bytes, subject: bytes, ending: bytes, reason: bytes
    ) -> list[Any]:
        """End a hold before its time. Works while nothing is sold; one that is gone is no harm."""
        showtime = self.enter(call)
        hold = showtime.holds.get(int(owner))
        if not hold or hold.claimed_at_ms != int(claimed_at_ms):
            raise Refused("gone")
        if subject and hold.subject != subject:
            raise Refused("not_found")
        if ending == b"given_back" and hold.status == "P" and hold.deadline_ms > call.now_ms:
            raise Refused("is_booking")

        until_ms = self.deadline(showtime, hold, call.now_ms)
        if hold.deadline_ms <= call.now_ms:
            self.expire(showtime, hold, call)
        elif ending == b"expired":
            self.expire(showtime, hold, call, reason.decode())
        else:
            self.cancel(showtime, hold, call, reason.decode())
        return self.remember(call, ["released", self.seen_version(showtime, call.now_ms)], until_ms)

    def move_hold(self, call: Call, *values: bytes) -> list[Any]:
        """Give a hold to another customer, whose limits it must fit."""
        owner, claimed_at_ms, subject, new_subject, checkout_read, checkout = values
        now_ms = call.now_ms
        showtime = self.enter(call)
        hold = self.own(showtime, (int(owner), int(claimed_at_ms)), subject, now_ms)
        if (hold.checkout or b"") != checkout_read:
            raise Refused("hold_changed")
        self.must_have_room(showtime, new_subject, len(hold.seats), now_ms)

        hold.subject = new_subject
        self.note(showtime, subject, gone=hold)
        self.note(showtime, new_subject, new=hold)
        hold.checkout = checkout or hold.checkout
        showtime.version += 1
        answer = self.hold_answer("moved", showtime, hold, call, checkout)
        return self.remember(call, answer, self.deadline(showtime, hold, now_ms))

    def expire_holds(self, call: Call, limit: bytes) -> list[Any]:
        """End holds that lapsed, the earliest first, and bring down deadlines beyond the maximum."""
        now_ms, count = call.now_ms, int(limit)
        try:
            showtime = self.enter(call)
        except Refused as refusal:
            if refusal.args[0] != "not_loaded":
                raise
            self.lapses.pop(self.number, None)
            return self.remember(call, ["expired", 0, 0], now_ms)
        lapsed = [hold for hold in self.by_deadline(showtime) if hold.deadline_ms <= now_ms][:count]
        latest_ms = now_ms + showtime.policy.ahead_max_ms
        capped = [hold for hold in self.by_deadline(showtime) if hold.deadline_ms > latest_ms][:count]

        for hold in lapsed:
            self.expire(showtime, hold, call)
        self.mend(showtime, capped, now_ms)
        return self.remember(call, ["expired", len(lapsed), self.renew_hint(showtime)], now_ms)

    def end_holds(self, call: Call, limit: bytes) -> list[Any]:
        """End holds of a cancelled showtime, the earliest deadline first."""
        now_ms = call.now_ms
        try:
            showtime = self.enter(call)
        except Refused as refusal:
            if refusal.args[0] != "not_loaded":
                raise
            self.lapses.pop(self.number, None)
            return self.remember(call, ["ended", 0, 0], now_ms)
        if showtime.status != "cancelled":
            raise Refused("not_cancelled")

        ending = self.by_deadline(showtime)[: int(limit)]
        for hold in ending:
            if hold.deadline_ms <= now_ms:
                self.expire(showtime, hold, call)
            else:
                self.cancel(showtime, hold, call, "showtime_cancelled")
        self.renew_hint(showtime)
        return self.remember(call, ["ended", len(ending), len(showtime.holds)], now_ms)

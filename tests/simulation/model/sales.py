"""Calls about money: from the check-out to the sale, and back to stock."""

from typing import Any

from tests.simulation.model.records import PAYMENT_RETRY_TTL_MS, Call, Refused
from tests.simulation.model.rules import Rules

PAYMENT_RETRIES_MAX = 3
ANYBODY = b""


class SaleCalls(Rules):
    """Each method is the script of its name: its arguments after the common ones, and its answer without the time."""

    def check_out(self, call: Call, owner: bytes, claimed_at_ms: bytes, subject: bytes, checkout: bytes) -> list[Any]:
        """Turn a hold into a booking with one new deadline; a repeat renews nothing."""
        now_ms = call.now_ms
        showtime = self.enter(call)
        hold = self.own(showtime, (int(owner), int(claimed_at_ms)), subject, now_ms)
        if hold.status == "P":
            return self.hold_answer("already_checked_out", showtime, hold, call)
        self.must_be_on_sale(showtime, now_ms)

        hold.status, hold.checkout = "P", checkout
        rules = showtime.policy
        deadline_ms = min(now_ms + rules.payment_ttl_ms, hold.claimed_at_ms + rules.claim_max_ms)
        self.set_deadline(showtime, hold, deadline_ms)
        return self.remember(call, self.hold_answer("checked_out", showtime, hold, call), deadline_ms)

    def open_payment(self, call: Call, owner: bytes, claimed_at_ms: bytes, subject: bytes) -> list[Any]:
        """Freeze the seats of a booking, since money may come for them. Allowed while operators freeze a showtime."""
        showtime = self.enter(call)
        self.must_not_be_over(showtime, call.now_ms)
        hold = self.own(showtime, (int(owner), int(claimed_at_ms)), subject, call.now_ms)
        if hold.status != "P":
            raise Refused("not_checked_out")

        hold.payment_open = True
        answer = self.hold_answer("payment_opened", showtime, hold, call)
        return self.remember(call, answer, self.deadline(showtime, hold, call.now_ms))

    def close_payment(self, call: Call, owner: bytes, claimed_at_ms: bytes) -> list[Any]:
        """A payment failed: seats may change again, and a few times there is more time to pay."""
        now_ms = call.now_ms
        showtime = self.enter(call)
        hold = self.own(showtime, (int(owner), int(claimed_at_ms)), ANYBODY, now_ms)

        if hold.payment_open:
            hold.payment_open = False
            deadline_ms = self.deadline(showtime, hold, now_ms)
            if hold.retries < PAYMENT_RETRIES_MAX:
                hold.retries += 1
                later_ms = max(deadline_ms, now_ms + PAYMENT_RETRY_TTL_MS)
                deadline_ms = min(later_ms, hold.claimed_at_ms + showtime.policy.claim_max_ms)
            self.set_deadline(showtime, hold, deadline_ms)
        answer = self.hold_answer("payment_closed", showtime, hold, call)
        return self.remember(call, answer, self.deadline(showtime, hold, now_ms))

    def sell_seats(self, call: Call, *values: bytes) -> list[Any]:
        """Sell what was paid: the live hold's very seats; without a live hold, seats that are all free, as a new claim.

        The sale's number is the hold's owner number, so the seats tell when it was made before.
        """
        owner, claimed_at_ms, subject = int(values[0]), int(values[1]), values[2]
        booking, gateway, session = (value.decode() for value in values[3:6])
        now_ms = call.now_ms
        showtime = self.enter(call)
        seats = self.seats_of(showtime, list(values[6:]))
        if all(showtime.sold.get(seat) == owner for seat in seats):
            return ["sold_already", owner]
        hold = showtime.holds.get(owner)
        if hold:
            # Who opened the payment was the hold's customer; it may have moved to another since.
            mine = hold.subject == subject or hold.payment_open
            if not mine or hold.claimed_at_ms != claimed_at_ms:
                raise Refused("not_found")
        late = not hold or hold.deadline_ms <= now_ms
        if late:
            self.must_be_on_sale(showtime, now_ms)
        self.must_not_be_over(showtime, now_ms)
        lapsed = []
        if late:
            verdict = self.judge(showtime, seats, subject, now_ms)
            if verdict.taken:
                raise Refused("seats_taken", *verdict.taken)
            own = [hold] if hold else []
            lapsed = own + [other for other in verdict.lapsed if other not in own]
        elif hold.seats != seats:
            raise Refused("hold_changed")

        for gone in lapsed:
            self.expire(showtime, gone, call)
        if late:
            self.note(showtime, subject, bought=len(seats))
        else:
            del showtime.holds[owner]
            self.note(showtime, hold.subject, gone=hold, bought=len(seats))
        showtime.sold |= dict.fromkeys(seats, owner)
        showtime.version += 1
        data = {"booking": booking, "gateway": gateway, "session": session, "sale": owner, "late": late, "seats": seats}
        seq = self.emit(showtime, call, "seats_sold", session, data)
        return self.remember(call, ["sold", owner, int(late), seq], now_ms)

    def restock_seats(
        self, call: Call, subject: bytes, booking: bytes, sale: bytes, business_id: bytes, *values: bytes
    ) -> list[Any]:
        """Free those of the seats that are sold by this very sale; also when nothing is sold any more."""
        showtime = self.enter(call)
        seats = self.seats_of(showtime, list(values))
        freed = [seat for seat in seats if showtime.sold.get(seat) == int(sale)]
        if not freed:
            raise Refused("restocked_already")

        self.note(showtime, subject, bought=-len(freed))
        for seat in freed:
            del showtime.sold[seat]
        showtime.version += 1
        data = {"booking": booking.decode(), "sale": int(sale), "seats": freed}
        self.emit(showtime, call, "seats_restocked", business_id.decode(), data)
        return self.remember(call, ["restocked", *freed], call.now_ms)

"""Calls about a whole showtime: loads, adoption, cancellation, freezing, rules, seats out of sale."""

from typing import Any

from tests.simulation.model.bits import from_bitmap, from_cells
from tests.simulation.model.records import Broken, Call, Customer, Load, Refused, Showtime
from tests.simulation.model.rules import Rules


class ShowtimeCalls(Rules):
    """Each method is the script of its name: its arguments after the common ones, and its answer without the time."""

    def block_seats(self, call: Call, mode: bytes, evict: bytes, *values: bytes) -> list[Any]:
        """Take seats out of sale, all or nothing, whoever holds them if `evict`; or give blocked ones back."""
        showtime = self.enter(call)
        seats = self.seats_of(showtime, list(values))
        if mode == b"block":
            verdict = self.judge(showtime, seats, b"", call.now_ms)
            if taken := verdict.kept if evict == b"1" else verdict.taken:
                raise Refused("seats_taken", *taken)
            for hold in verdict.lapsed:
                self.expire(showtime, hold, call)
            for hold in verdict.live:
                self.cancel(showtime, hold, call, "staff")
            showtime.blocked |= set(seats)
            word = "blocked"
        else:
            seats = [seat for seat in seats if seat in showtime.blocked]
            showtime.blocked -= set(seats)
            word = "unblocked"
        showtime.version += 1 if seats else 0
        return self.remember(call, [word, self.seen_version(showtime, call.now_ms), *seats], call.now_ms)

    def change_policy(self, call: Call, *values: bytes) -> list[Any]:
        """Give the showtime other rules; deadlines already given stay."""
        showtime = self.enter(call)
        showtime.policy = self.policy_of(list(values))
        showtime.version += 1
        return self.remember(call, ["policy_changed", self.seen_version(showtime, call.now_ms)], call.now_ms)

    def close_showtime(self, call: Call) -> list[Any]:
        """Cancel for ever, whatever the generation, loaded or not; a load in progress is lost."""
        self.load = None
        showtime = self.loaded
        if showtime and showtime.status != "cancelled":
            showtime.status = "cancelled"
            showtime.version += 1
        return self.remember(call, ["closed", showtime.version if showtime else 0], call.now_ms)

    def freeze_showtime(self, call: Call, state: bytes, damaged_ms: bytes = b"") -> list[Any]:
        """Freeze, open again, or set under rebuilding, which only a load ends; a load in progress is lost.

        Not if it was loaded since somebody met damage.
        """
        if state not in {b"open", b"frozen", b"rebuilding"}:
            raise Broken("a state is open, frozen or rebuilding")
        showtime = self.loaded
        if showtime and showtime.status == "cancelled":
            raise Refused("showtime_closed", "CANCELLED")
        if damaged_ms and showtime and int(damaged_ms) <= showtime.loaded_ms <= call.now_ms:
            raise Refused("loaded_since")
        self.load = None
        if showtime and showtime.status not in {state.decode(), "rebuilding"}:
            showtime.status = state.decode()
            showtime.version += 1
        return self.remember(call, ["frozen", showtime.version if showtime else 0], call.now_ms)

    def adopt_showtime(self, call: Call, old_generation: bytes, old_seq: bytes, fence: bytes) -> list[Any]:
        """Take a showtime over into a new generation, if it is what was proved to be complete."""
        showtime = self.loaded
        if showtime is None:
            raise Refused("not_loaded")
        if (showtime.generation, showtime.seq) != (int(old_generation), int(old_seq)):
            raise Refused("stale_generation", b"%d" % showtime.generation, b"%d" % showtime.seq)
        # Viewers may have seen changes that were lost: go beyond the versions of all of them, a lapse of each hold too.
        showtime.version = max(call.now_ms, self.version_beyond(showtime))
        showtime.generation, showtime.seq, showtime.fence = call.generation, 0, int(fence)
        return self.remember(call, ["adopted", showtime.version], call.now_ms)

    @staticmethod
    def version_beyond(showtime: Showtime) -> int:
        """Give a version that nobody can have seen. The sorted set of deadlines has one member more: its sentinel."""
        return showtime.version + len(showtime.holds) + 1 + 1

    def open_showtime(self, call: Call, step: bytes, nonce: bytes, *values: bytes) -> list[Any]:
        """Load the showtime from the ledger, in steps. Nothing is seen of it before the last."""
        match step:
            case b"begin":
                return self._begin(call, nonce, *values)
            case b"part":
                return self._part(call, nonce, *values)
            case b"finish":
                return self._finish(call, nonce, *values)
        raise Broken("a step is begin, part or finish")

    def _begin(self, call: Call, nonce: bytes, nonce_ttl_ms: bytes, force: bytes) -> list[Any]:
        if self.loaded and force != b"1":
            raise Refused("loaded")
        if self.load and self.load.nonce != nonce:
            raise Refused("loading_elsewhere", self.load.until_ms - call.now_ms)
        seq = self.loaded.seq if self.loaded else None
        self.load = Load(nonce, int(nonce_ttl_ms), call.now_ms + int(nonce_ttl_ms), seq)
        return ["loading"]

    def _standing_load(self, nonce: bytes) -> Load:
        if not self.load or self.load.nonce != nonce:
            raise Refused("load_lost")
        return self.load

    def _part(self, call: Call, nonce: bytes, *values: bytes) -> list[Any]:
        load = self._standing_load(nonce)
        for subject, packed in zip(values[::2], values[1::2], strict=False):
            load.customers[subject] = Customer(bought=int.from_bytes(packed[:2], "big"))
        load.until_ms = call.now_ms + load.nonce_ttl_ms
        return ["installed"]

    def _finish(self, call: Call, nonce: bytes, *values: bytes) -> list[Any]:
        load, before = self._standing_load(nonce), self.loaded
        if load.seq != (before.seq if before else None):
            raise Refused("load_lost")
        status, (seats, seq, fence, sold_count) = values[0], (int(value) for value in values[1:5])
        rules = self.policy_of(list(values[5:]))
        if call.now_ms >= rules.keys_until_ms:
            raise Refused("showtime_closed", "ENDED")
        sold, blocked = (from_bitmap(bits, seats) for bits in values[16:18])
        sales = from_cells(values[18], seats)
        if sold & blocked or sold != set(sales) or len(sold) != sold_count:
            raise Broken("what is loaded contradicts itself")

        self.loaded = Showtime(
            status=status.decode(),
            generation=call.generation,
            seats=seats,
            seq=seq,
            fence=fence,
            loaded_ms=call.now_ms,
            policy=rules,
            # Versions only grow, over loads and clocks set back.
            version=max(call.now_ms, self.version_beyond(before) if before else 1),
            sold=sales,
            blocked=blocked,
            customers=load.customers,
        )
        self.load = None
        self.lapses.pop(self.number, None)
        return ["opened", self.loaded.version]

"""A showtime as it ought to be, in plain Python, behind the very calls that the Lua scripts take.

`Model.call(name, args, now_ms, request_id)` takes a script's ARGV and gives the array that Redis would give. Nothing
here is taken from the engine: an engineer can hold this folder against the headers in `lua/` by reading.

    file            says
    records.py      what there is: showtime, holds, customers, facts, remembered requests
    rules.py        who may call, what is refused, how a hold ends, what is answered
    holds.py        claim, change, extend, release, move, expire, end
    sales.py        check out, open and close a payment, sell, restock
    showtimes.py    load, adopt, cancel, freeze, other rules, block
    readers.py      what is read
"""

from collections.abc import Sequence
from typing import Any

from tests.simulation.model.holds import HoldCalls
from tests.simulation.model.readers import ReadingCalls
from tests.simulation.model.records import Broken, Call, Refused
from tests.simulation.model.sales import SaleCalls
from tests.simulation.model.showtimes import ShowtimeCalls

READERS = frozenset({"read_seats", "read_hold", "read_holds", "find_holds"})
WRITERS = frozenset(
    {
        "adopt_showtime",
        "block_seats",
        "change_hold",
        "change_policy",
        "check_out",
        "claim_seats",
        "close_payment",
        "close_showtime",
        "end_holds",
        "expire_holds",
        "extend_hold",
        "freeze_showtime",
        "move_hold",
        "open_payment",
        "open_showtime",
        "release_hold",
        "restock_seats",
        "sell_seats",
    }
)


class Model(HoldCalls, SaleCalls, ShowtimeCalls, ReadingCalls):
    """One showtime. Two of one partition are given the same `facts` and `lapses`; see `Rules`."""

    def call(self, name: str, args: Sequence[bytes | str | int], now_ms: int, request_id: str = "") -> list[Any]:
        """Run a script.

        Args:
            name: the script's, e.g. `claim_seats`.
            args: its whole ARGV, common arguments included.
            now_ms: what Redis' TIME says.
            request_id: what the script's request key ends with.

        Returns:
            The word, the time, and what the script's header says; texts as bytes.

        Raises:
            Broken: Redis would answer with an error, and nothing changed.
        """
        self.let_time_pass(now_ms)
        words = [word if isinstance(word, bytes) else str(word).encode() for word in args]
        if name in READERS:
            run = Call(now_ms, int(words[0])), words[1:]
        else:
            assert name in WRITERS, name
            fingerprint, _, trace = words[2].decode().partition(" ")
            run = Call(now_ms, int(words[0]), request_id, fingerprint, trace), words[3:]
            if now_ms > int(words[1]):
                return [b"too_late", now_ms]
            kept = self.requests.get(request_id) if fingerprint and name != "open_showtime" else None
            kept = kept if kept and now_ms <= kept.until_ms else None
            if kept and kept.fingerprint != fingerprint:
                return [b"idempotency_key_reused", now_ms]
            if kept:
                return [b"replayed", now_ms, *_on_the_wire(kept.answer)]
        try:
            word, *rest = getattr(self, name)(run[0], *run[1])
        except Refused as refusal:
            word, *rest = refusal.args
        return _on_the_wire([word, now_ms, *rest])


def _on_the_wire(values: list[Any]) -> list[Any]:
    return [value.encode() if isinstance(value, str) else value for value in values]


__all__ = ["Broken", "Model"]

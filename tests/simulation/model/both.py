"""A showtime in both worlds: each call is made in Redis, then in the model at the time that Redis told."""

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import Any

from hiredis import ReplyError

from tests.simulation.model.invariants import check_step, check_story
from tests.simulation.model.look import Look, look_of_model
from tests.simulation.model.model import Broken, Model
from tests.simulation.model.real import Command, Real
from tests.simulation.model.records import Hold

NEVER_MS = 2**52
HOLD_WORDS = frozenset(
    {
        "already_checked_out",
        "changed",
        "checked_out",
        "claimed",
        "extended",
        "moved",
        "payment_closed",
        "payment_opened",
    }
)
"""Words of the answers that show a hold."""
DEADLINES = {"past": -50, "now": 1, "soon": 60_000, "far": 10**9}
"""Relative to now. What is far was written by a clock that has been set back since."""


@dataclass(frozen=True)
class Step:
    """One call as it was made: a repeat makes it again."""

    name: str
    args: tuple[Any, ...]
    request_id: str
    fingerprint: str


class Both:
    """A showtime in both worlds. After every call the answers are the same, and so is everything that is kept."""

    def __init__(self, real: Real, seats: int, tally: Counter[str] | None = None) -> None:
        self.real, self.seats = real, seats
        self.model = Model(42)
        self.now_ms = real.begin(self.model.number)
        self.generation = 3
        self.names: list[tuple[int, int, bytes, tuple[int, ...]]] = []
        self.sales: list[tuple[int, int, bytes, tuple[int, ...]]] = []
        self.buyers: dict[int, bytes] = {}
        self.steps: list[Step] = []
        self.tally: Counter[str] = Counter() if tally is None else tally
        self.log: list[tuple[Any, ...]] = []
        self._ids = count(1)
        self._told = 0
        self.look: Look = look_of_model(self.model)

    # --- Playing a call in both worlds

    def write(self, name: str, *args: Any, request: int = 0) -> list[Any]:
        """Call a writer in both worlds; with `request` 1 under a request id of its own."""
        request_id = f"r{next(self._ids)}" if request else ""
        step = Step(name, args, request_id, "print" if request else "")
        self.steps.append(step)
        return self.play(step)

    def play(self, step: Step, *, generation: int | None = None, not_after_ms: int = NEVER_MS) -> list[Any]:
        """Make a call of a writer in both worlds."""
        stamp = self.generation if generation is None else generation
        text = f"{step.fingerprint} trace-{step.request_id}" if step.fingerprint else ""
        return self.compare(step.name, (stamp, not_after_ms, text, *step.args), step.request_id)

    def read(self, name: str, *args: Any) -> list[Any]:
        """Call a reader in both worlds."""
        return self.compare(name, (self.generation, *args))

    def compare(self, name: str, args: tuple[Any, ...], request_id: str = "") -> list[Any]:
        """Make a call in both worlds, and insist that they agree. Gives the answer."""
        (reply,) = self._turn(self.real.script(name, args, request_id))
        answer = self._agree(name, args, request_id, reply)
        before = self._settle()
        check_step(name, args, answer, before, self.look, self._news)
        self._learn(answer, args, before)
        return answer

    def compare_many(self, calls: list[tuple[str, tuple[Any, ...]]]) -> None:
        """Make calls, all on their way before the first is answered; look at what is kept after the last one."""
        replies = self._turn(*(self.real.script(name, args) for name, args in calls))
        answers = [self._agree(name, args, "", reply) for (name, args), reply in zip(calls, replies, strict=True)]
        before = self._settle()
        for (_, args), answer in zip(calls, answers, strict=True):
            self._learn(answer, args, before)

    def story(self) -> str:
        """Tell the last calls."""
        return "\n".join(f"{name} {args} {request_id} -> {reply}" for name, args, request_id, reply in self.log[-40:])

    def _turn(self, *commands: Command) -> list[Any]:
        replies, self._seen, self._news = self.real.turn(*commands)
        return replies

    def _agree(self, name: str, args: tuple[Any, ...], request_id: str, reply: Any) -> list[Any]:
        """Make a call in the model, when Redis made it; gives the answer of both, its word as text."""
        failed = isinstance(reply, ReplyError)
        if not failed:
            self.now_ms = reply[1]
        try:
            expected: Any = self.model.call(name, args, self.now_ms, request_id)
        except Broken:
            expected = None
        self.log.append((name, args[2:], request_id, reply))
        if failed or expected is None:
            assert failed and expected is None, f"{name}{args}:\n{reply}, but by the model\n{expected}"
            return ["error"]
        word = reply[0].decode()
        if word == "loading_elsewhere":
            assert abs(reply[2] - expected[2]) < 1_000
        else:
            assert reply == expected, f"{name}{args}:\n{reply}, but by the model\n{expected}"
        self.tally[f"{name} {word}"] += 1
        if name == "claim_seats":
            self.tally["claims"] += 1
            self.tally["conflicts"] += word == "seats_taken"
        return [word, *reply[1:]]

    def _settle(self) -> Look:
        """Compare all that is kept, and hold it against the invariants. Gives how it was before."""
        before, after = self.look, self._seen
        expected = look_of_model(self.model)
        assert after == expected, f"{self.log[-1]}\nRedis has, the model has\n{after.differences(expected)}"
        told = self.model.facts[self._told :]
        assert self._news == told, f"{self.log[-1]}\nRedis tells\n{self._news}\nthe model\n{told}"
        self._told += len(told)
        self.look = after
        check_story(after)
        return before

    def _learn(self, answer: list[Any], args: tuple[Any, ...], before: Look) -> None:
        """Keep what an outsider knows: names of holds, and sales."""
        if answer[0] in HOLD_WORDS:
            self.names.append((answer[3], answer[4], answer[10], tuple(answer[12:])))
        if answer[0] == "sold":
            self.sales.append((answer[2], args[4], args[5], args[9:]))
            # A hold with an open payment may have moved since the payer began: its seats count for who has it now.
            self.buyers[answer[2]] = args[5] if answer[3] else before.holds[answer[2]][0]

    def lapse(self, hold: int, more: int) -> None:
        """Let the time of some holds be over."""
        for number in range(hold, hold + 1 + more):
            self.set_deadline(number, "past")

    def set_deadline(self, hold: int, when: str) -> None:
        """Let the deadline of a living hold be past, about now, soon or far: so time moves, in both worlds."""
        kept = self.model.loaded and list(self.model.loaded.holds.values())
        if not kept:
            return
        chosen: Hold = kept[-1 - hold % len(kept)]
        deadline_ms = self.now_ms + DEADLINES[when]
        by_hand = [("ZADD", self.real.key("deadlines"), "XX", deadline_ms, chosen.owner)]
        chosen.deadline_ms = deadline_ms
        if deadline_ms < self.model.loaded.next_lapse_ms:
            self.model.loaded.next_lapse_ms = deadline_ms
            by_hand.append(("HSET", self.real.key("meta"), "next_lapse_ms", deadline_ms))
        self.log.append(("deadline", (chosen.owner, deadline_ms), "", when))
        self.tally["deadline set"] += 1
        self._turn(*by_hand)
        assert self._seen == look_of_model(self.model)
        self.look = self._seen

"""What the fake gateway does wrong, by seed, e.g. `SEATLOCK_GATEWAY_FAULTS=seed=7,refund_fail=0.3,delay_ms=0-200`.

Every decision is drawn from the seed, its kind, the id of the session or refund, and the number of the attempt: not
from one stream. So a run goes wrong in the same places again, in whatever order things come and over restarts.
"""

from hashlib import blake2b
from typing import Literal

import msgspec

from engine.errors import CommandError
from engine.limits import GATEWAY_FAULT_MAX_MS, GATEWAY_LATE_MS, GATEWAY_TIMEOUT_S, SECOND_MS

SETTING = "SEATLOCK_GATEWAY_FAULTS"

Silence = Literal["done", "not_done"]
"""A request that gets no answer: whether what it asks for is done all the same."""


class Faults(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Each fault by its probability, 0 to 1; times in ms. Without any the gateway works as it should."""

    seed: int = 0
    decline: float = 0.0
    """A payment that should succeed is declined; per session and attempt."""
    refund_fail: float = 0.0
    """A refund fails; per refund and attempt."""
    refund_dead: float = 0.0
    """A refund fails at every attempt; per refund."""
    refund_later: float = 0.0
    """A refund is pending first, and an event tells how it ended; per refund and attempt."""
    timeout: float = 0.0
    """A session or refund is asked for and gets no answer, half of them done; per request."""
    hang_ms: int = (GATEWAY_TIMEOUT_S + 1) * SECOND_MS
    """How long such a request is kept before it gets its 504: longer than our client waits."""
    delay_ms: tuple[int, int] = (0, 0)
    """How much later events are brought: from, to."""
    reorder: float = 0.0
    """An event is held back for a second or two, so that later ones overtake it."""
    double: float = 0.0
    """An event is brought twice: half of them at the same time, half again after it was accepted."""
    drop: float = 0.0
    """An event is never brought, unless somebody asks for it."""
    forge: float = 0.0
    """A stranger, who lacks the secret, tells that an open session was paid; per session."""

    @property
    def any(self) -> bool:
        """Whether anything goes wrong at all."""
        return self != Faults(seed=self.seed, hang_ms=self.hang_ms)

    def declines(self, session_id: str, attempt: int) -> bool:
        """Whether a payment is declined."""
        return self._draw("decline", session_id, attempt) < self.decline

    def fails_refund(self, refund_id: str, attempt: int) -> bool:
        """Whether a refund fails this time."""
        dead = self._draw("refund_dead", refund_id) < self.refund_dead
        return dead or self._draw("refund_fail", refund_id, attempt) < self.refund_fail

    def refund_pending_ms(self, refund_id: str, attempt: int) -> int:
        """How long a refund is pending before it ends; 0 for one that ends at once."""
        return GATEWAY_LATE_MS if self._draw("refund_later", refund_id, attempt) < self.refund_later else 0

    def silence(self, kind: str, name: str, attempt: int) -> Silence | None:
        """Whether a request gets no answer."""
        drawn = self._draw(f"timeout:{kind}", name, attempt)
        if drawn >= self.timeout:
            return None
        return "done" if drawn < self.timeout / 2 else "not_done"

    def event_delay_ms(self, kind: str, name: str) -> int | None:
        """How much later an event is brought first; None: never.

        Args:
            kind: the event's type.
            name: its session or refund.
        """
        if self._draw(f"drop:{kind}", name) < self.drop:
            return None
        least, most = self.delay_ms
        delay_ms = least + round((most - least) * self._draw(f"delay:{kind}", name))
        if self._draw(f"reorder:{kind}", name) < self.reorder:
            delay_ms += round(SECOND_MS * (1 + self._draw(f"hold:{kind}", name)))
        return delay_ms

    def doubles(self, kind: str, name: str) -> Literal["at_once", "later"] | None:
        """Whether an event is brought twice."""
        drawn = self._draw(f"double:{kind}", name)
        if drawn >= self.double:
            return None
        return "at_once" if drawn < self.double / 2 else "later"

    def forges(self, session_id: str) -> bool:
        """Whether a stranger tells that this session was paid."""
        return self._draw("forge", session_id) < self.forge

    def _draw(self, kind: str, name: str, attempt: int = 1) -> float:
        """Give the number in [0, 1) that belongs to this decision."""
        text = f"{self.seed}|{kind}|{name}|{attempt}".encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest()) / 2**64


def parse_faults(text: str) -> Faults:
    """Read the setting; empty means none.

    Raises:
        CommandError: an unknown fault, or a value that means nothing; one line.
    """
    values: dict[str, int | float | tuple[int, int]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (side.strip() for side in part.partition("="))
        if name not in Faults.__struct_fields__:
            known = ", ".join(Faults.__struct_fields__)
            raise CommandError(f"{SETTING}: there is no fault {name!r}; known are {known}")
        if name in values:
            raise CommandError(f"{SETTING}: {name} is given twice")
        try:
            values[name] = _read(name, value)
        except ValueError as error:
            raise CommandError(f"{SETTING}: {name} must be {error}, not {value!r}") from None
    return msgspec.convert(values, Faults)


def _read(name: str, value: str) -> int | float | tuple[int, int]:
    """Read one value; a ValueError's text says what it must be."""
    expected = {
        "seed": "a whole number",
        "hang_ms": f"a time from 0 to {GATEWAY_FAULT_MAX_MS}",
        "delay_ms": f"a time such as 0-200, up to {GATEWAY_FAULT_MAX_MS}",
    }.get(name, "a probability from 0 to 1")
    try:
        if name == "seed":
            return int(value)
        if name in ("hang_ms", "delay_ms"):
            bounds = [int(bound) for bound in value.split("-")]
            least, most = bounds[0], bounds[-1]
            good = 0 <= least <= most <= GATEWAY_FAULT_MAX_MS and len(bounds) <= (2 if name == "delay_ms" else 1)
            result: int | float | tuple[int, int] = (least, most) if name == "delay_ms" else least
        else:
            result = float(value)
            good = 0 <= result <= 1
    except ValueError:
        good = False
    if not good:
        raise ValueError(expected)
    return result

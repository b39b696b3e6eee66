"""What goes wrong, drawn from the seed: at any single call of a process to a server, and at moments of a plan."""

from collections import Counter

FATES = (
    ("refused", 3),
    ("dropped", 2),
    ("lost", 4),
    ("late", 3),
    ("slow", 3),
    ("freeze", 1),
    ("die_before", 1),
    ("die_after", 2),
)
"""refused: the caller knows that it was not done. dropped, lost: it does not know; it was not, or it was done.
late: done, and answered much later. slow: done much later. freeze: done, and the process stands still."""
KINDS, WEIGHTS = zip(*FATES, strict=True)


class Chaos:
    """Draws faults while it is `on`; counts them. Those of their own kind come `times` as often."""

    def __init__(self, rng, rate, times=1):
        self.rng, self.rate, self.times = rng, rate, times
        self.on = True
        self.counts = Counter()
        self._aimed = {}

    def heal(self):
        """Let everything go well from now on."""
        self.on = False

    def fate(self, process, what):
        """Say what becomes of one call; None: it goes well."""
        if not self.on:
            return None
        kind = self._aimed_at(what) if self._aimed and what in self._aimed else None
        if kind is None:
            if self.rng.random() >= self.rate:
                return None
            kind = self.rng.choices(KINDS, WEIGHTS)[0]
        self.counts[kind] += 1
        process.world.note("fault", kind, process.name, *what)
        return kind

    def aim(self, what, number, kind):
        """Have the n-th call of a kind go wrong in a chosen way."""
        self._aimed.setdefault(what, []).append([number, kind])

    def _aimed_at(self, what):
        shots = self._aimed[what]
        for shot in shots:
            shot[0] -= 1
        hit = next((shot for shot in shots if shot[0] == 0), None)
        return hit and hit[1]

    def latency(self, fate):
        """Give how long a call takes, in s; mostly a millisecond, sometimes much more."""
        if fate == "slow":
            return self.rng.uniform(0.1, 4.0)
        return self.rng.uniform(0.0002, 0.003)

    def pause_s(self):
        """Give how long a late answer or a frozen process lasts; now and then longer than every lease."""
        return self.rng.choice((0.3, 1.5, 4.0, 7.0, 13.0)) * self.rng.uniform(0.5, 1.5)

    def happens(self, kind, chance):
        """Draw a fault of its own kind."""
        if self.on and self.rate and self.rng.random() < chance * self.times:
            self.counts[kind] += 1
            return True
        return False

    # --- The stream

    def doubles_fact(self):
        """Whether a fact comes twice."""
        return self.happens("fact_doubled", 0.1)

    def disorder(self, entries):
        """Give what a reader reads in another order, some of it twice; now and then another reader took one of them."""
        if entries and self.happens("fact_taken_by_another", 0.05):
            entries = list(entries)
            entries.pop(self.rng.randrange(len(entries)))
        if len(entries) > 1 and self.happens("facts_shuffled", 0.3):
            entries = [*entries, self.rng.choice(entries)]
            self.rng.shuffle(entries)
        return entries

    # --- The gateway

    def deliveries(self):
        """Give after how long an event is told, each time that it is; never, now and then."""
        if self.happens("event_forgotten", 0.1):
            return []
        if self.happens("event_doubled", 0.15):
            return [self.rng.uniform(0, 1), self.rng.uniform(0, 5)]
        if self.happens("event_delayed", 0.2):
            return [self.rng.uniform(1, 15)]
        return [self.rng.uniform(0.005, 0.05)]

    def refund_fate(self):
        """Say what the gateway does with a refund that it hears of."""
        if self.happens("refund_failed", 0.1):
            return "FAILED"
        if self.happens("refund_pending", 0.2):
            return "PENDING"
        return "SETTLED"

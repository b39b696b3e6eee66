"""What time it is in Redis, as seen from here: never ahead of it while both clocks run."""

_SAMPLE_LIVES_S = 1.0


class RedisClock:
    """An estimate of Redis' `TIME` between answers.

    A sample is the time that an answer carries and the monotonic moment at which it was received. Since the
    answer was made before it was received, `time + elapsed` is behind Redis by the answer's way back and never
    ahead. The sample that says the latest time had the shortest way; it is kept for a second, then the newest
    counts again, so that a clock that was set back in Redis is believed soon.
    """

    def __init__(self) -> None:
        self._offset_ms: float | None = None
        self._taken_at_s = 0.0

    def reset(self) -> None:
        """Forget everything: the next sample may come from another server."""
        self._offset_ms = None

    def sample(self, time_ms: float, received_at_s: float) -> None:
        """Take in that an answer made at `time_ms` (Redis) arrived at `received_at_s` (monotonic)."""
        offset_ms = time_ms - received_at_s * 1_000
        if (
            self._offset_ms is None
            or offset_ms >= self._offset_ms
            or received_at_s - self._taken_at_s > _SAMPLE_LIVES_S
        ):
            self._offset_ms = offset_ms
            self._taken_at_s = received_at_s

    def now_ms(self, now_s: float) -> int:
        """Estimate Redis' time in ms at the monotonic moment `now_s`; 0 before any answer: then all is too late."""
        return 0 if self._offset_ms is None else int(self._offset_ms + now_s * 1_000)

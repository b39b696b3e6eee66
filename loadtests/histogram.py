"""How long things took: counts in buckets that grow with the time, so that every percentile is right within 1.6 %."""

SUB_BUCKETS = 64
_BITS = SUB_BUCKETS.bit_length()


class Histogram:
    """Counts durations, each in its bucket: exact below 64 us, then 64 buckets for every doubling."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self.count = 0
        self.max_s = 0.0

    def add(self, took_s: float) -> None:
        """Count one duration in seconds."""
        bucket = _bucket(max(0, int(took_s * 1e6)))
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.max_s = max(self.max_s, took_s)

    def percentile_s(self, percent: float) -> float:
        """Give the time within which so many percent were done: the upper end of the bucket; 0 of nothing."""
        left = self.count * percent / 100
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(_end_us(bucket) / 1e6, self.max_s)
        return self.max_s

    def curve(self) -> list[tuple[float, int]]:
        """Give (upper end of the bucket in ms, how many were in it), upwards."""
        return [(_end_us(bucket) / 1e3, self._counts[bucket]) for bucket in sorted(self._counts)]


def _bucket(us: int) -> int:
    shift = max(0, us.bit_length() - _BITS)
    return shift * SUB_BUCKETS + (us >> shift)


def _end_us(bucket: int) -> int:
    shift = max(0, bucket // SUB_BUCKETS - 1)
    return (bucket - shift * SUB_BUCKETS + 1) << shift

"""A day at the box office in three minutes: a quiet morning, a lunch hour, a busy evening."""

from locust import LoadTestShape

HOURS = ((0, 10), (30, 20), (60, 40), (80, 20), (110, 80), (150, 30), (170, 10))
"""(from second, people)."""
END_S = 180


class SteadyDay(LoadTestShape):
    """10 to 80 people over 180 s."""

    def tick(self) -> tuple[int, float] | None:
        """Say how many people there are now, and how many may come per second."""
        now_s = self.get_run_time()
        people = next(people for since_s, people in reversed(HOURS) if now_s >= since_s)
        return (people, 10.0) if now_s < END_S else None

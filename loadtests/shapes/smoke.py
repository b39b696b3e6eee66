"""A few people of each kind for a short while: does it work at all?"""

from locust import LoadTestShape


class Smoke(LoadTestShape):
    """20 people for 30 s."""

    def tick(self) -> tuple[int, float] | None:
        """Say how many people there are now, and how many may come per second."""
        return (20, 10.0) if self.get_run_time() < 30 else None

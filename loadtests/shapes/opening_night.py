"""Opening night: everybody wants the same 40 seats of one hall, at once."""

from locust import LoadTestShape, User

from loadtests.users import Abandoner, Buyer, MapReader, Repeater

PEOPLE = 150
END_S = 60


class OpeningNight(LoadTestShape):
    """150 people within five seconds, for a minute; nobody just browses."""

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Say how many people there are now, how many may come per second, and who they are."""
        kinds: list[type[User]] = [Buyer, Abandoner, Repeater, MapReader]
        return (PEOPLE, PEOPLE / 5, kinds) if self.get_run_time() < END_S else None

"""A national on-sale: hundreds of showtimes open at one moment, and the country comes."""

from locust import LoadTestShape, User

from loadtests.users import Abandoner, Buyer, Canceller, MapReader, Repeater

PEOPLE = 200
END_S = 90


class NationalOnSale(LoadTestShape):
    """200 people within two seconds, for 90 s, over all showtimes of the plan."""

    def tick(self) -> tuple[int, float, list[type[User]]] | None:
        """Say how many people there are now, how many may come per second, and who they are."""
        kinds: list[type[User]] = [Buyer, Abandoner, Repeater, Canceller, MapReader]
        return (PEOPLE, PEOPLE / 2, kinds) if self.get_run_time() < END_S else None

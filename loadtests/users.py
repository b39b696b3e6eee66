"""The people of a load test. `weight` says how many of each there are, as far as a shape does not choose."""

import random
import uuid

import gevent
from locust import between, task

from loadtests.shopper import Shopper


class Buyer(Shopper):
    """Buys one to four seats, sees the tickets, and comes back as somebody else."""

    weight = 6
    wait_time = between(0.1, 1.0)

    @task
    def buy(self) -> None:
        """Go from the map to the tickets; one payment in ten fails, and is made again."""
        self.come_in()
        showtime = self.pick_showtime()
        hold = self.claim(showtime) if showtime else None
        booking = self.check_out(hold) if hold else None
        if not booking:
            return
        if random.random() < 0.1 and self.pay(booking, "failed"):
            self.see(booking, "PENDING")
        if self.pay(booking):
            self.see(booking, "CONFIRMED")


class Abandoner(Shopper):
    """Claims seats and goes away; half of them check out first. Their seats come back by themselves."""

    weight = 1
    wait_time = between(1.0, 3.0)

    @task
    def abandon(self) -> None:
        """Leave a hold, or an unpaid booking, behind."""
        self.come_in()
        showtime = self.pick_showtime()
        hold = self.claim(showtime) if showtime else None
        if hold and random.random() < 0.5:
            self.check_out(hold)


class Repeater(Shopper):
    """Has a bad line: sends every claim twice, with one key, and must be told the same."""

    weight = 1
    wait_time = between(0.5, 2.0)

    @task
    def repeat(self) -> None:
        """Claim twice at once, then let go."""
        self.come_in()
        showtime = self.pick_showtime()
        free = self.free_seats(showtime) if showtime else []
        if not free:
            return
        key, path, body = str(uuid.uuid4()), f"/showtimes/{showtime}/holds", {"seats": [random.choice(free)]}
        first, again = gevent.joinall(
            [gevent.spawn(self.ask, "POST", path, json=body, name="/showtimes/[id]/holds", key=key) for _ in range(2)]
        )
        ids = {answer.value["id"] for answer in (first, again) if answer.value}
        if len(ids) > 1:
            self.notes.add(fault=0, method="POST", path=f"{path}: one key made two holds")
        for hold_id in ids:
            self.ask("DELETE", f"/holds/{hold_id}", name="/holds/[id]")


class Canceller(Shopper):
    """Changes their mind: before paying, or after, when the money goes back."""

    weight = 1
    wait_time = between(1.0, 3.0)

    @task
    def change_mind(self) -> None:
        """Buy, or nearly so, and give it back."""
        self.come_in()
        showtime = self.pick_showtime()
        hold = self.claim(showtime) if showtime else None
        booking = self.check_out(hold) if hold else None
        if not booking:
            return
        path = f"/bookings/{booking['id']}"
        if random.random() < 0.5:
            self.ask("POST", f"{path}/cancel", json={"reason": "changed my mind"}, name="/bookings/[id]/cancel")
        elif self.pay(booking) and self.see(booking, "CONFIRMED"):
            self.notes.add(returned=booking["id"])
            self.ask("POST", f"{path}/refunds", json={"reason": "changed my mind"}, name="/bookings/[id]/refunds")


class MapReader(Shopper):
    """Has a seat map open, which looks for changes again and again."""

    weight = 2
    wait_time = between(1.0, 2.0)

    @task
    def look(self) -> None:
        """Ask for the compact map."""
        showtime = self.pick_showtime()
        if showtime:
            self.ask("GET", f"/showtimes/{showtime}/availability", name="/showtimes/[id]/availability")


class Browser(Shopper):
    """Looks what is on, from city to showtime, and buys nothing."""

    weight = 2
    wait_time = between(0.5, 2.0)

    @task
    def browse(self) -> None:
        """Go from cities to films to the seats of a showtime."""
        self.ask("GET", "/cities")
        self.ask("GET", "/movies")
        self.ask("GET", "/cinemas")
        showtime = self.pick_showtime()
        if showtime:
            self.ask("GET", f"/showtimes/{showtime}", name="/showtimes/[id]")
            self.ask("GET", f"/showtimes/{showtime}/layout", name="/showtimes/[id]/layout")
            self.free_seats(showtime)

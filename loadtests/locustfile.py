"""A crowd that buys tickets as people do: look at the map, pick seats, check out, pay, see the tickets.

    locust -f loadtests/locustfile.py --headless -u 50 -r 10 -t 30s -H http://127.0.0.1:8000 --showtime 42

Needs a service with the fake gateway and with `SEATLOCK_RATE_LIMIT=off`. A refusal that the contract knows (a seat
was faster taken by somebody else) is an answer, not a failure; 429 and 503 are waited out as `Retry-After` says.
"""

import random
import uuid
from argparse import ArgumentParser
from typing import Any

import gevent
from locust import FastHttpUser, between, events, task

API = "/api/v1"
REFUSED = {409, 410}
BUSY = {429, 503}
TRIES_MAX = 5
WAIT_MAX_S = 30.0


@events.init_command_line_parser.add_listener
def add_options(parser: ArgumentParser) -> None:
    """Let the crowd be sent to one showtime; without it each buyer picks one of the first page."""
    parser.add_argument("--showtime", type=int, default=0, help="number of the showtime to buy; 0: any on sale")


class Buyer(FastHttpUser):
    """Buys one to four seats as a guest, then comes back as somebody else."""

    wait_time = between(0.1, 1.0)
    token = ""

    @task
    def buy(self) -> None:
        """Buy seats of one showtime, from the map to the tickets; give up where the hall is sold out."""
        self.token = ""
        self.token = (self.ask("POST", "/auth/guest", json={}) or {}).get("access_token", "")
        showtime = self.environment.parsed_options.showtime or self.pick_showtime()
        if not self.token or not showtime:
            return
        hold = self.claim(showtime)
        if not hold:
            return
        booking = self.ask("POST", "/bookings", json={"hold_id": hold["id"], "email": f"{uuid.uuid4()}@example.com"})
        if not booking:
            return
        payment = self.ask("POST", f"/bookings/{hold['id']}/payments", json={}, name="/bookings/[id]/payments")
        if not payment:
            return
        outcome = random.choices(("success", "failed"), weights=(9, 1))[0]
        path = f"/payments/simulate/{payment['session_id']}"
        if self.ask("POST", path, json={"outcome": outcome}, name="/payments/simulate/[session]") is not None:
            self.see_booking(hold["id"], paid=outcome == "success")

    def pick_showtime(self) -> int:
        """Give the number of a showtime on sale, 0 if there is none."""
        page = self.ask("GET", "/showtimes?limit=200", name="/showtimes") or {"items": []}
        on_sale = [item["id"] for item in page["items"] if item["status"] == "ON_SALE"]
        return random.choice(on_sale) if on_sale else 0

    def claim(self, showtime: int) -> dict[str, Any] | None:
        """Claim neighbouring seats; when somebody was faster, look again and pick others."""
        count = random.randint(1, 4)
        for _ in range(TRIES_MAX):
            seat_map = self.ask("GET", f"/showtimes/{showtime}/seats", name="/showtimes/[id]/seats")
            free = [seat["seat"] for seat in (seat_map or {"seats": []})["seats"] if seat["status"] == "AVAILABLE"]
            if len(free) < count:
                return None
            first = random.randrange(len(free) - count + 1)
            seats = free[first : first + count]
            hold = self.ask("POST", f"/showtimes/{showtime}/holds", json={"seats": seats}, name="/showtimes/[id]/holds")
            if hold:
                return hold
        return None

    def see_booking(self, booking_id: str, *, paid: bool) -> None:
        """Read the booking; a payment that was acknowledged must be seen as tickets at once."""
        name = "/bookings/[id]"
        with self.client.get(
            f"{API}/bookings/{booking_id}", headers=self.headers(), name=name, catch_response=True
        ) as response:
            if response.status_code in BUSY:
                response.success()
                return
            status = (response.json() or {}).get("status") if response.status_code == 200 else None
            if status == ("CONFIRMED" if paid else "PENDING"):
                response.success()
            else:
                response.failure(f"paid={paid}, but the booking is {status} ({response.status_code})")

    def headers(self) -> dict[str, str]:
        """Give the headers of one request: who asks, and a key under which it may be repeated."""
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        return headers

    def ask(self, method: str, path: str, *, name: str = "", json: Any = None) -> dict[str, Any] | None:
        """Send one request, again with the same key while the service is busy.

        Returns: the answer's body; None when the request was refused or failed.
        """
        headers = self.headers()
        for _ in range(TRIES_MAX):
            with self.client.request(
                method, API + path, json=json, headers=headers, name=f"{name or path}", catch_response=True
            ) as response:
                if response.status_code in BUSY and "Retry-After" in response.headers:
                    response.success()
                    wait_s = min(float(response.headers["Retry-After"]), WAIT_MAX_S)
                elif response.status_code in REFUSED:
                    response.success()
                    return None
                elif response.status_code >= 400 or response.status_code == 0:
                    response.failure(f"{response.status_code}: {(response.text or '')[:200]}")
                    return None
                else:
                    return response.json()
            gevent.sleep(wait_s * random.uniform(1.0, 1.5))
        return None

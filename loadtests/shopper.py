"""How a simulated person speaks to the service: one request at a time, waiting when told to wait.

A refusal that the contract knows (somebody was faster) is an answer and no failure. 429 and 503 are waited out as
`Retry-After` says, and asked again with the same key. What a person was told of money is noted for the verdict.
"""

import json
import random
import uuid
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser

API = "/api/v1"
REFUSED = {404, 409, 410}
BUSY = {429, 503}
TRIES_MAX = 5
WAIT_MAX_S = 30.0
SERVER_ERROR = 500
UNAVAILABLE = 503


class Notes:
    """What the crowd saw, a JSON line each; `None` notes nothing.

    {"confirmed": booking, "showtime", "seats", "amount", "currency"}    a CONFIRMED that a person read
    {"returned": booking}                                                its owner asked for the money back
    {"fault": status, "method", "path"}                                  an answer that no service may give
    """

    def __init__(self, path: str | None) -> None:
        self._path = Path(path) if path else None

    def add(self, **line: Any) -> None:
        """Write a line; it is there at once."""
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


class Plan:
    """Which showtimes the crowd is after, and which seats of them: `{"showtimes": [...], "hot": {"7": ["C5"]}}`."""

    def __init__(self, path: str | None) -> None:
        plan = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
        self.showtimes: list[int] = plan.get("showtimes", [])
        self.hot: dict[int, set[str]] = {int(number): set(seats) for number, seats in plan.get("hot", {}).items()}


class Shopper(FastHttpUser):
    """Somebody with a guest's token. The kinds of people are in `users.py`."""

    abstract = True
    token = ""
    notes: Notes
    plan: Plan

    def on_start(self) -> None:
        """Come in as a guest."""
        self.come_in()

    def come_in(self) -> None:
        """Become a new guest; earlier holds and bookings belong to somebody else from now on."""
        self.token = ""
        self.token = (self.ask("POST", "/auth/guest", json={}) or {}).get("access_token", "")

    def pick_showtime(self) -> int:
        """Give a showtime of the plan, else one that is on sale; 0 if there is none."""
        if self.plan.showtimes:
            return random.choice(self.plan.showtimes)
        page = self.ask("GET", "/showtimes?limit=200", name="/showtimes") or {"items": []}
        on_sale = [item["id"] for item in page["items"] if item["status"] == "ON_SALE"]
        return random.choice(on_sale) if on_sale else 0

    def free_seats(self, showtime: int) -> list[str]:
        """Give the labels of the free seats that people want, in layout order."""
        seat_map = self.ask("GET", f"/showtimes/{showtime}/seats", name="/showtimes/[id]/seats") or {"seats": []}
        wanted = self.plan.hot.get(showtime)
        return [
            seat["seat"]
            for seat in seat_map["seats"]
            if seat["status"] == "AVAILABLE" and (wanted is None or seat["seat"] in wanted)
        ]

    def claim(self, showtime: int, *, key: str = "") -> dict[str, Any] | None:
        """Look at the map, think, claim neighbouring seats; when somebody was faster, look again and pick others."""
        for _ in range(TRIES_MAX):
            free = self.free_seats(showtime)
            if not free:
                return None
            count = min(random.randint(1, 4), len(free))
            first = random.randrange(len(free) - count + 1)
            gevent.sleep(random.uniform(0, 0.5))
            path, name = f"/showtimes/{showtime}/holds", "/showtimes/[id]/holds"
            hold = self.ask("POST", path, json={"seats": free[first : first + count]}, name=name, key=key)
            if hold:
                return hold
        return None

    def check_out(self, hold: dict[str, Any]) -> dict[str, Any] | None:
        """Make a booking of a hold."""
        body = {"hold_id": hold["id"], "email": f"{uuid.uuid4()}@example.com"}
        return self.ask("POST", "/bookings", json=body)

    def pay(self, booking: dict[str, Any], outcome: str = "success") -> bool:
        """Pay at the fake gateway; gives whether the service has acknowledged it."""
        path = f"/bookings/{booking['id']}/payments"
        payment = self.ask("POST", path, json={}, name="/bookings/[id]/payments")
        if not payment:
            return False
        path = f"/payments/simulate/{payment['session_id']}"
        return self.ask("POST", path, json={"outcome": outcome}, name="/payments/simulate/[session]") is not None

    def see(self, booking: dict[str, Any], *statuses: str) -> dict[str, Any] | None:
        """Read a booking, which must be in one of the statuses: what was acknowledged is seen at once."""
        path, name = f"/bookings/{booking['id']}", "/bookings/[id]"
        seen = self.ask("GET", path, name=name, check=lambda body: body["status"] in statuses)
        if seen and seen["status"] == "CONFIRMED":
            self.notes.add(
                confirmed=seen["id"],
                showtime=booking["showtime_id"],
                seats=sorted(seat["seat"] for seat in seen["seats"]),
                amount=seen["amount"],
                currency=seen["currency"],
            )
        return seen

    def ask(
        self, method: str, path: str, *, name: str = "", json: Any = None, key: str = "", check: Any = None
    ) -> dict[str, Any] | None:
        """Send one request, again with the same key while the service is busy.

        Args:
            name: under which Locust counts it; the path if there is none.
            key: the request's own; a new one if there is none.
            check: says of the answer's body whether it is right.

        Returns:
            The answer's body, `{}` for an empty one; None when the request was refused or failed.
        """
        headers = {"Idempotency-Key": key or str(uuid.uuid4())}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        for _ in range(TRIES_MAX):
            with self.client.request(
                method, API + path, json=json, headers=headers, name=name or path, catch_response=True
            ) as response:
                status, retry_after = (
                    response.status_code,
                    response.headers.get("Retry-After") if response.headers else None,
                )
                if status >= SERVER_ERROR and not (status == UNAVAILABLE and retry_after):
                    self.notes.add(fault=status, method=method, path=path)
                if status in BUSY and retry_after:
                    response.success()
                    wait_s = min(float(retry_after), WAIT_MAX_S)
                elif status in REFUSED:
                    response.success()
                    return None
                elif status >= 400 or status == 0:
                    response.failure(f"{status}: {(response.text or '')[:200]}")
                    return None
                else:
                    body = response.json() if response.content else {}
                    if check and not check(body):
                        response.failure(f"not as acknowledged: {body.get('status')}")
                        return None
                    return body
            gevent.sleep(wait_s * random.uniform(1.0, 1.5))
        return None

"""What a shape's crowd is sent to: showtimes made for it over the operators' API, and the seats that people want."""

import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

PRICE_MINOR = 5_000_000
BULK_MAX = 100
SHORT_S = {"hold_ttl_s": 5, "payment_ttl_s": 20, "hold_max_s": 20, "claim_max_s": 60}
"""Seats that somebody abandoned come back while the test still runs."""


@dataclass(frozen=True)
class Programme:
    """How many showtimes, in which hall, and which of its seats everybody wants; `opens_in_s` from their making."""

    showtimes: int = 0
    rows: int = 10
    row_seats: int = 30
    hot: tuple[str, ...] = ()
    policy: dict[str, int] = field(default_factory=dict)
    opens_in_s: float = 0


PROGRAMMES = {
    "smoke": Programme(),
    "steady_day": Programme(),
    "opening_night": Programme(
        showtimes=1, hot=tuple(f"{row}{number}" for row in "DEFG" for number in range(11, 21)), policy=SHORT_S
    ),
    "national_on_sale": Programme(showtimes=300, policy=SHORT_S, opens_in_s=5),
}
"""By the name of the shape's module; without showtimes of its own the crowd takes what is on sale."""


def put_on(programme: Programme, url: str, login: dict[str, str]) -> dict[str, Any]:
    """Make the showtimes, and wait until they are on sale; gives the crowd's plan.

    Args:
        url: of the service, without the API's path.
        login: `email` and `password` of an administrator.
    """
    if not programme.showtimes:
        return {"showtimes": [], "hot": {}}
    with httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=60) as client:
        token = _made(client.post("/auth/login", json=login), 200)["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        name = f"Load {uuid.uuid4().hex[:8]}"
        lines = [f"{chr(ord('A') + row)} {'R' * programme.row_seats}" for row in range(programme.rows)]
        place = {"name": name, "city": "Jakarta", "timezone": "Asia/Jakarta"}
        cinema = _made(client.post("/admin/cinemas", json=place))["id"]
        movie = _made(client.post("/admin/movies", json={"title": name, "duration_minutes": 90}))["id"]
        opens_at = datetime.now(UTC) + timedelta(seconds=programme.opens_in_s)
        numbers: list[int] = []
        while len(numbers) < programme.showtimes:
            plan = {"name": name, "lines": lines}
            hall = {"cinema_id": cinema, "name": f"{len(numbers)}", "floor_plan": plan}
            hall_id = _made(client.post("/admin/auditoriums", json=hall))["id"]
            items = [
                {
                    "auditorium_id": hall_id,
                    "movie_id": movie,
                    "starts_at": (opens_at + timedelta(days=2 + number)).isoformat(),
                    "sales_open_at": opens_at.isoformat(),
                    "prices": {"REGULAR": PRICE_MINOR},
                    "policy": programme.policy,
                }
                for number in range(min(BULK_MAX, programme.showtimes - len(numbers)))
            ]
            numbers += [made["id"] for made in _made(client.post("/admin/showtimes", json={"items": items}))["items"]]
    time.sleep(max(0.0, (opens_at - datetime.now(UTC)).total_seconds()))
    return {"showtimes": numbers, "hot": {number: list(programme.hot) for number in numbers if programme.hot}}


def _made(answer: httpx.Response, status: int = 201) -> dict[str, Any]:
    if answer.status_code != status:
        raise SystemExit(f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}")
    found: dict[str, Any] = answer.json()
    return found

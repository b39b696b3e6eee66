"""What a caller of the open-loop generator asks for, one after the other: journeys.

A journey is a generator of whole HTTP requests (bytes), each answered with (status, body). Only the answer to its
first request is timed. It returns whether its caller got all that was wanted.
The plan says where journeys go: `showtimes`, `labels` of their seats in order, `tokens` of customers, `seed`, `first`.
"""

import json
import random
from collections.abc import Callable, Generator, Iterator, Mapping
from itertools import cycle, islice
from typing import Any

Answer = tuple[int, bytes]
Journey = Generator[bytes, Answer, bool]
API = "/api/v1"
CREATED = 201
OK = 200
HOT_SEATS = 40


def request(method: str, path: str, token: str = "", key: str = "", body: Any = None, **headers: str) -> bytes:
    """Write down a request."""
    lines = [f"{method} {path} HTTP/1.1", "host: bench"]
    if token:
        lines.append(f"authorization: Bearer {token}")
    if key:
        lines.append(f"idempotency-key: {key}")
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    raw = b""
    if body is not None:
        raw = json.dumps(body).encode()
        lines += ["content-type: application/json", f"content-length: {len(raw)}"]
    return "\r\n".join([*lines, "", ""]).encode() + raw


def cold(plan: Mapping[str, Any]) -> Iterator[Journey]:
    """Claim two neighbouring seats that are free, each pair once, over all showtimes in a random order.

    `first` says how many pairs of this order were claimed before; after the last one there is no journey more.
    """
    labels: list[str] = plan["labels"]
    pairs = len(labels) // 2
    chosen = random.Random(plan["seed"]).sample(range(len(plan["showtimes"]) * pairs), len(plan["showtimes"]) * pairs)
    for number, at in enumerate(chosen[plan.get("first", 0) :]):
        showtime, seat = plan["showtimes"][at // pairs], at % pairs * 2
        token = _somebody(plan, at // pairs, at % pairs)
        yield _one(_claim(showtime, labels[seat : seat + 2], token, f"{plan['seed']}-{at}-{number}"), CREATED)


def hot(plan: Mapping[str, Any]) -> Iterator[Journey]:
    """Everybody wants two of the same 40 seats of one showtime; who gets them gives them back at once."""
    chance = random.Random(plan["seed"])
    labels, showtime = plan["labels"][:HOT_SEATS], plan["showtimes"][0]
    for number, token in enumerate(cycle(plan["tokens"])):
        yield _claim_and_release(showtime, chance.sample(labels, 2), token, f"{plan['seed']}-{number}")


def repeat(plan: Mapping[str, Any]) -> Iterator[Journey]:
    """Ask for the same again and again: `method`, `path`, `body`; the answer must be `status`.

    `people` are the headers of different callers, who take turns.
    """
    people = plan.get("people", [{}])
    asked = [request(plan["method"], plan["path"], body=plan.get("body"), **headers) for headers in people]
    return (_one(again, plan["status"]) for again in cycle(asked))


def look(plan: Mapping[str, Any]) -> Iterator[Journey]:
    """Look at each showtime, with each token, at least once."""
    showtimes, tokens = plan["showtimes"], plan["tokens"]
    for number in range(max(len(showtimes), len(tokens))):
        path = f"{API}/showtimes/{showtimes[number % len(showtimes)]}/seats"
        yield _one(request("GET", path, tokens[number % len(tokens)]), OK)


def given(plan: Mapping[str, Any]) -> Iterator[Journey]:
    """Send each of `requests` once: {"path", "body" as text, "headers"}; each is to be answered 200."""
    for one in plan["requests"]:
        raw = one["body"].encode()
        lines = [f"POST {one['path']} HTTP/1.1", "host: bench", "content-type: application/json"]
        lines += [f"{name}: {value}" for name, value in one["headers"].items()]
        yield _one("\r\n".join([*lines, f"content-length: {len(raw)}", "", ""]).encode() + raw, OK)


def buy(plan: Mapping[str, Any]) -> Iterator[Journey]:
    """Claim two free seats, check out, begin the payment, pay at the fake gateway; each pair of seats once."""
    labels: list[str] = plan["labels"]
    places = range(len(plan["showtimes"]))
    pairs = [(place, pair) for pair in range(len(labels) // 2) for place in places]
    for place, pair in islice(pairs, plan.get("first", 0), None):
        seats = labels[2 * pair : 2 * pair + 2]
        yield _buy(plan["showtimes"][place], seats, _somebody(plan, place, pair))


KINDS: Mapping[str, Callable[[Mapping[str, Any]], Iterator[Journey]]] = {
    "cold": cold,
    "hot": hot,
    "repeat": repeat,
    "look": look,
    "given": given,
    "buy": buy,
}


def _somebody(plan: Mapping[str, Any], place: int, pair: int) -> str:
    """Choose who claims a pair of seats: in one showtime nobody comes twice, as limits on customers would stop that."""
    token: str = plan["tokens"][(place * 37 + pair) % len(plan["tokens"])]
    return token


def _claim(showtime: int, seats: list[str], token: str, key: str) -> bytes:
    return request("POST", f"{API}/showtimes/{showtime}/holds", token, key, {"seats": seats})


def _one(asked: bytes, wanted: int) -> Journey:
    answer = yield asked
    return answer[0] == wanted


def _claim_and_release(showtime: int, seats: list[str], token: str, key: str) -> Journey:
    answer = yield _claim(showtime, seats, token, key)
    if answer[0] != CREATED:
        return False
    yield request("DELETE", f"{API}/holds/{json.loads(answer[1])['id']}", token)
    return True


def _buy(showtime: int, seats: list[str], token: str) -> Journey:
    answer = yield _claim(showtime, seats, token, "")
    if answer[0] != CREATED:
        return False
    body = {"hold_id": json.loads(answer[1])["id"], "email": "buyer@example.com"}
    answer = yield request("POST", f"{API}/bookings", token, body=body)
    if answer[0] != CREATED:
        return False
    answer = yield request("POST", f"{API}/bookings/{json.loads(answer[1])['id']}/payments", token, body={})
    if answer[0] != CREATED:
        return False
    path = f"{API}/payments/simulate/{json.loads(answer[1])['session_id']}"
    answer = yield request("POST", path, token, body={"outcome": "success"})
    return answer[0] == OK

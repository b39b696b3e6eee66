"""Recording what customers of a town do over HTTP: every request of a watched client becomes a call of the history."""

import json
import re
from datetime import datetime

import httpx

from engine.errors import Refusal
from engine.seats.ids import parse_hold_id
from tests.simulation.history import now, taken_seat

PREFIX = "/api/v1"
ROUTES = [
    (method, re.compile(path.replace("{n}", r"(?P<showtime>\d+)").replace("{id}", "(?P<id>[^/]+)") + "$"), op)
    for method, path, op in (
        ("POST", "/showtimes/{n}/holds", "claim"),
        ("GET", "/showtimes/{n}/seats", "read_map"),
        ("GET", "/holds/{id}", "read_hold"),
        ("PATCH", "/holds/{id}", "change"),
        ("POST", "/holds/{id}/extend", "extend"),
        ("DELETE", "/holds/{id}", "release"),
        ("DELETE", "/admin/holds/{id}", "release"),
        ("POST", "/bookings", "check_out"),
        ("GET", "/bookings/{id}", "read_booking"),
        ("POST", "/bookings/{id}/cancel", "release"),
        ("POST", "/bookings/{id}/payments", "open_payment"),
        ("POST", "/bookings/{id}/refunds", "refund"),
        ("POST", "/admin/showtimes/{n}/cancel", "cancel"),
        ("POST", "/admin/showtimes/{n}/blocks", "block"),
        ("DELETE", "/admin/blocks/{id}", "unblock"),
    )
]
IN_STEPS = ("claim_and_check_out", "release", "open_payment", "refund", "cancel", "block", "unblock")
"""Requests that do several things: one that ends in a 503 may have done some of them, whatever it says."""


def watch(recorder, customer, subject=None):
    """Record all requests that a customer makes from now on.

    Args:
        recorder: where to.
        customer: a Customer of tests/flow/town.py, or an httpx client of the API.
        subject: who the client's token names; a Customer knows it.
    """
    client = getattr(customer, "client", customer)
    who = subject or getattr(customer, "subject", None)
    plain = client.request
    blocks = {}

    async def request(method, url, **options):
        asked = _asked(method, str(url), options, who, blocks)
        if asked is None:
            return await plain(method, url, **options)
        op, key, args, may_stop_halfway = asked
        start = now()
        try:
            answer = await plain(method, url, **options)
        except httpx.ConnectError:
            recorder.add(op, key, args, start, {"word": "not_sent"})
            raise
        except BaseException:  # also a cancelled caller does not know
            recorder.add(op, key, args, start, None)
            raise
        recorder.add(op, key, args, start, _result(op, answer, may_stop_halfway))
        if op == "block" and answer.status_code == 201:
            blocks[str(answer.json().get("id"))] = key, args["seats"]
        return answer

    client.request = request


def _asked(method, url, options, who, blocks):
    """Give op, showtime, arguments, and whether it may stop halfway; None for what changes and shows no seat."""
    path = url.partition("?")[0].removeprefix(PREFIX)
    for wanted, pattern, op in ROUTES:
        found = pattern.match(path) if method == wanted else None
        if not found:
            continue
        body = options.get("json") or json.loads(options.get("content") or "null") or {}
        named = found.groupdict()
        args = {"who": None if path.startswith("/admin/") else who}
        key = int(named.get("showtime") or 0)
        if op == "unblock":
            if named["id"] not in blocks:
                return None
            key, args["seats"] = blocks[named["id"]]
        elif op == "check_out" and body.get("hold_id") is None:
            op, key = "claim_and_check_out", int(body.get("showtime_id") or 0)
        hold = body.get("hold_id") if op == "check_out" else named.get("id")
        if hold is not None and op != "unblock":
            try:
                named_hold = parse_hold_id(hold)
            except Refusal:
                return None
            key, args["owner"] = named_hold.showtime, named_hold.owner
        args |= {name: body[name] for name in ("seats", "add", "remove", "evict") if name in body}
        if op == "refund" and body.get("tickets"):
            args["tickets"] = body["tickets"]
        request = (options.get("headers") or {}).get("Idempotency-Key")
        if request and op in ("claim", "extend", "change", "check_out", "claim_and_check_out"):
            args["request"] = request
        if not key or (op == "cancel" and body.get("dry_run")):
            return None
        if op == "open_payment":
            args["gateway"] = True  # sales and more time come from there
        halfway = op in IN_STEPS
        return ("claim" if op == "claim_and_check_out" else op), key, args, halfway
    return None


WORDS = {
    ("claim", 201): "claimed",
    ("claim", 200): "claimed",
    ("extend", 200): "extended",
    ("change", 200): "changed",
    ("check_out", 201): "checked_out",
    ("check_out", 200): "checked_out_before",
    ("open_payment", 201): "payment_opened",
    ("open_payment", 200): "payment_opened_before",
    ("release", 204): "over",
    ("release", 200): "over",
    ("read_map", 200): "map",
    ("refund", 202): "refunded",
    ("cancel", 202): "cancelled",
    ("block", 201): "blocked",
    ("unblock", 204): "unblocked",
    ("unblock", 200): "unblocked",
}
OF_HOLDS = ("claimed", "extended", "changed", "checked_out", "hold")


def _result(op, answer, may_stop_halfway):
    """Read an answer; None if nobody knows what it did."""
    status = answer.status_code
    if status >= 500:
        problem = _json(answer)
        definite = status == 503 and problem.get("outcome") == "definite" and not may_stop_halfway
        return {"word": problem["code"]} if definite else None
    body = _json(answer)
    if status >= 300:
        return _refused(op, status, body)
    word = WORDS.get((op, status)) or _status_word(op, body)
    result = {"word": word}
    if word in OF_HOLDS:
        result |= {"seats": [seat["seat"] for seat in body["seats"]], "owner": parse_hold_id(body["id"]).owner}
        if "expires_at" in body:
            result["deadline"] = _ms(body["expires_at"])
        if answer.headers.get("Idempotency-Replayed"):
            result["replayed"] = True
        elif op != "check_out":  # a booking's clock may be another's than Redis'
            result["now"] = _ms(body["server_time"])
    elif word == "map":
        result["status"] = [(seat["seat"], seat["status"]) for seat in body["seats"] if seat["status"] != "AVAILABLE"]
    elif word == "confirmed":
        sold = [ticket["seat"] for ticket in body.get("tickets", ()) if ticket["status"] != "REFUNDED"]
        result["seats"] = sold
    return result


def _status_word(op, body):
    """Say what the status of a read hold or booking means: only what surely comes from Redis or the ledger."""
    if op == "read_hold":
        return "hold" if body["status"] == "HELD" else "booking"
    return "confirmed" if body["status"] == "CONFIRMED" and body.get("tickets") else body["status"].lower()


def _refused(op, status, body):
    result = {"word": body.get("code", f"http_{status}")}
    if result["word"] == "seats_taken":
        result["taken"] = [taken_seat(entry) for entry in body["seats"]]
    if "showtime_status" in body:
        result["closed"] = body["showtime_status"]
    return result


def _json(answer):
    try:
        return answer.json() if answer.content else {}
    except ValueError:
        return {}


def _ms(text):
    return round(datetime.fromisoformat(text).timestamp() * 1000)

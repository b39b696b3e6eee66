"""Histories: what is recorded, from calls in process and over HTTP, and read again."""

import asyncio
from multiprocessing import get_context

import httpx
import pytest

from engine.errors import Refusal, Unavailable
from engine.seats.ids import HoldId
from engine.seats.lane import Lane
from engine.seats.records import Hold
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from tests.lanes import Registry
from tests.showtimes import load_showtime, named
from tests.simulation.history import Call, RecordedSeats, Recorder, read_calls
from tests.simulation.watched import watch

HOLD = HoldId(claimed_at_ms=1_000, owner=7, showtime=42)
AT = "2026-11-21T08:00:00.250Z"
AT_MS = 1_795_248_000_250


def test_a_history_is_read_as_it_was_written(tmp_path):
    """Results, unknown ends and marks come back the same, from all who appended to one file."""
    path = tmp_path / "calls.jsonl"
    known = Call("claim", 42, {"who": "anna", "seats": [1]}, 1.5, 2.5, {"word": "seats_taken", "taken": [[1, "SOLD"]]})
    unknown = Call("release", 42, {"who": "anna", "owner": 7}, 3.5)
    for call in (known, unknown):
        recorder = Recorder(path)
        recorder.note(call)
        recorder.close()
    recorder = Recorder(path)
    with recorder.during("lost", kind="flushall"):
        pass
    recorder.close()

    first, second, mark = read_calls(path)
    assert (first, second) == (known, unknown)
    assert second.unknown
    assert not first.unknown
    assert (mark.op, mark.key, mark.args) == ("lost", 0, {"kind": "flushall"})
    assert mark.start <= mark.end


def _append(path, who):
    recorder = Recorder(path)
    for number in range(300):
        recorder.add("claim", 42, {"who": who, "seats": list(range(number % 40))}, 0.0, None)
    recorder.close()


def test_processes_append_without_tearing_each_others_lines(tmp_path):
    """Three processes write 300 calls each at once; all 900 are there and whole."""
    path = tmp_path / "calls.jsonl"
    context = get_context("fork")
    writers = [context.Process(target=_append, args=(path, f"writer {number}")) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    calls = read_calls(path)
    assert len(calls) == 900
    assert {call.args["who"] for call in calls} == {"writer 0", "writer 1", "writer 2"}


async def test_calls_in_process_are_recorded_with_what_they_tell(redis_server, redis_url):
    """A claim tells owner, deadline and Redis' time; a refusal tells whose the seats are; a map what is not free."""
    scripts = load_scripts(redis_server.version)
    lane = Lane(redis_url, lambda _: scripts, part="test", identify=Registry().identify)
    await lane.start()
    engine = SeatEngine(lane, scripts, lambda *_: asyncio.sleep(0))
    await load_showtime(engine, 42, seats=9)
    recorder = Recorder()
    seats = RecordedSeats(engine, recorder)
    hold = await seats.claim_seats(42, "anna", [1, 2])
    with pytest.raises(Refusal):
        await seats.claim_seats(42, "budi", [2, 3])
    await seats.read_seats(42, "anna")
    await seats.release_hold(named(hold), "anna")
    await lane.close()

    claim, refusal, shown, release = recorder.calls
    assert claim.args == {"who": "anna", "seats": [1, 2]}
    assert claim.result == {
        "word": "claimed",
        "owner": hold.owner,
        "deadline": hold.deadline_ms,
        "now": hold.now_ms,
        "seats": (1, 2),
        "version": hold.version,
    }
    assert refusal.result["taken"] == [(2, "LOCKED", None, hold.deadline_ms)]
    assert hold.now_ms <= refusal.result["now"] <= hold.now_ms + 5_000
    assert sorted(shown.result["status"]) == [(1, "LOCKED_BY_ME"), (2, "LOCKED_BY_ME")]
    assert (release.op, release.args["owner"], release.result["word"]) == ("release", hold.owner, "released")
    assert release.result["version"] == hold.version + 1
    assert hold.now_ms <= release.result["now"]
    assert [call.start <= call.end for call in recorder.calls] == [True] * 4


class Away:
    """A seat engine whose Redis is away."""

    def __init__(self, outcome):
        self.outcome = outcome

    async def claim_seats(self, *_):
        raise Unavailable("redis_unavailable", outcome=self.outcome)


@pytest.mark.parametrize("outcome", ["unknown", "definite"])
async def test_a_lost_answer_is_unknown_and_a_refused_call_is_not(outcome):
    """Whether Redis has done it is unknown only where the engine says so."""
    recorder = Recorder()
    with pytest.raises(Unavailable):
        await RecordedSeats(Away(outcome), recorder).claim_seats(42, "anna", [1])
    (call,) = recorder.calls
    assert call.unknown == (outcome == "unknown")
    assert (call.end is None) == (outcome == "unknown")


def test_a_repeated_answer_tells_no_time_of_its_first():
    """What a replay says of now is of the repeat."""
    hold = Hold(str(HOLD), 42, 7, "HELD", (1,), 1_000, 9_000, 0, 0, False, b"", None, 5, 3_000, replayed=True)

    class Engine:
        async def claim_seats(self, *_):
            return hold

    recorder = Recorder()
    asyncio.run(RecordedSeats(Engine(), recorder).claim_seats(42, "anna", [1]))
    assert "now" not in recorder.calls[0].result
    assert recorder.calls[0].result["replayed"]


ANSWERS = {
    ("POST", "/api/v1/showtimes/42/holds"): [
        (201, {"id": str(HOLD), "seats": [{"seat": "A1"}], "expires_at": AT, "server_time": AT}),
        (
            409,
            {
                "code": "seats_taken",
                "seats": [{"seat": "A1", "reason": "LOCKED_BY_ME", "hold_id": str(HOLD)}],
            },
        ),
        (503, {"code": "overloaded", "outcome": "definite"}),
        (503, {"code": "redis_unavailable", "outcome": "unknown"}),
        (500, {}),
    ],
    ("GET", "/api/v1/showtimes/42/seats"): [
        (200, {"seats": [{"seat": "A1", "status": "SOLD"}, {"seat": "A2", "status": "AVAILABLE"}]})
    ],
    ("GET", f"/api/v1/bookings/{HOLD}"): [
        (200, {"status": "CONFIRMED", "tickets": [{"seat": "A1", "status": "SOLD"}]})
    ],
    ("DELETE", f"/api/v1/holds/{HOLD}"): [(204, None)],
    ("POST", f"/api/v1/bookings/{HOLD}/cancel"): [(503, {"code": "redis_unavailable", "outcome": "definite"})],
    ("GET", "/api/v1/me"): [(200, {})],
}
HEARD = [
    {"word": "claimed", "seats": ["A1"], "owner": 7, "deadline": AT_MS, "now": AT_MS},
    {"word": "seats_taken", "taken": [("A1", "LOCKED_BY_ME", 7, None)]},
    {"word": "overloaded"},
    None,
    None,
    {"word": "map", "status": [("A1", "SOLD")]},
    {"word": "confirmed", "seats": ["A1"]},
    {"word": "over"},
    None,
]


async def test_what_is_heard_over_http_is_what_is_recorded():
    """Answers become results; a request of several steps that ends in a 503 is unknown whatever the answer says."""

    def answer(request):
        status, body = answers[request.method, request.url.path].pop(0)
        return httpx.Response(status, json=body) if body is not None else httpx.Response(status)

    answers = {where: list(told) for where, told in ANSWERS.items()}
    recorder = Recorder()
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://town/api/v1") as client:
        watch(recorder, client, "anna")
        for (method, path), told in ANSWERS.items():
            for _ in told:
                body = {"json": {"seats": ["A1"]}} if path.endswith("holds") else {}
                await client.request(method, path.removeprefix("/api/v1"), **body)
    assert [call.result for call in recorder.calls] == HEARD
    assert {call.key for call in recorder.calls} == {42}
    assert recorder.calls[0].args == {"who": "anna", "seats": ["A1"]}
    assert recorder.calls[-1].args == {"who": "anna", "owner": 7}


async def test_a_request_that_got_no_answer_is_unknown_and_one_never_sent_is_not():
    """A cut connection leaves the question open; one that was refused does not."""

    def cut(request):
        raise httpx.ReadError("cut")

    def refuse(request):
        raise httpx.ConnectError("refused")

    recorder = Recorder()
    for fail in (cut, refuse):
        async with httpx.AsyncClient(transport=httpx.MockTransport(fail), base_url="http://town") as client:
            watch(recorder, client, "anna")
            with pytest.raises(httpx.HTTPError):
                await client.post("/showtimes/42/holds", json={"seats": ["A1"]})
    assert [call.unknown for call in recorder.calls] == [True, False]

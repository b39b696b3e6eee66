"""The open loop: callers come when they are meant to, and what they wait for anything counts."""

import asyncio
import contextlib

import pytest

from loadtests import open_loop
from loadtests.journeys import KINDS
from loadtests.open_loop import OpenLoop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def serve(answer):
    """Serve by a function (number of the request, its bytes) -> answer; gives the address and what was asked."""
    asked = []

    async def handle(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = [line for line in head.split(b"\r\n") if line.startswith(b"content-length")]
                body = await reader.readexactly(int(length[0].split()[1])) if length else b""
                asked.append(head + body)
                for part in await answer(len(asked), head):
                    writer.write(part)
                    await writer.drain()
                if not part:
                    writer.close()
                    return

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield list(server.sockets[0].getsockname()), asked
        server.close()


def plan(address, **more):
    """Give a plan of the same GET again and again."""
    same = {"address": address, "kind": "repeat", "method": "GET", "path": "/", "status": 200}
    return {**same, "connections": 2, "patience_s": 5, **more}


async def play(what):
    """Play a plan in this process."""
    crowd = OpenLoop(what)
    await crowd.connect()
    return await crowd.play()


async def test_callers_come_at_the_rate_and_are_all_answered():
    """No more and no fewer than the schedule says."""

    async def answer(number, head):
        return [OK[:20], OK[20:]]

    async with serve(answer) as (address, asked):
        saw = await play(plan(address, phases=[{"rate": 100, "seconds": 0.2}, {"rate": 50, "seconds": 0.2}]))
    first, second = saw["phases"]
    assert (first["asked"], second["asked"], len(asked)) == (20, 10, 30)
    assert (first["answers"], first["good"], first["done"]) == ({"200": 20}, 20, 20)
    assert sum(window[1] for window in second["series"]) == 10
    assert not saw["ran_out"]


async def test_callers_who_are_due_together_come_together(monkeypatch):
    """A generator that waits for each of many by itself takes the machine from those who answer."""
    waits, sleep = [], asyncio.sleep

    async def counted(seconds):
        waits.append(seconds)
        await sleep(seconds)

    async def answer(number, head):
        return [OK]

    monkeypatch.setattr(asyncio, "sleep", counted)
    async with serve(answer) as (address, _):
        saw = await play(plan(address, phases=[{"rate": 5_000, "seconds": 0.2}]))
    assert saw["phases"][0]["asked"] == 1_000
    assert min(waits[:-1]) >= open_loop.TICK_S  # the last one is until the phase is over


async def test_a_stall_is_felt_by_all_who_were_to_come_meanwhile():
    """Coordinated omission is counted: one slow answer of 0.3 s delays the 30 callers behind it on the one line."""

    async def answer(number, head):
        if number == 1:
            await asyncio.sleep(0.3)
        return [OK]

    async with serve(answer) as (address, _):
        saw = await play(plan(address, connections=1, phases=[{"rate": 100, "seconds": 0.4}]))
        closed = await play(plan(address, connections=1, phases=[{"rate": 0, "seconds": 0.1}]))
    phase = saw["phases"][0]
    assert phase["asked"] == phase["answers"]["200"] == 40
    assert phase["p50_ms"] > 90
    assert phase["max_ms"] >= 300
    assert closed["phases"][0]["p50_ms"] < 50


async def test_who_waits_too_long_gives_up_and_counts():
    """Nobody is sent any more whose patience is over; the wait is in the percentiles all the same."""

    async def answer(number, head):
        if number == 1:
            await asyncio.sleep(0.3)
        return [OK]

    async with serve(answer) as (address, asked):
        saw = await play(plan(address, connections=1, patience_s=0.1, phases=[{"rate": 100, "seconds": 0.4}]))
    phase = saw["phases"][0]
    assert phase["given_up"] >= 10
    assert phase["given_up"] + phase["answers"]["200"] == phase["asked"] == 40
    assert len(asked) == phase["answers"]["200"]
    assert phase["p90_ms"] > 100


async def test_a_lost_connection_is_an_answer_of_status_0_and_is_opened_again():
    """The others go on."""

    async def answer(number, head):
        return [b"HTTP/1.1 200 OK\r\nContent-Le", b""] if number == 3 else [OK]

    async with serve(answer) as (address, _):
        saw = await play(plan(address, phases=[{"rate": 100, "seconds": 0.2}]))
    assert saw["phases"][0]["answers"] == {"0": 1, "200": 19}


async def test_a_generator_that_comes_late_itself_says_so(monkeypatch):
    """Then no figure counts: its own stall is no fault of the service."""
    monkeypatch.setattr(open_loop, "LAG_MAX_S", 0.02)

    async def answer(number, head):
        return [OK]

    async with serve(answer) as (address, _):
        crowd = OpenLoop(plan(address, phases=[{"rate": 100, "seconds": 0.3}]))
        await crowd.connect()
        stall = asyncio.get_running_loop().call_later(0.1, lambda: __import__("time").sleep(0.1))
        saw = await crowd.play()
        stall.cancel()
    assert saw["lagged"]
    assert saw["lag_p99_ms"] > 50


async def test_a_journey_goes_on_with_what_it_was_answered():
    """Who gets hot seats gives them back, by the id that the answer told; only the claim is timed."""

    async def answer(number, head):
        if head.startswith(b"DELETE"):
            return [b"HTTP/1.1 204 No Content\r\n\r\n"]
        return [b'HTTP/1.1 201 Created\r\ncontent-length: 11\r\n\r\n{"id": "x"}']

    hot = {"kind": "hot", "showtimes": [7], "labels": ["A1", "A2", "A3"], "tokens": ["t"], "seed": 1, "patience_s": 5}
    async with serve(answer) as (address, asked):
        saw = await play({**hot, "address": address, "connections": 1, "phases": [{"rate": 20, "seconds": 0.2}]})
    assert saw["phases"][0]["answers"] == {"201": 4}
    assert [head.split()[:2] for head in asked[:2]] == [
        [b"POST", b"/api/v1/showtimes/7/holds"],
        [b"DELETE", b"/api/v1/holds/x"],
    ]
    assert len(asked) == 8


async def test_a_closed_loop_ends_when_there_is_nothing_left():
    """Every pair of seats is asked for once, from the first that is free."""

    async def answer(number, head):
        return [b"HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n"]

    cold = {"kind": "cold", "showtimes": [1, 2], "labels": ["A1", "A2", "A3", "A4"], "tokens": ["t"], "seed": 1}
    async with serve(answer) as (address, asked):
        one = {**cold, "address": address, "connections": 2, "first": 1, "phases": [{"rate": 0, "seconds": 5}]}
        saw = await play(one)
    assert (saw["ran_out"], saw["phases"][0]["answers"]) == (True, {"409": 3})
    assert len({(head.split()[1], head.rpartition(b"\r\n")[2]) for head in asked}) == 3


async def test_more_callers_than_journeys_are_no_measurement():
    """An open loop that runs out would seem to be quick."""

    async def answer(number, head):
        return [OK]

    cold = {"kind": "cold", "showtimes": [1], "labels": ["A1", "A2"], "tokens": ["t"], "seed": 1}
    async with serve(answer) as (address, _):
        with pytest.raises(SystemExit, match="more callers than journeys"):
            await play({**cold, "address": address, "connections": 1, "phases": [{"rate": 100, "seconds": 1}]})


def test_nobody_claims_twice_in_one_showtime():
    """The limit on holds per customer would be measured, not the claim; 150 pairs need as many customers."""
    plan = {"showtimes": [1, 2, 3], "labels": [f"A{number}" for number in range(300)], "seed": 1}
    plan["tokens"] = [f"t{number}" for number in range(150)]
    for kind in ("cold", "buy"):
        heads = [next(journey).split(b"\r\n") for journey in KINDS[kind](plan)]
        assert len(heads) == len({(head[0], head[2]) for head in heads}) == 450

"""The views for operators, as operators run them: through redis-cli, against every kind of server."""

import subprocess
import time
from pathlib import Path

import pytest

from engine.paths import LUA_DIR
from engine.seats.keys import partition_key, partition_of, script_keys, showtime_key
from engine.seats.scripts import load_scripts
from tests.conftest import find_redis
from tests.seat_places import bit_at

SHOWTIME = 42
SEATS = 50
FAR_MS = 3_600_000
ANN, BEN = b"a" * 16, b"b" * 16


@pytest.fixture
def redis_cli(redis_server):
    """Run redis-cli of the 6.2 wheel, the oldest that must do, as an operator would; give the lines it prints."""
    program = find_redis("redis62")
    assert program is not None

    def run(*arguments: str) -> list[str]:
        command = [Path(program.path).with_name("redis-cli"), "-s", server_socket, "--raw", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.splitlines()

    server_socket = str(redis_server.socket)
    return run


@pytest.fixture
def call(redis_client, redis_server):
    """Run a script of the seat engine as the engine does, and give the outcome word and what follows it."""
    scripts = load_scripts(redis_server.version)

    async def run(name: str, *arguments: bytes | str | int) -> list:
        script = scripts[name]
        keys = script_keys(script.keys, SHOWTIME)
        not_after_ms = int(time.time() * 1000) + FAR_MS
        answer = await redis_client.eval(script.source, len(keys), *keys, 1, not_after_ms, "", *arguments)
        return [answer[0].decode(), *answer[1:]]

    return run


@pytest.fixture
async def hall(call):
    """Open a hall of 50 seats: 3 and 4 sold, 49 blocked, holds end after 100 s, bookings after 200 s."""
    now_ms = int(time.time() * 1000)
    sold, blocked = bytearray(SEATS // 8 + 1), bytearray(SEATS // 8 + 1)
    owners = bytearray(4 * SEATS)
    for seat in (3, 4):
        sold[seat >> 3] |= 0x80 >> (seat & 7)
        owners[4 * seat : 4 * seat + 4] = (7).to_bytes(4, "big")
    blocked[49 >> 3] |= 0x80 >> (49 & 7)
    policy = [100_000, 200_000, 300_000, 600_000, 10, 2, 20, now_ms - 1000, now_ms + FAR_MS, now_ms + 2 * FAR_MS]
    assert (await call("open_showtime", "begin", "nonce", 10_000, 0))[0] == "loading"
    opened = await call(
        "open_showtime", "finish", "nonce", "open", SEATS, 17, 1 << 24, 2, *policy, now_ms + 3 * FAR_MS,
        bytes(sold), bytes(blocked), bytes(owners),
    )  # fmt: skip
    assert opened[0] == "opened"


async def claim(call, subject: bytes, *seats: int) -> tuple[int, int]:
    """Claim seats; give the hold's owner number and the moment of the claim."""
    answer = await call("claim_seats", subject, *seats)
    assert answer[0] == "claimed"
    return answer[3], answer[4]


def view(redis_cli, name: str, *arguments: str) -> list[str]:
    """Run a view of lua/ops/."""
    return redis_cli("--eval", str(LUA_DIR / "ops" / f"{name}.lua"), *arguments)


async def test_the_hall_shows_each_seat_as_it_is(hall, call, redis_cli, redis_client):
    """Free, held, checked out, lapsed, sold and blocked seats each have their letter, and the counts add up."""
    await claim(call, ANN, 10, 11)
    paying = await claim(call, BEN, 20, 21, 22)
    assert (await call("check_out", *paying, BEN, "{}"))[0] == "checked_out"
    lapsed = await claim(call, ANN, 30)
    await redis_client.zadd(showtime_key(SHOWTIME, "deadlines"), {str(lapsed[0]): 1000})

    lines = view(redis_cli, "hall", showtime_key(SHOWTIME, "meta"), ",", "20")

    assert lines[0].startswith("showtime 42  open, sales stop in ")
    assert "generation 1  seq 17  version " in lines[0]
    assert lines[1] == "50 seats: 41 available .  2 held h  3 pending p  1 lapsed ~  2 sold S  1 blocked x"
    assert lines[2:5] == [
        "     0  ...SS.....hh........",
        "    20  ppp.......~.........",
        "    40  .........x",
    ]


async def test_the_hall_lists_the_holds_that_end_next(hall, call, redis_cli):
    """Holds stand in the order of their deadlines, with the seconds that are left; a claim has 100, a booking 200."""
    booked = await claim(call, BEN, 20, 21)
    await call("check_out", *booked, BEN, "{}")
    await call("open_payment", *booked, BEN)
    held = await claim(call, ANN, 10)

    lines = view(redis_cli, "hall", showtime_key(SHOWTIME, "meta"))

    at = lines.index("2 holds, next to end:")
    first, second = lines[at + 1].split(), lines[at + 2].split()
    assert int(first[0]) in range(90, 101)
    assert first[1:] == ["s", "left", "HELD", "owner", str(held[0]), "seats", "10"]
    assert int(second[0]) in range(190, 201)
    assert second[1:] == ["s", "left", "PAYING", "owner", str(booked[0]), "seats", "20", "21"]


async def test_the_hall_is_drawn_as_wide_as_asked_and_lists_as_many_holds(hall, call, redis_cli):
    """The first argument is the width of a line, the second the number of holds listed."""
    await claim(call, ANN, 10)
    lines = view(redis_cli, "hall", showtime_key(SHOWTIME, "meta"), ",", "50", "0")
    assert lines[2:4] == ["     0  ...SS.....h......................................x", "1 holds"]


async def test_the_hall_repeats_by_itself(hall, redis_cli):
    """`-r` and `-i` make a live picture of it: the same view twice, the second time a moment later."""
    lines = redis_cli("-r", "2", "-i", "0.01", "--eval", str(LUA_DIR / "ops" / "hall.lua"), showtime_key(42, "meta"))
    assert len([line for line in lines if line.startswith("showtime 42  open")]) == 2


async def test_the_hall_says_what_is_wrong(hall, redis_cli, redis_client):
    """A seat in two states, and a bitmap that lost its end, are named and not drawn over."""
    seats = showtime_key(SHOWTIME, "seats")
    await redis_client.setbit(seats, bit_at("locked", 3, SEATS), 1)
    await redis_client.setbit(seats, bit_at("blocked", SEATS, SEATS), 0)
    lines = view(redis_cli, "hall", showtime_key(SHOWTIME, "meta"))
    assert "WRONG: 1 seats are in more than one state, shown as !" in lines
    assert "DAMAGED: no sentinel in blocked" in lines
    assert "     0  ...!S..............." in lines
    await redis_client.set(seats, (await redis_client.get(seats))[:15])
    lines = view(redis_cli, "hall", showtime_key(SHOWTIME, "meta"))
    assert "DAMAGED: 15 bytes of seats, not 221, no sentinel in blocked" in lines
    assert "     0  ...!S..............." in lines


@pytest.mark.parametrize(
    ("key", "answer"),
    [
        (showtime_key(43, "meta"), "showtime 43 is not loaded"),
        ("nonsense", "give a key of a showtime: seatlock key 42"),
    ],
)
async def test_the_hall_answers_in_words_when_there_is_nothing(redis_url, redis_cli, key, answer):
    """A showtime that is not loaded, and a wrong key, are one clear line."""
    assert view(redis_cli, "hall", key) == [answer]


async def test_the_views_change_nothing(hall, call, redis_cli, redis_client):
    """Looking writes nothing: every key has the same content before and after."""
    await claim(call, ANN, 10)
    stream = partition_key(partition_of(SHOWTIME), "facts")
    await redis_client.xadd(stream, {"kind": "seats_sold"})
    before = {key: await redis_client.dump(key) for key in await redis_client.keys("*")}
    view(redis_cli, "hall", showtime_key(SHOWTIME, "meta"))
    view(redis_cli, "outbox", stream)
    assert {key: await redis_client.dump(key) for key in await redis_client.keys("*")} == before


async def test_the_outbox_tells_how_far_behind_the_ledger_is(redis_client, redis_cli):
    """Unread and unacknowledged facts are counted for each partition, with the age of the oldest."""
    full, done, silent = (partition_key(partition, "facts") for partition in (0, 1, 2))
    for stream in (full, done):
        await redis_client.xgroup_create(stream, "ledger", id="0", mkstream=True)
    long_ago_ms = int(time.time() * 1000) - 60_000
    for number in range(5):
        await redis_client.xadd(full, {"seq": number}, id=f"{long_ago_ms}-{number + 1}")
    await redis_client.xreadgroup("ledger", "worker", {full: ">"}, count=2)
    await redis_client.xadd(done, {"seq": 1})
    read = await redis_client.xreadgroup("ledger", "worker", {done: ">"})
    await redis_client.xack(done, "ledger", read[0][1][0][0])

    lines = view(redis_cli, "outbox", full, done, silent, ",")

    assert lines[1].split()[:5] == [full, "ledger", "5", "3", "2"]
    ages = [float(word) for word in lines[1].split()[5::2]]
    assert all(60 <= age < 90 for age in ages)
    assert len(ages) == 2
    assert lines[2] == "3 streams: length 6, unread 3, pending 2"


async def test_the_outbox_shows_a_stream_that_nobody_reads(redis_client, redis_cli):
    """Facts without a reader are the alarm that matters most."""
    stream = partition_key(0, "facts")
    await redis_client.xadd(stream, {"seq": 1})
    assert view(redis_cli, "outbox", stream)[1].split()[:5] == [stream, "NO", "GROUP", "1", "1"]


async def test_the_outbox_shows_every_stream_on_demand(redis_url, redis_cli):
    """`all` lists partitions that have nothing to tell, too."""
    streams = [partition_key(partition, "facts") for partition in range(3)]
    lines = view(redis_cli, "outbox", *streams, ",", "all")
    assert [line.split()[0] for line in lines[1:4]] == streams

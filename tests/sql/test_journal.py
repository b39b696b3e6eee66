"""Acts, cases, blocks and generations: what else the ledger keeps."""

import asyncio

import pytest

from engine.ledger.blocks import NewBlock
from engine.ledger.generations import Generations
from engine.ledger.records import BlockSeat
from tests.ledgers import SHOWTIME
from tests.showtimes import refused


async def test_acts_are_written_and_paged(world):
    """Who, what, on what and why; newest first."""
    for number in range(3):
        await world.ledger.record_act("op", "freeze_showtime", f"showtime:{number}", "because", {"n": number})
    page, cursor = await world.ledger.list_acts(None, 2)
    rest, end = await world.ledger.list_acts(cursor, 2)
    assert [(act.subject, act.details) for act in page + rest] == [(f"showtime:{n}", {"n": n}) for n in (2, 1, 0)]
    assert (page[0].actor, page[0].verb, page[0].reason, end) == ("op", "freeze_showtime", "because", None)


async def test_a_case_is_opened_once_and_closed_by_somebody(world):
    """A repeat of its business id is the same case; who closed it stands among the acts."""
    for _ in range(2):
        await world.ledger.open_case("odd", "odd:1", {"x": 1}, showtime=SHOWTIME, session_id="s")
    (case,), _ = await world.ledger.list_cases(None, 10)
    assert (case.kind, case.details, case.showtime, case.session_id) == ("odd", {"x": 1}, SHOWTIME, "s")
    await world.ledger.close_case(case.id, "op", "done")
    with refused("not_found"):
        await world.ledger.close_case(case.id, "op", "done")
    assert (await world.ledger.list_cases(None, 10))[0] == []
    assert [one.id for one in (await world.ledger.list_cases(None, 10, closed=True))[0]] == [case.id]
    assert [act.verb for act in (await world.ledger.list_acts(None, 10))[0]] == ["close_case"]


def block(*seats, **fields):
    """Give a block of seats."""
    rows = tuple(BlockSeat(seat, f"S{seat}") for seat in seats)
    return NewBlock(showtime=SHOWTIME, seats=rows, reason="test", created_by="op", **fields)


async def test_a_seat_is_in_one_block_at_a_time(world):
    """All or nothing, also when two operators ask at once; free again after the release."""
    made = await asyncio.gather(
        *(world.ledger.add_block(block(1, seat)) for seat in range(2, 8)), return_exceptions=True
    )
    taken = [answer for answer in made if isinstance(answer, Exception)]
    assert len(taken) == 5
    assert taken[0].details["seats"] == [{"seat": "S1", "reason": "BLOCKED"}]
    (first,) = await world.ledger.list_blocks(SHOWTIME)
    assert len(await world.fetch("SELECT 1 FROM block_seats")) == 2
    released = await world.ledger.release_block(first.id)
    assert released.released_at_ms is not None
    assert (await world.ledger.release_block(first.id)).released_at_ms == released.released_at_ms
    await world.ledger.add_block(block(1))


async def test_a_block_and_its_end_are_acts_in_their_own_transactions(world):
    """Whoever dies before Redis is told has written down who did it; a repeat, the worker or time write nothing."""
    made = await world.ledger.add_block(block(1))
    await world.ledger.release_block(made.id, actor="other", reason="mended")
    await world.ledger.release_block(made.id, actor="third")
    await world.ledger.release_block((await world.ledger.add_block(block(2))).id)
    told = await world.fetch("SELECT actor, verb, subject, reason, details ->> 'block' FROM acts ORDER BY id")
    subject = f"showtime:{SHOWTIME}"
    assert told == [
        ("op", "block_seats", subject, "test", str(made.id)),
        ("other", "unblock_seats", subject, "mended", str(made.id)),
        ("op", "block_seats", subject, "test", str(made.id + 1)),
    ]


async def test_what_redis_was_told_before_the_end_of_a_block_does_not_finish_its_end(world):
    """Schedule: applying and releasing cross each other; the worker must still tell Redis of the end."""
    applied = await world.ledger.add_block(block(1))
    released = await world.ledger.release_block(applied.id)
    await world.ledger.finish_block(applied)
    assert not (await world.ledger.read_block(applied.id)).applied
    await world.ledger.finish_block(released)
    assert (await world.ledger.read_block(applied.id)).applied


async def test_a_block_of_an_unknown_showtime_or_number_is_not_found(world):
    """Nothing is entered."""
    with refused("not_found"):
        await world.ledger.add_block(NewBlock(showtime=999, seats=(BlockSeat(1, "S1"),), reason="", created_by="op"))
    with refused("not_found"):
        await world.ledger.release_block(999)


@pytest.mark.parametrize("pairs", [[("a", "r"), ("b", "r"), ("b", "s"), ("a", "r"), ("c", "s")]])
async def test_every_life_of_a_redis_has_its_generation(ledger_pool, pairs):
    """The newest pair keeps its number, another gets the next one, also on return; all who ask at once get the same."""
    generations = Generations(ledger_pool)
    numbers = [await generations.identify(*pair) for pair in pairs]
    assert numbers == sorted(set(numbers))
    assert await generations.identify(*pairs[-1]) == numbers[-1]
    together = await asyncio.gather(*(generations.identify("new", "pair") for _ in range(8)))
    assert len(set(together)) == 1
    assert together[0] > numbers[-1]


async def test_every_stay_of_a_partition_on_a_node_has_its_generation(ledger_pool):
    """It lasts until the partition was elsewhere: coming back is another one, and generations only grow."""
    house = Generations(ledger_pool).house
    first = await house([1, 2], "a", "r")
    assert await house([1, 2], "a", "r") == first
    moved = await house([1], "b", "r")
    assert await house([2], "a", "r") == {2: first[2]}
    back = await house([1], "a", "r")
    assert first[1] < moved[1] < back[1]
    assert await house([1], "a", "r", back[1]) == back
    assert (await house([1], "a", "r", back[1] + 1))[1] > back[1]
    assert len({tuple((await one).items()) for one in [house([1, 2], "c", "r") for _ in range(2)]}) == 1
    together = await asyncio.gather(*(house([1, 2, 3], "d", "r") for _ in range(6)))
    assert all(numbers == together[0] for numbers in together)
    assert await Generations(ledger_pool).identify("a", "r") not in (first[1], first[2], back[1])

"""The fact streams: trimmed, deleted, without their group, with garbage, doubled, shuffled."""

import json
import time
from uuid import uuid4

from engine.seats.keys import partition_of, showtime_key
from tests.faults.harness import stage
from tests.faults.harness.faults import fault
from tests.faults.redis_tools import audit, command, rebuilt, stream, unread_facts

SHUFFLE = """
local entries = redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')
for i, entry in ipairs(entries) do
  redis.call('XDEL', KEYS[1], entry[1])
end
for i = #entries, 1, -1 do
  redis.call('XADD', KEYS[1], '*', unpack(entries[(i * tonumber(ARGV[2])) % #entries + 1][2]))
end
return #entries
"""
LARGE_PRIME = 7919
SETTLED_WITHIN_S = 60


async def _settled(world):
    """Wait until the money of now has its outcome: what was lost with its fact is found by it."""
    began = time.monotonic()
    async with world.ledger() as ledger:
        lost_at = await ledger.fetchval("SELECT now()")

    async def look():
        async with world.ledger() as ledger:
            open_captures = "SELECT count(*) FROM captures WHERE outcome IS NULL AND captured_at <= $1"
            return not await ledger.fetchval(open_captures, lost_at)

    await world.until(look, "money without an outcome", SETTLED_WITHIN_S)
    await rebuilt(world)
    return {"settled_s": round(time.monotonic() - began, 2)}


@fault("facts-trimmed", holds="sales whose facts were lost become tickets under their own numbers, or refunds")
async def trim_facts(world, chance):
    """The streams are trimmed by length before anybody has read them: bitmaps live, their facts are gone."""
    async with world.keys() as keys:
        with world.mark("lost"):
            async with unread_facts(world, keys) as partitions:
                for partition in partitions:
                    await keys.xtrim(stream(partition), maxlen=0, approximate=False)
            return await _settled(world)


@fault("stream-deleted", holds="as facts-trimmed; the stream's ids begin anew, and nothing is read twice")
async def delete_streams(world, chance):
    """The streams are deleted with their groups, unread facts and all."""
    async with world.keys() as keys:
        with world.mark("lost"):
            async with unread_facts(world, keys) as partitions:
                await keys.delete(*map(stream, partitions))
            return await _settled(world)


@fault("group-destroyed", holds="the group is made again from the stream's beginning; what was applied is passed over")
async def destroy_groups(world, chance):
    """The consumer groups are destroyed in the middle of reading, three times."""
    async with world.keys() as keys:
        for _ in range(3):
            await world.wait(chance.uniform(0.2, 1))
            for partition in range(64):
                if await keys.exists(stream(partition)):
                    await keys.xgroup_destroy(stream(partition), "ledger")


@fault("facts-doubled", holds="a fact that comes again changes nothing (I10)")
async def double_facts(world, chance):
    """Everything in the streams is appended once more, read and unread."""
    async with world.keys() as keys, unread_facts(world, keys) as partitions:
        for partition in partitions:
            for _, fields in await keys.xrange(stream(partition)):
                await keys.xadd(stream(partition), fields)


@fault("facts-shuffled", holds="facts in any order make the same ledger (I10)")
async def shuffle_facts(world, chance):
    """What nobody has read yet is put into another order, while more is appended."""
    async with world.keys() as keys, unread_facts(world, keys, count=6) as partitions:
        for partition in partitions:
            (group,) = await keys.xinfo_groups(stream(partition))
            await keys.eval(SHUFFLE, 1, stream(partition), group["last-delivered-id"], LARGE_PRIME)


@fault("garbage-in-the-stream", holds="what is no fact becomes a case, and the facts around it flow on")
async def add_garbage(world, chance):
    """Entries without showtime, without number, with bytes that are no text, in every stream."""
    async with world.keys() as keys:
        for partition in range(64):
            for fields in ({"a": "b"}, {"showtime": "x", "seq": "-1"}, {b"\xff\xfe": b"\xff" * 50}):
                await keys.xadd(stream(partition), fields)
        await world.confirmed(3, SETTLED_WITHIN_S)

    async def all_are_cases():
        cases = await stage.rows(world, "SELECT count(*) AS found FROM cases WHERE kind = 'poison_fact'")
        return cases[0]["found"] >= 3 * 64

    await world.until(all_are_cases, "a case for each", SETTLED_WITHIN_S)


async def _add_sale(keys, showtime, seq):
    """Append a sale that nobody has paid for."""
    session, booking = f"sess_{uuid4().hex}", str(uuid4())
    data = {"booking": booking, "gateway": "fake", "session": session, "sale": 5, "late": False, "seats": [7]}
    generation = await keys.hget(showtime_key(showtime, "meta"), "generation")
    fact = {"kind": "seats_sold", "showtime": showtime, "generation": generation, "seq": seq, "id": session}
    fact |= {"at": int(time.time() * 1000), "data": json.dumps(data), "trace": ""}
    await keys.xadd(stream(partition_of(showtime)), fact)


@fault("poison-fact", holds="its showtime waits for a person, all others flow on; rebuilt by hand it sells again")
async def poison(world, chance):
    """A sale that no money stands for is appended with the showtime's next number."""
    showtime = await stage.open_showtime(world)
    async with world.keys() as keys, world.town.customer() as buyer:
        booking, payment = await buyer.begin(showtime, "X1")
        await stage.capture(world, payment)
        assert (await stage.ends(world, buyer, booking, "CONFIRMED"))["tickets"]
        seq = await keys.hincrby(showtime_key(showtime, "meta"), "seq", 1)
        await _add_sale(keys, showtime, seq)

        async def frozen():
            answer = await buyer.client.post(f"/showtimes/{showtime}/holds", json={"seats": ["X2"]})
            return (answer.status_code, answer.json().get("code")) == (503, "showtime_frozen")

        await world.until(frozen, "the showtime frozen")
        await world.confirmed(2, SETTLED_WITHIN_S)
        assert ("waits_for_person",) in {one[:1] for one in await audit(world, showtime)}
        status, said = await command(world, "rebuild", showtime, "--force", "--reason", "the ledger is right")
        assert status == 0, said
        await buyer.claim(showtime, "X2")
        assert (await stage.ends(world, buyer, booking, "CONFIRMED"))["tickets"]
    assert await audit(world, showtime) == set()


@fault("fact-takes-a-number", holds="two facts under one number are a case; the showtime is built anew, money settled")
async def take_number(world, chance):
    """An entry that calls itself the next fact of a showtime comes before the true one: a sale is passed over."""
    showtime = await stage.open_showtime(world)
    async with world.keys() as keys, world.town.customer() as buyer:
        first, payment = await buyer.begin(showtime, "X1")
        await stage.capture(world, payment)
        assert (await stage.ends(world, buyer, first, "CONFIRMED"))["tickets"]
        # What it says is true, so that the ledger finds nothing wrong with it: a repeat of the first sale.
        (*_, (_, fields)) = await keys.xrange(stream(partition_of(showtime)))
        seq = int(await keys.hget(showtime_key(showtime, "meta"), "seq"))
        if fields.get(b"showtime") == b"%d" % showtime:
            await keys.xadd(stream(partition_of(showtime)), {**fields, b"seq": seq + 1})
        second, payment = await buyer.begin(showtime, "X2")
        await stage.capture(world, payment)
        assert (await stage.ends(world, buyer, second, "CONFIRMED", "REFUNDED"))["id"]
        assert (await stage.ends(world, buyer, first, "CONFIRMED"))["tickets"]
        await rebuilt(world)
    assert await audit(world, showtime) == set()

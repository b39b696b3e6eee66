"""What is in Redis: emptied, lost key by key, of another type, bits flipped, an older copy of all of it."""

import asyncio
import re
import shutil

from engine.seats.keys import partition_key, partition_of, showtime_key
from engine.seats.seat_string import read_seat_string
from tests.faults.harness import stage
from tests.faults.harness.faults import fault
from tests.faults.redis_tools import KEYS, audit, harm, loaded_anew, loads, pick, rebuilt, repair
from tests.seat_places import MAPS, bit_at, cell_at
from tests.small_catalogue import SEATS as LABELS

SEATS = 8
"""Of the quiet hall; seat indexes are those of `stage.SEATS`."""
HOLD_FIELD = re.compile(rb"\d{1,10}")
CUSTOMER_FIELD = re.compile(rb".{16}", re.DOTALL)
"""Fields of `meta` that have the records of holds and of customers."""


@fault("redis-flushed", holds="FLUSHALL costs holds and unpaid bookings, and nothing else (I14)", quick=True)
async def flush(world, chance):
    """FLUSHALL under load, three times: the process and its name stay the same, so no generation tells of it."""
    async with world.keys() as keys:
        for _ in range(3):
            await world.wait(chance.uniform(0.1, 0.8))
            with world.mark("lost"):
                await keys.flushall()


@fault("redis-flushed-during-a-load", holds="a load that lost its beginning is begun anew; half of one is never seen")
async def flush_during_load(world, chance):
    """A load stands still between its first step and its last (the ledger's row is locked), and FLUSHALL comes."""
    async with world.keys() as keys, world.ledger() as ledger:
        showtime = await pick(world, chance, keys)
        loading = showtime_key(showtime, "loading")
        for _ in range(2):
            with world.mark("lost"):
                async with ledger.transaction():
                    await ledger.execute("SELECT FROM showtimes WHERE id = $1 FOR UPDATE", showtime)
                    await keys.flushall()
                    claim = asyncio.create_task(world.load.claim(world.load.buyer(chance), showtime, ["A1"]))
                    await world.until(lambda: keys.exists(loading), "a load under way")
                    await keys.flushall()
                await claim
                await loaded_anew(world, keys, showtime, 0)


def _lost(name):
    @fault(
        f"key-lost-{name}",
        holds=f"a showtime without its key `{name}` is never sold from: its next call loads it from the ledger",
    )
    async def lose(world, chance):
        """One key of a showtime under load is deleted, as by a person or an eviction."""
        return await harm(world, chance, lambda keys, showtime: keys.delete(showtime_key(showtime, name)))


for _name in KEYS:
    _lost(_name)


@fault("key-lost-checkouts", holds="a booking whose check-out is lost is never sold: its next call loads the showtime")
async def lose_checkouts(world, chance):
    """The key `checkouts`, which is there while somebody is checked out, is deleted under load."""
    with_bookings = (*KEYS, "checkouts")
    return await harm(world, chance, lambda keys, number: keys.delete(showtime_key(number, "checkouts")), with_bookings)


async def _mistype(keys, key):
    """Put something of another type where a key of ours was."""
    kind = await keys.type(key)
    async with keys.pipeline(transaction=True) as both:
        both.delete(key)
        if kind == b"string":
            both.rpush(key, "strange")
        else:
            both.set(key, "strange")
        await both.execute()


@fault("key-of-another-type", holds="damage is seen before the first write, and mended by a load from the ledger")
async def mistype(world, chance):
    """A key of a showtime is a list, or a text, all of a sudden: each kind of key once."""
    told = {}
    wanted = (*KEYS, "checkouts")
    for name in wanted:

        async def act(keys, showtime, name=name):
            await _mistype(keys, showtime_key(showtime, name))

        told = await harm(world, chance, act, wanted)
    return told


@fault("stream-of-another-type", holds="a partition whose stream was overwritten gets a new one; the others flow on")
async def mistype_stream(world, chance):
    """The partition's fact stream is a text: sales are refused rather than made without their fact.

    Only who has a fact to tell looks at the stream, so somebody is about to pay.
    """
    async with world.keys() as keys:

        async def check_out():
            showtime, buyer = await pick(world, chance, keys), world.load.buyer(chance)
            held = await world.load.claim(buyer, showtime, [chance.choice(LABELS)])
            booking = held and await world.load.check_out(buyer, held)
            return booking and (showtime, buyer, booking)

        showtime, buyer, booking = await world.until(check_out, "somebody about to pay")
        with world.mark("lost"):
            before = await loads(keys, showtime)
            await _mistype(keys, partition_key(partition_of(showtime), "facts"))
            await world.load.pay(buyer, booking)
            healed_s = await loaded_anew(world, keys, showtime, before)
            await rebuilt(world)
    return {"healed_s": healed_s}


@fault("lapses-of-another-type", holds="the hint about lapses is dropped; holds end without it")
async def mistype_lapses(world, chance):
    """The partition's sorted set of lapses is a text."""
    async with world.keys() as keys:
        showtime = await pick(world, chance, keys)
        key = partition_key(partition_of(showtime), "lapses")
        with world.mark("lost"):
            await _mistype(keys, key)
            await world.until(lambda: _is_no_text(keys, key), "the hint whole again")
            await rebuilt(world)


async def _is_no_text(keys, key):
    return await keys.type(key) != b"string"


@fault("load-of-another-type", holds="what stands in a load's way is replaced by it")
async def mistype_load(world, chance):
    """A key `loading` that is no hash, where a load is needed."""

    async def act(keys, showtime):
        await keys.set(showtime_key(showtime, "loading"), "strange")
        await keys.delete(showtime_key(showtime, "meta"))

    return await harm(world, chance, act)


@fault("sentinel-lost", holds="a map whose last bit is gone is lost memory, never `all free`")
async def lose_sentinel(world, chance):
    """The sentinel of a bitmap, or of the sorted set, is taken away: each once."""
    told = {}
    for name in (*MAPS, "deadlines"):

        async def act(keys, showtime, name=name):
            if name in MAPS:
                seats = await _seats_of(keys, showtime)
                await keys.setbit(showtime_key(showtime, "seats"), bit_at(name, seats, seats), 0)
            else:
                await keys.zrem(showtime_key(showtime, name), "0")

        told = await harm(world, chance, act)
    return told


async def _seats_of(keys, showtime):
    return int(await keys.hget(showtime_key(showtime, "meta"), "seats_count"))


@fault("seats-cut-short", holds="a map of another length than it should have is lost memory, wherever it was cut")
async def cut_seats(world, chance):
    """The string `seats` ends in its first bitmap, before its cells, within the last, or is all zeros: each once."""
    told = {}
    for cut in ("bitmap", "cells", "last cell", "last byte", "zeros"):

        async def act(keys, showtime, cut=cut):
            seats, key = await _seats_of(keys, showtime), showtime_key(showtime, "seats")
            ends = {"bitmap": 1, "cells": cell_at(0, seats), "last cell": -4, "last byte": -1}
            whole = await keys.get(key)
            await keys.set(key, whole[: ends[cut]] if cut in ends else bytes(len(whole)), keepttl=True)

        told = await harm(world, chance, act)
    return told


@fault("older-layout-left", holds="what an older release has left in Redis is met as damage, and loaded anew")
async def leave_older_layout(world, chance):
    """A showtime stands there as a release before wrote it: other keys, and its number of seats under another name."""

    async def act(keys, showtime):
        seats, meta = await _seats_of(keys, showtime), showtime_key(showtime, "meta")
        older = meta.removesuffix("meta")
        async with keys.pipeline(transaction=True) as both:
            both.hset(meta, "seats", seats)
            both.hdel(meta, "seats_count")
            both.delete(showtime_key(showtime, "seats"))
            for name in MAPS:
                both.setbit(older + name, seats, 1)
                both.expire(older + name, 600)
            both.setrange(older + "owners", 4 * seats - 4, bytes(4))
            both.expire(older + "owners", 600)
            await both.execute()

    return await harm(world, chance, act)


@fault("numbers-unreadable", holds="a number that is none is damage, and mended by a load before anything is written")
async def spoil_numbers(world, chance):
    """Fields of meta hold text, or a policy is cut short: each once."""
    told = {}
    for field in ("seats_count", "generation", "seq", "version", "fence", "next_lapse_ms", "policy"):

        async def act(keys, showtime, field=field):
            await keys.hset(showtime_key(showtime, "meta"), field, "17x")

        told = await harm(world, chance, act)
    return told


@fault("records-cut-short", holds="a packed record that is too short is damage, and mended by a load")
async def cut_records(world, chance):
    """The records of holds lose their last bytes; then those of customers, of whom one claims once more."""

    async def cut(keys, showtime, of=HOLD_FIELD, length=22):
        key = showtime_key(showtime, "meta")
        fields = (await keys.hgetall(key)).items()
        records = {field: packed[:length] for field, packed in fields if of.fullmatch(field)}
        if records:
            await keys.hset(key, mapping=records)

    told = await harm(world, chance, cut)
    showtime = await stage.open_showtime(world)
    async with world.keys() as keys, world.town.customer() as buyer:
        await buyer.claim(showtime, "X1")
        before = await loads(keys, showtime)
        await cut(keys, showtime, CUSTOMER_FIELD, 5)
        await buyer.claim(showtime, "X2")
        assert await loads(keys, showtime) > before
    return told


async def _quiet(world, chance):
    """Give a showtime that no other buyer knows, and the customer who has bought X1 and X2 and holds X3 there."""
    showtime = await stage.open_showtime(world)
    stack = world.town.customer()
    buyer = await stack.__aenter__()
    try:
        booking, payment = await buyer.begin(showtime, "X1", "X2")
        await stage.capture(world, payment)
        assert (await stage.ends(world, buyer, booking, "CONFIRMED"))["tickets"]
        await buyer.claim(showtime, "X3")
        assert await audit(world, showtime) == set()
    finally:
        await stack.__aexit__(None, None, None)
    return showtime


async def _free(world, showtime, *seats):
    """Claim seats that must be free."""
    async with world.town.customer() as other:
        await other.claim(showtime, *seats)


async def _taken(world, showtime, seat, reason):
    """Ask for a seat that must not be free."""
    async with world.town.customer() as other:
        refused = await other.claim(showtime, seat, status=409)
    assert (refused["code"], [one["reason"] for one in refused["seats"]]) == ("seats_taken", [reason]), refused


@fault("bits-flipped-sold", holds="audit names the seat; it is mended towards the ledger, and sold seats stay sold")
async def flip_sold(world, chance):
    """A bit of `sold` is set: a seat seems sold that nobody bought. Then one is cleared: its ticket is in danger."""
    showtime = await _quiet(world, chance)
    async with world.keys() as keys:
        key = showtime_key(showtime, "seats")
        await keys.setbit(key, bit_at("sold", 5, SEATS), 1)
        assert await audit(world, showtime) == {
            ("owner_differs", "seat 5", "sold in owners", "0"),
            ("sold_without_ticket", "seat 5", "no sale", "sale 0"),
        }
        await repair(world, showtime)
        await _free(world, showtime, "Y2")
        sale = read_seat_string(await keys.get(key)).owners[0]
        await keys.setbit(key, bit_at("sold", 0, SEATS), 0)
        assert await audit(world, showtime) == {
            ("owner_differs", "seat 0", "free in owners", f"{sale}"),
            ("ticket_not_sold", "seat 0", f"sale {sale}", "not sold"),
        }
        # Nobody need wait for an audit: the seat's next claim meets the contradiction.
        await _taken(world, showtime, "X1", "SOLD")
    assert await audit(world, showtime) == set()


@fault("bits-flipped-locked", holds="audit names the seat; a seat without a hold is sold again after the repair")
async def flip_locked(world, chance):
    """A bit of `locked` is cleared under a hold, then one is set that has no hold."""
    showtime = await _quiet(world, chance)
    async with world.keys() as keys:
        key = showtime_key(showtime, "seats")
        owner = read_seat_string(await keys.get(key)).owners[2]
        await keys.setbit(key, bit_at("locked", 2, SEATS), 0)
        assert await audit(world, showtime) == {
            ("owner_differs", "seat 2", "free in owners", f"{owner}"),
            ("hold_without_seat", "seat 2", f"locked by hold {owner}", f"free, owner {owner}"),
        }
        await repair(world, showtime)
        await keys.setbit(key, bit_at("locked", 6, SEATS), 1)
        assert await audit(world, showtime) == {("hold_missing", "seat 6", "a hold that has it", "owner 0")}
        await repair(world, showtime)
        await _free(world, showtime, "Y3")


@fault("bits-flipped-owners", holds="audit names the sale; a seat that is sold again by it is refunded by the ledger")
async def flip_owners(world, chance):
    """A bit of a sold seat's number flips. Then all of it is cleared, and somebody buys the seat before any audit."""
    showtime = await _quiet(world, chance)
    async with world.keys() as keys:
        key = showtime_key(showtime, "seats")
        sale = read_seat_string(await keys.get(key)).owners[0]
        bit = chance.randrange(32)
        flipped = sale ^ 1 << 31 - bit
        await keys.setbit(key, 8 * cell_at(0, SEATS) + bit, flipped >> 31 - bit & 1)
        assert await audit(world, showtime) == {("sale_differs", "seat 0", f"sale {sale}", f"sale {flipped}")}
        await repair(world, showtime)
        await keys.setrange(key, cell_at(0, SEATS), b"\0\0\0\0")
        async with world.town.customer() as second:
            answer = await second.client.post(f"/showtimes/{showtime}/holds", json={"seats": ["X1"]})
            if answer.status_code == 201:
                payment = await second.pay(await second.check_out(answer.json()))
                await stage.capture(world, payment)
                back = await world.until(
                    lambda: stage.money_back(world, [payment["session_id"]]), "the money back", stage.SETTLED_S
                )
                assert back == {payment["session_id"]: payment["amount"]}
        await rebuilt(world)
        await _taken(world, showtime, "X1", "SOLD")
    assert await audit(world, showtime) == set()


@fault(
    "bits-flipped-policy", holds="audit says which rule differs from the ledger's; repaired, the rules are told anew"
)
async def flip_policy(world, chance):
    """A bit of the packed rules flips: holds would live for weeks, or a customer could have any number of seats."""
    showtime = await _quiet(world, chance)
    async with world.keys() as keys:
        meta = showtime_key(showtime, "meta")
        packed = bytearray(await keys.hget(meta, "policy"))
        rules = bytes(packed)
        packed[0] ^= 1  # the highest byte of hold_ttl_ms
        await keys.hset(meta, "policy", bytes(packed))
        found = await audit(world, showtime)
        assert found == {("policy_differs", "key meta", "hold_ttl_ms 60000", f"hold_ttl_ms {60000 + 2**24}")}, found
        await repair(world, showtime)
        assert await keys.hget(meta, "policy") == rules


@fault(
    "old-backup-restored", holds="sales that the copy does not know are loaded from the ledger, and none is sold twice"
)
async def restore_backup(world, chance):
    """Killed, and an older copy of the data put in its place: its seqs are behind the ledger's."""
    data, copy = world.redis.folder / "appendonlydir", world.folder / "backup"
    shutil.copytree(data, copy)
    try:
        await world.confirmed(chance.randint(3, 8))
        with world.mark("lost"):
            await _put_back(world, data, copy)
    finally:
        shutil.rmtree(copy)


@fault("backup-of-an-earlier-life-restored", holds="a copy is not adopted for being complete as of its own life's end")
async def restore_earlier_life(world, chance):
    """Copy, restart, sales in the second life, the copy comes back: its seq is the ledger's of its generation."""
    data, copy = world.redis.folder / "appendonlydir", world.folder / "backup"
    with world.mark("lost"):
        await world.redis.end()
        shutil.copytree(data, copy)
        await world.redis.start()
    try:
        await world.confirmed(chance.randint(3, 8))
        with world.mark("lost"):
            await _put_back(world, data, copy)
    finally:
        shutil.rmtree(copy)


async def _put_back(world, data, copy):
    await world.redis.kill()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    await world.redis.start()

"""Putting a showtime into Redis from what the ledger knows, in steps; see lua/open_showtime.lua.

These calls never restore by themselves: they are what restoring is made of.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Any

from engine import limits
from engine.seats.answers import refusal_of
from engine.seats.ids import subject_key
from engine.seats.records import LoadBegun, ShowtimeLoad
from engine.seats.script_calls import ScriptCalls


class LoadCalls(ScriptCalls):
    """Steps of a load: begin, install parts, finish. Closing or freezing the showtime meanwhile makes it lost.

    All raise Unavailable as `Lane.call`, and `overloaded` when the call came too late.
    """

    async def begin_load(self, showtime: int, nonce: str, *, force: bool = False) -> LoadBegun:
        """Announce a load under a new nonce; `force` also when the showtime is loaded."""
        answer = await self._load_step(showtime, "begin", nonce, limits.LOAD_NONCE_TTL_MS, int(force))
        if answer[0] == b"loading":
            return LoadBegun("loading")
        if answer[0] == b"loaded":
            return LoadBegun("loaded")
        if answer[0] == b"loading_elsewhere":
            return LoadBegun("loading_elsewhere", wait_ms=max(answer[2], 0))
        raise refusal_of(answer, showtime)

    async def install_part(self, showtime: int, nonce: str, bought: Mapping[str, int]) -> bool:
        """Install how many seats each subject has bought, some of them at a time; False if the load is lost."""
        packed = [
            part for subject, seats in bought.items() for part in (subject_key(subject), struct.pack(">H", seats))
        ]
        answer = await self._load_step(showtime, "part", nonce, *packed)
        if answer[0] in (b"installed", b"load_lost"):
            return bool(answer[0] == b"installed")
        raise refusal_of(answer, showtime)

    async def finish_load(self, showtime: int, nonce: str, load: ShowtimeLoad) -> bool:
        """Install the seats and open the showtime to calls; False if the load is lost.

        Raises:
            Refusal: `showtime_closed`: it ended so long ago that its keys would be gone at once.
        """
        owners = bytearray(4 * load.seats)
        for seat, sale_number in load.sold.items():
            struct.pack_into(">I", owners, 4 * seat, sale_number)
        answer = await self._load_step(
            showtime,
            "finish",
            nonce,
            load.status,
            load.seats,
            load.seq,
            first_owner_number(load.loads),
            len(load.sold),
            *load.policy.numbers(),
            _bitmap(load.sold, load.seats),
            _bitmap(load.blocked, load.seats),
            bytes(owners),
            generation=load.generation,
        )
        if answer[0] in (b"opened", b"load_lost"):
            return bool(answer[0] == b"opened")
        raise refusal_of(answer, showtime)

    async def adopt_showtime(
        self, showtime: int, old_generation: int, old_seq: int, loads: int, generation: int | None = None
    ) -> bool:
        """Stamp a showtime, whose data was proved complete up to (old_generation, old_seq), with this generation.

        Args:
            loads: counted anew, as for a load: owner numbers go on where none was ever given.

        Returns:
            False if it is not (any more) what was proved, not loaded, or damaged: then it must be loaded.
        """
        answer = await self._write_once(
            "adopt_showtime", showtime, (old_generation, old_seq, first_owner_number(loads)), generation=generation
        )
        if answer[0] == b"adopted":
            return True
        if answer[0] in (b"stale_generation", b"not_loaded", b"damaged"):
            return False
        raise refusal_of(answer, showtime)

    async def _load_step(self, showtime: int, *args: bytes | str | int, generation: int | None = None) -> list[Any]:
        return await self._write_once("open_showtime", showtime, args, generation=generation)


def first_owner_number(loads: int) -> int:
    """Give the number after which a load begins to count owners: numbers do not repeat over 256 loads."""
    return (loads & 0xFF) << 24


def _bitmap(seats: Iterable[int], count: int) -> bytes:
    bits = bytearray(count // 8 + 1)
    for seat in seats:
        bits[seat >> 3] |= 0x80 >> (seat & 7)
    return bytes(bits)

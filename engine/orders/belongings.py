"""What a customer has, of all showtimes: live holds, and everything of a guest who has become somebody.

Of the seat engine's hints nothing is believed: each hold is read where it is, by the proof of its subject.
"""

import msgspec
import structlog

from engine.errors import Refusal
from engine.ledger.ledger import Ledger
from engine.orders.pricing import read_checkout
from engine.seats.ids import HoldId
from engine.seats.records import Hold
from engine.seats.seat_engine import SeatEngine

log = structlog.get_logger()

GONE = ("hold_expired", "not_found")


class Left(msgspec.Struct, frozen=True):
    """A hold that stays the guest's, and the word why: `hold_limit` or `seat_limit` of the account."""

    id: str
    code: str


class Moved(msgspec.Struct, frozen=True):
    """What went over from a guest to an account.

    Attributes:
        holds: ids of live holds, checked out or not.
        bookings: how many the ledger had, paid or ended ones too.
        left: what could not go over.
    """

    holds: tuple[str, ...] = ()
    bookings: int = 0
    left: tuple[Left, ...] = ()


class Belongings:
    """Finds, ends and moves what is a customer's."""

    def __init__(self, seats: SeatEngine, ledger: Ledger) -> None:
        self._seats = seats
        self._ledger = ledger

    async def live_holds(self, subject: str) -> list[Hold]:
        """Give the subject's live holds, checked out or not, newest first.

        Raises:
            Unavailable: `redis_unavailable`, `overloaded`, `showtime_frozen`.
        """
        found = [await self._read(hold_id, subject) for hold_id in await self._seats.holds_of(subject)]
        return [hold for hold in found if hold is not None]

    async def release_holds(self, subject: str) -> int:
        """Give the seats of all holds back that were not checked out; give how many holds it were.

        Raises:
            Unavailable: as `live_holds`; the same call is safe.
        """
        ended = 0
        for hold in await self.live_holds(subject):
            if hold.status == "HELD":
                ended += await self._seats.release_hold(_id_of(hold), subject)
        return ended

    async def move(self, guest: str, account: str) -> Moved:
        """Give an account what its holder had as a guest: live holds first, then the ledger's rows.

        A booking whose hold is left stays whole with the guest. After an error the same call does the rest.

        Args:
            guest: the guest's subject; the caller has seen a valid token of it.
            account: the account's subject.

        Raises:
            Unavailable: `redis_unavailable`, `ledger_unavailable`, `overloaded`, `showtime_frozen`.
        """
        moved: list[str] = []
        left: list[Left] = []
        # Bookings first: if the limits are not enough for all, these are worth more.
        for hold in sorted(await self.live_holds(guest), key=lambda hold: hold.status == "HELD"):
            try:
                if await self._move(hold, guest, account):
                    moved.append(hold.id)
            except Refusal as refusal:
                left.append(Left(hold.id, refusal.code))
        bookings = await self._ledger.move_bookings(guest, account, [hold.id for hold in left])
        if moved or bookings or left:
            log.info("guest_moved", guest=guest, subject=account, holds=len(moved), bookings=bookings, left=len(left))
        return Moved(tuple(moved), bookings, tuple(left))

    async def _move(self, hold: Hold, guest: str, account: str) -> bool:
        """Move one hold; False if it ended meanwhile.

        Raises:
            Refusal: `hold_limit`, `seat_limit`; `hold_changed` if it was checked out and changed again and again.
        """
        for last in (False, True):
            checkout = read_checkout(hold)
            renamed = None if checkout is None else msgspec.structs.replace(checkout, subject=account)
            try:
                await self._seats.move_hold(hold, guest, account, msgspec.json.encode(renamed) if renamed else None)
            except Refusal as refusal:
                if refusal.code in GONE:
                    return False
                if refusal.code != "hold_changed" or last:
                    raise
            else:
                return True
            again = await self._read(_id_of(hold), guest)
            if again is None:
                return False
            hold = again
        raise AssertionError("the second try returns or raises")

    async def _read(self, hold_id: HoldId, subject: str) -> Hold | None:
        try:
            hold = await self._seats.read_hold(hold_id, subject)
        except Refusal as refusal:
            if refusal.code in GONE:
                return None
            raise
        return None if hold.showtime_cancelled else hold


def _id_of(hold: Hold) -> HoldId:
    return HoldId(hold.claimed_at_ms, hold.owner, hold.showtime)

"""`seatlock cancel`: the same act as the operators' request, and a bar that shows how far its consequences are."""

import asyncio
import getpass
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager

from engine import limits
from engine.cancelling import close_showtime
from engine.errors import CommandError, Refusal, Unavailable
from engine.ledger.cancellations import Cancellation, CancellationPreview
from engine.ledger.database import open_pool, reading
from engine.ledger.generations import Generations
from engine.ledger.ledger import Ledger
from engine.ledger.partitions import APPLICATION
from engine.ledger.queries import query
from engine.orders.money import format_amount
from engine.progress import Progress
from engine.redis_clients import open_lane
from engine.runtime import ANY_VERSION, close_pool
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from engine.settings import Settings


async def cancel(settings: Settings, showtime: int, reason: str, *, dry_run: bool) -> str:
    """Cancel a showtime and wait until all that follows is done, or say that nobody is there to do it.

    Returns:
        What the command prints.

    Raises:
        CommandError: there is no such showtime, or it ended too long ago, or Redis cannot be told.
        Unavailable: `ledger_unavailable`.
    """
    async with _open(settings) as (ledger, seats):
        try:
            if dry_run:
                return await _preview(ledger, showtime)
            decision = await ledger.cancel_showtime(_actor(), showtime, reason)
        except Refusal as refusal:
            why = (
                "there is no showtime" if refusal.code == "not_found" else "it is over since more than a week: showtime"
            )
            raise CommandError(f"{why} {showtime}") from None
        cancellation = decision.cancellation
        if cancellation.closed_at_ms is None:
            try:
                await close_showtime(ledger, seats, showtime)
            except Unavailable as error:
                told = f"showtime {showtime} is cancelled, but Redis could not be told; a worker tells it when it can"
                raise CommandError(f"{told} ({error.code}: {error})") from error
        end = await _watch(ledger, showtime)
    when = "is" if decision.fresh else "was already"
    lines = [f"showtime {showtime} {when} cancelled: {_met(cancellation)}"]
    if end.done_at_ms is None:
        lines.append("no worker is alive: holds, tickets and seats wait for `seatlock worker`")
    lines += [
        f"refunds {sums.status}: {sums.refunds}, {format_amount(sums.amount_minor, sums.currency)}"
        for sums in end.refunds
    ]
    return "\n".join(lines)


async def _preview(ledger: Ledger, showtime: int) -> str:
    try:
        cancelled = await ledger.read_cancellation(showtime)
    except Refusal:
        return f"showtime {showtime} would be cancelled: {_met(await ledger.preview_cancellation(showtime))}"
    return f"showtime {showtime} was already cancelled: {_met(cancelled)}"


async def _watch(ledger: Ledger, showtime: int) -> Cancellation:
    """Show how far a cancellation is until it is done, or as long as a worker is alive."""
    with Progress() as progress:
        while True:
            seen = await ledger.read_cancellation(showtime)
            refunded = max(0, seen.tickets - seen.tickets_left)
            progress.report("tickets refunded", refunded, seen.tickets)
            progress.report("seats back in stock", max(0, refunded - seen.seats_left), seen.tickets)
            if seen.done_at_ms is not None or not await _workers(ledger):
                return seen
            await asyncio.sleep(limits.CANCELLATION_POLL_MS / limits.SECOND_MS)


async def _workers(ledger: Ledger) -> int:
    async with reading(ledger.pool) as connection:
        return int(await connection.fetchval(query("count_workers"), APPLICATION))


def _met(met: CancellationPreview | Cancellation) -> str:
    return f"{met.bookings} bookings, {met.tickets} tickets, {_money(met.money)} to give back"


def _money(money: Mapping[str, int]) -> str:
    return " + ".join(format_amount(amount, currency) for currency, amount in sorted(money.items())) or "nothing"


def _actor() -> str:
    """Give who runs the command, as far as the system knows."""
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):
        return "shell"


@asynccontextmanager
async def _open(settings: Settings) -> AsyncIterator[tuple[Ledger, SeatEngine]]:
    """Open what the command needs; an operator's shell need not have the secrets that an API has."""
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, application="seatlock-cancel")
        stack.push_async_callback(close_pool, pool)
        lane = open_lane(settings.redis_url, "cancel", Generations(pool))
        stack.push_async_callback(lane.close)
        await lane.start()
        yield Ledger(pool), SeatEngine(lane, load_scripts(ANY_VERSION), _restore)


async def _restore(showtime: int, why: str, _said_ms: int) -> None:
    raise Unavailable("showtime_frozen", f"showtime {showtime} is {why} in Redis, and a worker must restore it")

"""Where tickets are printed: a thread beside the event loop, so that documents never hold up a claim.

What prints documents is imported there, at the first one: it takes as long as all the rest of a process' start.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from engine.errors import Unavailable
from engine.limits import TICKET_PRINTS_AT_ONCE, TICKET_PRINTS_WAITING_MAX
from engine.tickets.pictures import qr_png, qr_svg
from engine.tickets.records import ETicket, Size

T = TypeVar("T")


class TicketPress:
    """Prints off the event loop; a bounded number at once, a bounded number in wait. All raise `overloaded`."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(TICKET_PRINTS_AT_ONCE, thread_name_prefix="tickets")
        self._waiting = 0

    async def pdf(self, tickets: Sequence[ETicket], size: Size | None = None) -> bytes:
        """Print a document; see `ticket_pdf`."""
        return await self._run(_ticket_pdf, tickets, size)

    async def ics(self, tickets: Sequence[ETicket]) -> bytes:
        """Write a calendar entry; see `calendar_event`."""
        return await self._run(_calendar_event, tickets)

    async def svg(self, code: str) -> bytes:
        """Draw the QR of a code as an SVG."""
        return await self._run(qr_svg, code)

    async def png(self, code: str) -> bytes:
        """Draw the QR of a code as a PNG."""
        return await self._run(qr_png, code)

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        if self._waiting >= TICKET_PRINTS_WAITING_MAX:
            raise Unavailable("overloaded", "Too many tickets are being printed.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1


def _ticket_pdf(tickets: Sequence[ETicket], size: Size | None) -> bytes:
    from engine.tickets.pdf import ticket_pdf

    return ticket_pdf(tickets, size)


def _calendar_event(tickets: Sequence[ETicket]) -> bytes:
    from engine.tickets.calendar import calendar_event

    return calendar_event(tickets)

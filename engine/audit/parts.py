"""What an audit and a rebuild work with. An operator's shell need not have the secrets that an API or worker has."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from engine.audit.auditor import Auditor
from engine.audit.rebuilding import Rebuilding
from engine.catalogue.catalogue import Catalogue
from engine.ledger.database import open_pool
from engine.ledger.generations import Generations
from engine.ledger.restore import Restorer
from engine.redis_clients import open_lane, open_redis
from engine.runtime import ANY_VERSION, close_pool
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from engine.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """Open until `open_parts` ends."""

    auditor: Auditor
    rebuilding: Rebuilding


@asynccontextmanager
async def open_parts(settings: Settings) -> AsyncIterator[Parts]:
    """Open what is needed over both servers, whose URLs must be set.

    Raises:
        CommandError: a URL is unreadable.
    """
    async with AsyncExitStack() as stack:
        pool = await open_pool(settings, application="seatlock-audit")
        stack.push_async_callback(close_pool, pool)
        client = open_redis(settings.redis_url)
        stack.push_async_callback(client.aclose)
        catalogue = Catalogue(pool, settings)
        lane = open_lane(settings.redis_url, "audit", Generations(pool))
        stack.push_async_callback(lane.close)

        async def restore(showtime: int, why: str, said_ms: int) -> None:
            await restorer.restore(showtime, why, said_ms)

        seats = SeatEngine(lane, load_scripts(ANY_VERSION), restore)
        restorer = Restorer(pool, client, seats, catalogue)
        auditor = Auditor(pool, client)
        await lane.start()
        yield Parts(auditor, Rebuilding(pool, auditor, restorer))

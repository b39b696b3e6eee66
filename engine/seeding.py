"""Loads a demo catalogue with a progress bar."""

from datetime import UTC, datetime
from typing import Any, Literal

from engine.catalogue.demo import Seeded, seed_demo, seed_onsale
from engine.ledger.database import open_pool
from engine.progress import Progress
from engine.settings import Settings

Profile = Literal["demo", "onsale"]


async def seed(settings: Settings, profile: Profile) -> Seeded:
    """Load a profile into a migrated database: `demo` is the chain's week, `onsale` one big opening.

    Raises:
        CommandError: the database's URL is missing or unreadable.
        Unavailable: `ledger_unavailable`.
    """
    pool: Any = await open_pool(settings, application="seatlock-seed")
    load = seed_demo if profile == "demo" else seed_onsale
    try:
        with Progress() as progress:
            return await load(pool, datetime.now(UTC).date(), progress.report)
    finally:
        await pool.close()

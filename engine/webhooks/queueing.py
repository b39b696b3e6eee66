"""From announcements to deliveries: one statement, inside the transaction that marks the announcements as spread."""

from collections.abc import Sequence
from typing import Any

from engine.ledger.queries import query
from engine.limits import DELIVERY_LIFE_MS


async def queue_deliveries(connection: Any, announcement_ids: Sequence[int]) -> None:
    """Queue what was announced for every endpoint that wants it; a repeat changes nothing.

    Args:
        connection: inside the transaction that spreads the announcements.
        announcement_ids: rows of `announcements`; those of types that no endpoint asked for are passed over.
    """
    await connection.execute(query("queue_deliveries"), list(announcement_ids), DELIVERY_LIFE_MS)

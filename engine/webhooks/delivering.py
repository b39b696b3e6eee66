"""The duties that send webhooks: each endpoint is served by a few lanes of its own, so that a slow one holds up nobody.

A delivery is taken with a lease and a row for the attempt, sent, and noted. Who dies in between leaves the lease to
run out: the event is sent again, with the same id and the same bytes. So every event arrives at least once.
"""

import asyncio
import time
from collections import Counter

import asyncpg
import structlog

from engine import limits
from engine.errors import SeatlockError
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.ledger.rows import to_record
from engine.webhooks.addresses import Addresses
from engine.webhooks.pauses import pause_ms
from engine.webhooks.records import OffReason, Outgoing
from engine.webhooks.sending import Answer, Sender
from engine.webhooks.signing import sign

log = structlog.get_logger()

GONE = 410
"""The endpoint wants no more."""


class Delivering:
    """Sends what is due.

    Args:
        pool: of the ledger.
        addresses: says where webhooks may go.
    """

    def __init__(self, pool: asyncpg.Pool, addresses: Addresses) -> None:
        self._pool = pool
        self._sender = Sender(addresses)
        self._lanes: dict[asyncio.Task[None], int] = {}

    async def deliver_webhooks(self) -> int:
        """Send all that is due or falls due meanwhile; gives how many lanes were opened for it."""
        opened = 0
        try:
            while True:
                async with transaction(self._pool) as connection:
                    await connection.fetch(query("bury_deliveries"), limits.DUTY_BATCH_MAX)
                opened += await self._open_lanes()
                if not self._lanes:
                    return opened
                done, _ = await asyncio.wait(self._lanes, timeout=limits.DUTY_EVERY_MS / limits.SECOND_MS)
                for lane in done:
                    del self._lanes[lane]
        finally:
            await self._close_lanes()

    async def forget_deliveries(self) -> int:
        """Remove what ended long ago from the log."""
        async with transaction(self._pool) as connection:
            rows = await connection.fetch(query("forget_deliveries"), limits.DUTY_BATCH_MAX, limits.DELIVERIES_KEPT_MS)
        return len(rows)

    async def _open_lanes(self) -> int:
        """Open lanes for endpoints that have something due; first one for each, then more."""
        async with reading(self._pool) as connection:
            rows = await connection.fetch(query("list_due_endpoints"), limits.DELIVERIES_PER_ENDPOINT_MAX)
        served, opened = Counter(self._lanes.values()), 0
        for nth in range(limits.DELIVERIES_PER_ENDPOINT_MAX):
            for row in rows:
                endpoint = row["id"]
                if served[endpoint] == nth < row["due"] and len(self._lanes) < limits.DELIVERIES_AT_ONCE_MAX:
                    self._lanes[asyncio.create_task(self._serve(endpoint))] = endpoint
                    served[endpoint] += 1
                    opened += 1
        return opened

    async def _close_lanes(self) -> None:
        for lane in self._lanes:
            lane.cancel()
        await asyncio.gather(*self._lanes, return_exceptions=True)
        self._lanes.clear()

    async def _serve(self, endpoint: int) -> None:
        """Send what is due at one endpoint, one after another."""
        try:
            while (outgoing := await self._take(endpoint)) is not None:
                await self._note(outgoing, await self._send(outgoing))
        except SeatlockError as error:
            log.warning("webhooks_not_delivered", endpoint=endpoint, error=error.code)

    async def _take(self, endpoint: int) -> Outgoing | None:
        async with transaction(self._pool) as connection:
            row = await connection.fetchrow(query("due_delivery"), endpoint, limits.DELIVERY_LEASE_MS)
        return None if row is None else to_record(row, Outgoing)

    async def _send(self, outgoing: Outgoing) -> Answer:
        body = outgoing.body.encode()
        headers = sign(outgoing.secrets, outgoing.event_id, body, int(time.time()))
        return await self._sender.send(outgoing.url, headers, body)

    async def _note(self, outgoing: Outgoing, answer: Answer) -> None:
        """Write down what came of an attempt, and what follows."""
        said = (answer.duration_ms, answer.status_code, answer.text, answer.error)
        async with transaction(self._pool) as connection:
            await connection.execute(query("end_webhook_attempt"), outgoing.id, outgoing.attempt, *said)
            if answer.taken:
                await connection.execute(query("finish_delivery"), outgoing.id)
                await connection.execute(query("note_endpoint_works"), outgoing.endpoint_id)
                return
            gone = answer.status_code == GONE
            pause = pause_ms(outgoing.attempt, answer.retry_after_ms)
            dead = await connection.fetchval(query("postpone_delivery"), outgoing.id, outgoing.attempt, pause, gone)
            await connection.execute(query("note_endpoint_fails"), outgoing.endpoint_id, outgoing.id)
            reason: OffReason = "gone" if gone else "failing"
            off = dead and await connection.fetchval(
                query("switch_off_endpoint"), outgoing.endpoint_id, reason, limits.ENDPOINT_FAILING_MAX_MS
            )
        if off:
            log.warning("webhook_endpoint_off", endpoint=outgoing.endpoint_id, reason=reason)

"""Endpoints, and what happens at a cinema, for tests of outgoing webhooks."""

from engine.ledger.database import transaction
from engine.webhooks.queueing import queue_deliveries
from engine.webhooks.signing import make_secret
from tests.ledgers import PRICE_MINOR, SHOWTIME, World, booking_id


class Told(World):
    """A ledger with endpoints; `K` is the cinema of both showtimes, and `L` another one."""

    async def begin(self):
        """Add the other cinema to the world."""
        await super().begin()
        await self.pool.execute(
            "INSERT INTO cinemas (city_id, slug, name, timezone) VALUES (1, 'l', 'L', 'Asia/Jakarta')"
        )

    async def endpoint(self, *events, cinema=None, url="https://a.example/hook", **changes):
        """Make an endpoint; gives its id."""
        number = await self.pool.fetchval(
            "INSERT INTO webhook_endpoints (url, events, cinema_id, secrets, created_by) "
            "VALUES ($1, $2, $3, $4, 'tests') RETURNING id",
            url,
            list(events) or ["booking.confirmed"],
            cinema,
            [make_secret()],
        )
        for column, value in changes.items():
            await self.pool.execute(f"UPDATE webhook_endpoints SET {column} = $2 WHERE id = $1", number, value)
        return number

    async def confirm(self, owner, seats=(1, 2)):
        """Let a booking be paid and sold; gives its id."""
        await self.intend(owner, seats)
        await self.pay(owner, PRICE_MINOR * len(seats))
        await self.pool.execute("UPDATE bookings SET status = 'CONFIRMED' WHERE id = $1", booking_id(owner))
        return booking_id(owner)

    async def cancel_showtime(self):
        """Cancel the first showtime."""
        await self.pool.execute(
            "UPDATE showtimes SET status = 'CANCELLED', status_reason = 'fire' WHERE id = $1", SHOWTIME
        )

    async def spread(self, *, again=False):
        """Queue deliveries for what was not spread yet, or for everything again."""
        async with transaction(self.pool) as connection:
            rows = await connection.fetch("SELECT id FROM announcements WHERE $1 OR spread_at IS NULL", again)
            await queue_deliveries(connection, [row["id"] for row in rows])
            await connection.execute("UPDATE announcements SET spread_at = now()")

    async def deliveries(self, columns="endpoint_id, type"):
        """Give the deliveries, oldest first."""
        return await self.fetch(f"SELECT {columns} FROM webhook_deliveries ORDER BY announcement_id, id")

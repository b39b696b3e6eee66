"""The composition root: builds every part of the engine once per process and ties them together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import asyncpg
import redis.asyncio

from engine.accounts.attempts import Attempts
from engine.accounts.issuer import Issuer
from engine.accounts.passwords import Passwords
from engine.accounts.renewals import Renewals
from engine.accounts.tokens import Tokens, load_secrets
from engine.accounts.users import Accounts
from engine.catalogue.catalogue import Catalogue
from engine.errors import CommandError
from engine.ledger.database import COMMAND_TIMEOUT_S, open_pool
from engine.ledger.generations import Generations
from engine.ledger.ledger import Ledger
from engine.ledger.outcomes import Outcomes
from engine.ledger.restore import Restorer
from engine.orders.alternatives import Alternatives
from engine.orders.orders import Orders
from engine.redis_clients import open_lane, open_redis
from engine.seats.lane import Lane
from engine.seats.lanes import Lanes
from engine.seats.scripts import load_scripts
from engine.seats.seat_engine import SeatEngine
from engine.settings import Settings
from engine.tickets.keys import TicketKeys, load_ticket_keys
from engine.tickets.press import TicketPress
from engine.webhooks.addresses import Addresses
from engine.webhooks.endpoints import Endpoints

ANY_VERSION = (7,)
"""The seat engine uses only the scripts' key names, which are the same for every server."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """Everything that a request or a duty may need, open until `open_runtime` ends."""

    settings: Settings
    pool: asyncpg.Pool
    redis: redis.asyncio.Redis
    lane: Lane | Lanes
    seats: SeatEngine
    catalogue: Catalogue
    ledger: Ledger
    restorer: Restorer
    accounts: Accounts
    issuer: Issuer | None
    orders: Orders
    outcomes: Outcomes
    alternatives: Alternatives
    webhooks: Endpoints
    ticket_keys: TicketKeys
    press: TicketPress


def check_secrets(settings: Settings) -> None:
    """Look at the secrets before a server is started, which would tell of a wrong one in many lines.

    Raises:
        CommandError: one is missing, or malformed.
    """
    load_secrets(settings)
    load_ticket_keys(settings.ticket_keys)


@asynccontextmanager
async def open_runtime(settings: Settings, part: str) -> AsyncIterator[Runtime]:
    """Open the parts, and close them in the reverse order.

    Redis and PostgreSQL may be away: calls then raise Unavailable, until they are there.

    Args:
        settings: both server URLs must be set.
        part: `api` or `worker`; names the connections.

    Raises:
        CommandError: a URL is missing or unreadable.
    """
    if not settings.redis_url:
        raise CommandError("SEATLOCK_REDIS_URL is not set, and no `seatlock dev` is running")
    async with AsyncExitStack() as stack:
        secret, *older = load_secrets(settings)
        tokens = Tokens(secret, settings.token_ttl_s, older)
        ticket_keys = load_ticket_keys(settings.ticket_keys)
        pool = await open_pool(settings, application=f"seatlock-{part}")
        stack.push_async_callback(close_pool, pool)
        client = open_redis(settings.redis_url)
        stack.push_async_callback(client.aclose)
        issuer = Issuer(settings) if settings.jwks_url else None
        if issuer is not None:
            await issuer.keys.start()
            stack.push_async_callback(issuer.keys.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        press = TicketPress()
        stack.callback(press.close)

        ledger = Ledger(pool)
        catalogue = Catalogue(pool, settings)
        lane = open_lane(settings.redis_url, part, Generations(pool))
        stack.push_async_callback(lane.close)

        async def restore(showtime: int, why: str, said_ms: int) -> None:
            # The seat engine restores through the restorer, which in turn loads through the seat engine.
            await restorer.restore(showtime, why, said_ms)

        seats = SeatEngine(lane, load_scripts(ANY_VERSION), restore)
        restorer = Restorer(pool, client, seats, catalogue)
        outcomes = Outcomes(client, ledger)
        stack.push_async_callback(outcomes.close)
        orders = Orders(settings, seats, catalogue, ledger, outcomes)
        stack.push_async_callback(orders.close)

        addresses = Addresses(private=settings.webhook_private)
        stack.callback(addresses.close)
        await outcomes.start()
        await lane.start()
        yield Runtime(
            settings=settings,
            pool=pool,
            redis=client,
            lane=lane,
            seats=seats,
            catalogue=catalogue,
            ledger=ledger,
            restorer=restorer,
            accounts=Accounts(
                pool,
                tokens,
                passwords,
                Attempts(client, enabled=settings.rate_limit == "on"),
                Renewals(client),
            ),
            issuer=issuer,
            orders=orders,
            outcomes=outcomes,
            alternatives=Alternatives(seats, catalogue),
            webhooks=Endpoints(pool, addresses),
            ticket_keys=ticket_keys,
            press=press,
        )


async def close_pool(pool: asyncpg.Pool) -> None:
    """Let the last statements end, but not for longer than one may take."""
    try:
        async with asyncio.timeout(COMMAND_TIMEOUT_S):
            await pool.close()
    except TimeoutError:
        pool.terminate()

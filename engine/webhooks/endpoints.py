"""Endpoints as operators make, change and look at them, and the log of what was sent there."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, get_args
from uuid import UUID, uuid4

import asyncpg
import msgspec
from msgspec import Meta

from engine import limits
from engine.accounts.tokens import Identity
from engine.catalogue.desk import record_act
from engine.catalogue.records import RowId
from engine.errors import InvalidInput, Refusal
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.ledger.requests import once, recall
from engine.ledger.rows import to_record
from engine.seats.records import Request
from engine.webhooks.addresses import Addresses
from engine.webhooks.records import TEST_TYPE, Delivery, DeliveryStatus, Endpoint, Event, EventData, EventType
from engine.webhooks.signing import make_secret

Url = Annotated[str, Meta(min_length=1, max_length=limits.ENDPOINT_URL_LENGTH_MAX, extra_json_schema={"format": "uri"})]
EventTypes = Annotated[tuple[EventType, ...], Meta(min_length=1, max_length=len(get_args(EventType)))]
Description = Annotated[str, Meta(max_length=limits.CATALOGUE_NAME_LENGTH_MAX)]


class NewEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An endpoint to be made; without `cinema_id` it is told of all cinemas."""

    url: Url
    events: EventTypes
    cinema_id: RowId | None = None
    description: Description = ""


class EndpointChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is to be changed; a new secret signs beside the former ones for a day."""

    url: Url | None = None
    events: EventTypes | None = None
    description: Description | None = None
    active: bool | None = None
    rotate_secret: bool = False


class Endpoints:
    """The desk of webhooks. Every method takes who asks, and refuses `forbidden` what is not theirs.

    Args:
        pool: of the ledger.
        addresses: says where webhooks may go.
    """

    def __init__(self, pool: asyncpg.Pool, addresses: Addresses) -> None:
        self._pool = pool
        self.addresses = addresses

    async def create(self, actor: Identity, new: NewEndpoint, request: Request | None = None) -> tuple[Endpoint, bool]:
        """Make an endpoint; gives it with its secret, and whether an earlier request made it.

        Raises:
            InvalidInput: webhooks may not go to that URL; there is no such cinema.
            Refusal: `forbidden`; `not_found` for a repeat of what was deleted since.
            Unavailable: `ledger_unavailable`.
        """
        require(actor, new.cinema_id)
        if await recall(self._pool, request) is None:
            await self.addresses.check_url(new.url)
        async with once(self._pool, request) as run:
            if not run.replayed:
                run.answer = await _insert(run.connection, actor.subject, new)
            return await _read(run.connection, actor, run.answer, with_secret=True), run.replayed

    async def list_endpoints(self, of: Sequence[int] | None, after: int, limit: int) -> list[Endpoint]:
        """List endpoints with higher ids than `after`: those of some cinemas, or all.

        Raises:
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self._pool) as connection:
            rows = await connection.fetch(query("list_webhook_endpoints"), of, after, limit)
        return [to_record(row, Endpoint) for row in rows]

    async def read(self, actor: Identity, endpoint: int) -> Endpoint:
        """Give one endpoint.

        Raises:
            Refusal: `not_found`, `forbidden`.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self._pool) as connection:
            return await _read(connection, actor, endpoint)

    async def change(self, actor: Identity, endpoint: int, change: EndpointChange) -> Endpoint:
        """Change an endpoint; gives it, with its secret if that is new. Switched on, it has never failed.

        Raises:
            InvalidInput: webhooks may not go to that URL.
            Refusal: `not_found`, `forbidden`.
            Unavailable: `ledger_unavailable`; the same call is safe, each rotation makes one more secret.
        """
        await self.read(actor, endpoint)
        if change.url is not None:
            await self.addresses.check_url(change.url)
        events = None if change.events is None else sorted(set(change.events))
        async with transaction(self._pool) as connection:
            await connection.execute(
                query("update_webhook_endpoint"), endpoint, change.url, events, change.description, change.active
            )
            if change.rotate_secret:
                kept = (limits.ENDPOINT_SECRETS_MAX, limits.ENDPOINT_SECRET_OVERLAP_MS)
                await connection.execute(query("rotate_webhook_secret"), endpoint, make_secret(), *kept)
            fields: dict[str, Any] = msgspec.to_builtins(change)
            details = {name: value for name, value in fields.items() if value is not None}
            await record_act(connection, actor.subject, "change_webhook", f"webhook:{endpoint}", details=details)
            return await _read(connection, actor, endpoint, with_secret=change.rotate_secret)

    async def delete(self, actor: Identity, endpoint: int) -> None:
        """Delete an endpoint, its secrets, and what is on its way to it.

        Raises:
            Refusal: `not_found`, also for one that was deleted; `forbidden`.
            Unavailable: `ledger_unavailable`.
        """
        async with transaction(self._pool) as connection:
            await _read(connection, actor, endpoint)
            await connection.execute(query("delete_webhook_endpoint"), endpoint)
            await record_act(connection, actor.subject, "delete_webhook", f"webhook:{endpoint}")

    # --- Deliveries

    async def list_deliveries(
        self, actor: Identity, endpoint: int, status: DeliveryStatus | None, before: int | None, limit: int
    ) -> list[Delivery]:
        """List what was sent or is to be sent to an endpoint, newest first, below the id `before`.

        Raises:
            Refusal: `not_found`, `forbidden`.
            Unavailable: `ledger_unavailable`.
        """
        async with reading(self._pool) as connection:
            await _read(connection, actor, endpoint)
            rows = await connection.fetch(query("list_webhook_deliveries"), endpoint, status, before, limit)
        return [to_record(row, Delivery) for row in rows]

    async def send_test(self, actor: Identity, endpoint: int, request: Request | None = None) -> tuple[Delivery, bool]:
        """Queue a `webhook.test`, which is tried once; gives it, and whether an earlier request did.

        Raises:
            Refusal: `not_found`, `forbidden`, `endpoint_off`.
            Unavailable: `ledger_unavailable`.
        """
        async with once(self._pool, request) as run:
            found = await _read(run.connection, actor, endpoint)
            if not run.replayed:
                _require_active(found)
                event = uuid4()
                delivery = await run.connection.fetchval(
                    query("insert_test_delivery"), endpoint, event, TEST_TYPE, _test_body(event)
                )
                run.answer = await _read_delivery(run.connection, endpoint, delivery)
            return msgspec.convert(run.answer, Delivery), run.replayed

    async def redeliver(
        self, actor: Identity, endpoint: int, delivery: int, request: Request | None = None
    ) -> tuple[Delivery, bool]:
        """Send an event again, whatever became of it; one that is older than three days is tried once.

        Raises:
            Refusal: `not_found`, `forbidden`, `endpoint_off`.
            Unavailable: `ledger_unavailable`.
        """
        async with once(self._pool, request) as run:
            found = await _read(run.connection, actor, endpoint)
            if not run.replayed:
                _require_active(found)
                if await run.connection.fetchval(query("redeliver"), endpoint, delivery) is None:
                    raise Refusal("not_found")
                run.answer = await _read_delivery(run.connection, endpoint, delivery)
            return msgspec.convert(run.answer, Delivery), run.replayed


def require(actor: Identity, cinema: int | None) -> None:
    """Refuse `forbidden` to whom an endpoint is not: it is its cinema's managers', or the administrators'."""
    if cinema is not None:
        actor.require_cinema(cinema, manager=True)
    elif actor.role != "admin":
        raise Refusal("forbidden", "Name a cinema; only admins have endpoints for all of them.")


def _require_active(endpoint: Endpoint) -> None:
    if not endpoint.active:
        raise Refusal("endpoint_off", off_reason=endpoint.off_reason)


async def _insert(connection: Any, actor: str, new: NewEndpoint) -> int:
    try:
        row = await connection.fetchval(
            query("insert_webhook_endpoint"),
            new.url,
            sorted(set(new.events)),
            new.cinema_id,
            new.description,
            [make_secret()],
            actor,
        )
    except asyncpg.ForeignKeyViolationError:
        raise InvalidInput("/cinema_id", f"there is no cinema {new.cinema_id}") from None
    details = {"url": new.url, "cinema": new.cinema_id}
    await record_act(connection, actor, "create_webhook", f"webhook:{row}", details=details)
    return int(row)


async def _read(connection: Any, actor: Identity, endpoint: int, *, with_secret: bool = False) -> Endpoint:
    row = await connection.fetchrow(query("read_webhook_endpoint"), endpoint, with_secret)
    if row is None:
        raise Refusal("not_found")
    require(actor, row["cinema_id"])
    return to_record(row, Endpoint)


async def _read_delivery(connection: Any, endpoint: int, delivery: int) -> Any:
    """Give a delivery as it is now, as JSON: a repeat of the request is answered the same."""
    row = await connection.fetchrow(query("read_webhook_delivery"), endpoint, delivery)
    return msgspec.to_builtins(to_record(row, Delivery))


def _test_body(event: UUID) -> str:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return msgspec.json.encode(Event(id=f"msg_{event}", type=TEST_TYPE, created_at=now, data=EventData())).decode()

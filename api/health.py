"""Is it alive, is it ready: what an orchestrator and an operator ask."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from api.openapi.describe import describe
from api.wire import Timestamp, answer, now_ms, rfc3339
from engine.ledger.database import reading
from engine.ledger.queries import query
from engine.runtime import Runtime

VERSION = version("seatlock")
PROBE_TIMEOUT_S = 1.0

Health = Literal["ok", "away"]
Status = Literal["ok", "degraded", "unavailable"]


class Dependencies(msgspec.Struct):
    """What this process stands on."""

    redis: Health
    postgresql: Health


class HealthAnswer(msgspec.Struct):
    """How this process and its dependencies are; `generation` counts the lives of the Redis memory."""

    status: Status
    version: str
    generation: int
    dependencies: Dependencies
    server_time: Timestamp


@describe({200: HealthAnswer})
async def read_health(request: Request) -> Response:
    """Answer 200 while the process lives; the body tells how its dependencies are."""
    dependencies = await _probe(request.app.state.runtime)
    return answer(_health(request, dependencies))


@describe({200: HealthAnswer, 503: HealthAnswer})
async def read_ready(request: Request) -> Response:
    """Answer 503 only without Redis: without PostgreSQL seats are still shown and held (`degraded`)."""
    dependencies = await _probe(request.app.state.runtime)
    ready = dependencies.redis == "ok"
    return answer(_health(request, dependencies), 200 if ready else 503, None if ready else {"Retry-After": "1"})


def _health(request: Request, dependencies: Dependencies) -> HealthAnswer:
    status: Status = "ok" if dependencies.postgresql == "ok" else "degraded"
    if dependencies.redis != "ok":
        status = "unavailable"
    runtime: Runtime = request.app.state.runtime
    return HealthAnswer(status, VERSION, runtime.lane.generation, dependencies, rfc3339(now_ms()))


async def _probe(runtime: Runtime) -> Dependencies:
    redis, postgresql = await asyncio.gather(_within(runtime.redis.ping()), _within(_ask_ledger(runtime)))
    return Dependencies(redis, postgresql)


async def _ask_ledger(runtime: Runtime) -> None:
    async with reading(runtime.pool) as connection:
        await connection.fetchval(query("probe"))


async def _within(probe: Awaitable[Any]) -> Health:
    try:
        await asyncio.wait_for(probe, PROBE_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - whatever goes wrong while asking, the dependency did not answer
        return "away"
    return "ok"

"""Is it alive, is it ready: what an orchestrator and an operator ask."""

import asyncio
from collections.abc import Awaitable
from importlib.metadata import version
from typing import Any, Literal

from starlette.requests import Request
from starlette.responses import Response

from api.wire import answer, now_ms, rfc3339
from engine.ledger.database import reading
from engine.ledger.queries import query
from engine.runtime import Runtime

VERSION = version("seatlock")
PROBE_TIMEOUT_S = 1.0

Health = Literal["ok", "away"]


async def read_health(request: Request) -> Response:
    """Answer 200 while the process lives; the body tells how its dependencies are."""
    dependencies = await _probe(request.app.state.runtime)
    return answer(_health(request, dependencies))


async def read_ready(request: Request) -> Response:
    """Answer 503 only without Redis: without PostgreSQL seats are still shown and held (`degraded`)."""
    dependencies = await _probe(request.app.state.runtime)
    ready = dependencies["redis"] == "ok"
    return answer(_health(request, dependencies), 200 if ready else 503, None if ready else {"Retry-After": "1"})


def _health(request: Request, dependencies: dict[str, Health]) -> dict[str, Any]:
    if dependencies["redis"] != "ok":
        status = "unavailable"
    else:
        status = "ok" if dependencies["postgresql"] == "ok" else "degraded"
    runtime: Runtime = request.app.state.runtime
    return {
        "status": status,
        "version": VERSION,
        "generation": runtime.lane.generation,
        "dependencies": dependencies,
        "server_time": rfc3339(now_ms()),
    }


async def _probe(runtime: Runtime) -> dict[str, Health]:
    redis, postgresql = await asyncio.gather(_within(runtime.redis.ping()), _within(_ask_ledger(runtime)))
    return {"redis": redis, "postgresql": postgresql}


async def _ask_ledger(runtime: Runtime) -> None:
    async with reading(runtime.pool) as connection:
        await connection.fetchval(query("probe"))


async def _within(probe: Awaitable[Any]) -> Health:
    try:
        await asyncio.wait_for(probe, PROBE_TIMEOUT_S)
    except Exception:  # noqa: BLE001 - whatever goes wrong while asking, the dependency did not answer
        return "away"
    return "ok"

"""How uvicorn serves our applications, over HTTP/1.1 with the limits of `api.http_protocol`."""

import socket
from collections.abc import Callable
from typing import Any

import uvicorn

from engine.settings import Settings

DRAIN_S = 5
"""How long a server finishes requests that it has begun when it is told to stop."""
KEEP_ALIVE_S = 75
"""Longer than load balancers keep idle connections: who closes first must not be the one who may be sent a request."""


def serve(create_app: str | Callable[[], Any], server: socket.socket, settings: Settings) -> None:
    """Serve on a listening socket until told to stop.

    Args:
        create_app: makes the ASGI application, or where to find what does, as `module:name`.
        server: as of `engine.listening.listen`.
        settings: say what is logged.
    """
    config = uvicorn.Config(
        create_app,
        factory=True,
        http="api.http_protocol:GuardedProtocol",
        # uvicorn would believe X-Forwarded-For of whoever calls from this machine; api/rate_limits.py reads it.
        proxy_headers=False,
        access_log=False,
        server_header=False,
        log_level=settings.log_level,
        timeout_graceful_shutdown=DRAIN_S,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    uvicorn.Server(config).run(sockets=[server])

"""A client that calls an ASGI application inside this process, for tests without an event loop of their own."""

import asyncio
from collections.abc import Iterable

import httpx


class AsgiClient:
    """Sends one request at a time; what the application raises comes out unless it has answered."""

    def __init__(self, app) -> None:
        self._app = app

    def get(self, path: str, **options) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, **options) -> httpx.Response:
        return self.request("POST", path, **options)

    def delete(self, path: str, **options) -> httpx.Response:
        return self.request("DELETE", path, **options)

    def request(self, method: str, path: str, **options) -> httpx.Response:
        """Send a request; an iterable `content` goes out in chunks, without a declared length."""
        content = options.get("content")
        if content is not None and not isinstance(content, bytes | str):
            options["content"] = _chunks(content)
        return asyncio.run(self._send(method, path, options))

    async def _send(self, method: str, path: str, options: dict) -> httpx.Response:
        transport = httpx.ASGITransport(self._app)
        async with httpx.AsyncClient(transport=transport, base_url="http://seatlock.test") as client:
            return await client.request(method, path, **options)


async def _chunks(content: Iterable[bytes]):
    for chunk in content:
        yield chunk

"""The mail sink, a process of its own: a mail server where `SEATLOCK_SMTP_URL` points, and pages over HTTP.

GET /                        the mailbox
GET /messages?to=&limit=     the same as JSON: {items: [{id, message_id, recipients, subject, kind, copies, ...}]}
GET /mails/{id}              one mail; /html its HTML, /text its text, /source as it came, /parts/{n} one of its files
GET /health
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from aiosmtpd.smtp import SMTP, Envelope
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

from api.mail_sink.pages import list_page, mail_page, missing_page, shown_html
from api.mail_sink.store import Mail, MailLine, Store
from engine.errors import CommandError
from engine.limits import MAIL_SINK_MESSAGE_BYTES_MAX, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX
from engine.settings import load_settings

STORE_NAME = "mail-sink.sqlite3"
COMMON_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
PAGE_HEADERS = {
    **COMMON_HEADERS,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; form-action 'none'; frame-ancestors 'none'"
    ),
}
MAIL_HEADERS = {
    **COMMON_HEADERS,
    # What came by mail is shown, and can do nothing: no script, no request but for its own pictures.
    "Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src 'self'",
}


class MailPage(msgspec.Struct):
    """The mailbox as JSON."""

    items: list[MailLine]


class Mailbox:
    """The handlers, and what they share."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def take(self, _server: SMTP, _session: Any, envelope: Envelope) -> str:
        """Keep a mail, once for all of its recipients."""
        assert isinstance(envelope.content, bytes), "the server gives bytes unless it is told to decode"
        self._store.keep(", ".join(envelope.rcpt_tos), envelope.content, time.time_ns() // 1_000_000)
        return "250 OK, it stays here"

    async def show_list(self, request: Request) -> Response:
        """Show the mailbox; `?to=` what came to one address."""
        mails = self._store.list_mails(request.query_params.get("to"), PAGE_LIMIT_MAX)
        return HTMLResponse(list_page(mails), headers=PAGE_HEADERS)

    async def list_messages(self, request: Request) -> Response:
        """Give the mailbox as JSON."""
        limit = request.query_params.get("limit", "")
        count = min(int(limit), PAGE_LIMIT_MAX) if limit.isascii() and limit.isdigit() else PAGE_LIMIT_DEFAULT
        mails = self._store.list_mails(request.query_params.get("to"), count)
        return Response(msgspec.json.encode(MailPage(mails)), headers=COMMON_HEADERS, media_type="application/json")

    async def show_mail(self, request: Request) -> Response:
        """Show a mail."""
        mail = self._find(request)
        if mail is None:
            return HTMLResponse(missing_page(), 404, PAGE_HEADERS)
        return HTMLResponse(mail_page(mail), headers=PAGE_HEADERS)

    async def show_part(self, request: Request) -> Response:
        """Give the HTML, the text or the source of a mail, or a file of it."""
        mail, form = self._find(request), request.path_params["form"]
        if mail is None:
            return Response(status_code=404)
        if form == "html":
            return HTMLResponse(shown_html(mail), headers=MAIL_HEADERS)
        if form == "text":
            return PlainTextResponse(mail.text, headers=COMMON_HEADERS)
        if form == "source":
            return Response(mail.source, headers=_download(f"{mail.id}.eml"), media_type="message/rfc822")
        return Response(status_code=404)

    async def give_file(self, request: Request) -> Response:
        """Give a file of a mail; pictures are shown where they are named, everything else is downloaded."""
        mail, number = self._find(request), request.path_params["part"]
        if mail is None or number >= len(mail.parts):
            return Response(status_code=404)
        part = mail.parts[number]
        shown = part.media_type in ("image/png", "image/jpeg", "image/gif")
        headers = COMMON_HEADERS if shown else _download(part.name)
        return Response(part.content, headers=headers, media_type=part.media_type)

    def _find(self, request: Request) -> Mail | None:
        return self._store.read(min(request.path_params["id"], 2**63 - 1))


def create_app(*, data_dir: Path, host: str, port: int) -> Starlette:
    """Build the app; its lifespan runs the mail server.

    Args:
        data_dir: where its memory is kept.
        host: where the mail server listens.
        port: 0 takes a free one; `app.state.smtp_port` has it.
    """
    store = Store(data_dir / STORE_NAME)
    mailbox = Mailbox(store)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        hooks = SimpleNamespace(handle_DATA=mailbox.take)

        def meet() -> SMTP:
            return SMTP(hooks, data_size_limit=MAIL_SINK_MESSAGE_BYTES_MAX, enable_SMTPUTF8=True, hostname="localhost")

        server = await asyncio.get_running_loop().create_server(meet, host, port)
        app.state.smtp_port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            store.close()

    return Starlette(
        routes=[
            Route("/", mailbox.show_list),
            Route("/messages", mailbox.list_messages),
            Route("/mails/{id:int}", mailbox.show_mail),
            Route("/mails/{id:int}/{form}", mailbox.show_part),
            Route("/mails/{id:int}/parts/{part:int}", mailbox.give_file),
            Route("/health", _health),
        ],
        lifespan=lifespan,
    )


def create_app_from_env() -> Starlette:
    """Build the app from `SEATLOCK_*`, for `uvicorn --factory`.

    Raises:
        CommandError: `SEATLOCK_SMTP_URL` names no port of this machine.
    """
    settings = load_settings()
    parts = urlsplit(settings.smtp_url)
    if parts.scheme != "smtp" or not parts.hostname or not parts.port:
        raise CommandError("the mail sink needs a SEATLOCK_SMTP_URL such as smtp://127.0.0.1:2525")
    return create_app(data_dir=settings.data_dir, host=parts.hostname, port=parts.port)


async def _health(request: Request) -> Response:
    return PlainTextResponse("ok")


def _download(name: str) -> dict[str, str]:
    return {**COMMON_HEADERS, "Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}

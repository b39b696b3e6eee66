"""The fake gateway's ASGI app, a process of its own.

POST /sessions                    open a session (signed by us)
GET  /checkout/{session}          the page where the customer pays
POST /checkout/{session}/pay      its form
POST /sessions/{session}/simulate end a session at once (signed by us); answers after the webhook did
POST /refunds                     money goes back (signed by us), once per refund id
GET  /outcomes?since_ms=&after=   events since a time, delivered or not (signed by us)
GET  /book                        every movement of money (signed by us)
GET  /health
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from urllib.parse import parse_qs, quote

import httpx
import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from api.fake_gateway.book import BOOK_NAME
from api.fake_gateway.cards import Ending, find_card
from api.fake_gateway.counter import Counter
from api.fake_gateway.courier import Courier, now_ms
from api.fake_gateway.database import Database
from api.fake_gateway.faults import Faults, parse_faults
from api.fake_gateway.pages import checkout_page, missing_page
from api.fake_gateway.refunds import Refunds
from api.fake_gateway.store import AlreadyCapturedError, Session, Store, tell
from api.fake_gateway.wire import Guard, TooLargeError, hang, json_answer, read_body
from engine.errors import CommandError, Refusal
from engine.orders.gateways.fake import Outcome, SessionOpened, Simulated
from engine.orders.gateways.protocol import PAYMENT_SUCCESS, NewSession
from engine.orders.gateways.signatures import split_secrets
from engine.settings import Settings, load_settings

WEBHOOK_PATH = "/api/v1/payments/webhook"
DECLINED = "card_declined"
ENDINGS: dict[Outcome, Ending] = {"success": "captured", "failed": "failed", "expired": "expired"}
OUTCOMES = {ending: outcome for outcome, ending in ENDINGS.items()}
PAGE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class SimulateRequest(msgspec.Struct, forbid_unknown_fields=True):
    """How a session is to end."""

    outcome: Outcome


def create_app(
    *,
    data_dir: Path,
    public_url: str,
    webhook_url: str,
    webhook_secret: str,
    faults: Faults | None = None,
    transport: httpx.AsyncBaseTransport | None = None,
    clock: Callable[[], int] = now_ms,
) -> Starlette:
    """Build the app.

    Args:
        data_dir: where its memory is kept.
        public_url: where customers' browsers reach it.
        webhook_url: the address that is told of every payment.
        webhook_secret: what signs the events, and the requests to us; several with commas between while changing.
        faults: what it does wrong; nothing without.
        transport: another way to the webhook than TCP.
        clock: Unix time in ms.
    """
    secrets = split_secrets(webhook_secret)
    database = Database(data_dir / BOOK_NAME)
    faults = faults or Faults()
    store = Store(database, faults)
    refunds = Refunds(database, store)
    courier = Courier(store, refunds, webhook_url, secrets[0], faults, transport, clock)
    guard = Guard(secrets, clock)
    till = Till(store, courier, public_url, guard, faults, clock)
    counter = Counter(database, store, refunds, courier, guard, faults, clock)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        running = asyncio.create_task(courier.run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            database.close()

    return Starlette(
        routes=[
            Route("/sessions", till.open_session, methods=["POST"]),
            Route("/sessions/{session}/simulate", till.simulate, methods=["POST"]),
            Route("/checkout/{session}", till.show_checkout, methods=["GET"]),
            Route("/checkout/{session}/pay", till.pay, methods=["POST"]),
            Route("/refunds", counter.refund, methods=["POST"]),
            Route("/outcomes", counter.list_outcomes, methods=["GET"]),
            Route("/book", counter.show_book, methods=["GET"]),
            Route("/health", _health, methods=["GET"]),
        ],
        exception_handlers={Refusal: _refused, msgspec.MsgspecError: _malformed, TooLargeError: _too_large},
        lifespan=lifespan,
    )


class Till:
    """The handlers, and what they share."""

    def __init__(
        self, store: Store, courier: Courier, public_url: str, guard: Guard, faults: Faults, clock: Callable[[], int]
    ) -> None:
        self._store = store
        self._courier = courier
        self._public_url = public_url.rstrip("/")
        self._guard = guard
        self._faults = faults
        self._clock = clock

    async def open_session(self, request: Request) -> Response:
        """Keep a session and tell where it is paid; 201, or 200 if it was there."""
        session = msgspec.json.decode(await self._guard.read_body(request), type=NewSession)
        attempt = self._store.count_attempt("session", session.session_id)
        silence = self._faults.silence("session", session.session_id, attempt)
        if silence == "not_done":
            return await hang(self._faults)
        created = self._store.open_session(session)
        self._courier.wake()
        if created and self._faults.forges(session.session_id):
            self._courier.forge(tell(session, PAYMENT_SUCCESS))
        answer = SessionOpened(payment_url=f"{self._public_url}/checkout/{quote(session.session_id, safe='')}")
        return await hang(self._faults) if silence else json_answer(answer, 201 if created else 200)

    async def simulate(self, request: Request) -> Response:
        """End a session at once; 200 after the webhook was asked, 409 once it is paid."""
        outcome = msgspec.json.decode(await self._guard.read_body(request), type=SimulateRequest).outcome
        session = self._store.read_session(request.path_params["session"])
        if session is None:
            return Response(status_code=404)
        ending, code = self._fate(session, ENDINGS[outcome], DECLINED if outcome == "failed" else None)
        try:
            event_id = self._store.end_session(session, ending, self._clock(), code)
        except AlreadyCapturedError:
            return Response(status_code=409)
        assert event_id is not None
        again = session.state == "captured"
        status = await self._courier.deliver(event_id, asked=again)
        return json_answer(Simulated(event_id=event_id, webhook_status=status, outcome=OUTCOMES[ending]), 200)

    async def show_checkout(self, request: Request) -> Response:
        """Show the page where the customer pays, or what became of the payment."""
        return _page(self._store.read_session(request.path_params["session"]))

    async def pay(self, request: Request) -> Response:
        """Take the form, end the session as the card says, and show what became of it."""
        number = _card_number(await read_body(request))
        session = self._store.read_session(request.path_params["session"])
        if session is None or session.state != "open":
            return _page(session)
        card = find_card(number)
        if card is None:
            return _page(session, "This till does not know that card. Choose one of the numbers below.")
        ending, code = self._fate(session, card.ending, card.failure_code)
        event_id = self._store.end_session(session, ending, self._clock(), code)
        self._courier.wake()
        if event_id is not None:
            await self._courier.deliver(event_id)
        return _page(self._store.read_session(session.session_id))

    def _fate(self, session: Session, ending: Ending, failure_code: str | None) -> tuple[Ending, str | None]:
        """Say how a session ends that was to end so."""
        if ending != "captured" or session.state == "captured":
            return ending, failure_code
        attempt = self._store.count_attempt("pay", session.session_id)
        return ("failed", DECLINED) if self._faults.declines(session.session_id, attempt) else (ending, failure_code)


def create_app_from_env() -> Starlette:
    """Build the app from `SEATLOCK_*`, for `uvicorn --factory`.

    Raises:
        CommandError: a setting that it needs is missing.
    """
    settings = load_settings()
    if not split_secrets(settings.webhook_secret):
        raise CommandError("the fake gateway needs SEATLOCK_WEBHOOK_SECRET")
    return create_app(
        data_dir=settings.data_dir,
        public_url=settings.gateway_url or f"http://{settings.host}:{settings.gateway_port}",
        webhook_url=api_url(settings) + WEBHOOK_PATH,
        webhook_secret=settings.webhook_secret,
        faults=parse_faults(settings.gateway_faults),
    )


def api_url(settings: Settings) -> str:
    """Tell where the API is reached."""
    return settings.public_url.rstrip("/") or f"http://{settings.host}:{settings.port}"


def _card_number(form: bytes) -> str:
    """Read the form's only field; anything else counts as no number."""
    try:
        return parse_qs(form.decode("utf-8", "replace"), max_num_fields=10)["card"][0]
    except (KeyError, ValueError):
        return ""


async def _health(request: Request) -> Response:
    return json_answer({"status": "ok"}, 200)


def _page(session: Session | None, problem: str = "") -> HTMLResponse:
    if session is None:
        return HTMLResponse(missing_page(), 404, PAGE_HEADERS)
    return HTMLResponse(checkout_page(session, problem), 422 if problem else 200, PAGE_HEADERS)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)
    return json_answer({"code": error.code, "detail": error.detail}, 401)


async def _malformed(request: Request, error: Exception) -> Response:
    return json_answer({"code": "invalid_field", "detail": str(error)}, 422)


async def _too_large(request: Request, error: Exception) -> Response:
    return json_answer({"code": "body_too_large"}, 413)

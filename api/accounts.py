"""Accounts over HTTP: registering, logging in, guests, renewing a token, who am I."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from api.auth import caller
from api.idempotency import REPLAYED, engine_request, read_key
from api.openapi.describe import describe
from api.wire import Body, Input, answer
from engine.accounts.tokens import Role
from engine.accounts.users import Accounts, Session, User, normalise_email
from engine.limits import EMAIL_LENGTH_MAX, PASSWORD_LENGTH_MAX
from engine.orders.belongings import Moved

Email = Annotated[str, Meta(min_length=3, max_length=EMAIL_LENGTH_MAX)]
Phone = Annotated[str, Meta(pattern=r"^\+?[0-9 ()./-]{5,30}$")]
Locale = Annotated[str, Meta(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$")]


class RegisterBody(Input, frozen=True):
    """A new customer."""

    email: Email
    password: Annotated[str, Meta(max_length=PASSWORD_LENGTH_MAX)]
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    phone: Phone | None = None
    locale: Locale = "id"


class LoginBody(Input, frozen=True):
    """E-mail and password, as typed."""

    email: Annotated[str, Meta(max_length=EMAIL_LENGTH_MAX)]
    password: Annotated[str, Meta(max_length=PASSWORD_LENGTH_MAX)]


class RefreshBody(Input, frozen=True):
    """What a session's `refresh_token` was."""

    refresh_token: str


class UserAnswer(msgspec.Struct):
    """Whose a token is; `cinemas` and `manager` of staff: where they work, and whether they decide about money."""

    id: str
    email: str | None
    name: str
    phone: str | None
    locale: str
    role: Role
    guest: bool
    cinemas: tuple[int, ...] | msgspec.UnsetType = msgspec.UNSET
    manager: bool | msgspec.UnsetType = msgspec.UNSET


class LeftAnswer(msgspec.Struct):
    """A hold that stays with the guest, and why: the account has all the holds or seats that it may have."""

    id: str
    code: str


class MovedAnswer(msgspec.Struct):
    """What went over from the guest whose Bearer came with the request: ids of live holds, count of bookings."""

    holds: tuple[str, ...]
    bookings: int
    left: tuple[LeftAnswer, ...]


class SessionAnswer(msgspec.Struct):
    """An access token for `expires_in` seconds, and the refresh token that renews it."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    user: UserAnswer
    moved: MovedAnswer | msgspec.UnsetType = msgspec.UNSET


REGISTER = Body(RegisterBody)
LOGIN = Body(LoginBody)
REFRESH = Body(RefreshBody)


@describe({201: SessionAnswer}, body=RegisterBody, refuses=("email_taken",))
async def register(request: Request) -> Response:
    """Open an account and log in."""
    body = await REGISTER.read(request)
    # The e-mail is in the digest: the callers have no name yet, and two of them may choose the same key.
    # The password is not in the fingerprint: a digest that is quick to compute must not be kept of it.
    email = normalise_email(body.email)
    remembered = engine_request(request, "register:" + email, msgspec.structs.replace(body, email=email, password=""))
    session, replayed = await _accounts(request).register(
        email, body.password, body.name, body.phone, body.locale, remembered
    )
    return answer(_session(session, await _moved(request, session)), 201, REPLAYED if replayed else None)


@describe({200: SessionAnswer}, body=LoginBody, refuses=("bad_credentials", "rate_limited"))
async def login(request: Request) -> Response:
    """Log in; a repeat is another log-in."""
    read_key(request)
    body = await LOGIN.read(request)
    session = await _accounts(request).login(body.email, body.password)
    return answer(_session(session, await _moved(request, session)))


@describe({201: SessionAnswer})
async def open_guest(request: Request) -> Response:
    """Give a token to somebody without an account; the request needs no body. A repeat gives another guest."""
    read_key(request)
    return answer(_session(_accounts(request).guest()), 201)


@describe({200: SessionAnswer}, body=RefreshBody, refuses=("token_invalid", "token_expired"))
async def refresh(request: Request) -> Response:
    """Renew a session; a repeat renews it again."""
    read_key(request)
    body = await REFRESH.read(request)
    return answer(_session(await _accounts(request).refresh(body.refresh_token)))


@describe({200: UserAnswer}, refuses=("not_found",))
async def read_me(request: Request) -> Response:
    """Tell who the token's holder is."""
    return answer(_user(await _accounts(request).get(caller(request))))


def _accounts(request: Request) -> Accounts:
    accounts: Accounts = request.app.state.runtime.accounts
    return accounts


async def _moved(request: Request, session: Session) -> Moved | None:
    """Give the account what the guest had whose Bearer came with the request; None without one."""
    guest = request.app.state.authenticator.find_guest(request)
    if guest is None:
        return None
    moved: Moved = await request.app.state.runtime.orders.belongings.move(guest.subject, session.user.id)
    return moved


def _session(session: Session, moved: Moved | None = None) -> SessionAnswer:
    user = _user(session.user)
    body = SessionAnswer(session.access_token, "Bearer", session.expires_in_s, session.refresh_token, user)
    if moved is not None:
        left = tuple(LeftAnswer(one.id, one.code) for one in moved.left)
        body.moved = MovedAnswer(moved.holds, moved.bookings, left)
    return body


def _user(user: User) -> UserAnswer:
    body = UserAnswer(user.id, user.email, user.name, user.phone, user.locale, user.role, user.guest)
    if user.role == "staff":
        body.cinemas = user.cinemas
        body.manager = bool(user.managed)
    return body

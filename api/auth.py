"""Who may call: the bearer token becomes an `Identity`; nothing else in a request ever says who somebody is."""

import time
from collections import OrderedDict
from enum import Enum

from starlette.requests import Request

from api.cors import header
from engine.accounts.issuer import Issuer
from engine.accounts.tokens import Identity, Tokens
from engine.errors import Refusal, Unavailable
from engine.limits import TOKENS_REMEMBERED_MAX


class Access(Enum):
    """Who may call an endpoint."""

    PUBLIC = "anybody; a token is not looked at"
    VIEWER = "anybody; a token, if there is one, must be valid and changes the answer"
    CUSTOMER = "anybody with a token, guests too"
    STAFF = "staff and admins; the handler checks the cinema"
    MANAGER = "staff who may decide about money, and admins; the handler checks the cinema"
    ADMIN = "admins"


class Authenticator:
    """Verifies tokens, and remembers the ones that it verified until they expire."""

    def __init__(
        self, tokens: Tokens, issuer: Issuer | None = None, remembered_max: int = TOKENS_REMEMBERED_MAX
    ) -> None:
        self._tokens = tokens
        self._issuer = issuer
        self._remembered: OrderedDict[str, Identity] = OrderedDict()
        self._remembered_max = remembered_max

    def identify(self, token: str) -> Identity:
        """Give the token's identity.

        Raises:
            Refusal: `token_expired` or `token_invalid`.
            Unavailable: `issuer_unavailable`: see `Issuer.verify`.
        """
        identity = self._remembered.get(token)
        if identity is not None:
            if identity.expires_at_s > time.time():
                self._remembered.move_to_end(token)
                return identity
            del self._remembered[token]
        if self._issuer is None or self._tokens.signed(token):
            identity = self._tokens.verify(token)
        else:
            identity = self._issuer.verify(token)
        self._remembered[token] = identity
        if len(self._remembered) > self._remembered_max:
            self._remembered.popitem(last=False)
        return identity

    def admit(self, request: Request, access: Access) -> Identity | None:
        """Let the request pass and give who it comes from; None for an anonymous one.

        Raises:
            Refusal: `token_missing`, `token_expired`, `token_invalid`, or `forbidden` for the wrong role.
        """
        if access is Access.PUBLIC:
            return None
        token = _bearer(request)
        if token is None:
            if access is Access.VIEWER:
                return None
            raise Refusal("token_missing")
        identity = self.identify(token)
        if access is not Access.CUSTOMER and not _role_fits(identity, access):
            raise Refusal("forbidden")
        return identity

    def find_guest(self, request: Request) -> Identity | None:
        """Give the guest that a request to log in comes from, if any; a token that is no good keeps nobody out."""
        try:
            token = _bearer(request)
            identity = self.identify(token) if token else None
        except (Refusal, Unavailable):
            return None
        return identity if identity is not None and identity.guest else None


def _bearer(request: Request) -> str | None:
    """Give the request's token; None without any.

    Raises:
        Refusal: `token_invalid`: something else stands there.
    """
    # Not by `request.headers`, which would be built for this alone.
    raw = header(request.scope, b"authorization")
    if raw is None:
        return None
    scheme, _, token = raw.decode("latin-1").partition(" ")
    token = token.strip()
    if not token or (scheme != "Bearer" and scheme.lower() != "bearer"):
        raise Refusal("token_invalid", "The scheme must be Bearer.")
    return token


def _role_fits(identity: Identity, access: Access) -> bool:
    match access:
        case Access.STAFF:
            return identity.role in ("staff", "admin")
        case Access.MANAGER:
            return identity.manager
        case Access.ADMIN:
            return identity.role == "admin"
        case _:
            return True


def viewer(request: Request) -> Identity | None:
    """Give who asks, or None for an anonymous request."""
    identity: Identity | None = request.scope["identity"]
    return identity


def caller(request: Request) -> Identity:
    """Give who asks; only for endpoints whose `Access` needs a token."""
    identity: Identity | None = request.scope["identity"]
    assert identity is not None, "the route's Access admits anonymous requests"
    return identity

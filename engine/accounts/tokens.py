"""Signed tokens: who a request comes from, without a look into any database."""

import hashlib
import os
import secrets
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import jwt
import msgspec

from engine.errors import CommandError, Refusal
from engine.limits import REFRESH_TOKEN_TTL_S, TOKEN_LENGTH_MAX, TOKEN_SECRET_BYTES_MIN
from engine.settings import Settings

ISSUER = "seatlock"
AUDIENCE = "seatlock-api"
ALGORITHM = "HS256"
_REQUIRED = ["exp", "iat", "sub", "aud", "iss", "typ"]

Role = Literal["customer", "staff", "admin"]
Kind = Literal["access", "refresh"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: what a valid token says.

    Attributes:
        subject: the holder of everything; a user's UUID text.
        role: what the subject may do.
        guest: somebody without an account.
        outside: somebody whom an outside issuer knows; there is no account here.
        email, locale: as registered; None and the default for a guest.
        cinemas: numbers of the cinemas that a staff member works for.
        managed: those of them where money may be decided.
        expires_at_s: Unix time at which the token ends.
    """

    subject: str
    role: Role = "customer"
    guest: bool = False
    outside: bool = False
    email: str | None = None
    locale: str = "id"
    cinemas: frozenset[int] = frozenset()
    managed: frozenset[int] = frozenset()
    expires_at_s: int = 0

    @property
    def manager(self) -> bool:
        """Whether the subject may decide about money anywhere."""
        return self.role == "admin" or bool(self.managed)

    def may_operate(self, cinema_id: int, *, manager: bool = False) -> bool:
        """Tell whether the subject may operate this cinema; with `manager`, also what costs money."""
        return self.role == "admin" or (
            self.role == "staff" and cinema_id in (self.managed if manager else self.cinemas)
        )

    def require_cinema(self, cinema_id: int, *, manager: bool = False) -> None:
        """Refuse `forbidden` unless `may_operate`."""
        if not self.may_operate(cinema_id, manager=manager):
            raise Refusal("forbidden", "This cinema is not yours to operate.")


class Lineage(msgspec.Struct, frozen=True, rename={"family": "fam", "number": "num", "credentials": "cred"}):
    """Where a refresh token comes from.

    Attributes:
        family: names the session; all refresh tokens that follow one log-in have it.
        number: 1 for the first of the family, one more with each renewal.
        credentials: of the user, when the family began.
    """

    family: str
    number: int
    credentials: int


class Tokens:
    """Makes and verifies our own tokens. The key id in each says which secret signed it.

    Args:
        secret: signs new tokens, and verifies.
        ttl_s: life of an access token.
        older: secrets that only verify: the ones before, until their last token has ended, or the one to come.
    """

    def __init__(self, secret: bytes, ttl_s: int, older: Sequence[bytes] = ()) -> None:
        self._secrets = {_key_id(one): one for one in (*older, secret)}
        self._key_id = _key_id(secret)
        self.ttl_s = ttl_s

    def issue(self, identity: Identity, kind: Kind, lineage: Lineage | None = None) -> str:
        """Sign a token for the life of its kind; `lineage` is a refresh token's."""
        now = int(time.time())
        claims: dict[str, Any] = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": identity.subject,
            "typ": kind,
            "iat": now,
            "exp": now + (self.ttl_s if kind == "access" else REFRESH_TOKEN_TTL_S),
            "jti": uuid4().hex,
            "role": identity.role,
            "guest": identity.guest,
        }
        if kind == "access":
            claims["email"] = identity.email
            claims["locale"] = identity.locale
            claims["cinemas"] = sorted(identity.cinemas)
            claims["managed"] = sorted(identity.managed)
        if lineage is not None:
            claims.update(msgspec.to_builtins(lineage))
        return jwt.encode(claims, self._secrets[self._key_id], ALGORITHM, headers={"kid": self._key_id})

    def verify(self, token: str, kind: Kind = "access") -> Identity:
        """Read a token.

        Raises:
            Refusal: `token_expired`, or `token_invalid` for every other fault.
        """
        claims = self._claims(token, kind)
        try:
            return msgspec.convert(
                {**claims, "subject": claims["sub"], "expires_at_s": claims["exp"]}, Identity, strict=True
            )
        except msgspec.ValidationError:
            raise Refusal("token_invalid") from None

    def lineage(self, token: str) -> Lineage:
        """Read where a refresh token comes from; errors as in `verify`."""
        try:
            return msgspec.convert(self._claims(token, "refresh"), Lineage, strict=True)
        except msgspec.ValidationError:
            raise Refusal("token_invalid") from None

    def signed(self, token: str) -> bool:
        """Tell whether a token says that one of our keys signed it; nothing of it is verified."""
        return key_id_of(token) in self._secrets

    def _claims(self, token: str, kind: Kind) -> dict[str, Any]:
        secret = self._secrets.get(key_id_of(token))
        if secret is None:
            raise Refusal("token_invalid")
        try:
            claims = jwt.decode(
                token,
                secret,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": _REQUIRED},
            )
            if claims["typ"] != kind:
                raise Refusal("token_invalid")
            return claims
        except jwt.ExpiredSignatureError:
            raise Refusal("token_expired") from None
        except (jwt.InvalidTokenError, ValueError):
            raise Refusal("token_invalid") from None


def key_id_of(token: str) -> str:
    """Give the key id that a token names; nothing of it is verified.

    Raises:
        Refusal: `token_invalid`: it is no token, or far too long for one.
    """
    if len(token) > TOKEN_LENGTH_MAX:
        raise Refusal("token_invalid")
    try:
        return str(jwt.get_unverified_header(token).get("kid"))
    except (jwt.InvalidTokenError, ValueError):
        raise Refusal("token_invalid") from None


def load_secrets(settings: Settings) -> list[bytes]:
    """Give the secrets: those of the setting, or a random one kept in the data directory for all processes of it.

    Returns:
        The first one signs, all of them verify.

    Raises:
        CommandError: one is too short to be safe.
    """
    if settings.token_secret:
        given = [part.strip().encode() for part in settings.token_secret.split(",")]
        if min(map(len, given)) < TOKEN_SECRET_BYTES_MIN:
            given = [settings.token_secret.encode()]  # the comma is a part of the secret
        if len(given[0]) < TOKEN_SECRET_BYTES_MIN:
            raise CommandError(f"SEATLOCK_TOKEN_SECRET must have at least {TOKEN_SECRET_BYTES_MIN} bytes")
        return given
    path = settings.data_dir / "token-secret"
    if not path.exists():
        _write_once(path, secrets.token_hex(TOKEN_SECRET_BYTES_MIN))
    return [path.read_bytes().strip()]


def _key_id(secret: bytes) -> str:
    return hashlib.sha256(b"key id" + secret).hexdigest()[:8]


def _write_once(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all; of several processes at once, the first one wins."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}-{uuid4().hex}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()

"""Tokens of an outside issuer: its word on who somebody is, ours on what they may do here."""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

import jwt
import msgspec

from engine.accounts.jwks import KeySet
from engine.accounts.tokens import Identity, key_id_of
from engine.accounts.users import normalise_email
from engine.errors import InvalidInput, Refusal, Unavailable
from engine.limits import JWKS_FETCH_MIN_MS, TOKEN_LEEWAY_S
from engine.settings import Settings

_REQUIRED = ["exp", "iat", "sub", "aud", "iss"]


class Issuer:
    """Verifies the tokens of the issuer that the settings name (`SEATLOCK_JWKS_*`)."""

    def __init__(self, settings: Settings) -> None:
        self.keys = KeySet(settings.jwks_url)
        self._issuer = settings.jwks_issuer
        self._audience = settings.jwks_audience
        self._role_claim = settings.jwks_role_claim.split(".")
        self._cinemas_claim = settings.jwks_cinemas_claim.split(".")
        self._roles = dict(settings.jwks_role_map)

    def verify(self, token: str) -> Identity:
        """Read a token; nothing is waited for.

        Raises:
            Refusal: `token_expired`, or `token_invalid` for every other fault.
            Unavailable: `issuer_unavailable`: its key is not known, and is being asked for just now.
        """
        key = self.keys.find(key_id_of(token))
        if key is None:
            if self.keys.ask() or not self.keys.loaded:
                raise Unavailable("issuer_unavailable", retry_after_ms=JWKS_FETCH_MIN_MS // 10)
            raise Refusal("token_invalid")
        try:
            claims = jwt.decode(
                token,
                key.key,
                algorithms=[key.algorithm_name],
                audience=self._audience,
                issuer=self._issuer,
                leeway=TOKEN_LEEWAY_S,
                options={"require": _REQUIRED},
            )
            return self._identity(claims)
        except jwt.ExpiredSignatureError:
            raise Refusal("token_expired") from None
        except (jwt.InvalidTokenError, msgspec.ValidationError, ValueError, TypeError):
            raise Refusal("token_invalid") from None

    def _identity(self, claims: dict[str, Any]) -> Identity:
        role = self._role(claims)
        staff = role in ("staff", "manager")
        cinemas = msgspec.convert(_at(claims, self._cinemas_claim) or (), frozenset[int]) if staff else frozenset()
        return Identity(
            # A UUID of its own kind: no outside subject can ever be one of our users or guests.
            subject=str(uuid5(NAMESPACE_URL, f"{self._issuer}#{claims['sub']}")),
            role="staff" if role == "manager" else role,
            outside=True,
            email=_email(claims),
            cinemas=cinemas,
            managed=cinemas if role == "manager" else frozenset(),
            expires_at_s=int(claims["exp"]),
        )

    def _role(self, claims: dict[str, Any]) -> Any:
        """Give the highest of the mapped roles; what is not mapped is a customer."""
        named = _at(claims, self._role_claim)
        words = named if isinstance(named, list) else [named]
        mapped = {self._roles.get(word) for word in words if isinstance(word, str)}
        return next((role for role in ("admin", "manager", "staff") if role in mapped), "customer")


def _email(claims: dict[str, Any]) -> str | None:
    """Give the address if it was proved, in our form; None also for what cannot be one."""
    email = claims.get("email")
    if not isinstance(email, str) or claims.get("email_verified") is not True:
        return None
    try:
        return normalise_email(email)
    except InvalidInput:
        return None


def _at(claims: dict[str, Any], path: list[str]) -> Any:
    """Follow a dotted path, such as `realm_access.roles`, through the claims."""
    value: Any = claims
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value

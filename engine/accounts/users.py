"""Users: registering, logging in, guests, and what an administrator adds. Passwords never leave this module."""

from collections.abc import Iterable
from typing import Any, Self
from uuid import uuid4

import asyncpg
import msgspec
import structlog

from engine.accounts.attempts import Attempts
from engine.accounts.passwords import Passwords
from engine.accounts.renewals import Renewals
from engine.accounts.tokens import Identity, Lineage, Role, Tokens
from engine.errors import InvalidInput, Refusal, Unavailable
from engine.ledger.database import reading, transaction
from engine.ledger.queries import query
from engine.ledger.requests import once, recall
from engine.limits import EMAIL_LENGTH_MAX, PASSWORD_LENGTH_MAX, PASSWORD_LENGTH_MIN
from engine.seats.records import Request

log = structlog.get_logger()


class User(msgspec.Struct, frozen=True, kw_only=True):
    """An account, or a guest (who has only an id)."""

    id: str
    email: str | None = None
    name: str = ""
    phone: str | None = None
    locale: str = "id"
    role: Role = "customer"
    guest: bool = False
    cinemas: tuple[int, ...] = ()
    managed: tuple[int, ...] = ()
    credentials: int = 0

    @classmethod
    def from_row(cls, row: Any) -> Self:
        """Read a row of `read_user.sql`."""
        return cls(
            id=str(row["id"]),
            email=row["email"],
            name=row["name"],
            phone=row["phone"],
            locale=row["locale"],
            role=row["role"],
            cinemas=tuple(row["cinemas"]),
            managed=tuple(row["managed"]),
            credentials=row["credentials"],
        )


class Session(msgspec.Struct, frozen=True):
    """What a log-in gives: an access token, the refresh token that renews it, and whose they are."""

    access_token: str
    refresh_token: str
    expires_in_s: int
    user: User


class Accounts:
    """The accounts of the deployment. Reading tokens needs no database; everything about accounts does.

    Args:
        pool: the ledger's.
        tokens: makes and reads our own.
        passwords: hashes and compares.
        attempts: counts log-ins that failed; None where nobody logs in.
        renewals: remembers used refresh tokens; None where nobody renews.
    """

    def __init__(
        self,
        pool: asyncpg.Pool,
        tokens: Tokens,
        passwords: Passwords,
        attempts: Attempts | None = None,
        renewals: Renewals | None = None,
    ) -> None:
        self._pool = pool
        self._passwords = passwords
        self._attempts = attempts
        self._renewals = renewals
        self.tokens = tokens

    async def register(
        self,
        email: str,
        password: str,
        name: str,
        phone: str | None = None,
        locale: str = "id",
        request: Request | None = None,
    ) -> tuple[Session, bool]:
        """Open a customer's account.

        Args:
            email: made lower case; one address is one account.
            password: 8 to 256 characters.
            name: as the customer wants to be called.
            phone: free text.
            locale: a language tag.
            request: remembers the account for a day, never the password: a repeat must know it.

        Returns:
            The session, and whether it answers a repeat of the request that opened the account.

        Raises:
            Refusal: `email_taken`; `idempotency_key_reused`, also for another password;
                `idempotency_key_in_flight`.
            InvalidInput: a bad e-mail or password.
        """
        email = normalise_email(email)
        known = await recall(self._pool, request)
        hashed = None if known else await self._passwords.hash(_checked_password(password))
        async with once(self._pool, request) as run:
            if not run.replayed:
                if hashed is None:
                    raise Refusal("idempotency_key_in_flight")  # the day was over between the two looks
                run.answer = await self._insert_customer(run.connection, email, hashed, name, phone, locale)
            row = await run.connection.fetchrow(query("read_user"), run.answer)
        if run.replayed and not await self._passwords.verify(row and row["password_hash"], password):
            raise Refusal("idempotency_key_reused")
        return self._session(User.from_row(row)), run.replayed

    async def _insert_customer(
        self, connection: Any, email: str, hashed: str, name: str, phone: str | None, locale: str
    ) -> str:
        values = (uuid4(), email, hashed, name, phone, locale, "customer")
        added = await connection.fetchval(query("insert_user"), *values)
        if added is None:
            raise Refusal("email_taken")
        return str(added)

    async def login(self, email: str, password: str) -> Session:
        """Log in; an unknown e-mail costs the same time and gives the same answer as a wrong password.

        Raises:
            Refusal: `bad_credentials`; `rate_limited {retry_after_ms}` after too many of them, also for the right one.
        """
        assert self._attempts is not None, "these accounts were not opened for log-ins"
        async with self._attempts.attempt(email):
            try:
                email = normalise_email(email)
            except InvalidInput:
                email = ""
            async with reading(self._pool) as connection:
                row = await connection.fetchrow(query("read_user_by_email"), email)
            password = password[:PASSWORD_LENGTH_MAX]
            if not await self._passwords.verify(row and row["password_hash"], password):
                raise Refusal("bad_credentials")
        await self._renew_hash(row, password)
        return self._session(User.from_row(row))

    async def _renew_hash(self, row: Any, password: str) -> None:
        """Hash a password anew whose hash has older parameters; whoever logs in does not depend on it."""
        stored = row["password_hash"]
        try:
            hashed = await self._passwords.renew(stored, password)
            if hashed is not None:
                async with transaction(self._pool) as connection:
                    await connection.execute(query("renew_password_hash"), row["id"], stored, hashed)
        except Unavailable as error:
            log.warning("password_hash_not_renewed", subject=str(row["id"]), error=error.code)

    def guest(self, locale: str = "id") -> Session:
        """Give somebody without an account an identity of their own.

        No database is asked: guests can hold seats while PostgreSQL is away.
        """
        return self._session(User(id=str(uuid4()), guest=True, locale=locale))

    async def refresh(self, refresh_token: str) -> Session:
        """Renew a session; the role is read anew. The token is used up, and the next of its session given.

        Raises:
            Refusal: `token_expired`, `token_invalid` (also for an account that is gone, whose password was changed,
                or a token that was used before).
            Unavailable: `ledger_unavailable` (not for guests), `redis_unavailable`; the same call is safe.
        """
        assert self._renewals is not None, "these accounts were not opened for renewals"
        identity = self.tokens.verify(refresh_token, "refresh")
        lineage = self.tokens.lineage(refresh_token)
        try:
            user = await self.get(identity)
        except Refusal:
            raise Refusal("token_invalid") from None
        if user.credentials != lineage.credentials:
            raise Refusal("token_invalid", "The password was changed.")
        await self._renewals.use(lineage.family, lineage.number)
        return self._session(user, msgspec.structs.replace(lineage, number=lineage.number + 1))

    async def get(self, identity: Identity) -> User:
        """Give the user of an identity.

        Raises:
            Refusal: `not_found` for an account that is gone.
        """
        if identity.guest or identity.outside:
            return User(
                id=identity.subject,
                email=identity.email,
                locale=identity.locale,
                role=identity.role,
                guest=identity.guest,
                cinemas=tuple(sorted(identity.cinemas)),
                managed=tuple(sorted(identity.managed)),
            )
        async with reading(self._pool) as connection:
            row = await connection.fetchrow(query("read_user"), identity.subject)
        if row is None:
            raise Refusal("not_found")
        return User.from_row(row)

    async def add_user(
        self,
        email: str,
        password: str,
        role: Role,
        *,
        name: str = "",
        cinemas: Iterable[int] = (),
        manager: bool = False,
        replace: bool = False,
    ) -> User:
        """Add an account of any role, as an administrator does.

        Args:
            email: as in `register`.
            password: as in `register`.
            role: `customer`, `staff` or `admin`.
            name: as in `register`.
            cinemas: numbers of the cinemas that a staff member works for.
            manager: whether money may be decided there.
            replace: set an account that exists to this password, name, role and cinemas.

        Raises:
            Refusal: `email_taken` without `replace`.
            InvalidInput: a bad e-mail or password, an unknown cinema, staff without a cinema, a cinema or `manager`
                for somebody who is no staff.
        """
        _require_place(role, cinemas := sorted(set(cinemas)), manager=manager)
        email = normalise_email(email)
        hashed = await self._passwords.hash(_checked_password(password))
        try:
            async with transaction(self._pool) as connection:
                if replace:
                    user_id = await connection.fetchval(query("upsert_user"), uuid4(), email, hashed, name, role)
                    await connection.execute(query("delete_staff_cinemas"), user_id)
                else:
                    user_id = await connection.fetchval(
                        query("insert_user"), uuid4(), email, hashed, name, None, "id", role
                    )
                    if user_id is None:
                        raise Refusal("email_taken", "An account has this e-mail; --replace changes it.")
                await connection.execute(query("insert_staff_cinemas"), user_id, cinemas, manager)
                row = await connection.fetchrow(query("read_user"), user_id)
        except asyncpg.ForeignKeyViolationError:
            raise InvalidInput("/cinemas", "There is no such cinema.") from None
        return User.from_row(row)

    def _session(self, user: User, lineage: Lineage | None = None) -> Session:
        identity = Identity(
            subject=user.id,
            role=user.role,
            guest=user.guest,
            email=user.email,
            locale=user.locale,
            cinemas=frozenset(user.cinemas),
            managed=frozenset(user.managed),
        )
        return Session(
            self.tokens.issue(identity, "access"),
            self.tokens.issue(identity, "refresh", lineage or Lineage(uuid4().hex, 1, user.credentials)),
            self.tokens.ttl_s,
            user,
        )


def normalise_email(text: str) -> str:
    """Give the address in the one form that is stored and compared.

    Raises:
        InvalidInput: it cannot be an address.
    """
    email = text.strip().lower()
    name, at, domain = email.rpartition("@")
    if (
        not (name and at and "." in domain.strip(".") and domain == domain.strip("."))
        or "@" in name
        or len(email) > EMAIL_LENGTH_MAX
        or not email.isprintable()
        or " " in email
    ):
        raise InvalidInput("/email", "Expected an e-mail address.")
    return email


def _require_place(role: Role, cinemas: list[int], *, manager: bool) -> None:
    if role == "staff" and not cinemas:
        raise InvalidInput("/cinemas", "Staff work for at least one cinema.")
    if role != "staff" and (cinemas or manager):
        raise InvalidInput("/role", "Only staff have cinemas and may be their managers; an admin may do everything.")


def _checked_password(password: str) -> str:
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise InvalidInput("/password", f"Expected {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters.")
    return password

"""The three accounts that `seatlock dev` makes, with random passwords."""

import asyncio
import json
import secrets
from pathlib import Path
from typing import Any

import msgspec

from engine.accounts.passwords import Passwords
from engine.accounts.tokens import Role, Tokens
from engine.accounts.users import Accounts
from engine.data_folder import write_private
from engine.ledger.database import reading
from engine.ledger.queries import query

LOGINS_NAME = "demo-logins.json"
DEMO_USERS: tuple[tuple[Role, str, str], ...] = (
    ("admin", "admin@seatlock.example", "Demo Admin"),
    ("staff", "staff@seatlock.example", "Demo Staff"),
    ("customer", "customer@seatlock.example", "Demo Customer"),
)
PASSWORD_BYTES = 12


class Login(msgspec.Struct, frozen=True):
    """One demo account, as it stands in `demo-logins.json`."""

    role: Role
    email: str
    password: str


async def make_demo_logins(pool: Any, path: Path) -> list[Login]:
    """Give the demo accounts of the file; makes those that are missing in it or in the database.

    A password that was once given stays valid as long as the file is there.
    """
    logins = read_demo_logins(path)
    async with reading(pool) as connection:
        known = await connection.fetchval(query("count_users"), [email for _, email, _ in DEMO_USERS])
    if len(logins) == len(DEMO_USERS) == known:
        return logins
    passwords = {login.email: login.password for login in logins}
    logins = [
        Login(role, email, passwords.get(email) or secrets.token_urlsafe(PASSWORD_BYTES))
        for role, email, _ in DEMO_USERS
    ]
    await _add_users(pool, logins)
    write_private(path, json.dumps([msgspec.to_builtins(login) for login in logins], indent=2) + "\n")
    return logins


def read_demo_logins(path: Path) -> list[Login]:
    """Read the file; empty if it is not there or is no such file."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Login])
    except (FileNotFoundError, msgspec.DecodeError):
        return []


async def _add_users(pool: Any, logins: list[Login]) -> None:
    hasher = Passwords()
    accounts = Accounts(pool, Tokens(b"", 0), hasher)  # nobody logs in here, so nothing is signed
    names = {email: name for _, email, name in DEMO_USERS}
    async with reading(pool) as connection:
        cinemas = [row["id"] for row in await connection.fetch(query("list_cinemas"), None, None, "", 0, 1)]
    try:
        await asyncio.gather(
            *(
                accounts.add_user(
                    login.email,
                    login.password,
                    login.role,
                    name=names[login.email],
                    cinemas=cinemas if login.role == "staff" else (),
                    replace=True,
                )
                for login in logins
            )
        )
    finally:
        hasher.close()

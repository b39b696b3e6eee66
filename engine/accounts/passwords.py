"""Passwords: argon2id in a few threads, so that a storm of log-ins can take neither the event loop nor the memory."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.errors import Unavailable
from engine.limits import PASSWORD_HASHES_AT_ONCE, PASSWORD_QUEUE_MAX

T = TypeVar("T")


class Passwords:
    """Hashes and verifies off the event loop; a bounded number at once, a bounded number in wait."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._threads = ThreadPoolExecutor(PASSWORD_HASHES_AT_ONCE, thread_name_prefix="passwords")
        self._waiting = 0
        # Begun at start: the first unknown e-mail must not take longer than a known one.
        self._nobody = self._threads.submit(self._hasher.hash, "nobody has this password")

    async def hash(self, password: str) -> str:
        """Give the argon2id hash with its parameters and salt.

        Raises:
            Unavailable: `overloaded`.
        """
        return await self._run(self._hasher.hash, password)

    async def verify(self, stored: str | None, password: str) -> bool:
        """Tell whether the password fits; with None (no such user) it does the same work and says no.

        Raises:
            Unavailable: `overloaded`.
        """
        return await self._run(self._verify, stored, password)

    async def renew(self, stored: str, password: str) -> str | None:
        """Give a hash with today's parameters for a password that fits; None if the stored one has them.

        Raises:
            Unavailable: `overloaded`.
        """
        return await self.hash(password) if self._hasher.check_needs_rehash(stored) else None

    def close(self) -> None:
        """End the threads; what waits is dropped."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, stored: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(stored or self._nobody.result(), password) and stored is not None
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[..., T], *args: object) -> T:
        if self._waiting >= PASSWORD_QUEUE_MAX:
            raise Unavailable("overloaded", "Too many log-ins at once.")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
        finally:
            self._waiting -= 1

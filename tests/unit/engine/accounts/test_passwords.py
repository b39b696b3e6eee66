"""Passwords: argon2id, and the same work whether there is such a user or not."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from engine.accounts.passwords import Passwords
from engine.errors import Unavailable
from engine.limits import PASSWORD_HASHES_AT_ONCE, PASSWORD_QUEUE_MAX


class CountingHasher(PasswordHasher):
    """A cheap hasher that counts its work and can be stopped in the middle of it."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.verified = 0
        self.running = 0
        self.running_most = 0
        self.go_on = threading.Event()
        self.go_on.set()

    def verify(self, hash: str | bytes, password: str | bytes) -> bool:
        self.verified += 1
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        self.go_on.wait(5)
        self.running -= 1
        return super().verify(hash, password)


@pytest.fixture
def hasher():
    """The hasher of the test."""
    return CountingHasher()


@pytest.fixture
def passwords(hasher):
    """Passwords over the counting hasher."""
    passwords = Passwords(hasher)
    yield passwords
    hasher.go_on.set()
    passwords.close()


async def test_the_right_password_fits_and_no_other(passwords):
    """The stored text is argon2id and differs each time."""
    stored = await passwords.hash("correct horse")

    assert stored.startswith("$argon2id$")
    assert stored != await passwords.hash("correct horse")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "battery staple")
    assert not await passwords.verify("not a hash", "correct horse")


async def test_an_unknown_user_costs_the_same_work_and_never_fits(passwords, hasher):
    """Else the time of an answer would tell which e-mails have accounts."""
    assert not await passwords.verify(None, "nobody has this password")
    assert hasher.verified == 1


async def test_a_storm_of_logins_is_bounded(passwords, hasher):
    """Few run, some wait, one more is told `overloaded` at once; afterwards all is well."""
    hasher.go_on.clear()
    storm = [asyncio.create_task(passwords.verify(None, "x")) for _ in range(PASSWORD_QUEUE_MAX)]
    await asyncio.sleep(0)

    with pytest.raises(Unavailable) as refusal:
        await passwords.verify(None, "x")
    assert (refusal.value.code, refusal.value.outcome) == ("overloaded", "definite")

    hasher.go_on.set()
    assert await asyncio.gather(*storm) == [False] * PASSWORD_QUEUE_MAX
    assert hasher.running_most <= PASSWORD_HASHES_AT_ONCE
    assert not await passwords.verify(None, "x")

"""Log-ins and sessions over time: failures are limited, refresh tokens are used once, hashes are renewed."""

import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher

from engine.accounts.attempts import Attempts
from engine.accounts.passwords import Passwords
from engine.accounts.renewals import Renewals
from engine.accounts.tokens import Tokens
from engine.accounts.users import Accounts
from engine.errors import Refusal
from tests.flow.conftest import open_client

pytestmark = pytest.mark.one_redis("sessions are in PostgreSQL")

EMAIL, PASSWORD = "rina@example.com", "correct horse"
CHEAP = {"time_cost": 1, "memory_cost": 64, "parallelism": 1}
TRIES, NOISY_TRIES_MAX = 200, 5


@pytest.fixture
def settings_changes():
    """Limits as they are in production, but for the general one of requests."""
    return {"rate_limit": "on", "rate_accounts_per_min": 100_000}


@pytest.fixture
async def accounts(pool, redis_client):
    """Accounts whose hashes are cheap, and whose log-ins are not limited."""
    passwords = Passwords(PasswordHasher(**CHEAP))
    tokens = Tokens(b"a secret of the tests, long enough to sign", 60)
    yield Accounts(pool, tokens, passwords, Attempts(redis_client, enabled=False), Renewals(redis_client))
    passwords.close()


async def register(client):
    """Register Rina; gives the session."""
    answer = await client.post("/api/v1/auth/register", json={"email": EMAIL, "password": PASSWORD, "name": "Rina"})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def log_in(client, email, password):
    """Try to log in."""
    return await client.post("/api/v1/auth/login", json={"email": email, "password": password})


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_failed_logins_are_limited_whether_or_not_there_is_an_account(app_client, redis_client, email):
    """Ten of however many come at once, in any spelling; then not even the right one, for a while."""
    await register(app_client)
    spellings = [email, email.upper(), f" {email}"] * 10
    answers = await asyncio.gather(*(log_in(app_client, one, "wrong password") for one in spellings))

    assert sorted(answer.status_code for answer in answers) == [401] * 10 + [429] * 20
    refused = await log_in(app_client, email, PASSWORD)
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= 15 * 60
    assert (await log_in(app_client, "other@example.com", PASSWORD)).status_code == 401

    await redis_client.delete(*await redis_client.keys("sl:logins:*"))
    assert (await log_in(app_client, email, PASSWORD)).status_code == (200 if email == EMAIL else 401)


async def test_a_login_clears_the_count(app_client):
    """Who mistypes now and then is never locked out."""
    await register(app_client)
    for _ in range(3):
        for _ in range(5):
            assert (await log_in(app_client, EMAIL, "wrong password")).status_code == 401
        assert (await log_in(app_client, EMAIL, PASSWORD)).status_code == 200


async def test_what_no_server_could_judge_is_not_held_against_anybody(redis_client):
    """An attempt that ended for want of a server does not count; a refusal does."""
    attempts = Attempts(redis_client)
    for _ in range(30):
        with pytest.raises(OSError, match="away"):
            async with attempts.attempt(EMAIL):
                raise OSError("away")
    assert await redis_client.keys("sl:logins:*") == []


async def test_a_refresh_token_is_used_once(app_client, redis_client, monkeypatch):
    """A lost answer may be asked for again at once; what was thrown away ends the whole session."""
    first = (await register(app_client))["refresh_token"]

    async def renew(token):
        return await app_client.post("/api/v1/auth/refresh", json={"refresh_token": token})

    second = (await renew(first)).json()["refresh_token"]
    assert (await renew(first)).status_code == 200
    third = (await renew(second)).json()["refresh_token"]
    stolen = await renew(first)
    assert (stolen.status_code, stolen.json()["code"]) == (401, "token_invalid")
    assert (await renew(third)).status_code == 401
    other = (await log_in(app_client, EMAIL, PASSWORD)).json()["refresh_token"]
    assert (await renew(other)).status_code == 200
    monkeypatch.setattr("engine.accounts.renewals.REFRESH_REPEAT_MS", -1)
    assert (await renew(other)).status_code == 401


async def test_a_changed_password_ends_every_session(accounts):
    """Of that user; a guest's goes on."""
    session, _ = await accounts.register(EMAIL, PASSWORD, "Rina")
    visitor = accounts.guest()
    session = await accounts.refresh(session.refresh_token)
    await accounts.add_user(EMAIL, "another password", "customer", replace=True)
    with pytest.raises(Refusal, match="password was changed"):
        await accounts.refresh(session.refresh_token)
    assert (await accounts.refresh(visitor.refresh_token)).user == visitor.user


async def test_a_hash_with_older_parameters_is_renewed_by_a_login(accounts, pool):
    """Only by the right password, and only once."""
    await accounts.register(EMAIL, PASSWORD, "Rina")
    stored = "SELECT password_hash FROM users"
    old = await pool.fetchval(stored)
    accounts._passwords._hasher = PasswordHasher(**CHEAP | {"time_cost": 2})

    with pytest.raises(Refusal):
        await accounts.login(EMAIL, "wrong password")
    assert await pool.fetchval(stored) == old
    await accounts.login(EMAIL, PASSWORD)
    renewed = await pool.fetchval(stored)
    assert "t=2" in renewed
    await accounts.login(EMAIL, PASSWORD)
    assert await pool.fetchval(stored) == renewed


async def test_staff_have_cinemas_and_nobody_else(accounts, small):
    """A mistyped command makes no account that may do nothing, or that looks as if it might do something."""
    for role, more in [("staff", {}), ("admin", {"cinemas": [1]}), ("customer", {"manager": True})]:
        with pytest.raises(Exception, match="cinema"):
            await accounts.add_user("new@example.com", PASSWORD, role, **more)
    cinema = (await small.catalogue.showtime(small.showtime)).cinema_id
    user = await accounts.add_user("new@example.com", PASSWORD, "staff", cinemas=[cinema, cinema], manager=True)
    assert (user.cinemas, user.managed) == ((cinema,), (cinema,))


async def test_an_unknown_email_takes_as_long_as_a_wrong_password(accounts):
    """200 tries of each, taken in turn; the medians differ by 10 % at most, or again on a busier machine."""
    await accounts.register(EMAIL, PASSWORD, "Rina")
    apart = []
    for _ in range(NOISY_TRIES_MAX):
        spent = {EMAIL: [], "nobody@example.com": []}
        for number in range(2 * TRIES):
            email = list(spent)[number % 2]
            began = time.perf_counter()
            with pytest.raises(Refusal, match="bad_credentials"):
                await accounts.login(email, "wrong password")
            spent[email].append(time.perf_counter() - began)
        known, unknown = (statistics.median(times) for times in spent.values())
        apart.append(abs(known - unknown) / max(known, unknown))
        if apart[-1] <= 0.1:
            break
    print(f"medians apart: {apart}")
    assert apart[-1] <= 0.1


async def test_without_redis_people_still_log_in(settings, small, redis_server):
    """The count is a help; whoever keeps the house must get in when Redis is away."""
    async with open_client(settings) as client:
        await register(client)
        attempts = client.app.state.runtime.accounts._attempts
        await attempts._client.aclose()
        attempts._client = type(attempts._client).from_url("redis://127.0.0.1:1")
        assert (await log_in(client, EMAIL, PASSWORD)).status_code == 200

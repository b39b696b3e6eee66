"""Accounts over HTTP: register, log in, guests, renewing, who am I."""

import asyncio
import time

import jwt
import pytest

from engine.accounts.tokens import AUDIENCE, ISSUER
from tests.flow.conftest import TOKEN_SECRET, guest

pytestmark = pytest.mark.one_redis("accounts are in PostgreSQL")

RINA = {"email": "Rina@Example.com", "password": "correct horse", "name": "Rina", "phone": "+62 812-345"}


async def register(client, body=None, **headers):
    """Register somebody."""
    return await client.post("/api/v1/auth/register", json=RINA | (body or {}), headers=headers)


def bearer(answer):
    """Give the headers of a session."""
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}


@pytest.mark.covers("001.2")
async def test_a_customer_registers_logs_in_and_is_known(app_client):
    """The tokens are of one user; the e-mail is one address in any spelling; no answer shows a password."""
    registered = await register(app_client)
    login = await app_client.post(
        "/api/v1/auth/login", json={"email": " rina@example.COM ", "password": RINA["password"]}
    )
    me = await app_client.get("/api/v1/me", headers=bearer(login))

    assert (registered.status_code, login.status_code, me.status_code) == (201, 200, 200)
    body = registered.json()
    assert set(body) == {"access_token", "token_type", "expires_in", "refresh_token", "user"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 3600)
    assert me.json() == body["user"] == login.json()["user"]
    assert me.json()["email"] == "rina@example.com"
    assert (me.json()["role"], me.json()["guest"]) == ("customer", False)
    assert "password" not in registered.text
    assert "argon2" not in registered.text


async def test_an_email_is_one_account_even_when_two_register_at_once(app_client, pool):
    """One of them gets it; the other learns so, and there is one row."""
    answers = await asyncio.gather(*(register(app_client, {"email": f"{name}@x.id"}) for name in ["a", "A"] * 4))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 7
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"email_taken"}
    assert await pool.fetchval("SELECT count(*) FROM users") == 1


async def test_an_unknown_email_and_a_wrong_password_look_the_same(app_client):
    """Same status, same text; nobody learns who has an account."""
    await register(app_client)
    answers = [
        await app_client.post("/api/v1/auth/login", json={"email": email, "password": "wrong password"})
        for email in (RINA["email"], "nobody@example.com", "no address")
    ]

    assert [answer.status_code for answer in answers] == [401] * 3
    bodies = [{k: v for k, v in answer.json().items() if k != "request_id"} for answer in answers]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["code"] == "bad_credentials"


async def test_a_repeated_registration_gives_the_first_success_again(app_client, pool):
    """With the same key and body; with another password it is another request, and under another key a second one."""
    first = await register(app_client, **{"Idempotency-Key": "k1"})
    again = await register(app_client, **{"Idempotency-Key": "k1"})
    stranger = await register(app_client, {"password": "another password"}, **{"Idempotency-Key": "k1"})
    other_key = await register(app_client, **{"Idempotency-Key": "k2"})

    assert (first.status_code, again.status_code) == (201, 201)
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json()["user"] == first.json()["user"]
    assert (stranger.status_code, stranger.json()["code"]) == (422, "idempotency_key_reused")
    assert (other_key.status_code, other_key.json()["code"]) == (409, "email_taken")
    assert await pool.fetchval("SELECT count(*) FROM users") == 1


async def test_a_guest_has_an_identity_and_no_row(app_client, pool):
    """Two guests are two people; the database knows neither."""
    one, other = await guest(app_client), await guest(app_client)
    me = [(await app_client.get("/api/v1/me", headers=headers)).json() for headers in (one, other)]

    assert me[0]["id"] != me[1]["id"]
    assert (me[0]["guest"], me[0]["email"]) == (True, None)
    assert await pool.fetchval("SELECT count(*) FROM users") == 0


async def test_a_session_is_renewed_with_its_refresh_token_only(app_client, pool):
    """The access token renews nothing; of an account that is gone nothing is renewed; a guest stays the same."""
    session = (await register(app_client)).json()
    renewed = await app_client.post("/api/v1/auth/refresh", json={"refresh_token": session["refresh_token"]})
    wrong = await app_client.post("/api/v1/auth/refresh", json={"refresh_token": session["access_token"]})

    assert renewed.status_code == 200
    assert (await app_client.get("/api/v1/me", headers=bearer(renewed))).json() == session["user"]
    assert (wrong.status_code, wrong.json()["code"]) == (401, "token_invalid")

    await pool.execute("DELETE FROM users")
    gone = await app_client.post("/api/v1/auth/refresh", json={"refresh_token": session["refresh_token"]})
    assert (gone.status_code, gone.json()["code"]) == (401, "token_invalid")

    visitor = (await app_client.post("/api/v1/auth/guest")).json()
    again = await app_client.post("/api/v1/auth/refresh", json={"refresh_token": visitor["refresh_token"]})
    assert again.json()["user"] == visitor["user"]


BAD_FIELDS = [
    ({"email": "rina"}, "/email"),
    ({"email": "rina@"}, "/email"),
    ({"email": "a b@example.com"}, "/email"),
    ({"email": "a@b@example.com"}, "/email"),
    ({"email": "a@example.com" + "x" * 300}, "/email"),
    ({"email": None}, "/email"),
    ({"password": "short"}, "/password"),
    ({"password": "x" * 300}, "/password"),
    ({"password": 12345678}, "/password"),
    ({"name": ""}, "/name"),
    ({"name": "Ri\0na"}, ""),
    ({"phone": "call me"}, "/phone"),
    ({"locale": "klingon!"}, "/locale"),
    ({"role": "admin"}, "/role"),
    ({"user_id": "8a3f0e0c-0f5e-4f7e-9a57-3f2f3b8b7c11"}, "/user_id"),
]


async def test_a_bad_registration_points_at_the_field_and_makes_nothing(app_client, pool):
    """Nobody makes himself an admin; nobody chooses his id."""
    for change, pointer in BAD_FIELDS:
        answer = await register(app_client, change)
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_field"), change
        assert answer.json()["errors"][0]["pointer"] == pointer, change
    assert await pool.fetchval("SELECT count(*) FROM users") == 0


async def test_a_registration_without_a_name_is_incomplete(app_client):
    """A missing field is pointed at like a wrong one."""
    answer = await app_client.post("/api/v1/auth/register", json={"email": "a@b.id", "password": "long enough"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/name")


async def test_bad_tokens_are_told_apart_where_it_helps(app_client):
    """Missing, expired, foreign: each with its code, and the challenge that HTTP asks for."""
    session = (await register(app_client)).json()
    key_id = jwt.get_unverified_header(session["access_token"])["kid"]

    def signed(secret=TOKEN_SECRET, **changes):
        now = int(time.time())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "x", "typ": "access", "iat": now, "exp": now + 60, **changes}
        return "Bearer " + jwt.encode(claims, secret, "HS256", headers={"kid": key_id})

    tries = {
        None: "token_missing",
        signed(exp=int(time.time()) - 5): "token_expired",
        signed(secret="a foreign secret, which is long enough as well"): "token_invalid",
        signed(aud="another"): "token_invalid",
        "Basic cmluYTpob3JzZQ==": "token_invalid",
        "Bearer": "token_invalid",
        "Bearer x": "token_invalid",
    }
    for header, code in tries.items():
        answer = await app_client.get("/api/v1/me", headers={"Authorization": header} if header else {})
        assert (answer.status_code, answer.json()["code"]) == (401, code), header
        assert answer.headers["WWW-Authenticate"].startswith("Bearer ")
    assert (await app_client.get("/api/v1/me", headers={"Authorization": signed(guest=True)})).status_code == 200

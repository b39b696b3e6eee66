"""Tokens of an outside issuer: its keys are read beside the requests, and no token chooses how it is judged."""

import asyncio
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from api.auth import Authenticator
from engine import limits
from engine.accounts import jwks
from engine.accounts.issuer import Issuer
from engine.accounts.jwks import read_keys
from engine.accounts.tokens import Identity, Tokens
from engine.errors import CommandError, Refusal, Unavailable
from engine.settings import Settings

ISSUER, AUDIENCE = "https://id.example.com", "cinema"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
ED_KEY = ed25519.Ed25519PrivateKey.generate()
PRIVATE = {"RS256": RSA_KEY, "ES256": EC_KEY, "EdDSA": ED_KEY}


def public(algorithm, key, key_id, **more):
    """Describe a public key as a JWKS does."""
    return jwt.get_algorithm_by_name(algorithm).to_jwk(key.public_key(), as_dict=True) | {"kid": key_id} | more


KEYS = [public(name, key, name) for name, key in PRIVATE.items()]


def sign(algorithm="RS256", key=None, key_id=None, **changes):
    """Sign a token that is right in all but what the caller changes; None takes a claim away."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u-1", "iat": now, "exp": now + 60} | changes
    claims = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(claims, key or PRIVATE[algorithm], algorithm, headers={"kid": key_id or algorithm})


@pytest.fixture
def key_file(tmp_path):
    """The issuer's keys, where it publishes them."""
    path = tmp_path / "jwks.json"
    path.write_text(json.dumps({"keys": KEYS}))
    return path


def settings_of(key_file, **changes):
    """Settings that name the issuer."""
    values = {"jwks_url": f"file://{key_file}", "jwks_issuer": ISSUER, "jwks_audience": AUDIENCE}
    return Settings(**values | {"jwks_roles": "box-office=staff,boss=manager,it=admin"} | changes)


@pytest.fixture
async def issuer(key_file):
    """The issuer, its keys read."""
    issuer = Issuer(settings_of(key_file))
    await issuer.keys.fetch()
    return issuer


def refused(issuer, token):
    """Give the word with which a token is refused."""
    with pytest.raises(Refusal) as refusal:
        issuer.verify(token)
    return refusal.value.code


@pytest.mark.parametrize("algorithm", PRIVATE)
async def test_each_algorithm_is_verified_by_its_key(issuer, algorithm):
    """Who it is, always the same one; a customer unless a role says more; an e-mail only if it was proved."""
    one = issuer.verify(sign(algorithm, email="a@b.id", email_verified=True))
    again = issuer.verify(sign(algorithm, email="a@b.id"))

    assert one.subject == again.subject != issuer.verify(sign(algorithm, sub="u-2")).subject
    assert (one.role, one.guest, one.outside, one.email, again.email) == ("customer", False, True, "a@b.id", None)
    assert 0 < one.expires_at_s - time.time() <= 60


@pytest.mark.parametrize(
    ("email", "known"), [("Ayu@Example.COM", "ayu@example.com"), ("a\0@b.id", None), ("a@b.id\r\nBcc: c@d.id", None)]
)
async def test_an_outside_address_is_ours_in_form_or_none(issuer, email, known):
    """As if the customer had typed it: in the form that look-ups compare, and one that PostgreSQL and mails take."""
    assert issuer.verify(sign(email=email, email_verified=True)).email == known


async def test_an_outside_subject_is_never_one_of_our_users(issuer):
    """Not even one that claims the id of ours: it gets an id of another kind."""
    ours = "8a3f0e0c-0f5e-4f7e-9a57-3f2f3b8b7c11"
    assert issuer.verify(sign(sub=ours)).subject != ours


def pem():
    """Give the public RSA key as the text that a confused verifier would take for a secret."""
    return RSA_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def confused(header):
    """Build a token by hand: claims of an admin, and the public key as the secret of an HMAC."""
    good = sign(role="it").split(".")
    head = jwt.utils.base64url_encode(json.dumps(header).encode()).decode()
    signed = jwt.get_algorithm_by_name("HS256").sign(f"{head}.{good[1]}".encode(), pem())
    return f"{head}.{good[1]}.{jwt.utils.base64url_encode(signed).decode()}"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: sign(iss="https://other.example.com"), id="another issuer"),
        pytest.param(lambda: sign(iss="seatlock"), id="in our own name"),
        pytest.param(lambda: sign(aud="another"), id="another audience"),
        pytest.param(lambda: sign(aud=None), id="no audience"),
        pytest.param(lambda: sign(exp=None), id="no expiry"),
        pytest.param(lambda: sign(sub=None), id="no subject"),
        pytest.param(lambda: sign(nbf=int(time.time()) + 3600), id="not yet"),
        pytest.param(lambda: sign("EdDSA", key_id="RS256"), id="another key's algorithm"),
        pytest.param(lambda: sign(key=rsa.generate_private_key(65537, 2048)), id="a foreign key"),
        pytest.param(lambda: sign("RS512", key=RSA_KEY, key_id="RS256"), id="an algorithm not chosen for the key"),
        pytest.param(lambda: confused({"alg": "HS256", "kid": "RS256"}), id="the public key as a secret"),
        pytest.param(lambda: confused({"alg": "none", "kid": "RS256"}), id="algorithm none"),
        pytest.param(lambda: sign(role="box-office", cinemas="all"), id="cinemas that are no list"),
        pytest.param(lambda: "x" * 9000, id="too long"),
        pytest.param(lambda: "a.b.c", id="three parts of nothing"),
    ],
)
async def test_every_fault_is_token_invalid(issuer, token):
    """One word, which tells a forger nothing; algorithms cannot be confused."""
    assert refused(issuer, token()) == "token_invalid"


async def test_an_expired_token_is_told_apart(issuer):
    """Beyond what two clocks may differ."""
    issuer.verify(sign(exp=int(time.time()) - 5))
    assert refused(issuer, sign(exp=int(time.time()) - limits.TOKEN_LEEWAY_S - 5)) == "token_expired"


async def test_roles_are_what_the_settings_say(key_file):
    """Our own words in a foreign token mean nothing; of several roles the highest counts; staff need their cinemas."""
    issuer = Issuer(settings_of(key_file, jwks_role_claim="realm.roles", jwks_cinemas_claim="realm.halls"))
    await issuer.keys.fetch()

    def rights(roles, halls=(1, 2)):
        identity = issuer.verify(sign(realm={"roles": roles, "halls": list(halls)}))
        return identity.role, sorted(identity.cinemas), sorted(identity.managed)

    assert rights("admin") == rights(["staff", 7]) == rights(None) == ("customer", [], [])
    assert rights("box-office") == ("staff", [1, 2], [])
    assert rights(["box-office", "boss"]) == ("staff", [1, 2], [1, 2])
    assert rights(["boss", "it"]) == ("admin", [], [])
    assert issuer.verify(sign(role="it")).role == "customer"


async def test_keys_that_are_not_for_this_are_passed_over():
    """Secrets, other curves, other uses, weak ones, and what is no key at all; one bad key spoils no other."""
    weak = rsa.generate_private_key(65537, 1024)
    keys = [
        *KEYS,
        {"kty": "oct", "kid": "secret", "k": "c2VjcmV0"},
        public("RS256", RSA_KEY, "encrypts", use="enc"),
        public("RS256", RSA_KEY, "otherwise", alg="RS512"),
        public("RS256", weak, "weak"),
        public("ES384", ec.generate_private_key(ec.SECP384R1()), "curve"),
        {"kty": "RSA", "kid": "broken", "n": 7},
        {"kty": "RSA"},
    ]
    assert set(read_keys(json.dumps({"keys": keys}).encode())) == set(PRIVATE)


async def test_a_new_key_is_learned_beside_the_requests_and_not_too_often(issuer, key_file, monkeypatch):
    """The first token with it is asked to come again; strangers' keys cause no storm; keys stay if it is away."""
    now = [1_000_000]
    monkeypatch.setattr(jwks, "_now_ms", lambda: now[0])
    key_file.write_text(json.dumps({"keys": [*KEYS, public("EdDSA", ED_KEY, "new")]}))
    token = sign("EdDSA", key_id="new")
    for _ in range(3):
        with pytest.raises(Unavailable) as away:
            issuer.verify(token)
        assert (away.value.code, away.value.outcome) == ("issuer_unavailable", "definite")
    await issuer.keys._fetching
    assert issuer.verify(token).outside
    assert refused(issuer, sign("EdDSA", key_id="never seen")) == "token_invalid"

    key_file.unlink()
    now[0] += limits.JWKS_FETCH_MIN_MS
    with pytest.raises(Unavailable):
        issuer.verify(sign("EdDSA", key_id="never seen"))
    await issuer.keys._fetching
    assert issuer.verify(token).outside


async def test_without_any_key_nobody_is_called_a_forger(tmp_path):
    """The issuer is away since our start: come again."""
    issuer = Issuer(settings_of(tmp_path / "nothing"))
    await issuer.keys.start()
    await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(Unavailable):
            issuer.verify(sign())
    await issuer.keys.close()


async def test_own_and_outside_tokens_stand_side_by_side(issuer):
    """Which keys judge a token follows from its key id; our secret is no key of the issuer, and the reverse."""
    tokens = Tokens(b"a secret of the tests, long enough to sign", 60)
    authenticator = Authenticator(tokens, issuer)
    own = tokens.issue(Identity(subject="rina"), "access")
    assert not authenticator.identify(own).outside
    assert authenticator.identify(sign()).outside
    key_id = jwt.get_unverified_header(own)["kid"]
    with pytest.raises(Refusal, match="token_invalid"):
        authenticator.identify(sign("EdDSA", key_id=key_id))
    with pytest.raises(Refusal, match="token_invalid"):
        Authenticator(tokens).identify(sign())


@pytest.mark.parametrize(
    "changes",
    [
        {"jwks_issuer": ""},
        {"jwks_audience": ""},
        {"jwks_url": "ftp://x"},
        {"jwks_roles": "a=owner"},
        {"jwks_roles": "a"},
    ],
)
def test_half_an_issuer_is_refused_at_the_start(key_file, changes):
    """An issuer that anybody could be, or a role that does not exist."""
    with pytest.raises(CommandError, match="JWKS"):
        settings_of(key_file, **changes)

"""Tokens: what is signed comes back, and nothing else gets in."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import jwt
import pytest

from engine.accounts.tokens import AUDIENCE, ISSUER, Identity, Tokens, load_secrets
from engine.errors import CommandError, Refusal
from engine.settings import Settings

SECRET = b"a secret of the tests, long enough to sign with any of the algorithms"
ALICE = Identity(
    subject="8a3f0e0c-0f5e-4f7e-9a57-3f2f3b8b7c11",
    role="staff",
    email="alice@example.com",
    locale="en",
    cinemas=frozenset({1, 2}),
    managed=frozenset({2}),
)


def tokens(ttl_s: int = 60) -> Tokens:
    """Tokens of the tests' secret."""
    return Tokens(SECRET, ttl_s)


def forge(
    secret: bytes | None = SECRET, algorithm: str = "HS256", header: dict | None = None, **changes: object
) -> str:
    """Sign a token that is right in all but what the caller changes; None takes a claim away."""
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "typ": "access", "iat": now, "exp": now + 60} | changes
    key_id = jwt.get_unverified_header(tokens().issue(ALICE, "access"))["kid"]
    return jwt.encode(
        {name: value for name, value in claims.items() if value is not None},
        secret,
        algorithm,
        headers={"kid": key_id} | (header or {}),
    )


def refused(token: str) -> str:
    """Give the word with which a token is refused."""
    with pytest.raises(Refusal) as refusal:
        tokens().verify(token)
    return refusal.value.code


def test_a_token_gives_back_who_it_was_made_for():
    """Subject, role and cinemas survive; the expiry is the life of the kind."""
    identity = tokens().verify(tokens().issue(ALICE, "access"))

    assert identity.subject == ALICE.subject
    assert (identity.role, identity.email, identity.locale) == ("staff", "alice@example.com", "en")
    assert (identity.cinemas, identity.managed) == ({1, 2}, {2})
    assert 50 < identity.expires_at_s - time.time() <= 60


def test_the_forger_of_these_tests_makes_a_good_token_when_it_changes_nothing():
    """Otherwise every refusal below would prove nothing."""
    assert tokens().verify(forge()).subject == "u"


def test_an_expired_token_is_told_apart():
    """The client can refresh it."""
    assert refused(forge(exp=int(time.time()) - 1)) == "token_expired"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(lambda: forge(aud="another-api"), id="foreign audience"),
        pytest.param(lambda: forge(iss="somebody else"), id="foreign issuer"),
        pytest.param(lambda: forge(secret=b"another secret that is long enough, too"), id="foreign secret"),
        pytest.param(lambda: forge(algorithm="HS512"), id="another algorithm"),
        pytest.param(lambda: forge(header={"kid": "another"}), id="foreign key id"),
        pytest.param(lambda: forge(typ="refresh"), id="a refresh token"),
        pytest.param(lambda: forge(typ=None), id="no kind"),
        pytest.param(lambda: forge(exp=None), id="no expiry"),
        pytest.param(lambda: forge(sub=None), id="no subject"),
        pytest.param(lambda: forge(sub=7), id="a subject that is no text"),
        pytest.param(lambda: forge(role="owner"), id="an unknown role"),
        pytest.param(lambda: forge(cinemas="all"), id="cinemas that are no list"),
        pytest.param(lambda: forge()[:-2] + "xx", id="tampered signature"),
        pytest.param(lambda: tampered(forge(role="customer"), role="admin"), id="tampered role"),
        pytest.param(lambda: unsigned(forge(role="admin")), id="algorithm none"),
        pytest.param(lambda: "x" * 5000, id="too long"),
        pytest.param(lambda: "", id="empty"),
        pytest.param(lambda: "a.b.c", id="three parts of nothing"),
        pytest.param(lambda: "\ud800.b.c", id="not even text"),
    ],
)
def test_every_other_fault_is_token_invalid(token):
    """Each is refused with one word that tells a forger nothing."""
    assert refused(token()) == "token_invalid"


def test_a_refresh_token_is_no_access_token_and_the_reverse():
    """Their kinds are claims, and each verifier asks for its own."""
    with pytest.raises(Refusal):
        tokens().verify(tokens().issue(ALICE, "refresh"), "access")
    with pytest.raises(Refusal):
        tokens().verify(tokens().issue(ALICE, "access"), "refresh")


def test_rights_are_per_cinema():
    """A manager of one cinema is plain staff in another and nobody in a third; an admin is all everywhere."""
    assert ALICE.may_operate(1)
    assert not ALICE.may_operate(1, manager=True)
    assert ALICE.may_operate(2, manager=True)
    assert not ALICE.may_operate(3)
    assert Identity(subject="root", role="admin").may_operate(3, manager=True)
    # Cinemas in a customer's token would be a mistake of ours; they give no right.
    assert not Identity(subject="c", role="customer", cinemas=frozenset({1})).may_operate(1)
    with pytest.raises(Refusal, match="not yours"):
        ALICE.require_cinema(3)


def test_processes_that_start_together_share_one_random_secret(tmp_path: Path):
    """The file appears whole, once, closed to others."""
    settings = Settings(data_dir=tmp_path / "data")
    with ThreadPoolExecutor(16) as pool:
        secrets = set(pool.map(lambda _: load_secrets(settings)[0], range(64)))

    assert len(secrets) == 1
    assert len(secrets.pop()) >= 32
    files = list((tmp_path / "data").iterdir())
    assert [file.name for file in files] == ["token-secret"]
    assert files[0].stat().st_mode & 0o777 == 0o600


def test_a_given_secret_wins_and_must_be_long_enough(tmp_path: Path):
    """A short secret would make every token guessable."""
    assert load_secrets(Settings(data_dir=tmp_path, token_secret="s" * 32)) == [b"s" * 32]
    assert not list(tmp_path.iterdir())
    with pytest.raises(CommandError, match="32 bytes"):
        load_secrets(Settings(data_dir=tmp_path, token_secret="short"))


def test_several_secrets_stand_in_one_setting(tmp_path: Path):
    """By comma; a comma between parts that would be too short is a part of one secret."""
    one, two = "1" * 32, "2" * 40
    assert load_secrets(Settings(token_secret=f"{one}, {two}")) == [one.encode(), two.encode()]
    assert load_secrets(Settings(token_secret=f"{one},short")) == [f"{one},short".encode()]


def test_two_keys_live_while_one_takes_over_from_the_other():
    """What either signed is known by its key id; only the first one signs; of a third nothing is believed."""
    older, newer = b"o" * 32, b"n" * 32
    before, during, after = Tokens(older, 60), Tokens(newer, 60, [older]), Tokens(newer, 60)
    old, new = before.issue(ALICE, "access"), during.issue(ALICE, "access")

    assert during.verify(old).subject == during.verify(new).subject == after.verify(new).subject == ALICE.subject
    assert (during.signed(old), after.signed(old)) == (True, False)
    for tokens_, token in ((after, old), (before, new)):
        with pytest.raises(Refusal, match="token_invalid"):
            tokens_.verify(token)
    # A token that names the one key and is signed with the other.
    mixed = jwt.encode(
        jwt.decode(new, options={"verify_signature": False}), older, "HS256", jwt.get_unverified_header(new)
    )
    with pytest.raises(Refusal, match="token_invalid"):
        during.verify(mixed)


def tampered(token: str, **changes: object) -> str:
    """Change claims and keep the signature."""
    header, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | changes
    return ".".join([header, encoded(claims), signature])


def unsigned(token: str) -> str:
    """Keep the claims and say that there is no signature."""
    key_id = jwt.get_unverified_header(token)["kid"]
    return ".".join([encoded({"alg": "none", "typ": "JWT", "kid": key_id}), token.split(".")[1], ""])


def encoded(value: object) -> str:
    """Encode one part of a token."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

"""Who may call: tokens are verified once, remembered until they end, and give exactly their rights."""

import time

import pytest
from starlette.requests import Request

from api.auth import Access, Authenticator
from api.routes import ENDPOINTS
from engine.accounts.tokens import Identity, Tokens
from engine.errors import Refusal


class CountingTokens(Tokens):
    """Counts what it verifies."""

    def __init__(self, ttl_s: int = 60) -> None:
        super().__init__(b"a secret of the tests, long enough to sign", ttl_s)
        self.verified = 0

    def verify(self, token, kind="access"):
        self.verified += 1
        return super().verify(token, kind)


def asking(authorization: str | None) -> Request:
    """A request with this header."""
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers})


def test_a_token_is_verified_once_and_then_remembered():
    """The second look costs no signature."""
    tokens = CountingTokens()
    authenticator = Authenticator(tokens)
    token = tokens.issue(Identity(subject="rina"), "access")

    identities = [authenticator.admit(asking(f"Bearer {token}"), Access.CUSTOMER) for _ in range(3)]

    assert {identity.subject for identity in identities} == {"rina"}
    assert tokens.verified == 1


def test_a_remembered_token_ends_when_it_expires(monkeypatch):
    """Memory does not lengthen its life: its verifier is asked again."""
    tokens = CountingTokens()
    authenticator = Authenticator(tokens)
    token = tokens.issue(Identity(subject="rina"), "access")
    authenticator.identify(token)

    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    authenticator.identify(token)

    assert tokens.verified == 2


def test_a_bad_token_is_never_remembered_and_the_memory_is_bounded():
    """Forged tokens cannot fill it; of good ones the least used go."""
    tokens = CountingTokens()
    authenticator = Authenticator(tokens, remembered_max=2)
    for _ in range(3):
        with pytest.raises(Refusal):
            authenticator.identify("a.b.c")
    one, two, three = (tokens.issue(Identity(subject=name), "access") for name in "abc")
    for token in (one, two, one, three):
        authenticator.identify(token)
    tokens.verified = 0
    authenticator.identify(one)
    authenticator.identify(three)
    assert tokens.verified == 0
    authenticator.identify(two)
    assert tokens.verified == 1


def test_each_access_admits_exactly_its_roles():
    """A table of everybody against everything."""
    people = {
        "customer": Identity(subject="c"),
        "guest": Identity(subject="g", guest=True),
        "staff": Identity(subject="s", role="staff", cinemas=frozenset({1})),
        "manager": Identity(subject="m", role="staff", cinemas=frozenset({1}), managed=frozenset({1})),
        "admin": Identity(subject="a", role="admin"),
    }
    everybody = set(people)
    admitted = {
        Access.VIEWER: everybody,
        Access.CUSTOMER: everybody,
        Access.STAFF: {"staff", "manager", "admin"},
        Access.MANAGER: {"manager", "admin"},
        Access.ADMIN: {"admin"},
    }
    tokens = CountingTokens()
    authenticator = Authenticator(tokens)
    for access, names in admitted.items():
        for name, identity in people.items():
            request = asking("Bearer " + tokens.issue(identity, "access"))
            if name in names:
                assert authenticator.admit(request, access).subject == identity.subject
            else:
                with pytest.raises(Refusal, match="forbidden"):
                    authenticator.admit(request, access)


def test_without_a_token_only_public_views_are_open():
    """A bad header on a public path is not looked at; on a viewer's path it is."""
    authenticator = Authenticator(CountingTokens())
    assert authenticator.admit(asking(None), Access.PUBLIC) is None
    assert authenticator.admit(asking("Bearer nonsense"), Access.PUBLIC) is None
    assert authenticator.admit(asking(None), Access.VIEWER) is None
    with pytest.raises(Refusal, match="token_invalid"):
        authenticator.admit(asking("Bearer nonsense"), Access.VIEWER)
    for access in (Access.CUSTOMER, Access.STAFF, Access.MANAGER, Access.ADMIN):
        with pytest.raises(Refusal, match="token_missing"):
            authenticator.admit(asking(None), access)


def test_no_operators_path_is_open_to_customers():
    """Every line under /admin asks for a role, and nothing else does without need."""
    operators = [line for line in ENDPOINTS if line.path.startswith("/admin")]
    assert all(line.access in (Access.STAFF, Access.MANAGER, Access.ADMIN) for line in operators)
    open_writes = {line.path for line in ENDPOINTS if line.access is Access.PUBLIC and line.method != "GET"}
    assert open_writes <= {
        "/auth/register",
        "/auth/login",
        "/auth/guest",
        "/auth/refresh",
        "/payments/webhook",
        "/bookings/lookup",
        "/payments/simulate/{session}",
    }


def test_the_lines_of_a_path_stand_together():
    """One route per path is built of neighbouring lines; a lost neighbour would hide a method."""
    paths = [line.path for line in ENDPOINTS]
    together = [path for index, path in enumerate(paths) if index == 0 or paths[index - 1] != path]
    assert len(together) == len(set(together))
    assert len({(line.method, line.path) for line in ENDPOINTS}) == len(ENDPOINTS)

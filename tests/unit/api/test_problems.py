"""Problems: every refusal has a status, and no answer tells more than it should."""

import ast
import re

import pytest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request

from api.auth import Access
from api.middleware import Edge
from api.problems import PROBLEMS, answer_error, answer_http
from api.rate_limits import RateLimits
from api.routes import ENDPOINTS, Endpoint, build_routes
from engine.errors import InvalidInput, Refusal, SeatlockError, Unavailable
from engine.paths import LUA_DIR, ROOT
from engine.settings import Settings
from tests.asgi import AsgiClient

NEVER_ON_THE_WIRE = {"command_failed", "refund_refused"}
"""Words of the command line, and of gateways to the worker."""


def words_raised(folder: str) -> dict[str, str]:
    """Give every constant code in `Refusal("...")`, `Unavailable("...")` and `code="..."`, with its place."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            first = node.args[0] if node.args and name in ("Refusal", "Unavailable") else None
            named = [keyword.value for keyword in node.keywords if name == "InvalidInput" and keyword.arg == "code"]
            for value in [first, *named]:
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    found[value.value] = f"{path.relative_to(ROOT)}:{node.lineno}"
    return found


def test_every_code_raised_anywhere_has_a_status():
    """Else a clear no of the engine would come out as a crash."""
    raised = words_raised("engine") | words_raised("api")
    assert {"seats_taken", "email_taken", "unknown_seat", "ledger_unavailable"} <= raised.keys() | PROBLEMS.keys()
    assert {
        word: place for word, place in raised.items() if word not in PROBLEMS and word not in NEVER_ON_THE_WIRE
    } == {}


def words_returned() -> set[str]:
    """Give every word with which a script answers."""
    texts = [path.read_text(encoding="utf-8") for path in [*LUA_DIR.glob("*.lua"), *LUA_DIR.glob("include/*.lua")]]
    return {word for text in texts for word in re.findall(r"\{ ?'([a-z_]{3,})', now_ms", text)}


def test_every_word_of_a_script_is_an_answer_or_has_a_status():
    """Refusals travel by their word from Lua to HTTP, but for the words that the seat engine names and handles."""
    answers = set()
    for path in (ROOT / "engine" / "seats").glob("*.py"):
        answers |= set(re.findall(r"""b?"([a-z_]{3,})\"""", path.read_text(encoding="utf-8")))
    returned = words_returned()
    assert {"adopted", "not_found", "hold_expired", "cannot_extend"} <= returned
    unknown = {word for word in returned if word not in PROBLEMS and word not in answers}
    assert unknown == set()


def test_every_code_of_the_table_says_what_to_do():
    """A status of its family, a title, a help that ends as a sentence does."""
    for code, problem in PROBLEMS.items():
        assert re.fullmatch("[a-z_]+", code)
        assert 400 <= problem.status < 600
        assert problem.help.endswith((".", "`")), code
        assert not problem.title.endswith("."), code


class Answers:
    """An application whose one route does what the test says."""

    def __init__(self, error: Exception | None = None, public_url: str = "") -> None:
        self.error = error
        endpoint = Endpoint("GET", "/api/test", self.handle, Access.PUBLIC)
        pages = [line for line in ENDPOINTS if line.path.startswith("/api/problems")]
        settings = Settings(public_url=public_url)
        app = Starlette(
            routes=build_routes([endpoint, *pages]),
            exception_handlers={SeatlockError: answer_error, HTTPException: answer_http},
            middleware=[Middleware(Edge, settings=settings)],
        )
        app.state.settings = settings
        app.state.rate_limits = RateLimits(settings, None)
        app.state.authenticator = self
        self.client = AsgiClient(app)

    def admit(self, request, access):
        return None

    async def handle(self, request: Request):
        raise self.error


@pytest.mark.parametrize(
    "error",
    [ValueError("secret of the server"), KeyError("x"), Refusal("a_word_nobody_knows"), HTTPException(418)],
)
def test_a_crash_is_a_500_that_tells_nothing(error):
    """No trace, no text of the exception; the request's id finds both in the log."""
    answer = Answers(error).client.get("/api/test")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    for leak in ("secret", "Traceback", "ValueError", "nobody_knows", ".py"):
        assert leak not in answer.text


def test_a_503_says_when_to_ask_again_and_what_is_known():
    """Definite or unknown; `Retry-After` is whole seconds, never 0."""
    for outcome, retry_after_ms, header in (("definite", 1, "1"), ("unknown", 2_001, "3")):
        answer = Answers(Unavailable("redis_unavailable", outcome=outcome, retry_after_ms=retry_after_ms)).client.get(
            "/api/test"
        )
        assert (answer.status_code, answer.json()["outcome"]) == (503, outcome)
        assert answer.headers["retry-after"] == header


def test_details_help_but_never_replace_the_standard_members():
    """A detail named `status` or `type` would make the problem lie."""
    answer = Answers(Refusal("showtime_closed", showtime_status="FROZEN", status="x", type="y")).client.get("/api/test")

    assert (answer.status_code, answer.json()["status"], answer.json()["code"]) == (409, 409, "showtime_closed")
    assert answer.json()["showtime_status"] == "FROZEN"


def test_fields_are_pointed_at():
    """The list of errors goes through as it is."""
    answer = Answers(InvalidInput("/seats/0", "no such seat", code="unknown_seat")).client.get("/api/test")
    assert answer.json()["errors"] == [{"pointer": "/seats/0", "detail": "no such seat"}]


def test_the_type_opens_the_page_of_the_code():
    """Relative without a public address, absolute with one; an unknown code has no page."""
    client = Answers(Refusal("seats_taken")).client
    kind = client.get("/api/test").json()["type"]
    page = client.get(kind)
    assert (kind, page.status_code) == ("/api/problems/seats_taken", 200)
    assert "409" in page.text
    assert client.get("/api/problems/nothing").status_code == 404
    public = Answers(Refusal("seats_taken"), "https://tickets.example").client
    assert public.get("/api/test").json()["type"] == "https://tickets.example/api/problems/seats_taken"


def test_no_path_and_no_method_are_problems_too():
    """The router's own refusals have the same shape; `Allow` lists what there is."""
    client = Answers().client
    missing, wrong = client.get("/api/nothing"), client.delete("/api/test")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert set(wrong.headers["allow"].split(", ")) == {"GET", "HEAD"}

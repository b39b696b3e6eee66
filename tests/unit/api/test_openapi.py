"""The API's description of itself: whole, valid, and true."""

import json
import re

import pytest
from jsonschema import Draft202012Validator, FormatChecker
from openapi_spec_validator import validate
from starlette.applications import Starlette

from api.openapi.describe import description_of
from api.openapi.document import Document, operation_id, refusals
from api.openapi.links import LINKS
from api.openapi.parameters import QUERY_PARAMETERS
from api.problems import PROBLEMS
from api.rate_limits import RateLimits
from api.routes import ENDPOINTS, build_routes
from engine.paths import ROOT
from engine.settings import Settings
from tests.asgi import AsgiClient

DOCUMENT = json.loads(Document(ENDPOINTS).encoded)
SAID_BY_THE_ROUTER = {"method_not_allowed"}
SAID_TO_OURSELVES = {"hold_changed", "not_checked_out"}
"""Words that the engine answers with other words before they come to a client."""


@pytest.mark.covers("004.39")
@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
def test_every_route_is_described(endpoint):
    """Its handler says what it takes and answers, and names only refusals that have a status."""
    description = endpoint.description
    assert description.answers
    assert set(description.refuses) <= PROBLEMS.keys()
    assert endpoint.handler.__doc__


def test_a_handler_that_says_nothing_is_found():
    """Without this the rule above could pass on anything."""

    async def silent(request):
        """Say nothing."""

    with pytest.raises(LookupError, match="silent has no @describe"):
        description_of(silent)


def media_types():
    """Give each documented body and answer: where it is, and its media type object."""
    for path, operations in DOCUMENT["paths"].items():
        for method, operation in operations.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                yield f"{method} {path} body", media
            for status, response in operation["responses"].items():
                for media in response.get("content", {}).values():
                    yield f"{method} {path} {status}", media


@pytest.mark.covers("004.39")
def test_the_document_is_valid_openapi():
    """By a validator that knows nothing of us."""
    validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_operation_has_a_name_of_its_own():
    """Generated clients make methods of them; links name them."""
    names = [operation_id(endpoint) for endpoint in ENDPOINTS]
    assert len(names) == len(set(names))
    assert {link.target for links in LINKS.values() for link in links} | LINKS.keys() <= set(names)


def test_every_code_is_documented_and_given_by_something():
    """No code of the table is missing, none is there that no endpoint gives, but for what the router itself says."""
    assert {f"problem.{code}" for code in PROBLEMS} <= DOCUMENT["components"]["schemas"].keys()
    given = set().union(*(refusals(endpoint) for endpoint in ENDPOINTS))
    assert PROBLEMS.keys() - given <= SAID_BY_THE_ROUTER | SAID_TO_OURSELVES


def test_examples_are_valid():
    """Each example is an instance of the schema beside it."""
    failures = []
    for place, media in media_types():
        references = [example["$ref"].rpartition("/")[2] for example in media.get("examples", {}).values()]
        examples = [DOCUMENT["components"]["examples"][name]["value"] for name in references]
        examples += [media["example"]] if "example" in media else []
        schema = {**media["schema"], "components": DOCUMENT["components"]}
        validator = Draft202012Validator(schema, format_checker=FormatChecker())
        failures += [(place, error.message) for example in examples for error in validator.iter_errors(example)]
    assert failures == []


def test_every_query_parameter_that_is_read_is_documented():
    """A name in `query_text` or `query_number` is in the table of parameters."""
    calls = re.compile(r'query_(?:text|number)\(request, "(\w+)"')
    read = {name for path in (ROOT / "api").glob("*.py") for name in calls.findall(path.read_text(encoding="utf-8"))}
    assert read
    assert read <= QUERY_PARAMETERS.keys()


class Pages:
    """The application's pages without its servers."""

    def __init__(self):
        app = Starlette(routes=build_routes([line for line in ENDPOINTS if line.path.startswith("/api/")]))
        app.state.document = Document(ENDPOINTS)
        app.state.settings = Settings()
        app.state.authenticator = self
        app.state.rate_limits = RateLimits(Settings(), None)
        self.client = AsgiClient(app)

    def admit(self, request, access):
        return None


@pytest.mark.covers("004.39")
def test_the_page_shows_the_document_with_what_is_here():
    """Every file it names is served; no address of it, nor of its policy, is elsewhere."""
    client = Pages().client
    page = client.get("/api/docs")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    named = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert "/api/openapi.json" in named
    for address in named:
        answer = client.get(address)
        assert (address, answer.status_code) == (address, 200)
        assert answer.content
    policy = page.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "http" not in policy
    assert client.get("/api/docs/..%2fdocs.html").status_code == 404


def test_who_has_the_document_does_not_get_it_again():
    """Its entity tag is that of its contents."""
    client = Pages().client
    first = client.get("/api/openapi.json")
    assert json.loads(first.content) == DOCUMENT
    again = client.get("/api/openapi.json", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")

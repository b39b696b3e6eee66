"""The OpenAPI 3.1 document, made of the route table, the handlers' descriptions, the types and the problems' table."""

import inspect
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b
from http import HTTPStatus
from typing import Any

import msgspec

from api.auth import Access
from api.health import VERSION
from api.openapi.describe import Answer, Description
from api.openapi.examples import example_of
from api.openapi.links import LINKS
from api.openapi.outgoing import describe_webhooks
from api.openapi.parameters import HEADERS, PATH_PARAMETERS, QUERY_PARAMETERS, REQUEST_HEADERS, Field
from api.openapi.problem_members import MEMBERS, ProblemAnswer, members_example
from api.problems import MEDIA_TYPE, PAGES, PROBLEMS
from api.routes import Endpoint, full_path
from engine.webhooks.records import Event

Json = dict[str, Any]

JSON_TYPE = "application/json"
SCHEMAS = "#/components/schemas/"
TAGS = {
    "holds": "Claim seats of a showtime, and give them back.",
    "my_holds": "A customer's own holds of all showtimes.",
    "seats": "Who may see what is free: maps, lists, bitmaps and changes.",
    "bookings": "From a hold to tickets.",
    "tickets": "E-tickets: codes, pictures, documents, and the keys that verify them.",
    "refunds": "Give tickets back: what that pays, and doing it.",
    "payments": "Sessions at a gateway, and what the gateway says of them.",
    "catalogue": "Cities, cinemas, movies, showtimes and layouts, for everybody.",
    "accounts": "Registering, logging in, guests.",
    "operator_catalogue": "Operators make and change cinemas, auditoriums, movies and showtimes.",
    "operators": "Operators freeze showtimes, block seats, end holds, and look at what happened.",
    "operator_webhooks": "Endpoints of integrators, who are told what happens, and the log of what was sent to them.",
    "operator_refunds": "Money that goes back: every attempt, another try, settling by hand.",
    "operator_check_in": "Staff at the door check tickets in.",
    "health": "What an orchestrator asks.",
    "docs": "This document.",
    "problems": "The pages that the `type` of a problem opens.",
}
_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
_SOMETIMES = ("showtime_frozen", "gateway_unavailable")
"""Codes of 503 that only some endpoints can give; they say so themselves."""


class Document:
    """The document of a route table; built when it is first asked for."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints

    @cached_property
    def encoded(self) -> bytes:
        """Give the document as JSON."""
        return msgspec.json.encode(self.value)

    @cached_property
    def tag(self) -> str:
        """Give the entity tag of the document."""
        return f'"{blake2b(self.encoded, digest_size=12).hexdigest()}"'

    @cached_property
    def value(self) -> Json:
        """Give the document."""
        paths: dict[str, Json] = {}
        for endpoint in self._endpoints:
            path = _PARAMETER.sub(r"{\1}", full_path(endpoint.path))
            paths.setdefault(path, {})[endpoint.method.lower()] = self._operation(endpoint)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "seatlock",
                "version": VERSION,
                "description": (
                    "Seats of a cinema, from the map to the ticket. Money is in minor units of its currency; times are "
                    "RFC 3339 in UTC; every refusal is a problem (RFC 9457) whose `code` is a stable word."
                ),
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [{"name": name, "description": says} for name, says in TAGS.items()],
            "paths": paths,
            "webhooks": describe_webhooks(self._schema((Event,))),
            "components": {
                "schemas": self._components,
                "headers": {name: _header(name, field) for name, field in HEADERS.items()},
                "examples": {code: _problem_example(code) for code in PROBLEMS},
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                    "signature": {
                        "type": "apiKey",
                        "in": "header",
                        "name": "X-Seatlock-Signature",
                        "description": '`t=<unix>,v1=<hex HMAC-SHA256 of "<t>.<raw body>">` by the shared secret.',
                    },
                },
            },
        }

    @cached_property
    def _types(self) -> list[Any]:
        found: list[Any] = [ProblemAnswer, Event, *MEMBERS.values()]
        for endpoint in self._endpoints:
            found += endpoint.description.bodies
            for kind in endpoint.description.answers.values():
                found += _kinds(kind)
        return list(dict.fromkeys(found))

    @cached_property
    def _schemas(self) -> tuple[dict[Any, Json], dict[str, Json]]:
        schemas, components = msgspec.json.schema_components(self._types, ref_template=SCHEMAS + "{name}")
        for component in components.values():
            if "description" in component:
                component["description"] = inspect.cleandoc(component["description"])
        return dict(zip(self._types, schemas, strict=True)), components

    @cached_property
    def _components(self) -> Json:
        problems = {f"problem.{code}": self._problem(code) for code in PROBLEMS}
        return {**self._schemas[1], **problems}

    def _schema(self, kinds: Sequence[Any]) -> Json:
        schemas = [self._schemas[0][kind] for kind in kinds]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def _problem(self, code: str) -> Json:
        problem = PROBLEMS[code]
        parts = [self._schemas[0][kind] for kind in (ProblemAnswer, MEMBERS.get(code)) if kind]
        return {
            "title": code,
            "description": f"{problem.title}. {problem.help}",
            "allOf": parts,
            "properties": {"code": {"const": code}, "status": {"const": problem.status}},
            "externalDocs": {"url": PAGES + code},
        }

    def _operation(self, endpoint: Endpoint) -> Json:
        description = endpoint.description
        summary, _, rest = inspect.getdoc(endpoint.handler).partition("\n\n")  # type: ignore[union-attr]
        operation: Json = {
            "operationId": operation_id(endpoint),
            "tags": [endpoint.handler.__module__.rpartition(".")[2]],
            "summary": " ".join(summary.split()).removesuffix("."),
            "description": f"{rest}\n\nFor {endpoint.access.value}.".strip(),
            "parameters": list(_parameters(endpoint)),
            "responses": self._responses(endpoint),
            "security": _security(endpoint),
        }
        if description.bodies:
            operation["requestBody"] = {
                "required": not description.body_optional,
                "content": {JSON_TYPE: self._media(description.bodies)},
            }
        return operation

    def _media(self, kinds: Sequence[Any]) -> Json:
        return {"schema": self._schema(kinds), "example": example_of(kinds[0])}

    def _responses(self, endpoint: Endpoint) -> Json:
        description = endpoint.description
        responses: dict[int, Json] = {}
        for status, kind in description.answers.items():
            content = {text: {"schema": {"type": "string"}} for text in _texts(kind)}
            if _kinds(kind):
                content[JSON_TYPE] = self._media(_kinds(kind))
            responses[status] = _response(status, content, _headers(endpoint, status))
            links = LINKS.get(operation_id(endpoint), ()) if status < 300 else ()
            if links:
                responses[status]["links"] = {link.target: link.to_json() for link in links}
        if description.tagged:
            responses[304] = _response(304, {}, _headers(endpoint, 304))
        by_status: dict[int, list[str]] = {}
        for code in sorted(refusals(endpoint)):
            by_status.setdefault(PROBLEMS[code].status, []).append(code)
        for status, codes in by_status.items():
            refs = [{"$ref": f"{SCHEMAS}problem.{code}"} for code in codes]
            media = {
                "schema": refs[0] if len(refs) == 1 else {"oneOf": refs},
                "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
            }
            response = responses.setdefault(status, _response(status, {}, _headers(endpoint, status)))
            response.setdefault("content", {})[MEDIA_TYPE] = media
        return {str(status): responses[status] for status in sorted(responses)}


def operation_id(endpoint: Endpoint) -> str:
    """Give an operation's name: its handler's, which only operators' endpoints share with others."""
    name = endpoint.handler.__name__
    return f"admin_{name}" if endpoint.path.startswith("/admin/") else name


def refusals(endpoint: Endpoint) -> set[str]:
    """Give the codes that an endpoint may answer with: its own, and those that follow from what it is."""
    description = endpoint.description
    codes = {*description.refuses, "internal_error"}
    codes |= {code for code, problem in PROBLEMS.items() if problem.status in (408, 429, 431)}
    codes |= {code for code, problem in PROBLEMS.items() if problem.status == 503 and code not in _SOMETIMES}
    if endpoint.access is not Access.PUBLIC:
        codes |= {"token_expired", "token_invalid"}
    if endpoint.access not in (Access.PUBLIC, Access.VIEWER):
        codes.add("token_missing")
    if endpoint.access in (Access.STAFF, Access.MANAGER, Access.ADMIN):
        codes.add("forbidden")
    if description.bodies:
        codes |= {"malformed_json", "unsupported_media_type", "invalid_field"}
    if endpoint.method != "GET":
        codes.add("body_too_large")
    if description.query:
        codes.add("invalid_field")
    if "{" in endpoint.path:
        codes.add("not_found")
    if endpoint.method == "POST":
        codes |= {"invalid_field", "idempotency_key_reused", "idempotency_key_in_flight"}
    return codes


def _kinds(kind: Answer) -> tuple[Any, ...]:
    """Give the types of an answer; other text and no body have none."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return tuple(one for one in kinds if one is not None and not isinstance(one, str))


def _texts(kind: Answer) -> tuple[str, ...]:
    """Give the media types of an answer that is no JSON of ours."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return tuple(one for one in kinds if isinstance(one, str))


def _parameters(endpoint: Endpoint) -> Iterator[Json]:
    description = endpoint.description
    for name in _PARAMETER.findall(endpoint.path):
        yield _parameter("path", name, PATH_PARAMETERS[name], required=True)
    for name in description.query:
        yield _parameter("query", name, QUERY_PARAMETERS[name])
    for name in _request_headers(endpoint.method, description):
        yield _parameter("header", name, REQUEST_HEADERS[name])


def _request_headers(method: str, description: Description) -> Iterable[str]:
    if method == "POST" and not description.signed:
        yield "Idempotency-Key"
    if description.tagged:
        yield "If-None-Match"
    yield "X-Request-Id"


def _parameter(place: str, name: str, field: Field, *, required: bool = False) -> Json:
    return {
        "name": name,
        "in": place,
        "required": required,
        "description": field.says,
        "schema": field.schema,
        "example": field.example,
    }


def _header(name: str, field: Field) -> Json:
    always = name in ("X-Request-Id", "Server-Timing", "Retry-After")
    return {"description": field.says, "required": always, "schema": field.schema, "example": field.example}


def _headers(endpoint: Endpoint, status: int) -> list[str]:
    description = endpoint.description
    names = ["X-Request-Id", "Server-Timing", "RateLimit", "RateLimit-Policy"]
    if status in (429, 503):
        names.append("Retry-After")
    if status < 300:
        names += description.sends
        if endpoint.method == "POST" and not description.signed:
            names.append("Idempotency-Replayed")
    if description.tagged and status < 400:
        names.append("ETag")
    return names


def _response(status: int, content: Json, headers: list[str]) -> Json:
    response: Json = {
        "description": HTTPStatus(status).phrase,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
    }
    if content:
        response["content"] = content
    return response


def _security(endpoint: Endpoint) -> list[Json]:
    if endpoint.description.signed:
        return [{"signature": []}]
    match endpoint.access:
        case Access.PUBLIC:
            return []
        case Access.VIEWER:
            return [{}, {"token": []}]
        case _:
            return [{"token": []}]


def _problem_example(code: str) -> Json:
    problem = PROBLEMS[code]
    standard = ProblemAnswer(
        type=PAGES + code,
        title=problem.title,
        status=problem.status,
        detail=problem.help.replace("`", ""),
        instance="/api/v1/showtimes/42/holds",
        code=code,
        request_id="9b1deb4d3b7d4bad9bdd2b0d",
    )
    return {"summary": problem.title, "value": {**members_example(code), **msgspec.structs.asdict(standard)}}

"""What goes over the wire: typed bodies in, JSON out, times, cursor pages, entity tags."""

import base64
import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Generic, TypeVar, get_args

import msgspec
from msgspec import Meta
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from api.cors import header
from engine.errors import InvalidInput, Refusal
from engine.ledger.database import to_ms
from engine.limits import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, SECOND_MS, SHOWTIME_NUMBER_MAX

T = TypeVar("T")
Json = bytes | Mapping[str, Any] | msgspec.Struct

JSON = "application/json"
_JSON = JSON.encode()
_encode = msgspec.json.Encoder().encode
_PATH_PART = re.compile(r"\.([^.\[\]]+)|\[([^\]]*)\]")
_NAMED_FIELD = re.compile(r"(?:unknown|required) field `(.*?)`")


Timestamp = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC with milliseconds, written by `rfc3339`."""


class Input(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of every request body: unknown fields are refused."""


class Body(Generic[T]):
    """Reads request bodies of one type; built once per endpoint, when its module is imported."""

    def __init__(self, kind: type[T]) -> None:
        self.kind = kind
        self._decode = msgspec.json.Decoder(kind).decode

    async def read(self, request: Request) -> T:
        """Give the decoded body.

        Raises:
            Refusal: `unsupported_media_type`, `malformed_json`, `body_too_large`.
            InvalidInput: `invalid_field` with a JSON pointer.
        """
        media_type = header(request.scope, b"content-type") or b""
        if media_type != _JSON and media_type.partition(b";")[0].strip().lower() != _JSON:
            raise Refusal("unsupported_media_type")
        return self.decode(await _whole_body(request))

    def decode(self, raw: bytes) -> T:
        """Decode one JSON document; errors as in `read`."""
        try:
            value = self._decode(raw)
        except msgspec.ValidationError as error:
            raise invalid_field(error) from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Refusal("malformed_json", str(error)) from None
        if b"\\u0000" in raw:
            raise InvalidInput("", "The character U+0000 is not allowed.")
        return value


async def _whole_body(request: Request) -> bytes:
    """Give the body as `Request.body` does; mostly it is one message, and needs none of its generators."""
    if hasattr(request, "_body"):
        return await request.body()  # The handler has read it before.
    parts: list[bytes] = []
    while True:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = parts[0] if len(parts) == 1 else b"".join(parts)
            request._body = body  # noqa: SLF001 -- where `Request.body` looks for it: some handlers read it twice
            return body


def invalid_field(error: msgspec.ValidationError) -> InvalidInput:
    """Turn msgspec's ``Expected `str`, got `int` - at `$.seats[0]` `` into a JSON pointer and its reason."""
    # A wrong key of an object reads: Invalid enum value 'GOLD' - at `key` in `$.prices`.
    reason, _, path = str(error).replace(" - at `key` in `$", " - at `$").partition(" - at `$")
    parts = [key or ("-" if index == "..." else index) for key, index in _PATH_PART.findall(path.rstrip("`"))]
    named = _NAMED_FIELD.search(reason)
    if named:
        parts.append(named[1])
    pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
    return InvalidInput(pointer, reason + ".")


def invalid_parameter(name: str, detail: str) -> InvalidInput:
    """Name a query parameter or header that is wrong; there is no JSON to point into, so its pointer is `?name`."""
    return InvalidInput(f"?{name}", detail)


class JsonAnswer(Response):
    """An answer of JSON, without Starlette's search for what its headers may lack."""

    background = None

    def __init__(
        self, body: bytes, status: int, headers: Mapping[str, str] | None = None, media_type: str = JSON
    ) -> None:
        self.body, self.status_code = body, status
        self.raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in (headers or {}).items()]
        self.raw_headers += (
            (b"content-length", b"%d" % len(body)),
            (b"content-type", media_type.encode()),
        )


def answer(value: Json, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Build a JSON answer from a struct or mapping, or from bytes that are JSON already."""
    return JsonAnswer(value if isinstance(value, bytes) else _encode(value), status, headers)


def no_content() -> Response:
    """Build a 204."""
    return Response(status_code=204)


# --- Time


def rfc3339(at_ms: int) -> str:
    """Give Unix milliseconds as `2026-11-21T08:00:00.000Z`."""
    return f"{_second(at_ms // SECOND_MS)}.{at_ms % SECOND_MS:03}Z"


@lru_cache(4_096)
def _second(at_s: int) -> str:
    """Write a second; the answers of a moment have few different ones."""
    return datetime.fromtimestamp(at_s, UTC).replace(tzinfo=None).isoformat()


def rfc3339_of(at: datetime) -> str:
    """Give an aware datetime as RFC 3339 in UTC."""
    return rfc3339(to_ms(at))


def now_ms() -> int:
    """Give this process' clock: only for `server_time` of answers in which no deadline of Redis is shown."""
    return time.time_ns() // 1_000_000


# --- Parameters


def showtime_number(request: Request, name: str = "showtime") -> int:
    """Give a path parameter that names a showtime; one that cannot exist is `not_found`."""
    number: int = request.path_params[name]
    if not 1 <= number <= SHOWTIME_NUMBER_MAX:
        raise Refusal("not_found")
    return number


def row_number(request: Request, name: str = "id") -> int:
    """Give a path parameter that names a row by a 32-bit number; one that cannot exist is `not_found`."""
    number: int = request.path_params[name]
    if not 1 <= number < 2**31:
        raise Refusal("not_found")
    return number


def query_text(request: Request, name: str) -> str | None:
    """Give a query parameter, None if absent or empty.

    Raises:
        InvalidInput: it is given twice, or holds U+0000, which PostgreSQL has no text for.
    """
    return _only_text(request, name) or None


def _only_text(request: Request, name: str) -> str | None:
    if not request.scope["query_string"]:
        return None
    texts = request.query_params.getlist(name)
    if not texts:
        return None
    if len(texts) > 1:
        raise invalid_parameter(name, "It is given more than once.")
    if "\0" in texts[0]:
        raise invalid_parameter(name, "The character U+0000 is not allowed.")
    return texts[0]


def query_word(request: Request, name: str, words: Any) -> Any:
    """Give a query parameter that is one of a Literal's words, None if absent or empty; `invalid_field` otherwise."""
    text = query_text(request, name)
    if text is not None and text not in get_args(words):
        raise invalid_parameter(name, f"Expected one of {', '.join(get_args(words))}.")
    return text


def query_number(request: Request, name: str, *, least: int = 0, most: int = 2**63 - 1) -> int | None:
    """Give a query parameter as a whole number in bounds, None if absent; `invalid_field` otherwise, also if empty."""
    text = _only_text(request, name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and least <= int(text) <= most):
        raise invalid_parameter(name, f"Expected a whole number from {least} to {most}.")
    return int(text)


def page_limit(request: Request) -> int:
    """Give how many items a page of a list may have: `?limit=`."""
    return query_number(request, "limit", least=1, most=PAGE_LIMIT_MAX) or PAGE_LIMIT_DEFAULT


def page_cursor(request: Request, kinds: type[T]) -> T | None:
    """Give the position after which a list goes on: what `page` was given as `position`; None for the first page.

    Args:
        request: carries `?cursor=`.
        kinds: the position's type, e.g. `tuple[int, str]`.
    """
    text = query_text(request, "cursor")
    if text is None:
        return None
    try:
        return msgspec.json.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=kinds)
    except (ValueError, RecursionError):
        raise invalid_parameter("cursor", "Expected a `next_cursor` of this list.") from None


class Page(msgspec.Struct, Generic[T]):
    """A page of a list; `next_cursor` is what `?cursor=` takes for the next one, null at the end."""

    items: Sequence[T]
    next_cursor: str | None


def page(items: Sequence[T], position: Any = None) -> Page[T]:
    """Build the body of a list; `position` is where the next page begins, None at the end."""
    return Page(items, cursor_of(position))


def cursor_of(position: Any) -> str | None:
    """Write down a position for `page_cursor` to read; None, the end, is no cursor."""
    return None if position is None else base64.urlsafe_b64encode(_encode(position)).rstrip(b"=").decode()


# --- Entity tags


def tag_matches(request: Request, tag: str) -> bool:
    """Tell whether `If-None-Match` names this entity tag (weak comparison)."""
    header = request.headers.get("if-none-match")
    if header is None:
        return False
    plain = tag.removeprefix("W/")
    return any(part.strip().removeprefix("W/") in (plain, "*") for part in header.split(","))


def not_modified(headers: Mapping[str, str]) -> Response:
    """Build a 304 with the headers that the 200 would have had."""
    return Response(status_code=304, headers=headers)

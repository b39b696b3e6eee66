"""Wire types: bodies in, problems with pointers, times, cursors, entity tags."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from starlette.requests import ClientDisconnect, Request

from api import wire
from engine.errors import InvalidInput, Refusal


class Passenger(wire.Input):
    """A body of the tests."""

    name: str
    seats: tuple[str, ...] = ()
    ages: dict[str, int] | None = None


BODY = wire.Body(Passenger)


def get(query: str = "", **headers: str) -> Request:
    """A request with these parameters and headers."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": raw})


def post(*messages: dict) -> Request:
    """A request whose body comes in these messages, and then nothing."""
    coming = iter(messages)

    async def receive():
        return next(coming)

    headers = [(b"content-type", b"application/json; charset=utf-8")]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def test_a_body_is_read_whole_and_can_be_read_again():
    """In however many parts it comes; and whoever reads first, `Request.body` or a `Body`."""
    parts = [{"type": "http.request", "body": part, "more_body": more} for part, more in ((b'{"na', True), (b"", True))]
    last = {"type": "http.request", "body": b'me": "Rina"}'}
    for messages in ([{"type": "http.request", "body": b'{"name": "Rina"}'}], [*parts, last]):
        request = post(*messages)
        assert [(await BODY.read(request)).name for _ in range(2)] == ["Rina", "Rina"]
        assert await request.body() == b'{"name": "Rina"}'
        request = post(*messages)
        assert await request.body() == b'{"name": "Rina"}'
        assert (await BODY.read(request)).name == "Rina"


async def test_half_a_body_of_somebody_who_hung_up_is_none():
    """It is not decoded as if it were whole."""
    with pytest.raises(ClientDisconnect):
        await BODY.read(post({"type": "http.request", "body": b"{}", "more_body": True}, {"type": "http.disconnect"}))


@pytest.mark.parametrize(
    ("raw", "pointer"),
    [
        (b'{"name": 7}', "/name"),
        (b'{"name": "a", "seats": ["b", 7]}', "/seats/1"),
        (b'{"name": "a", "ages": {"b": "c"}}', "/ages/-"),
        (b'{"name": "a", "nick": "b"}', "/nick"),
        (b'{"name": "a", "a/b~c": "b"}', "/a~1b~0c"),
        (b"{}", "/name"),
        (b"[]", ""),
        (b'{"name": "a\\u0000b"}', ""),
    ],
)
def test_a_wrong_field_is_pointed_at(raw, pointer):
    """The pointer is a JSON pointer (RFC 6901); the reason is a sentence."""
    with pytest.raises(InvalidInput) as refusal:
        BODY.decode(raw)
    assert refusal.value.code == "invalid_field"
    (error,) = refusal.value.details["errors"]
    assert error["pointer"] == pointer
    assert error["detail"].endswith(".")


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b'{"name": "a"} x', b'{"name": "\xff"}', b'{"name": "\\ud800"}', b"\xef\xbb\xbf{}", b'{"name": NaN}'],
)
def test_what_is_not_json_is_malformed(raw):
    """Truncated, trailing, not UTF-8, half a surrogate pair, a byte order mark, a number that JSON has not."""
    with pytest.raises(Refusal) as refusal:
        BODY.decode(raw)
    assert refusal.value.code in {"malformed_json", "invalid_field"}


@pytest.mark.parametrize("opening", [b"[", b'{"a":'])
def test_a_body_that_is_only_depth_is_refused(opening):
    """The decoder's own recursion limit is an answer, not a crash."""
    anything = wire.Body(dict)
    with pytest.raises((Refusal, InvalidInput)):
        anything.decode(opening * 30_000)


def test_times_are_rfc_3339_in_utc_with_milliseconds():
    """Whatever zone they come from."""
    assert wire.rfc3339(0) == "1970-01-01T00:00:00.000Z"
    assert wire.rfc3339(1_700_000_000_007) == "2023-11-14T22:13:20.007Z"
    jakarta = datetime(2026, 1, 1, 7, 0, 0, 999_999, tzinfo=timezone(timedelta(hours=7)))
    assert wire.rfc3339_of(jakarta) == "2026-01-01T00:00:00.999Z"
    assert wire.rfc3339_of(datetime(1960, 1, 1, tzinfo=UTC)) == "1960-01-01T00:00:00.000Z"


def test_a_cursor_leads_back_to_its_position():
    """Clients only carry it."""
    body = wire.page([1, 2], (17, "né"))
    assert body.items == [1, 2]
    assert wire.page_cursor(get(f"cursor={body.next_cursor}"), tuple[int, str]) == (17, "né")
    assert wire.page_cursor(get(), tuple[int, str]) is None
    assert wire.page([]).next_cursor is None


@pytest.mark.parametrize("cursor", ["x", "%00", "e30", "%F0%9F%92%BA", "A" * 3000])
def test_a_made_up_cursor_is_an_invalid_field(cursor):
    """Never a crash."""
    with pytest.raises(InvalidInput) as refusal:
        wire.page_cursor(get(f"cursor={cursor}"), tuple[int, str])
    assert refusal.value.details["errors"][0]["pointer"] == "?cursor"


@pytest.mark.parametrize("limit", ["", "0", "201", "-1", "x", "1.5", "%D9%A3", "9" * 50])
def test_a_limit_out_of_bounds_is_an_invalid_field(limit):
    """Whole ASCII digits from 1 to 200, or the default."""
    with pytest.raises(InvalidInput):
        wire.page_limit(get(f"limit={limit}"))
    assert wire.page_limit(get("limit=7")) == 7
    assert wire.page_limit(get()) == 50


@pytest.mark.parametrize("query", ["limit=5&limit=7", "limit=x&limit=7", "limit=&limit=7"])
def test_a_parameter_that_is_given_twice_is_an_invalid_field(query):
    """Nobody has to guess which of them counts."""
    with pytest.raises(InvalidInput):
        wire.page_limit(get(query))
    with pytest.raises(InvalidInput):
        wire.query_text(get(query), "limit")


@pytest.mark.parametrize(
    ("header", "matches"),
    [('W/"1"', True), ('"1"', True), ('"0", W/"1"', True), ("*", True), ('W/"2"', False), ("", False), ("1", False)],
)
def test_entity_tags_compare_weakly(header, matches):
    """As If-None-Match asks for."""
    assert wire.tag_matches(get(if_none_match=header), 'W/"1"') is matches


def test_a_showtime_number_that_cannot_exist_is_not_found():
    """No database is asked for a number beyond 32 bits."""
    for number in (0, 2**32, 10**30):
        request = get()
        request.scope["path_params"] = {"showtime": number}
        with pytest.raises(Refusal):
            wire.showtime_number(request)

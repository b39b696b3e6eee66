"""Everything that can be answered with "no", in one tree.

    SeatlockError             code, retryable
    ├── Refusal               a rule said no and nothing changed; `code` is the word from Lua to HTTP
    ├── Unavailable           a dependency is away or too slow; `outcome` says what is known
    │     outcome "definite"  nothing happened
    │     outcome "unknown"   ask again with the same key
    ├── InvalidInput          the caller's data is wrong; names the field
    └── CommandError          the command line cannot go on; one clear line for its reader

A broken contract between our own parts is not in this tree: it raises `AssertionError` or `RuntimeError`.
"""

from collections.abc import Mapping
from typing import Any, Literal

Outcome = Literal["definite", "unknown"]


class SeatlockError(Exception):
    """Base of all expected failures.

    Attributes:
        code: a stable word, the same in Lua, Python and HTTP.
        retryable: whether the same request may succeed later without a change.
        details: what helps the caller to act; JSON-compatible.
    """

    retryable = False

    def __init__(self, code: str, detail: str = "", **details: Any) -> None:
        super().__init__(detail or code)
        self.code = code
        self.detail = detail
        self.details: Mapping[str, Any] = details


class Refusal(SeatlockError):
    """A rule said no; nothing was changed."""


class Unavailable(SeatlockError):
    """A dependency cannot serve now.

    Codes: `overloaded, timed_out, redis_unavailable, ledger_unavailable, gateway_unavailable,
    issuer_unavailable, showtime_frozen`.
    """

    retryable = True

    def __init__(
        self, code: str, detail: str = "", *, outcome: Outcome = "definite", retry_after_ms: int = 1_000, **details: Any
    ) -> None:
        super().__init__(code, detail, **details)
        self.outcome: Outcome = outcome
        self.retry_after_ms = retry_after_ms


class InvalidInput(SeatlockError):
    """The request's data is wrong. `errors` is a list of `{"pointer": JSON pointer, "detail": text}`."""

    def __init__(self, pointer: str, detail: str, *, code: str = "invalid_field", **details: Any) -> None:
        super().__init__(code, detail, errors=[{"pointer": pointer, "detail": detail}], **details)


class CommandError(SeatlockError):
    """The command line stops here; the text is one line for a person."""

    def __init__(self, detail: str) -> None:
        super().__init__("command_failed", detail)

"""From rows of the `*_records` views to records."""

from collections.abc import Mapping
from typing import Any, TypeVar
from uuid import UUID

import msgspec

T = TypeVar("T")


def to_record(row: Mapping[str, Any], kind: type[T]) -> T:
    """Build a record of `kind` from a row whose columns have the record's field names."""
    return msgspec.convert({name: _plain(value) for name, value in row.items()}, kind)


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value

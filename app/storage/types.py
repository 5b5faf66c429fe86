"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, Text
from sqlalchemy.types import TypeDecorator

from app.domain.texts import storable


class UtcDateTime(TypeDecorator[datetime]):
    """An aware datetime in UTC; SQLite, which has no time zones, gets and gives it without one."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times: they would be read back as UTC, whatever they were."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give SQLite's times their zone back."""
        return value.replace(tzinfo=UTC) if value is not None and dialect.name == "sqlite" else value


class PlainText(TypeDecorator[str]):
    """Text for people, whoever wrote it: what a database can't take is replaced, so that no text breaks a batch of writes."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - the same on all
        """Replace NUL, and halves of surrogate pairs."""
        return None if value is None else storable(value)


#: 64 bits; SQLite makes its own row ids only for a column that is declared INTEGER.
BigInt = BigInteger().with_variant(Integer(), "sqlite")

#: JSON as text on both: it is read whole or not at all, and keeps its keys' order.
Json = JSON(none_as_null=True)


class JsonValue(TypeDecorator[Any]):
    """JSON that need not be an object or a list; None is NULL. Kept in a list: of a bare 1.0 SQLite would make the number 1."""

    impl = JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> list[Any] | None:  # noqa: ARG002 - the same on all
        """Put it into its list."""
        return None if value is None else [value]

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:  # noqa: ARG002 - the same on all
        """Take it out of its list."""
        return None if value is None else value[0]


def dump_json(value: Any) -> str:
    """JSON for the engine's `json_serializer`, of texts that any database takes."""
    try:
        text = orjson.dumps(value).decode()
    except TypeError:  # half of a surrogate pair
        return orjson.dumps(_all_storable(value)).decode()
    return orjson.dumps(_all_storable(value)).decode() if _NUL in text else text


#: NUL as JSON writes it; it may also be a backslash and what stands behind it.
_NUL = "\\u0000"


def _all_storable(value: Any) -> Any:
    """The same with every text in it made storable."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, Mapping):
        return {_all_storable(key): _all_storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_all_storable(item) for item in value]
    return value

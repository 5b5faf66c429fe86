"""Column types that mean the same on SQLite and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer
from sqlalchemy.types import TypeDecorator


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


#: 64 bits; SQLite makes its own row ids only for a column that is declared INTEGER.
BigInt = BigInteger().with_variant(Integer(), "sqlite")

#: JSON as text on both: it is read whole or not at all, and keeps its keys' order.
Json = JSON(none_as_null=True)


def dump_json(value: Any) -> str:
    """JSON for the engine's `json_serializer`."""
    return orjson.dumps(value).decode()

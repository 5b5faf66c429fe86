"""What was made under which idempotency key, for a day, across replicas."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete
from sqlmodel import Session

from app.storage.models import IdempotencyKeyRow, table_of

KEPT_FOR = timedelta(hours=24)
_KEYS = table_of(IdempotencyKeyRow)
#: Parameters: caller, key, body_hash, run_id, created_at. A key twice violates `pk_idempotency_keys`.
INSERT_KEY = _KEYS.insert()
#: A key that is a day old no longer counts; its row may still be there. Parameters: b_caller, b_key, b_before.
_FORGET_KEY = _KEYS.delete().where(
    _KEYS.c.caller == bindparam("b_caller"), _KEYS.c.key == bindparam("b_key"), _KEYS.c.created_at <= bindparam("b_before")
)


def find_key(session: Session, caller: str, key: str, now: datetime) -> IdempotencyKeyRow | None:
    """What the caller made under the key, None if nothing, or longer ago than a day."""
    row = session.get(IdempotencyKeyRow, (caller, key))
    return row if row and row.created_at > now - KEPT_FOR else None


def remember_key(connection: Connection, made: IdempotencyKeyRow) -> None:
    """Say what was made under the key, from its `created_at` on. Raises IntegrityError where the key is in use.

    One after the other in one call: the writer runs inserts before deletes, whatever their order in a change.
    """
    before = made.created_at - KEPT_FOR
    connection.execute(_FORGET_KEY, {"b_caller": made.caller, "b_key": made.key, "b_before": before})
    connection.execute(INSERT_KEY, made.model_dump())


def forget_keys(connection: Connection, now: datetime) -> None:
    """Forget what is older than a day."""
    connection.execute(delete(_KEYS).where(_KEYS.c.created_at <= now - KEPT_FOR))

"""Cursors of lists and histories: opaque to users, of `[A-Za-z0-9._~-]` alone, and refused where podrun did not make them."""

from __future__ import annotations

import re

from app.domain.errors import InvalidCursor

_RUN_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TASK = re.compile(r"([0-9]{1,9})\.(-1|[0-9]{1,9})")
_EVENT = re.compile(r"[0-9]{1,18}")
_NAME = re.compile(r"~([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)")
_VERSION = re.compile(r"[0-9]{1,9}")


def read_run_cursor(cursor: str | None) -> str | None:
    """The run id to go on before."""
    if cursor is None or _RUN_ID.fullmatch(cursor):
        return cursor
    raise InvalidCursor(cursor)


def task_cursor(position: int, index: int | None) -> str:
    """The cursor behind a task."""
    return f"{position}.{-1 if index is None else index}"


def read_task_cursor(cursor: str | None) -> tuple[int, int] | None:
    """Position and index to go on behind; the index is -1 for a task that is no item."""
    if cursor is None:
        return None
    if match := _TASK.fullmatch(cursor):
        return int(match[1]), int(match[2])
    raise InvalidCursor(cursor)


def event_cursor(event_id: int) -> str:
    """The cursor behind an entry of the history."""
    return str(event_id)


def read_event_cursor(cursor: str | None) -> int:
    """The id of the entry to go on behind; 0 is before the first."""
    if cursor is None:
        return 0
    if _EVENT.fullmatch(cursor):
        return int(cursor)
    raise InvalidCursor(cursor)


def name_cursor(name: str) -> str:
    """The cursor behind a stored workflow; a name alone is none."""
    return f"~{name}"


def read_name_cursor(cursor: str | None) -> str | None:
    """The name of a stored workflow to go on behind."""
    if cursor is None:
        return None
    if match := _NAME.fullmatch(cursor):
        return match[1]
    raise InvalidCursor(cursor)


def read_version_cursor(cursor: str | None) -> int | None:
    """The version to go on before."""
    if cursor is None:
        return None
    if _VERSION.fullmatch(cursor):
        return int(cursor)
    raise InvalidCursor(cursor)

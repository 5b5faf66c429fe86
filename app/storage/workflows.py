"""Stored workflows, their versions, and when their schedules come.

The row of a workflow is locked while it changes (`lock_workflow`), so that of two who change it one sees the other. A deleted
workflow's row stays without its versions: their numbers are not used again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlmodel import Session, col

from app.storage.database import database_now
from app.storage.models import RunRow, WorkflowRow, WorkflowVersionRow, table_of
from app.storage.run_lists import first_id

_WORKFLOWS, _VERSIONS, _RUNS = table_of(WorkflowRow), table_of(WorkflowVersionRow), table_of(RunRow)
#: How much those of replicas and of the database may.
_CLOCKS_DIFFER = timedelta(hours=1)
#: Names that are looked through for one that was meant.
_NAMES_LIMIT = 5000


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """A document of a stored workflow."""

    name: str
    version: int
    body: bytes  #: as it was put
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DueSchedule:
    """A workflow whose schedule's time has come."""

    workflow: WorkflowRow
    now: datetime  #: by the database's clock
    body: bytes  #: the newest document
    unfinished: Mapping[str, bool]  #: runs that the schedule made and that are not finished: whether each is to be cancelled


def find_workflow(session: Session, name: str) -> WorkflowRow | None:
    """The stored workflow, None if there is none, or it was deleted."""
    row = session.get(WorkflowRow, name)
    return row if row is not None and row.deleted_at is None else None


def find_version(session: Session, name: str, version: int | None) -> StoredVersion | None:
    """A stored workflow's document, the newest where `version` is None. None: there is none, or the workflow was deleted."""
    row = find_workflow(session, name)
    if row is None:
        return None
    found = session.get(WorkflowVersionRow, (name, row.version if version is None else version))
    return StoredVersion(name, found.version, found.body, found.created_at) if found else None


def list_workflows(session: Session, *, after: str | None, limit: int) -> Sequence[WorkflowRow]:
    """Stored workflows by name."""
    statement = select(WorkflowRow).where(col(WorkflowRow.deleted_at).is_(None))
    if after is not None:
        statement = statement.where(col(WorkflowRow.name) > after)
    return session.scalars(statement.order_by(col(WorkflowRow.name)).limit(limit)).all()


def list_workflow_names(session: Session) -> Sequence[str]:
    """The names of stored workflows, for suggestions: some thousands at most."""
    statement = select(col(WorkflowRow.name)).where(col(WorkflowRow.deleted_at).is_(None))
    return session.scalars(statement.limit(_NAMES_LIMIT)).all()


def list_versions(session: Session, name: str, *, before: int | None, limit: int) -> Sequence[tuple[int, datetime]]:
    """Numbers and times of a workflow's versions, newest first."""
    statement = select(_VERSIONS.c.version, _VERSIONS.c.created_at).where(_VERSIONS.c.name == name)
    if before is not None:
        statement = statement.where(_VERSIONS.c.version < before)
    rows = session.execute(statement.order_by(_VERSIONS.c.version.desc()).limit(limit))
    return [(row.version, row.created_at) for row in rows]


def lock_workflow(connection: Connection, name: str) -> Row[Any] | None:
    """The row of a workflow, a deleted one's too, held until the transaction ends. None: that name was never used."""
    statement = select(_WORKFLOWS).where(_WORKFLOWS.c.name == name)
    if connection.dialect.name == "postgresql":
        statement = statement.with_for_update()
    return connection.execute(statement).first()


def reserve_workflow(connection: Connection, name: str, now: datetime) -> Row[Any]:
    """`lock_workflow`, making the row where there is none: as that of one that was deleted, with no version yet."""
    if found := lock_workflow(connection, name):
        return found
    insert: Any = postgresql_insert if connection.dialect.name == "postgresql" else sqlite_insert
    values = {"name": name, "version": 0, "description": "", "paused": False}
    times = {"deleted_at": now, "created_at": now, "updated_at": now}
    connection.execute(insert(_WORKFLOWS).values(values | times).on_conflict_do_nothing())
    made = lock_workflow(connection, name)
    assert made is not None  # noqa: S101 - rows are never deleted
    return made


def update_workflow(connection: Connection, name: str, values: Mapping[str, Any]) -> None:
    """Change columns of a workflow that is locked."""
    connection.execute(update(_WORKFLOWS).where(_WORKFLOWS.c.name == name).values(values))


def find_body(connection: Connection, name: str, version: int) -> bytes | None:
    """A version's document, in the transaction that changes the workflow."""
    statement = select(_VERSIONS.c.body).where(_VERSIONS.c.name == name, _VERSIONS.c.version == version)
    body: bytes | None = connection.execute(statement).scalar()
    return body


def insert_version(connection: Connection, version: StoredVersion) -> None:
    """Store a document. Its number must be the next one."""
    values = {"name": version.name, "version": version.version, "body": version.body, "created_at": version.created_at}
    connection.execute(_VERSIONS.insert(), values)


def delete_versions(connection: Connection, name: str) -> None:
    """Delete all documents of a workflow."""
    connection.execute(delete(_VERSIONS).where(_VERSIONS.c.name == name))


def list_due(session: Session, limit: int) -> tuple[list[DueSchedule], float | None]:
    """The schedules whose time has come, and in how many seconds the next one of the others does, None if there is none."""
    now = database_now(session.connection())
    active = (_WORKFLOWS.c.deleted_at.is_(None), _WORKFLOWS.c.paused.is_(False), _WORKFLOWS.c.next_fire_at.is_not(None))
    rows = session.scalars(
        select(WorkflowRow)
        .where(*active, _WORKFLOWS.c.next_fire_at <= now)
        .order_by(_WORKFLOWS.c.next_fire_at)
        .limit(limit)
    ).all()  # fmt: skip
    upcoming = session.scalar(select(func.min(_WORKFLOWS.c.next_fire_at)).where(*active, _WORKFLOWS.c.next_fire_at > now))
    due = []
    for row in rows:
        version = session.get(WorkflowVersionRow, (row.name, row.version))
        due.append(DueSchedule(row, now, version.body if version else b"", list_unfinished(session, row.name)))
    return due, None if upcoming is None else (upcoming - now).total_seconds()


def list_planned(session: Session, now: datetime) -> Sequence[WorkflowRow]:
    """The schedules whose next time is still to come."""
    active = (_WORKFLOWS.c.deleted_at.is_(None), _WORKFLOWS.c.paused.is_(False), _WORKFLOWS.c.next_fire_at > now)
    return session.scalars(select(WorkflowRow).where(*active)).all()


def has_run_of(session: Session, name: str, time: datetime) -> bool:
    """Whether the schedule of that workflow has made the run of that time. Looks through its runs since then: ask seldom."""
    since = first_id(time - _CLOCKS_DIFFER)  # a run is made when its time has come, by the clock of a replica
    made = (_RUNS.c.workflow == name, _RUNS.c.id >= since, _RUNS.c.schedule_of == name, _RUNS.c.scheduled_at == time)
    return session.execute(select(_RUNS.c.id).where(*made).limit(1)).first() is not None


def list_unfinished(session: Session, name: str) -> dict[str, bool]:
    """The runs that a workflow's schedule made and that are not finished, oldest first: whether each is to be cancelled."""
    statement = select(_RUNS.c.id, _RUNS.c.cancel_requested_at).where(
        _RUNS.c.is_finished.is_(False), _RUNS.c.schedule_of == name
    )
    return {row.id: row.cancel_requested_at is not None for row in session.execute(statement.order_by(_RUNS.c.id))}


def advance_schedule(connection: Connection, expected: WorkflowRow, values: Mapping[str, Any]) -> bool:
    """Move a schedule on, if it is still as it was read: of all replicas that try, one gets True.

    `values` has `next_fire_at`, and what is to be seen of this time.
    """
    changed = connection.execute(
        update(_WORKFLOWS)
        .where(
            _WORKFLOWS.c.name == expected.name,
            _WORKFLOWS.c.next_fire_at == expected.next_fire_at,
            _WORKFLOWS.c.version == expected.version,
            _WORKFLOWS.c.paused.is_(False),
            _WORKFLOWS.c.deleted_at.is_(None),
        )
        .values(values)
    )
    return changed.rowcount == 1

"""The tables. They are rows, not domain objects: nothing is validated here, and only repositories and the writer use them.

runs 1─1 documents          what was posted, byte for byte
1─n task_runs          a node of the DAG in this run
1─n attempts      one pod each
1─n logs     one container's log each: 1─n log_blocks (where the bytes are), log_gaps
1─n log_commits        in which order the logs of the run grew
1─n run_events         its history, append-only
1─n run_intents        what users asked of it, until its owner has done it
run_groups                  which run of a concurrency group has its turn
workflows 1─n workflow_versions   stored workflows, and every document that one ever was
executors                   who lives, until when
idempotency_keys, instance
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Text
from sqlalchemy import Table as CoreTable
from sqlmodel import Field, SQLModel

from app.storage.types import BigInt, Json, JsonValue, PlainText, UtcDateTime

#: Names of constraints by convention, so that migrations are stable and an error can be told by its constraint.
NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


class Table(SQLModel):
    """Base of all tables: their metadata, apart from SQLModel's global one."""

    metadata = MetaData(naming_convention=NAMING_CONVENTION)


def table_of(model: type[Table]) -> CoreTable:
    """The Core table behind a model: writes are Core statements, executed many at a time."""
    return cast("CoreTable", model.__table__)  # type: ignore[attr-defined]  # made by SQLModel's metaclass


def _run_id(**options: Any) -> Any:
    return Field(sa_column=Column(String(36), ForeignKey("runs.id", ondelete="CASCADE"), nullable=False, **options))


def _time(*, nullable: bool = True) -> Any:
    return Field(default=None, sa_column=Column(UtcDateTime(), nullable=nullable))


def _json(*, nullable: bool = False) -> Any:
    return Field(sa_column=Column(Json, nullable=nullable))


class RunRow(Table, table=True):
    """One execution of a workflow. Its phase is written by its owner alone, under the epoch."""

    __tablename__ = "runs"
    __table_args__ = (
        Index("ix_runs_workflow_id", "workflow", "id"),
        Index("ix_runs_phase_id", "phase", "id"),
        Index("ix_runs_unfinished", "is_finished", "owner"),
        Index("ix_runs_group_key_is_finished", "group_key", "is_finished"),
    )

    id: str = Field(sa_column=Column(String(36), primary_key=True))  # UUIDv7: newest last
    workflow: str = Field(sa_column=Column(String(63), nullable=False))
    workflow_version: int | None = None
    phase: str = Field(sa_column=Column(String(16), nullable=False))
    reason: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    message: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    is_finished: bool = False
    suspended: bool = False
    params: dict[str, Any] = _json()
    labels: dict[str, str] = _json()  # the workflow's and the request's
    task_phases: dict[str, int] = _json()
    version: int = 1
    created_at: datetime = _time(nullable=False)
    started_at: datetime | None = _time()
    finished_at: datetime | None = _time()
    retried_at: datetime | None = _time()
    clock: str | None = Field(default=None, sa_column=Column(String(64), nullable=True))  # see executor.clock
    # Its concurrency group: None, or `namespace/group`, and in which order its runs come.
    group_key: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    group_policy: str | None = Field(default=None, sa_column=Column(Text, nullable=True))  # domain.nodes.ConcurrencyPolicy
    queued_at: datetime | None = _time()
    # The schedule that made it: the time it was due, and the stored workflow.
    scheduled_at: datetime | None = _time()
    schedule_of: str | None = Field(default=None, sa_column=Column(String(63), nullable=True))
    # Intents: written by the API, read by the owner.
    cancel_requested_at: datetime | None = _time()
    cancel_reason: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    cancel_force: bool = False
    # Ownership.
    owner: str | None = Field(default=None, sa_column=Column(String(36), nullable=True))
    epoch: int = 0


class DocumentRow(Table, table=True):
    """The workflow as it was posted."""

    __tablename__ = "documents"

    run_id: str = _run_id(primary_key=True)
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))


class TaskRow(Table, table=True):
    """A task in a run."""

    __tablename__ = "task_runs"
    __table_args__ = (Index("ix_task_runs_run_id_position", "run_id", "position", "foreach_index"),)

    run_id: str = _run_id(primary_key=True)
    name: str = Field(sa_column=Column(String(63), primary_key=True))
    position: int  # in the document
    foreach_task: str | None = Field(default=None, sa_column=Column(String(63), nullable=True))
    foreach_index: int | None = None
    depends_on: list[str] = _json()
    phase: str = Field(sa_column=Column(String(16), nullable=False))
    reason: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    message: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    item: Any = Field(default=None, sa_column=Column(JsonValue, nullable=True))  # of `foreach`
    values: dict[str, Any] | None = Field(
        default=None, sa_column=Column(Json, nullable=True)
    )  # of expressions, by their source
    outputs: dict[str, Any] | None = _json(nullable=True)
    attempts_before: int = Field(default=0, sa_column=Column(Integer, nullable=False, server_default="0"))  # when last retried
    started_at: datetime | None = _time()
    finished_at: datetime | None = _time()
    retry_at: datetime | None = _time()  # when the next attempt may start


class AttemptRow(Table, table=True):
    """One try of a task: one pod."""

    __tablename__ = "attempts"

    run_id: str = _run_id(primary_key=True)
    task: str = Field(sa_column=Column(String(63), primary_key=True))
    attempt: int = Field(primary_key=True)
    phase: str = Field(sa_column=Column(String(16), nullable=False))
    reason: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    message: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    exit_code: int | None = None
    namespace: str = Field(sa_column=Column(String(63), nullable=False))
    pod: str = Field(sa_column=Column(String(63), nullable=False))
    pod_uid: str | None = Field(default=None, sa_column=Column(String(64), nullable=True))
    node: str | None = Field(default=None, sa_column=Column(String(253), nullable=True))
    is_replacement: bool = False  # a pod lost before main had started: not counted as a retry
    created_at: datetime = _time(nullable=False)
    started_at: datetime | None = _time()
    finished_at: datetime | None = _time()
    log_sealed: bool = False  # every container's log is in the store to its end
    pod_deleted: bool = False  # the pod's delete was answered, or there was no pod


class EventRow(Table, table=True):
    """One entry of a run's history. `id` orders all of them, and is visible in its order (see Writer)."""

    __tablename__ = "run_events"
    __table_args__ = (Index("ix_run_events_run_id_id", "run_id", "id"), {"sqlite_autoincrement": True})

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True, autoincrement=True))
    run_id: str = _run_id()
    time: datetime = _time(nullable=False)
    type: str = Field(sa_column=Column(String(32), nullable=False))  # domain.events.EventType
    task: str | None = Field(default=None, sa_column=Column(String(63), nullable=True))
    attempt: int | None = None
    phase: str | None = Field(default=None, sa_column=Column(String(16), nullable=True))
    reason: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    message: str = Field(default="", sa_column=Column(PlainText, nullable=False))
    details: dict[str, Any] | None = _json(nullable=True)  # of a pod's event: its type, count, source


class IntentRow(Table, table=True):
    """What a user asked of a run, beside its cancel: the run's owner does it, and deletes it in the same transaction."""

    __tablename__ = "run_intents"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True, autoincrement=True))
    run_id: str = _run_id(index=True)
    kind: str = Field(sa_column=Column(String(16), nullable=False))  # suspend, resume, retry, approve, reject
    task: str | None = Field(default=None, sa_column=Column(String(63), nullable=True))
    details: dict[str, Any] = _json()
    created_at: datetime = _time(nullable=False)


class GroupRow(Table, table=True):
    """A concurrency group. Its row is locked while a run enters it or takes its turn."""

    __tablename__ = "run_groups"

    key: str = Field(sa_column=Column(Text, primary_key=True))
    holder: str | None = Field(default=None, sa_column=Column(String(36), nullable=True))  # a run; it may be gone


class WorkflowRow(Table, table=True):
    """A stored workflow, its newest version. The row of a deleted one stays: its versions' numbers are not used again."""

    __tablename__ = "workflows"

    name: str = Field(sa_column=Column(String(63), primary_key=True))
    version: int
    description: str = Field(default="", sa_column=Column(PlainText, nullable=False))  # the newest document's
    paused: bool = False
    deleted_at: datetime | None = _time()
    created_at: datetime = _time(nullable=False)
    updated_at: datetime = _time(nullable=False)
    # The schedule of the newest version; times are the database's.
    schedule: dict[str, Any] | None = Field(default=None, sa_column=Column(Json, nullable=True))
    anchor_at: datetime | None = _time()  # when this schedule was first stored
    next_fire_at: datetime | None = Field(default=None, sa_column=Column(UtcDateTime(), nullable=True, index=True))
    last_fire_at: datetime | None = _time()
    last_run_id: str | None = Field(default=None, sa_column=Column(String(36), nullable=True))  # it may be gone
    last_skipped_at: datetime | None = _time()
    last_skipped_reason: str | None = Field(default=None, sa_column=Column(PlainText, nullable=True))


class WorkflowVersionRow(Table, table=True):
    """A stored workflow as it was put, byte for byte. Deleted with it."""

    __tablename__ = "workflow_versions"

    name: str = Field(sa_column=Column(String(63), primary_key=True))  # no foreign key: rows of `workflows` are never deleted
    version: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    body: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    created_at: datetime = _time(nullable=False)


class LogRow(Table, table=True):
    """One container's log in one attempt."""

    __tablename__ = "logs"
    __table_args__ = (Index("uq_logs_key", "run_id", "task", "attempt", "container", unique=True),)

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True, autoincrement=True))
    run_id: str = _run_id()
    task: str = Field(sa_column=Column(String(63), nullable=False))
    attempt: int
    container: str = Field(sa_column=Column(String(63), nullable=False))
    bytes: int = Field(default=0, sa_column=Column(BigInt, nullable=False))
    lines: int = Field(default=0, sa_column=Column(BigInt, nullable=False))
    gaps: int = 0
    sealed: bool = False


def _log_id(**options: Any) -> Any:
    return Field(sa_column=Column(BigInt, ForeignKey("logs.id", ondelete="CASCADE"), nullable=False, **options))


class LogBlockRow(Table, table=True):
    """A stretch of a log: the bytes themselves (the open tail), or the object that holds them."""

    __tablename__ = "log_blocks"

    log_id: int = _log_id(primary_key=True)
    first_byte: int = Field(sa_column=Column(BigInt, primary_key=True))
    end_byte: int = Field(sa_column=Column(BigInt, nullable=False))
    first_line: int = Field(sa_column=Column(BigInt, nullable=False))
    lines: int
    continues: bool = False
    continued_time: int = Field(default=0, sa_column=Column(BigInt, nullable=False))  # nanoseconds since 1970
    last_time: int = Field(sa_column=Column(BigInt, nullable=False))
    object_name: str | None = Field(default=None, sa_column=Column(Text, nullable=True))
    text: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    times: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))  # array("q"), little-endian


class LogCommitRow(Table, table=True):
    """One append to one of a run's logs: the order in which a reader of the whole run sees them."""

    __tablename__ = "log_commits"

    run_id: str = _run_id(primary_key=True)
    seq: int = Field(sa_column=Column(BigInt, primary_key=True, autoincrement=False))
    log_id: int = Field(sa_column=Column(BigInt, nullable=False))  # no foreign key: it goes with its run, and needs no index
    first_byte: int = Field(sa_column=Column(BigInt, nullable=False))
    end_byte: int = Field(sa_column=Column(BigInt, nullable=False))


class LogGapRow(Table, table=True):
    """Where lines may be missing, beside the bytes."""

    __tablename__ = "log_gaps"

    id: int | None = Field(default=None, sa_column=Column(BigInt, primary_key=True, autoincrement=True))
    log_id: int = _log_id(index=True)
    at_byte: int = Field(sa_column=Column(BigInt, nullable=False))
    from_at: datetime | None = _time()
    to_at: datetime | None = _time()
    reason: str = Field(sa_column=Column(PlainText, nullable=False))


class ExecutorRow(Table, table=True):
    """An executor that lives until `lease_until`, by the database's clock, unless it renews."""

    __tablename__ = "executors"

    id: str = Field(sa_column=Column(String(36), primary_key=True))
    host: str = Field(sa_column=Column(Text, nullable=False))
    started_at: datetime = _time(nullable=False)
    lease_until: datetime = _time(nullable=False)


class IdempotencyKeyRow(Table, table=True):
    """What a POST with an idempotency key made. Outlives its run, so that a deleted one is told from a new one."""

    __tablename__ = "idempotency_keys"

    caller: str = Field(sa_column=Column(String(64), primary_key=True))  # hash of the token: keys are not shared
    key: str = Field(sa_column=Column(String(255), primary_key=True))
    body_hash: str = Field(sa_column=Column(String(64), nullable=False))
    run_id: str = Field(sa_column=Column(String(36), nullable=False))
    created_at: datetime = Field(sa_column=Column(UtcDateTime(), nullable=False, index=True))


class InstanceRow(Table, table=True):
    """This installation's name, made once: pods carry it as a label."""

    __tablename__ = "instance"

    id: int = Field(default=1, primary_key=True)
    name: str = Field(sa_column=Column(String(36), nullable=False))

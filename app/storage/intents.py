"""What users ask of a run, beside its cancel: written by the API, done by the run's owner, who deletes it in the same step.

A run's cancel stays in the run's own columns (see `request_cancel`): it is asked for once, and stays asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, func, literal, or_, select, update
from sqlmodel import Session

from app.domain.phases import RunPhase
from app.storage.models import IntentRow, RunRow, TaskRow, table_of

_INTENTS, _RUNS = table_of(IntentRow), table_of(RunRow)


class IntentKind(StrEnum):
    """What is asked."""

    RETRY = "retry"  #: run what failed again; details: `tasks`, a list of names, or None for all that failed
    SUSPEND = "suspend"  #: start nothing new
    RESUME = "resume"  #: go on
    APPROVE = "approve"  #: of a task that waits for approval; details: `comment`
    REJECT = "reject"  #: the same


class Request(NamedTuple):
    """An intent that is not done yet."""

    id: int
    run_id: str
    kind: IntentKind
    task: str | None  #: of an approval
    details: Mapping[str, Any]


#: Parameters: those of `intent_row`.
INSERT_INTENT = _INTENTS.insert()
#: It is done. Parameter: `b_id`.
DELETE_INTENT = _INTENTS.delete().where(_INTENTS.c.id == bindparam("b_id"))


def intent_row(
    run_id: str, kind: IntentKind, created_at: datetime, *, task: str | None = None, details: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Parameters of INSERT_INTENT."""
    return {"run_id": run_id, "kind": kind.value, "task": task, "details": dict(details or {}), "created_at": created_at}


def list_run_intents(session: Session, run_id: str) -> Sequence[Request]:
    """What was asked of a run and is not done yet, in the order in which it was asked."""
    return _requests(session, _SELECT.where(_INTENTS.c.run_id == run_id))


def is_retry_asked(session: Session, run_id: str) -> bool:
    """Whether the run is to be retried and its owner has not begun with it: its tasks are over, and will not stay so."""
    wanted = (_INTENTS.c.run_id == run_id) & (_INTENTS.c.kind == IntentKind.RETRY.value)
    return session.execute(select(_INTENTS.c.id).where(wanted).limit(1)).first() is not None


def list_requests(session: Session, executor_id: str) -> Sequence[Request]:
    """What was asked of the runs that the executor owns and is not done yet, in the order in which it was asked."""
    mine = (_RUNS.c.owner == executor_id) & _RUNS.c.is_finished.is_(False)
    return _requests(session, _SELECT.join(_RUNS, _RUNS.c.id == _INTENTS.c.run_id).where(mine))


def has_answer(connection: Session | Connection, run_id: str, task: str) -> bool:
    """Whether an approval of the task was given or refused, and that is not done yet.

    Once it is done the task does not wait any more (see `find_task_phase`): both happen in one step of the run's owner.
    """
    kinds = (IntentKind.APPROVE.value, IntentKind.REJECT.value)
    statement = select(_INTENTS.c.id).where(
        _INTENTS.c.run_id == run_id, _INTENTS.c.task == task, _INTENTS.c.kind.in_(kinds)
    )  # fmt: skip
    return connection.execute(statement.limit(1)).first() is not None


def find_task_phase(connection: Session | Connection, run_id: str, task: str) -> tuple[str, str] | None:
    """Phase and reason of a task, None if there is none. Asked behind `lock_run`, it stays so until the transaction ends."""
    tasks = table_of(TaskRow)
    row = connection.execute(
        select(tasks.c.phase, tasks.c.reason).where(tasks.c.run_id == run_id, tasks.c.name == task)
    ).first()
    return None if row is None else (row.phase, row.reason)


def cancellable() -> ColumnElement[bool]:
    """Of a row of `runs`: whether it still has something to cancel. That it is to be retried counts, though it is over yet."""
    over = [phase.value for phase in RunPhase if phase.is_over]
    retried = select(_INTENTS.c.id).where(_INTENTS.c.run_id == _RUNS.c.id, _INTENTS.c.kind == IntentKind.RETRY.value).exists()
    return and_(_RUNS.c.is_finished.is_(False), or_(_RUNS.c.phase.not_in(over), retried))


def request_cancel(connection: Connection, run_id: str, now: datetime, reason: str, *, force: bool) -> bool:
    """Write the intent to cancel; the run's owner does it. False if there was nothing new to ask, or the run is over.

    Asked again with `force`, an earlier intent becomes a forced one.
    """
    fresh = _RUNS.c.cancel_requested_at.is_(None)
    unforced = _RUNS.c.cancel_force.is_(False)
    changed = connection.execute(
        update(_RUNS)
        .where(_RUNS.c.id == run_id, cancellable(), (fresh | unforced) if force else fresh)
        .values(
            cancel_requested_at=func.coalesce(_RUNS.c.cancel_requested_at, literal(now, _RUNS.c.created_at.type)),
            cancel_reason=reason,
            cancel_force=force,
        )
    )
    return changed.rowcount > 0


def request_retry(connection: Connection, run_id: str, now: datetime, owner: str | None) -> int | None:
    """Open a finished run again, under a new epoch, for `owner` or, None, for whoever claims it. None: it is not finished.

    Its tasks stay what they are until its owner resets them. It must enter its group again (see `storage.groups`).
    """
    epoch: int | None = connection.execute(
        update(_RUNS)
        .where(_RUNS.c.id == run_id, _RUNS.c.is_finished.is_(True))
        .values(
            phase=RunPhase.PENDING.value,
            reason="",
            message="",
            finished_at=None,
            is_finished=False,
            suspended=False,
            retried_at=now,
            queued_at=None,
            cancel_requested_at=None,
            cancel_reason="",
            cancel_force=False,
            owner=owner,
            epoch=_RUNS.c.epoch + 1,
            version=_RUNS.c.version + 1,
        )
        .returning(_RUNS.c.epoch)
    ).scalar()
    return epoch


def set_suspended(connection: Connection, run_id: str, *, suspended: bool) -> bool:
    """Say that nothing new of the run starts, or that it goes on. False: it is so already, or the run is over."""
    changed = connection.execute(
        update(_RUNS)
        .where(_RUNS.c.id == run_id, cancellable(), _RUNS.c.suspended.is_(not suspended))
        .values(suspended=suspended, version=_RUNS.c.version + 1)
    )
    return changed.rowcount > 0


def lock_run(connection: Connection, run_id: str) -> bool:
    """Hold the run's row until the transaction ends: what is asked of it comes one after the other. False: it is gone."""
    statement = select(_RUNS.c.id).where(_RUNS.c.id == run_id)
    if connection.dialect.name == "postgresql":
        statement = statement.with_for_update()
    return connection.execute(statement).first() is not None


def is_cancellable(session: Session, run_id: str) -> bool:
    """Whether the run still has something to cancel, or to suspend."""
    return session.execute(select(_RUNS.c.id).where(_RUNS.c.id == run_id, cancellable())).first() is not None


_SELECT: Select[Any] = select(
    _INTENTS.c.id, _INTENTS.c.run_id, _INTENTS.c.kind, _INTENTS.c.task, _INTENTS.c.details
).order_by(_INTENTS.c.id)  # fmt: skip


def _requests(session: Session, statement: Select[Any]) -> list[Request]:
    rows = session.execute(statement)
    return [Request(row.id, row.run_id, IntentKind(row.kind), row.task, row.details) for row in rows]

"""Runs, their tasks, attempts and history: the statements of the writer and the reads of everybody.

Statements are constants, so that the writer makes one executemany of the changes of many runs. Reads are functions of a
`Session` and see one snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, func, or_, select
from sqlmodel import Session, col

from app.domain.errors import RunGone
from app.domain.events import EventType, RunEvent
from app.domain.phases import Phase
from app.storage.groups import forget_group
from app.storage.intents import Request, list_run_intents
from app.storage.models import (
    AttemptRow,
    DocumentRow,
    EventRow,
    LogBlockRow,
    LogRow,
    RunRow,
    TaskRow,
    table_of,
)
from app.storage.writer import INSERT_EVENT

RUNS, TASKS, ATTEMPTS, EVENTS = table_of(RunRow), table_of(TaskRow), table_of(AttemptRow), table_of(EventRow)

INSERT_RUN = RUNS.insert()
INSERT_DOCUMENT = table_of(DocumentRow).insert()
INSERT_TASK = TASKS.insert()
INSERT_ATTEMPT = ATTEMPTS.insert()

#: What a run's owner writes; parameters: `run_id` and these columns. The version grows with each.
RUN_COLUMNS = ("phase", "reason", "message", "is_finished", "task_phases", "started_at", "finished_at", "retried_at", "clock")
UPDATE_RUN = (
    RUNS.update()
    .where(RUNS.c.id == bindparam("run_id"))
    .values({name: bindparam(name) for name in RUN_COLUMNS} | {"version": RUNS.c.version + 1})
)
#: A run that is finished holds nothing back any more. Parameter: `b_run_id`.
CLEAR_SUSPENDED = RUNS.update().where(RUNS.c.id == bindparam("b_run_id")).values(suspended=False)
#: The version alone grows: something that the run's tasks show has changed, such as a sealed log.
TOUCH_RUN = RUNS.update().where(RUNS.c.id == bindparam("b_run_id")).values(version=RUNS.c.version + 1)

#: Parameters: `b_run_id`, `b_name` and these columns.
TASK_COLUMNS = (
    "phase", "reason", "message", "values", "outputs", "attempts_before", "started_at", "finished_at", "retry_at",
)  # fmt: skip
UPDATE_TASK = (
    TASKS.update()
    .where(TASKS.c.run_id == bindparam("b_run_id"), TASKS.c.name == bindparam("b_name"))
    .values({name: bindparam(name) for name in TASK_COLUMNS})
)
#: A fan-out's row goes when those of its items come. Parameters: `b_run_id`, `b_name`.
DELETE_TASK = TASKS.delete().where(TASKS.c.run_id == bindparam("b_run_id"), TASKS.c.name == bindparam("b_name"))

#: Parameters: `b_run_id`, `b_task`, `b_attempt` and these columns.
ATTEMPT_COLUMNS = (
    "phase", "reason", "message", "exit_code", "pod_uid", "node", "created_at", "started_at", "finished_at", "log_sealed",
    "pod_deleted",
)  # fmt: skip
UPDATE_ATTEMPT = (
    ATTEMPTS.update()
    .where(
        ATTEMPTS.c.run_id == bindparam("b_run_id"),
        ATTEMPTS.c.task == bindparam("b_task"),
        ATTEMPTS.c.attempt == bindparam("b_attempt"),
    )
    .values({name: bindparam(name) for name in ATTEMPT_COLUMNS})
)


def task_row(
    run_id: str,
    name: str,
    position: int,
    depends_on: Sequence[str],
    *,
    foreach_task: str | None = None,
    foreach_index: int | None = None,
    item: Any = None,
    phase: Phase = Phase.PENDING,
    reason: str = "",
    message: str = "",
) -> dict[str, Any]:
    """Parameters of INSERT_TASK, of a task that nothing has happened to yet. All rows name the same columns."""
    return {
        "run_id": run_id,
        "name": name,
        "position": position,
        "foreach_task": foreach_task,
        "foreach_index": foreach_index,
        "depends_on": list(depends_on),
        "phase": phase.value,
        "reason": reason,
        "message": message,
        "item": item,
        "values": None,
        "outputs": None,
        "attempts_before": 0,
        "started_at": None,
        "finished_at": None,
        "retry_at": None,
    }


def event_row(event: RunEvent) -> dict[str, Any]:
    """Parameters of INSERT_EVENT."""
    return {name: getattr(event, name) for name in RunEvent.__slots__}


def insert_events(events: Iterable[RunEvent]) -> list[tuple[Any, dict[str, Any]]]:
    """Rows of a Change that append to the history."""
    return [(INSERT_EVENT, event_row(event)) for event in events]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """Everything of a run that its actor needs to go on."""

    run: RunRow
    document: bytes
    tasks: Sequence[TaskRow]
    attempts: Sequence[AttemptRow]
    #: Of each attempt that is not settled (task and number): its containers' logs that were begun, and whether each is sealed.
    logs: Mapping[tuple[str, int], Mapping[str, bool]]
    intents: Sequence[Request]  #: asked by users, not done yet
    pod_events: Mapping[str, int]  #: events of pods in its history, by their identity: how often they were counted


def load_run(session: Session, run_id: str) -> StoredRun:
    """The run as stored. Raises RunGone."""
    run, document = find_run(session, run_id), find_document(session, run_id)
    if run is None or document is None:
        raise RunGone(run_id)
    attempts = list_attempts(session, run_id)
    return StoredRun(
        run=run,
        document=document,
        tasks=list_tasks(session, run_id),
        attempts=attempts,
        logs=_logs_of_unsettled(session, run_id) if attempts else {},
        intents=list_run_intents(session, run_id),
        pod_events=list_pod_events(session, run_id) if attempts else {},
    )


def _logs_of_unsettled(session: Session, run_id: str) -> dict[tuple[str, int], dict[str, bool]]:
    logs = table_of(LogRow)
    over = [phase.value for phase in Phase if phase.is_over]
    settled = and_(ATTEMPTS.c.phase.in_(over), ATTEMPTS.c.log_sealed, ATTEMPTS.c.pod_deleted)
    of_attempt = and_(
        ATTEMPTS.c.run_id == logs.c.run_id, ATTEMPTS.c.task == logs.c.task, ATTEMPTS.c.attempt == logs.c.attempt
    )  # fmt: skip
    statement = select(logs.c.task, logs.c.attempt, logs.c.container, logs.c.sealed).join(ATTEMPTS, of_attempt)
    found: dict[tuple[str, int], dict[str, bool]] = {}
    for row in session.execute(statement.where(logs.c.run_id == run_id, ~settled)):
        found.setdefault((row.task, row.attempt), {})[row.container] = row.sealed
    return found


def find_run(session: Session, run_id: str) -> RunRow | None:
    """The run, None if there is none."""
    return next(iter(plain_rows(session, select(RUNS).where(RUNS.c.id == run_id))), None)


def find_document(session: Session, run_id: str) -> bytes | None:
    """The workflow as it was posted, None if there is no such run."""
    documents = table_of(DocumentRow)
    body: bytes | None = session.scalar(select(documents.c.body).where(documents.c.run_id == run_id))
    return body


def plain_rows(session: Session, statement: Select[Any]) -> Sequence[Any]:
    """Rows with their columns as attributes, as those of the models, without what the ORM keeps of each object.

    A run has ten thousand tasks, and a list a thousand runs: made, tracked and forgotten as objects these would cost twice as
    much.
    """
    return session.execute(statement).all()


def list_tasks(
    session: Session,
    run_id: str,
    *,
    after: tuple[int, int] | None = None,
    phases: Sequence[str] = (),
    foreach: str | None = None,
    limit: int | None = None,
) -> Sequence[TaskRow]:
    """A run's tasks in document order, the items of a `foreach` by index. `after` is (position, index or -1)."""
    index = func.coalesce(col(TaskRow.foreach_index), -1)
    statement = select(TASKS).where(col(TaskRow.run_id) == run_id).order_by(col(TaskRow.position), index)
    if after is not None:
        position, item = after
        statement = statement.where((col(TaskRow.position) > position) | ((col(TaskRow.position) == position) & (index > item)))
    if phases:
        statement = statement.where(col(TaskRow.phase).in_(phases))
    if foreach is not None:
        # Until its items are known, and for good if there are none, a fan-out is one row of its own name.
        statement = statement.where(or_(col(TaskRow.foreach_task) == foreach, col(TaskRow.name) == foreach))
    return plain_rows(session, statement.limit(limit))


def find_task(session: Session, run_id: str, task: str) -> TaskRow | None:
    """One task of a run, None if there is none."""
    return session.get(TaskRow, (run_id, task))


def list_task_names(session: Session, run_id: str) -> Sequence[str]:
    """The names of a run's tasks, of each item and of each task of the document, in document order."""
    statement = select(TASKS.c.name, TASKS.c.foreach_task).where(TASKS.c.run_id == run_id)
    rows = session.execute(statement.order_by(TASKS.c.position, TASKS.c.foreach_index))
    return list(dict.fromkeys(name for row in rows for name in (row.foreach_task, row.name) if name is not None))


def list_attempts(session: Session, run_id: str, tasks: Sequence[str] | None = None) -> Sequence[AttemptRow]:
    """The attempts of a run, or of some of its tasks, by task and number."""
    statement = select(ATTEMPTS).where(col(AttemptRow.run_id) == run_id)
    if tasks is not None:
        statement = statement.where(col(AttemptRow.task).in_(tasks))
    return plain_rows(session, statement.order_by(col(AttemptRow.task), col(AttemptRow.attempt)))


def list_main_logs(session: Session, run_id: str, tasks: Sequence[str] | None = None) -> Sequence[LogRow]:
    """The logs of the containers `main` of a run, or of some of its tasks: what an attempt shows as `log`."""
    statement = select(table_of(LogRow)).where(col(LogRow.run_id) == run_id, col(LogRow.container) == "main")
    if tasks is not None:
        statement = statement.where(col(LogRow.task).in_(tasks))
    return plain_rows(session, statement)


def list_log_containers(session: Session, run_id: str, task: str) -> Sequence[str]:
    """The containers of a task that have a log, in any of its attempts."""
    logs = table_of(LogRow)
    statement = select(logs.c.container).where(logs.c.run_id == run_id, logs.c.task == task).distinct()
    return session.execute(statement.order_by(logs.c.container)).scalars().all()


def list_events(session: Session, run_id: str | None, after_id: int, limit: int) -> Sequence[EventRow]:
    """History behind `after_id` in its order: of one run, or of all."""
    statement = select(EVENTS).where(col(EventRow.id) > after_id)
    if run_id is not None:
        statement = statement.where(col(EventRow.run_id) == run_id)
    return plain_rows(session, statement.order_by(col(EventRow.id)).limit(limit))


def list_pod_events(session: Session, run_id: str) -> dict[str, int]:
    """The pods' events that are in the run's history: the uid of each, and its highest count."""
    statement = select(col(EventRow.details)).where(col(EventRow.run_id) == run_id, col(EventRow.type) == EventType.POD.value)
    counts: dict[str, int] = {}
    for details in session.scalars(statement):
        uid = (details or {}).get("uid", "")
        counts[uid] = max(counts.get(uid, 0), (details or {}).get("count", 1))
    return counts


def id_before_last_events(session: Session, run_id: str | None, count: int) -> int:
    """The id behind which the last so many entries come, of one run's history or of all; 0: behind it is everything."""
    statement = select(EVENTS.c.id)
    if run_id is not None:
        statement = statement.where(EVENTS.c.run_id == run_id)
    return session.scalar(statement.order_by(EVENTS.c.id.desc()).offset(count).limit(1)) or 0


def list_event_runs(session: Session, before_id: int | None, limit: int) -> Sequence[tuple[int, str]]:
    """The newest entries of all histories before an id, the newest first: their ids, and their runs'."""
    statement = select(EVENTS.c.id, EVENTS.c.run_id)
    if before_id is not None:
        statement = statement.where(EVENTS.c.id < before_id)
    return [(row.id, row.run_id) for row in session.execute(statement.order_by(EVENTS.c.id.desc()).limit(limit))]


def list_runs_by_id(session: Session, run_ids: Sequence[str]) -> Sequence[RunRow]:
    """The runs of these ids, in no order; those that are gone are left out."""
    return plain_rows(session, select(RUNS).where(RUNS.c.id.in_(run_ids)))


def delete_run(connection: Connection, run_id: str) -> list[str] | None:
    """Delete a finished run and all its rows. Returns its objects in the log store, None if it is not finished."""
    blocks, logs = table_of(LogBlockRow), table_of(LogRow)
    names = connection.scalars(
        select(blocks.c.object_name)
        .join(logs, logs.c.id == blocks.c.log_id)
        .where(logs.c.run_id == run_id, blocks.c.object_name.is_not(None))
    ).all()
    statement = delete(RUNS).where(RUNS.c.id == run_id, RUNS.c.is_finished.is_(True))
    gone = connection.execute(statement.returning(RUNS.c.group_key)).first()
    if gone is None:
        return None
    if gone.group_key is not None:
        forget_group(connection, gone.group_key)
    return list(names)

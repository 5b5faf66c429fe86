"""What users ask of a run: each is committed as an intent, which the run's owner then does."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.domain.errors import (
    AlreadyAnswered,
    InvalidBody,
    NotFound,
    NothingToRetry,
    NotWaitingForApproval,
    RunNotFinished,
)
from app.domain.events import EventType, RunEvent
from app.domain.phases import Phase
from app.domain.plan.task_flow import WAITING_FOR_APPROVAL
from app.failpoints import Action
from app.runs.actions import CancelRequest, task_names_faults
from app.runs.ports import Admission
from app.storage.broker import INTENTS, RUNS, SUBMITTED, run_topic
from app.storage.database import Database
from app.storage.groups import enter
from app.storage.intents import (
    INSERT_INTENT,
    IntentKind,
    find_task_phase,
    has_answer,
    intent_row,
    is_cancellable,
    lock_run,
    request_cancel,
    request_retry,
    set_suspended,
)
from app.storage.models import RunRow
from app.storage.runs import find_run, insert_events, list_task_names
from app.storage.writer import Change, Writer

_FAILED = frozenset(phase.value for phase in Phase if phase.is_failure)


class _Unchanged(Exception):
    """There is nothing to do."""


class Requests:
    """Commits intents. All raise NotFound where there is no such run."""

    def __init__(self, database: Database, writer: Writer, admission: Admission | None) -> None:
        self._database, self._writer, self._admission = database, writer, admission

    async def cancel(self, run_id: str, request: CancelRequest) -> bool:
        """Ask that the run be cancelled. Whether there was anything new in that."""

        def is_new(session: Session) -> bool:
            run = _get(session, run_id)
            asked = run.cancel_requested_at is not None and (run.cancel_force or not request.force)
            return not asked and is_cancellable(session, run_id)

        if not await self._database.read(is_new):
            return False

        def ask(connection: Connection, now: datetime) -> None:
            if not request_cancel(connection, run_id, now, request.reason, force=request.force):
                raise _Unchanged

        details = {"force": request.force}
        return await self._commit(run_id, EventType.CANCEL, ask, message=request.reason, details=details)

    async def set_suspended(self, run_id: str, *, suspended: bool) -> bool:
        """Ask that nothing new of the run starts, or that it goes on. Whether there was anything new in that."""
        kind = IntentKind.SUSPEND if suspended else IntentKind.RESUME

        def is_new(session: Session) -> bool:
            return _get(session, run_id).suspended is not suspended and is_cancellable(session, run_id)

        if not await self._database.read(is_new):
            return False

        def ask(connection: Connection, now: datetime) -> None:
            if not set_suspended(connection, run_id, suspended=suspended):
                raise _Unchanged
            connection.execute(INSERT_INTENT, intent_row(run_id, kind, now))

        return await self._commit(run_id, EventType.SUSPEND if suspended else EventType.RESUME, ask)

    async def retry(self, run_id: str, tasks: Sequence[str] | None) -> None:
        """Open a finished run again, to run these tasks (None: what failed) and what is downstream of them once more.

        Raises:
            RunNotFinished: it is still under way.
            NothingToRetry: nothing failed, and no task is named.
            InvalidBody: a name is none of the run's tasks.
        """
        await self._database.read(lambda session: _check_retry(session, run_id, tasks))
        owner = self._admission.owner if self._admission else None
        named = None if tasks is None else list(tasks)
        epoch = 0

        def ask(connection: Connection, now: datetime) -> None:
            nonlocal epoch
            opened = request_retry(connection, run_id, now, owner)
            if opened is None:  # somebody else was first
                raise _Unchanged
            epoch = opened
            connection.execute(INSERT_INTENT, intent_row(run_id, IntentKind.RETRY, now, details={"tasks": named}))
            enter(connection, run_id, now)

        topics = () if owner else (SUBMITTED,)
        if not await self._commit(run_id, EventType.RETRY, ask, details={"tasks": named}, topics=topics):
            raise RunNotFinished(run_id, (await self._get(run_id)).phase)
        if self._admission is not None and owner is not None:
            self._admission.admit(run_id, epoch)

    async def answer(self, run_id: str, task: str, *, approved: bool, comment: str) -> None:
        """Approve or reject what a task waits for.

        Raises:
            NotFound: there is no such task.
            NotWaitingForApproval: it does not wait for that.
            AlreadyAnswered: it has an answer, which is about to be seen.
        """
        await self._get(run_id)
        await self._database.read(lambda session: _check_waiting(session, run_id, task))
        kind = IntentKind.APPROVE if approved else IntentKind.REJECT

        def ask(connection: Connection, now: datetime) -> None:
            if not lock_run(connection, run_id):
                raise NotFound("run", run_id)
            _check_waiting(connection, run_id, task)  # another answer may have come, and may even be done, since
            connection.execute(INSERT_INTENT, intent_row(run_id, kind, now, task=task, details={"comment": comment}))

        event = EventType.APPROVED if approved else EventType.REJECTED
        await self._commit(run_id, event, ask, task=task, message=comment)

    async def _commit(self, run_id: str, kind: EventType, ask: Any, *, topics: Sequence[str] = (), **event: Any) -> bool:
        """Commit what `ask` does together with its entry in the history. False: it was undone, there is nothing to do."""
        now = datetime.now(UTC)
        change = Change(
            rows=insert_events([RunEvent(run_id=run_id, time=now, type=kind, **event)]),
            call=lambda connection: ask(connection, now),
            topics=(INTENTS, run_topic(run_id), RUNS, *topics),
            actions=(Action.ASK,),
        )
        try:
            await self._writer.commit(change)
        except _Unchanged:
            return False
        except IntegrityError:
            await self._get(run_id)  # it was deleted a moment ago
            raise
        return True

    async def _get(self, run_id: str) -> RunRow:
        return await self._database.read(lambda session: _get(session, run_id))


def _get(session: Session, run_id: str) -> RunRow:
    run = find_run(session, run_id)
    if run is None:
        raise NotFound("run", run_id)
    return run


def _check_retry(session: Session, run_id: str, tasks: Sequence[str] | None) -> None:
    run = _get(session, run_id)
    if not run.is_finished:
        raise RunNotFinished(run_id, run.phase)
    if tasks is None:
        if not _FAILED.intersection(phase for phase, count in run.task_phases.items() if count):
            raise NothingToRetry(run_id)
    elif faults := task_names_faults(tasks, list_task_names(session, run_id)):
        raise InvalidBody(faults)


def _check_waiting(connection: Session | Connection, run_id: str, task: str) -> None:
    found = find_task_phase(connection, run_id, task)
    if found is None:
        raise NotFound("task", task)
    if found != (Phase.RUNNING.value, WAITING_FOR_APPROVAL):
        raise NotWaitingForApproval(task, *found)
    if has_answer(connection, run_id, task):
        raise AlreadyAnswered(task)

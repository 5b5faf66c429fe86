"""Makes the runs of stored workflows' schedules. Every replica has one; each time fires once, whoever comes first.

    list_due ─▶ what of it is to be run ─▶ prepare a run ─▶ one transaction: advance_schedule (guard) + the run's rows
                                      └──▶ left out: advance_schedule alone, with the reason

A time is done when `next_fire_at` has moved on, in the transaction that has the run: no restart and no other replica makes
another one of it. What must not be done twice is so decided by the database, what fails is tried again or left out, visibly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Self

import structlog
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from app.domain.errors import EvaluatorUnavailable, PodrunError
from app.domain.events import EventType, RunEvent
from app.domain.workflow.nodes import Overlap, Schedule
from app.executor.set_back import SetBack
from app.failpoints import Action
from app.runs.documents import stored_submission
from app.runs.ports import Pods
from app.runs.readers import read_apart
from app.runs.schedules import CATCHUP_LIMIT, ScheduleUnusable, due_times, next_time, read_schedule
from app.runs.submit import PreparedRun, Submitter
from app.storage.broker import INTENTS, SCHEDULES, Broker, run_topic
from app.storage.database import Database, database_now
from app.storage.errors import describe_outage, is_outage
from app.storage.intents import request_cancel
from app.storage.models import WorkflowRow
from app.storage.runs import insert_events
from app.storage.workflows import DueSchedule, advance_schedule, has_run_of, list_due
from app.storage.writer import Change, Writer

#: Schedules are looked at this often even when nobody says that one has changed, and none is due.
LOOK_SECONDS = 5.0
#: So many are dealt with at one time.
BATCH = 32
#: A schedule that fails so often in a row, podrun being at fault, is moved on.
FAILURE_LIMIT = 3
_SHORTEST_WAIT_SECONDS = 0.001
_LONGEST_REASON = 2000

log = structlog.get_logger(__name__)


class _NotDue(Exception):
    """The schedule has moved on since it was read: another replica was first, or a user has changed it."""


@dataclass(frozen=True, slots=True)
class _Plan:
    schedule: Schedule
    time: datetime  #: that is to be run
    values: Mapping[str, Any]  #: columns of the workflow, whether it is run or left out


class Scheduler:
    """An async context manager: leaving it stops the looking; what is being committed then is done or not, as a whole."""

    def __init__(self, *, database: Database, writer: Writer, broker: Broker, submitter: Submitter, pods: Pods) -> None:
        self._database, self._writer, self._broker = database, writer, broker
        self._submitter, self._pods = submitter, pods
        self._set_back = SetBack(database, writer)
        self._failures: dict[str, int] = {}
        self._group = asyncio.TaskGroup()
        self._looking: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._looking = self._group.create_task(self._run(), name="scheduler")
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        if self._looking is not None:
            self._looking.cancel()
        await self._group.__aexit__(None, None, None)

    async def _run(self) -> None:
        with self._broker.subscribe(SCHEDULES) as changed:
            while True:
                changed.clear()
                try:
                    seconds = await self.look()
                except (SQLAlchemyError, OSError) as error:
                    log.warning("schedules could not be read", error=describe_outage(error))
                    seconds = LOOK_SECONDS
                except Exception:  # a fault of ours must not end all schedules
                    log.exception("looking at the schedules failed")
                    seconds = LOOK_SECONDS
                await changed.wait(max(seconds, _SHORTEST_WAIT_SECONDS))

    async def look(self) -> float:
        """Deal with the schedules that are due. In how many seconds to look again."""

        def read(session: Session) -> tuple[datetime, list[DueSchedule], float | None]:
            return database_now(session.connection()), *list_due(session, BATCH)

        now, due, seconds = await self._database.read(read)
        if await self._set_back.look(now):
            return 0.0
        if not due:
            return LOOK_SECONDS if seconds is None else min(seconds, LOOK_SECONDS)
        async with asyncio.TaskGroup() as group:
            trying = [group.create_task(self._try(one), name=f"schedule {one.workflow.name}") for one in due]
        # Those that failed wait; they are the first of the next look all the same.
        return 0.0 if any(one.result() for one in trying) else LOOK_SECONDS

    async def _try(self, due: DueSchedule) -> bool:
        """Deal with one schedule, once. False: it stays due, and is to be tried again later."""
        name, waited_for = due.workflow.name, due.workflow.next_fire_at
        try:
            await self._fire(due)
        except _NotDue:
            pass
        except Exception as error:
            if is_outage(error) or isinstance(error, EvaluatorUnavailable):
                log.warning("a schedule could not make its run, trying again", workflow=name, error=describe_outage(error))
                return False
            log.exception("a schedule could not make its run", workflow=name)
            failures = self._failures[name] = self._failures.get(name, 0) + 1
            if failures < FAILURE_LIMIT:
                return False
            return await self._give_up(due, _left_out(waited_for, f"podrun failed at it: {type(error).__name__}"))
        self._failures.pop(name, None)
        return True

    async def _give_up(self, due: DueSchedule, values: Mapping[str, Any]) -> bool:
        """Leave out a time that podrun itself fails at: it would fail at it for ever."""
        try:
            await self._commit(due, {**_plan(due).values, **values}, None)
        except _NotDue:
            pass
        except Exception:
            log.exception("a schedule could not be moved on", workflow=due.workflow.name)
            return False
        self._failures.pop(due.workflow.name, None)
        return True

    async def _fire(self, due: DueSchedule) -> None:
        try:
            plan = _plan(due)
        except ScheduleUnusable as error:
            await self._commit(due, {"next_fire_at": None, **_left_out(due.workflow.next_fire_at, str(error))}, None)
            return
        prepared = await self._prepare(due, plan)
        if isinstance(prepared, str):
            await self._commit(due, {**plan.values, **_left_out(plan.time, prepared)}, None)
            return
        newest = max(plan.time, due.workflow.last_fire_at or plan.time)
        fired = {"last_fire_at": newest, "last_run_id": prepared.run.id}
        is_alone = plan.schedule.overlap is Overlap.REPLACE
        replaced = [run_id for run_id, is_cancelled in due.unfinished.items() if is_alone and not is_cancelled]
        await self._commit(due, {**plan.values, **fired}, prepared, replaced)
        self._submitter.admit(prepared)

    async def _comes_again(self, row: WorkflowRow, time: datetime) -> bool:
        """Whether the time had its run already. Only one that is not later than the last can have had it."""
        if row.last_fire_at is None or time > row.last_fire_at:
            return False
        return await self._database.read(lambda session: has_run_of(session, row.name, time))

    async def _prepare(self, due: DueSchedule, plan: _Plan) -> PreparedRun | str:
        """The run of one time, or why it is left out. Raises EvaluatorUnavailable."""
        row, body = due.workflow, due.body
        if await self._comes_again(row, plan.time):
            return "it had its run before the clock was set back"
        if plan.schedule.overlap is Overlap.FORBID and due.unfinished:
            return f"run {next(iter(due.unfinished))} is not finished, and `overlap` is forbid"
        try:
            submission = await read_apart(partial(stored_submission, body, self._pods), len(body))
            return await self._submitter.prepare(
                submission, workflow_version=row.version, scheduled_at=plan.time, schedule_of=row.name
            )  # fmt: skip
        except EvaluatorUnavailable:
            raise
        except PodrunError as error:
            return f"version {row.version} can't be run: {error}"

    async def _commit(
        self, due: DueSchedule, values: Mapping[str, Any], prepared: PreparedRun | None, replaced: Sequence[str] = ()
    ) -> None:
        """Move the schedule on, with its run if there is one, in one transaction. Raises _NotDue: nothing was done."""
        reason = f"Replaced by run {prepared.run.id} of the same schedule" if prepared else ""
        cancels = [
            RunEvent(run_id=run_id, time=due.now, type=EventType.CANCEL, message=reason, details={"force": False})
            for run_id in replaced
        ]  # fmt: skip

        def call(connection: Connection) -> None:
            if not advance_schedule(connection, due.workflow, values):
                raise _NotDue  # undoes the rows of the run
            for run_id in replaced:
                request_cancel(connection, run_id, due.now, reason, force=False)
            if prepared is not None:
                prepared.call(connection)

        rows = [*(prepared.rows if prepared else ()), *insert_events(cancels)]
        topics = [*(prepared.topics if prepared else ()), *map(run_topic, replaced), *((INTENTS,) if replaced else ())]
        await self._writer.commit(Change(rows=rows, call=call, topics=topics, actions=(Action.FIRE_SCHEDULE,)))


def _plan(due: DueSchedule) -> _Plan:
    """What is to be done now. Raises ScheduleUnusable."""
    row = due.workflow
    schedule, first = read_schedule(row.schedule or {}), row.next_fire_at or due.now
    anchor = row.anchor_at or first
    found = due_times(schedule, anchor=anchor, first=first, now=due.now)
    time, *others = found.times
    values: dict[str, Any] = {
        # With `catchup` that may be a time that is due, too.
        "next_fire_at": others[0] if others else next_time(schedule, anchor=anchor, after=max(due.now, time))
    }
    if found.left_out is not None:
        why = f"`catchup` makes up for {CATCHUP_LIMIT} at most" if schedule.catchup else "`catchup` is false"
        values |= _left_out(found.left_out, f"missed while podrun did not run or was late, and {why}")
    return _Plan(schedule, time, values)


def _left_out(time: datetime | None, reason: str) -> dict[str, Any]:
    return {"last_skipped_at": time, "last_skipped_reason": reason[:_LONGEST_REASON]}

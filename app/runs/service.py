"""`Runs`: everything that users do with runs but following their logs. One use case is one transaction, or one snapshot."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from app.domain.errors import NotFound, RunNotFinished
from app.failpoints import Action
from app.logs.errors import LogStoreUnavailable
from app.runs.actions import CancelRequest
from app.runs.containers import list_containers
from app.runs.cursors import read_run_cursor, read_task_cursor, task_cursor
from app.runs.history import REREAD_SECONDS, History, RunFilter
from app.runs.ports import Admission, Evaluator, LogObjects, Pods
from app.runs.requests import Requests
from app.runs.run_answers import RunAnswer, RunAnswers
from app.runs.submit import Submitted, Submitter
from app.runs.views import View, phase_counts_view, run_view, task_views
from app.storage.broker import RUNS, Broker, logs_topic, run_topic
from app.storage.database import Database
from app.storage.errors import describe_outage, is_outage
from app.storage.models import RunRow
from app.storage.run_lists import count_phases, list_runs
from app.storage.runs import delete_run, find_document, find_run, find_task, list_attempts, list_main_logs, list_tasks
from app.storage.writer import Change, Writer

#: More tasks than this are not named one by one in a query: all attempts of the run are read.
_NAMED_TASKS = 500
#: A long-poll takes about 50 µs each time its run changes. The more there are, the less often each looks: together they
#: leave most of the event loop to others, and one alone is as quick as can be.
PACE_SECONDS_EACH, PACE_SECONDS_MAX = 0.0002, 0.1

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list; `next_cursor` None: there are no more."""

    items: Sequence[View]
    next_cursor: str | None


class Runs:
    """The use cases of runs, for all callers of this process."""

    def __init__(
        self,
        *,
        database: Database,
        writer: Writer,
        broker: Broker,
        pods: Pods,
        log_objects: LogObjects,
        evaluator: Evaluator,
        admission: Admission | None = None,
    ) -> None:
        """`admission` None: this process runs nothing itself, what is submitted waits to be claimed."""
        self._database, self._writer, self._broker = database, writer, broker
        self._log_objects = log_objects
        self.submitter = Submitter(database, writer, pods, evaluator, admission)
        self._requests = Requests(database, writer, admission)
        self.history = History(database, broker)
        self._answers = RunAnswers(database, broker)
        self._waiting = 0

    async def check(self) -> str | None:
        """None when the database can be read and written to, else a sentence that says what is wrong. For /readyz."""
        try:
            await self._database.read(lambda session: find_run(session, ""))
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            return f"it can't be read: {describe_outage(error)}"
        trouble = self._writer.trouble
        return None if trouble is None else f"it can't be written to: {describe_outage(trouble)}"

    def wake_all(self) -> None:
        """Wake everybody who waits: the service stops."""
        self._broker.publish_all()

    async def submit(self, body: bytes, *, key: str | None, caller: str) -> Submitted:
        """See Submitter.submit."""
        return await self.submitter.submit(body, key=key, caller=caller)

    async def get(self, run_id: str, *, include_tasks: bool = False) -> RunAnswer:
        """The run, with all its tasks if asked for. Raises NotFound."""
        return await self._answers.get(run_id, include_tasks=include_tasks)

    def find_kept(self, run_id: str) -> RunAnswer | None:
        """The run, where it is known without asking the database; None says nothing."""
        return self._answers.find_kept(run_id)

    async def wait(
        self,
        run_id: str,
        *,
        etag: str | None,
        seconds: float,
        give_up: Callable[[], Awaitable[bool]],
        include_tasks: bool = False,
    ) -> RunAnswer:
        """The run as soon as it is finished, or, with `etag`, as soon as its tag is another; as it is when time is up.

        `give_up` is asked at each wake-up: True answers at once. Raises NotFound.
        """
        deadline = time.monotonic() + seconds
        self._waiting += 1
        try:
            with self._broker.subscribe(run_topic(run_id)) as subscription:
                while True:
                    subscription.clear()
                    read_at = time.monotonic()
                    run = await self.get(run_id)
                    left = deadline - time.monotonic()
                    reached = run.is_finished if etag is None else run.etag != etag
                    if reached or left <= 0 or await give_up():
                        break
                    if await subscription.wait(min(left, REREAD_SECONDS)):
                        pace = min(self._waiting * PACE_SECONDS_EACH, PACE_SECONDS_MAX, left)
                        await asyncio.sleep(max(0.0, read_at + pace - time.monotonic()))
        finally:
            self._waiting -= 1
        return await self.get(run_id, include_tasks=True) if include_tasks else run

    async def list(self, wanted: RunFilter, *, cursor: str | None, limit: int) -> Page:
        """A page of runs, newest first. Raises InvalidCursor."""
        before = read_run_cursor(cursor)

        def read(session: Session) -> Page:
            rows, following = list_runs(session, before_id=before, limit=limit, **_conditions(wanted))
            return Page([run_view(row) for row in rows], following)

        return await self._database.read(read)

    async def count(self, wanted: RunFilter) -> View:
        """How many of the newest runs are in which phase."""
        counts = await self._database.read(lambda session: count_phases(session, **_conditions(wanted)))
        return phase_counts_view(counts)

    async def get_document(self, run_id: str) -> bytes:
        """The workflow as it was posted. Raises NotFound."""
        document = await self._database.read(lambda session: find_document(session, run_id))
        if document is None:
            raise NotFound("run", run_id)
        return document

    async def list_tasks(
        self, run_id: str, *, phases: Sequence[str] = (), foreach: str | None = None, cursor: str | None, limit: int
    ) -> Page:
        """A page of a run's tasks in document order. Raises NotFound, InvalidCursor."""
        after = read_task_cursor(cursor)

        def read(session: Session) -> Page:
            _get(session, run_id)
            rows = list_tasks(session, run_id, after=after, phases=phases, foreach=foreach, limit=limit + 1)
            page = rows[:limit]
            names = [row.name for row in page] if len(page) <= _NAMED_TASKS else None
            views = task_views(page, list_attempts(session, run_id, names), list_main_logs(session, run_id, names))
            return Page(views, task_cursor(page[-1].position, page[-1].foreach_index) if len(rows) > limit else None)

        return await self._database.read(read)

    async def get_task(self, run_id: str, task: str) -> View:
        """One task, with the containers that logs can be asked of. Raises NotFound."""

        def read(session: Session) -> View:
            _get(session, run_id)
            row = find_task(session, run_id, task)
            if row is None:
                raise NotFound("task", task)
            view = task_views([row], list_attempts(session, run_id, [task]), list_main_logs(session, run_id, [task]))[0]
            return view | {"containers": list_containers(session, run_id, task)}

        return await self._database.read(read)

    async def cancel(self, run_id: str, request: CancelRequest) -> tuple[RunAnswer, bool]:
        """Ask that a run be cancelled: the intent is committed, its owner does it. The run, and whether this was new.

        Raises NotFound.
        """
        is_new = await self._requests.cancel(run_id, request)
        return await self.get(run_id), is_new

    async def set_suspended(self, run_id: str, *, suspended: bool) -> tuple[RunAnswer, bool]:
        """Start nothing new of a run, or let it go on. The run, and whether this was new. Raises NotFound."""
        is_new = await self._requests.set_suspended(run_id, suspended=suspended)
        return await self.get(run_id), is_new

    async def retry(self, run_id: str, tasks: Sequence[str] | None) -> RunAnswer:
        """Run again what failed, or these tasks, and what is downstream. Raises as Requests.retry."""
        await self._requests.retry(run_id, tasks)
        return await self.get(run_id)

    async def answer_approval(self, run_id: str, task: str, *, approved: bool, comment: str) -> RunAnswer:
        """Approve or reject what a task waits for. Raises as Requests.answer."""
        await self._requests.answer(run_id, task, approved=approved, comment=comment)
        return await self.get(run_id)

    async def delete(self, run_id: str) -> None:
        """Delete a finished run with its history and logs. Raises NotFound, RunNotFinished.

        The rows go first: an object of the log store that no row names does not exist for anybody.
        """
        topics = (RUNS, run_topic(run_id), logs_topic(run_id))
        call = partial(delete_run, run_id=run_id)
        names = await self._writer.commit(Change(call=call, topics=topics, actions=(Action.DELETE_RUN,)))
        if names is None:
            run = await self._database.read(lambda session: _get(session, run_id))
            raise RunNotFinished(run_id, run.phase)
        try:
            await self._log_objects.delete_run(run_id)
        except LogStoreUnavailable as error:
            log.warning("objects of a deleted run stay in the log store", run=run_id, objects=len(names), error=str(error))


def _conditions(wanted: RunFilter) -> dict[str, Any]:
    """What `list_runs` and `count_phases` call these conditions."""
    return {
        "phases": wanted.phases,
        "workflow": wanted.workflow,
        "created_after": wanted.created_after,
        "created_before": wanted.created_before,
        "matches": wanted.selector.matches if wanted.selector and wanted.selector.requirements else None,
    }


def _get(session: Session, run_id: str) -> RunRow:
    run = find_run(session, run_id)
    if run is None:
        raise NotFound("run", run_id)
    return run

"""A run as it is answered to whoever asks for it: read once for all who ask at the same time, encoded once.

Where this process alone writes to the database, what was encoded is kept until something of the run is committed: clients
poll runs that mostly have not changed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from sqlmodel import Session

from app.domain.errors import NotFound
from app.runs.shared_reads import SharedReads
from app.runs.views import encode, encode_with_list, run_etag, run_view, task_views
from app.storage.broker import Broker, Subscription, run_topic
from app.storage.database import Database
from app.storage.runs import find_run, list_attempts, list_main_logs, list_tasks

#: A commit that is told as failed may have been done all the same, and wakes nobody.
KEPT_SECONDS = 1.0
#: At most so many are kept, the newest ones, none that is longer: 16 MiB.
KEPT_RUNS, KEPT_BYTES = 1024, 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """A run as it was at one moment."""

    body: bytes  #: its JSON
    etag: str
    is_finished: bool


@dataclass(frozen=True, slots=True)
class _Kept:
    answer: RunAnswer
    changes: Subscription  #: since before it was read
    until: float
    close: Callable[[], None]  #: ends the subscription


class RunAnswers:
    """Owns the reads in progress and what is kept. Single-threaded: the event loop's."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database, self._broker = database, broker
        self._reads = SharedReads(self._read)
        self._kept: dict[str, _Kept] = {}  # the newest last

    async def get(self, run_id: str, *, include_tasks: bool = False) -> RunAnswer:
        """The run, with all its tasks if asked for. Raises NotFound."""
        run = None if include_tasks else self.find_kept(run_id)
        if run is None:
            run = await self._reads.get((run_id, include_tasks))
        if run is None:
            raise NotFound("run", run_id)
        return run

    def find_kept(self, run_id: str) -> RunAnswer | None:
        """The run without its tasks, if what was read of it is known to be as it is."""
        kept = self._kept.get(run_id)
        if kept is None:
            return None
        if kept.changes.is_woken or time.monotonic() > kept.until:
            self._forget(run_id)
            return None
        return kept.answer

    async def _read(self, key: tuple[str, bool]) -> RunAnswer | None:
        run_id, include_tasks = key
        if include_tasks or self._database.is_shared:
            return await self._database.read(lambda session: _read_run(session, run_id, include_tasks=include_tasks))
        with ExitStack() as stack:
            changes = stack.enter_context(self._broker.subscribe(run_topic(run_id)))
            answer = await self._database.read(lambda session: _read_run(session, run_id, include_tasks=False))
            if answer is not None and len(answer.body) <= KEPT_BYTES:
                self._forget(run_id)
                self._kept[run_id] = _Kept(answer, changes, time.monotonic() + KEPT_SECONDS, stack.pop_all().close)
        while len(self._kept) > KEPT_RUNS:
            self._forget(next(iter(self._kept)))
        return answer

    def _forget(self, run_id: str) -> None:
        kept = self._kept.pop(run_id, None)
        if kept is not None:
            kept.close()


def _read_run(session: Session, run_id: str, *, include_tasks: bool) -> RunAnswer | None:
    run = find_run(session, run_id)
    if run is None:
        return None
    view = run_view(run)
    if include_tasks:
        tasks = task_views(list_tasks(session, run_id), list_attempts(session, run_id), list_main_logs(session, run_id))
        body = encode_with_list(view, "tasks", tasks)
    else:
        body = encode(view)
    return RunAnswer(body=body, etag=run_etag(run), is_finished=run.is_finished)

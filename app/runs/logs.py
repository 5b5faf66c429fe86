"""Logs as users ask for them: of a run or one of its tasks, now or as they grow, up to their end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, cast

from sqlmodel import Session

from app.domain.errors import NotFound
from app.domain.phases import Phase
from app.domain.pods import MAIN
from app.logs.frames import Follow, LogFrame, LogQuery
from app.runs.containers import list_containers
from app.runs.shared_reads import SharedReads
from app.storage.broker import Broker, logs_topic, run_topic
from app.storage.database import Database
from app.storage.intents import is_retry_asked
from app.storage.models import AttemptRow
from app.storage.runs import find_run, find_task, list_attempts


class Reader(Protocol):
    """`logs.reader.LogReader`."""

    def lines(self, query: LogQuery, follow: Follow | None = None) -> AsyncIterator[LogFrame]:
        """Frames up to an `End`. Raises InvalidCursor."""

    def plain(self, query: LogQuery, follow: Follow | None = None, *, timestamps: bool = False) -> AsyncIterator[bytes]:
        """The bytes as they were. Raises InvalidCursor."""


class RunLogs:
    """Reads and follows logs. Waits on the broker; what it yields comes from the store."""

    def __init__(self, database: Database, broker: Broker, reader: Reader) -> None:
        self._database, self._broker, self._reader = database, broker, reader
        # Hundreds may follow one log: all are woken at once, and ask for the same.
        self._ends: SharedReads[tuple[str, str | None, int | None], bool] = SharedReads(
            lambda asked: database.read(lambda session: _is_over(session, *asked))
        )

    async def check(self, query: LogQuery) -> None:
        """Raise what is wrong with a query before anything of its answer is sent: NotFound, InvalidCursor."""
        await self._database.read(lambda session: _check(session, query))
        if query.cursor is not None:
            first = cast("AsyncGenerator[LogFrame, None]", self._reader.lines(replace(query, limit=1)))
            async with aclosing(first) as frames:
                async for _ in frames:
                    break

    async def phase(self, query: LogQuery) -> str:
        """The phase of the run or task that is asked for. Raises NotFound."""
        return await self._database.read(lambda session: _phase(session, query))

    async def lines(self, query: LogQuery, *, follow: bool) -> AsyncGenerator[LogFrame, None]:
        """Frames up to an `End`; with `follow` as the logs grow, until nothing more can come."""
        with self._broker.subscribe(logs_topic(query.run_id), run_topic(query.run_id)) as subscription:
            following = Follow(wake=subscription, is_over=self._is_over(query)) if follow else None
            source = cast("AsyncGenerator[LogFrame, None]", self._reader.lines(query, following))
            async with aclosing(source) as frames:
                async for frame in frames:
                    yield frame

    async def plain(self, query: LogQuery, *, follow: bool, timestamps: bool) -> AsyncGenerator[bytes, None]:
        """The bytes as they were; of a whole run each line behind `[task] `."""
        with self._broker.subscribe(logs_topic(query.run_id), run_topic(query.run_id)) as subscription:
            following = Follow(wake=subscription, is_over=self._is_over(query)) if follow else None
            source = cast("AsyncGenerator[bytes, None]", self._reader.plain(query, following, timestamps=timestamps))
            async with aclosing(source) as chunks:
                async for chunk in chunks:
                    yield chunk

    def _is_over(self, query: LogQuery) -> Callable[[], Awaitable[bool]]:
        attempt = query.attempt if isinstance(query.attempt, int) else None
        return lambda: self._ends.get((query.run_id, query.task, attempt))


def _is_over(session: Session, run_id: str, task: str | None, attempt: int | None) -> bool:
    """Whether nothing more can come: all attempts that are meant are over, their logs sealed."""
    run = find_run(session, run_id)
    if run is None or run.is_finished:
        return True
    if task is None or is_retry_asked(session, run_id):
        return False
    row = find_task(session, run_id, task)
    asked = [item for item in list_attempts(session, run_id, [task]) if attempt in (None, item.attempt)]
    sealed = all(item.log_sealed for item in asked)
    if attempt is not None and asked:
        return sealed and Phase(asked[0].phase).is_over
    return sealed and (row is None or Phase(row.phase).is_over)


def _phase(session: Session, query: LogQuery) -> str:
    run = find_run(session, query.run_id)
    if run is None:
        raise NotFound("run", query.run_id)
    if query.task is None:
        return run.phase
    row = find_task(session, query.run_id, query.task)
    if row is not None:
        return row.phase
    # An item of a list that was shorter when the run was retried: what its attempts have said is still there.
    attempts = list_attempts(session, query.run_id, [query.task])
    if not attempts:
        raise NotFound("task", query.task)
    return attempts[-1].phase


def _check(session: Session, query: LogQuery) -> None:
    """Raise NotFound where there is no such log, and never will be: while the task goes on, any may still come."""
    phase = _phase(session, query)
    if query.task is None or not Phase(phase).is_over or is_retry_asked(session, query.run_id):
        return
    attempts = list_attempts(session, query.run_id, [query.task])
    asked = [row for row in attempts if not isinstance(query.attempt, int) or row.attempt == query.attempt]
    if isinstance(query.attempt, int) and not asked:
        raise NotFound("attempt", f"{query.task}/{query.attempt}", there_is=_attempts_there_are(attempts))
    if query.container not in (MAIN, "*") and all(row.log_sealed for row in asked):
        _check_container(session, query, query.task)


def _attempts_there_are(attempts: Sequence[AttemptRow]) -> str:
    if not attempts:
        return "the task has none"
    last = attempts[-1].attempt
    return "the task has one" if last == 1 else f"the task has those from 1 to {last}"


def _check_container(session: Session, query: LogQuery, task: str) -> None:
    known = dict.fromkeys((MAIN, *list_containers(session, query.run_id, task)))
    if query.container not in known:
        there_is = f"the task's containers are {', '.join(known)}" if len(known) > 1 else f"the task has {MAIN} alone"
        raise NotFound("container", query.container, there_is=there_is)

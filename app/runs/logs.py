"""Logs as users ask for them: of a run or one of its tasks, now or as they grow, up to their end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, cast

from sqlmodel import Session

from app.domain.errors import NotFound
from app.domain.phases import Phase
from app.logs.frames import Follow, LogFrame, LogQuery
from app.storage.broker import Broker, logs_topic, run_topic
from app.storage.database import Database
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

    async def check(self, query: LogQuery) -> None:
        """Raise what is wrong with a query before anything of its answer is sent: NotFound, InvalidCursor."""
        await self.phase(query)
        if query.cursor is not None:
            first = cast("AsyncGenerator[LogFrame, None]", self._reader.lines(replace(query, limit=1)))
            async with aclosing(first) as frames:
                async for _ in frames:
                    break

    async def phase(self, query: LogQuery) -> str:
        """The phase of the run or task that is asked for. Raises NotFound."""

        def read(session: Session) -> str:
            run = find_run(session, query.run_id)
            if run is None:
                raise NotFound("run", query.run_id)
            if query.task is None:
                return run.phase
            row = find_task(session, query.run_id, query.task)
            if row is None:
                raise NotFound("task", query.task)
            return row.phase

        return await self._database.read(read)

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
        """Whether nothing more can come: all attempts that are meant are over, their logs sealed."""

        def read(session: Session) -> bool:
            run = find_run(session, query.run_id)
            if run is None or run.is_finished:
                return True
            row = find_task(session, query.run_id, query.task) if query.task is not None else None
            if row is None or query.task is None:
                return False
            attempts = list_attempts(session, query.run_id, [query.task])
            asked = [item for item in attempts if not isinstance(query.attempt, int) or item.attempt == query.attempt]
            sealed = all(item.log_sealed for item in asked)
            if isinstance(query.attempt, int) and asked:
                return sealed and Phase(asked[0].phase).is_over
            return sealed and Phase(row.phase).is_over

        async def is_over() -> bool:
            return await self._database.read(read)

        return is_over

"""A run's history, and that of all runs: in pages, or followed as it grows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlmodel import Session

from app.domain.errors import NotFound
from app.domain.kubernetes.label_selector import LabelSelector
from app.runs.cursors import event_cursor, read_event_cursor
from app.runs.shared_reads import SharedReads
from app.runs.views import View, event_view
from app.storage.broker import RUNS, Broker, run_topic
from app.storage.database import Database
from app.storage.models import RunRow
from app.storage.run_lists import SCAN_LIMIT
from app.storage.runs import find_run, id_before_last_events, list_event_runs, list_events, list_runs_by_id

PAGE = 500
#: A wake-up may be lost between replicas: who follows looks by itself after this time.
REREAD_SECONDS = 5.0
#: Who follows reads this often at most; after a silence at once.
PACE_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilter:
    """Which runs are meant; nothing given: all."""

    phases: Sequence[str] = ()
    workflow: str | None = None
    selector: LabelSelector | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None

    @property
    def is_any(self) -> bool:
        """Whether all runs are meant."""
        return self == RunFilter()

    def matches(self, run: RunRow) -> bool:
        """Whether the run, as it is now, is meant."""
        return (
            (not self.phases or run.phase in self.phases)
            and (self.workflow is None or run.workflow == self.workflow)
            and (self.selector is None or self.selector.matches(run.labels))
            and (self.created_after is None or run.created_at > self.created_after)
            and (self.created_before is None or run.created_at < self.created_before)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryPage:
    """Entries in their order. `cursor` is behind all that was looked at, also where nothing of it matched."""

    events: Sequence[View]
    cursor: str
    more: bool  #: more is there already
    end_phase: str | None = None  #: the run's phase, where nothing more will come
    memo: dict[str, Any] = field(default_factory=dict, compare=False)  #: what is made of it once for all who read it


class History:
    """Reads histories. Waits on the broker, then reads once."""

    def __init__(self, database: Database, broker: Broker) -> None:
        self._database, self._broker = database, broker
        # Hundreds follow one run, all woken at once.
        self._pages: SharedReads[tuple[str, str | None], HistoryPage] = SharedReads(lambda asked: self.list_run(*asked))

    async def list_run(self, run_id: str, cursor: str | None, limit: int = PAGE) -> HistoryPage:
        """A page of one run's history. Raises NotFound, InvalidCursor."""
        after = read_event_cursor(cursor)

        def read(session: Session) -> HistoryPage:
            run = find_run(session, run_id)
            if run is None:
                raise NotFound("run", run_id)
            rows = list_events(session, run_id, after, limit + 1)
            return HistoryPage(
                events=[event_view(row, {run.id: run.workflow}) for row in rows[:limit]],
                cursor=event_cursor(rows[:limit][-1].id or 0 if rows else after),
                more=len(rows) > limit,
                end_phase=run.phase if run.is_finished and len(rows) <= limit else None,
            )

        return await self._database.read(read)

    async def list_all(self, wanted: RunFilter, cursor: str | None, limit: int = PAGE) -> HistoryPage:
        """A page of the history of all runs that are meant; it may be empty while there is more. Raises InvalidCursor."""
        after = read_event_cursor(cursor)

        def read(session: Session) -> HistoryPage:
            rows = list_events(session, None, after, limit + 1)
            page = rows[:limit]
            runs = list_runs_by_id(session, sorted({row.run_id for row in page}))
            names = {run.id: run.workflow for run in runs if wanted.matches(run)}
            return HistoryPage(
                events=[event_view(row, names) for row in page if row.run_id in names],
                cursor=event_cursor(page[-1].id or 0 if page else after),
                more=len(rows) > limit,
            )

        return await self._database.read(read)

    async def cursor_of_run_tail(self, run_id: str, count: int) -> str:
        """The cursor behind which the last so many entries of one run's history come. Raises NotFound."""

        def read(session: Session) -> int:
            if find_run(session, run_id) is None:
                raise NotFound("run", run_id)
            return id_before_last_events(session, run_id, count)

        return event_cursor(await self._database.read(read))

    async def cursor_of_tail(self, wanted: RunFilter, count: int) -> str:
        """The cursor behind which the last so many entries of the runs that are meant come.

        SCAN_LIMIT entries are looked at: where too few of them are of runs that are meant, it is behind all those.
        """
        if wanted.is_any or not count:
            return event_cursor(await self._database.read(lambda session: id_before_last_events(session, None, count)))
        return event_cursor(await self._database.read(lambda session: _id_before_last_wanted(session, wanted, count)))

    def follow_run(self, run_id: str, cursor: str | None) -> AsyncGenerator[HistoryPage, None]:
        """One run's history, page by page; the last page has `end_phase`. Raises NotFound when the run is deleted."""
        return self._follow(run_topic(run_id), cursor, lambda at: self._pages.get((run_id, at)))

    def follow_all(self, wanted: RunFilter, cursor: str) -> AsyncGenerator[HistoryPage, None]:
        """The history of all runs that are meant, behind the cursor, for ever."""
        return self._follow(RUNS, cursor, lambda at: self.list_all(wanted, at))

    async def _follow(
        self, topic: str, cursor: str | None, read: Callable[[str | None], Awaitable[HistoryPage]]
    ) -> AsyncGenerator[HistoryPage, None]:
        with self._broker.subscribe(topic) as subscription:
            while True:
                subscription.clear()
                read_at = time.monotonic()
                page = await read(cursor)
                cursor = page.cursor
                if page.events or page.end_phase is not None:
                    yield page
                if page.end_phase is not None:
                    return
                if not page.more:
                    await subscription.wait(REREAD_SECONDS)
                    await asyncio.sleep(max(0.0, read_at + PACE_SECONDS - time.monotonic()))


def _id_before_last_wanted(session: Session, wanted: RunFilter, count: int) -> int:
    """As `id_before_last_events`, of the runs that are meant."""
    before: int | None = None
    judged: dict[str, bool] = {}
    for _ in range(SCAN_LIMIT // PAGE):
        entries = list_event_runs(session, before, PAGE)
        unknown = sorted({run_id for _, run_id in entries} - judged.keys())
        judged |= {run.id: wanted.matches(run) for run in list_runs_by_id(session, unknown)}
        for entry_id, run_id in entries:
            count -= judged.get(run_id, False)
            before = entry_id
            if not count:
                return entry_id - 1
        if len(entries) < PAGE:
            return 0
    return before - 1 if before else 0

"""Schedules after the database's clock was set back: the next time of each is found anew.

While the clock was ahead, times were done that had not come yet: the newest was run, the others left out, and `next_fire_at`
is beyond them. So the schedule would stand still until the clock is there again: for a year, where it had been a year ahead.
A time that had its run then gets no second one; the scheduler sees to that.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial

import structlog

from app.failpoints import Action
from app.runs.schedules import ScheduleUnusable, next_time, read_schedule
from app.storage.database import Database
from app.storage.models import WorkflowRow
from app.storage.workflows import advance_schedule, list_planned
from app.storage.writer import Change, Writer

#: A clock that goes back by less is only set right a little: no time of a schedule is lost by that.
SET_BACK = timedelta(minutes=1)

log = structlog.get_logger(__name__)


class SetBack:
    """Notices it by the monotonic clock; what was before this process started is not known, so it begins with a look."""

    def __init__(self, database: Database, writer: Writer, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._database, self._writer, self._monotonic = database, writer, monotonic
        self._seen: tuple[datetime, float] | None = None  # the two clocks when they were last looked at

    async def look(self, now: datetime) -> bool:
        """Find the schedules' next times anew if need be; `now` is by the database. Whether any of them has changed."""
        at = self._monotonic()
        if self._seen is not None:
            seen, seen_at = self._seen
            if now >= seen + timedelta(seconds=at - seen_at) - SET_BACK:
                self._seen = (now, at)
                return False
        planned = await self._database.read(lambda session: list_planned(session, now))
        found = await asyncio.to_thread(_earlier, planned, now)
        for row, following in found:
            log.warning("a schedule's next time is found anew: the clock was set back", workflow=row.name, next_at=following)
            advance = partial(advance_schedule, expected=row, values={"next_fire_at": following})
            await self._writer.commit(Change(call=advance, actions=(Action.FIRE_SCHEDULE,)))
        self._seen = (now, at)
        return bool(found)


def _earlier(planned: Sequence[WorkflowRow], now: datetime) -> list[tuple[WorkflowRow, datetime]]:
    """Those whose next time comes earlier than is planned, and when."""
    found = []
    for row in planned:
        try:
            following = next_time(read_schedule(row.schedule or {}), anchor=row.anchor_at or now, after=now)
        except ScheduleUnusable:
            continue  # the scheduler will say what is wrong with it
        if following is not None and row.next_fire_at is not None and following < row.next_fire_at:
            found.append((row, following))
    return found

"""Lists of runs, newest first, by phase, workflow, labels and time; and their counts. Reads of everybody."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, select
from sqlmodel import Session, col

from app.storage.models import RunRow
from app.storage.runs import RUNS, plain_rows

#: A list looks at this many rows at most for one page; a page may be short, with a cursor.
SCAN_LIMIT = 5000
_SCAN_PAGE = 1000
#: More than a third of a run's columns, which nobody is shown.
_HIDDEN = (
    "clock", "group_key", "group_policy", "queued_at", "schedule_of", "cancel_requested_at", "cancel_reason", "cancel_force",
    "owner", "epoch",
)  # fmt: skip
_SHOWN = tuple(column for column in RUNS.c if column.name not in _HIDDEN)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def first_id(time: datetime, more: int = 0) -> str:
    """Before the ids of all runs of that millisecond (plus so many) and later ones: a run's id begins with its `created_at`.

    So a time is found in the primary key. Source: https://www.rfc-editor.org/rfc/rfc9562#section-5.7
    """
    milliseconds = f"{max(0, (time - _EPOCH) // timedelta(milliseconds=1) + more):012x}"
    return f"{milliseconds[:8]}-{milliseconds[8:]}-0000-0000-000000000000"


def _newest_first(
    statement: Select[Any],
    phases: Sequence[str],
    workflow: str | None,
    created_after: datetime | None,
    created_before: datetime | None,
) -> Select[Any]:
    """A statement on runs with these conditions, in the order of lists."""
    statement = statement.order_by(col(RunRow.id).desc())
    if phases:
        statement = statement.where(col(RunRow.phase).in_(phases))
    if workflow is not None:
        statement = statement.where(col(RunRow.workflow) == workflow)
    if created_after is not None:
        statement = statement.where(col(RunRow.id) >= first_id(created_after), col(RunRow.created_at) > created_after)
    if created_before is not None:
        # In that very millisecond runs may have been created before that time.
        statement = statement.where(col(RunRow.id) < first_id(created_before, 1), col(RunRow.created_at) < created_before)
    return statement


def list_runs(
    session: Session,
    *,
    before_id: str | None = None,
    phases: Sequence[str] = (),
    workflow: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    matches: Callable[[dict[str, str]], bool] | None = None,
    limit: int = 100,
) -> tuple[Sequence[RunRow], str | None]:
    """A page of runs, newest first, with the columns that a run shows, and the id to go on before (None: there are no more).

    `matches` judges a run's labels. At most SCAN_LIMIT rows are looked at, so a page may be short while there are more.
    """
    wanted = (phases, workflow, created_after, created_before)
    if matches is None:
        statement = _newest_first(select(*_SHOWN), *wanted)
        page = statement if before_id is None else statement.where(col(RunRow.id) < before_id)
        rows = plain_rows(session, page.limit(limit + 1))
        return rows[:limit], rows[limit - 1].id if len(rows) > limit else None
    judged = _newest_first(select(RUNS.c.id, RUNS.c.labels), *wanted)
    found, following = _matching_ids(session, judged, before_id, matches, limit)
    whole = select(*_SHOWN).where(col(RunRow.id).in_(found)).order_by(col(RunRow.id).desc())
    return plain_rows(session, whole) if found else [], following


def _matching_ids(
    session: Session, statement: Select[Any], before_id: str | None, matches: Callable[[dict[str, str]], bool], limit: int
) -> tuple[list[str], str | None]:
    """The ids of the first runs whose labels match, and the id to go on before. `statement` gives ids and labels.

    Thousands of runs may be looked at for each one that matches: no more is read of them than what they are judged by.
    """
    found: list[str] = []
    seen = 0
    while seen < SCAN_LIMIT:
        step = min(SCAN_LIMIT - seen, _SCAN_PAGE)
        page = statement if before_id is None else statement.where(RUNS.c.id < before_id)
        rows = session.execute(page.limit(step + 1)).all()
        for run_id, labels in rows[:step]:
            before_id = run_id
            if matches(labels):
                found.append(run_id)
                if len(found) == limit:
                    return found, before_id if run_id != rows[-1][0] else None
        seen += step
        if len(rows) <= step:
            return found, None
    return found, before_id


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseCounts:
    """How many runs are in which phase, of the newest ones."""

    phases: Mapping[str, int]  #: those that occur
    looked_at: int  #: rows
    is_complete: bool  #: there are no older ones


def count_phases(
    session: Session,
    *,
    phases: Sequence[str] = (),
    workflow: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    matches: Callable[[dict[str, str]], bool] | None = None,
) -> PhaseCounts:
    """Count the runs that `list_runs` would list, by phase; of SCAN_LIMIT rows, the newest."""
    columns = (RUNS.c.phase,) if matches is None else (RUNS.c.phase, RUNS.c.labels)
    statement = _newest_first(select(*columns), phases, workflow, created_after, created_before)
    rows = session.execute(statement.limit(SCAN_LIMIT + 1)).all()
    looked_at = rows[:SCAN_LIMIT]
    return PhaseCounts(
        phases=Counter(row.phase for row in looked_at if matches is None or matches(row.labels)),
        looked_at=len(looked_at),
        is_complete=len(rows) == len(looked_at),
    )

"""Who owns which run: executors prove that they live by one row each; a dead one's runs are claimed by the others.

On SQLite there is one service, so a start takes all runs at once. Times are the database's on PostgreSQL, so that the clocks
of replicas need not agree.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Select, delete, func, or_, select, text, update
from sqlmodel import Session, col

from app.storage.database import database_now
from app.storage.models import ExecutorRow, InstanceRow, RunRow, table_of

#: A dead executor's row says for so long when it died.
_FORGOTTEN_AFTER = timedelta(days=1)

#: No lease is longer: one that ends later is from before somebody set the database's clock back, and says nothing.
_LONGEST_LEASE = timedelta(minutes=1)

_EXECUTORS, _RUNS, _INSTANCE = table_of(ExecutorRow), table_of(RunRow), table_of(InstanceRow)


class Claim(NamedTuple):
    """A run that an executor owns from now on, under this epoch."""

    run_id: str
    epoch: int


class Intent(NamedTuple):
    """What users asked of a run."""

    run_id: str
    cancel_requested_at: datetime
    cancel_reason: str
    cancel_force: bool


def ensure_instance(connection: Connection, name: str) -> str:
    """This installation's name; `name` becomes it where there is none yet."""
    connection.execute(text("INSERT INTO instance (id, name) VALUES (1, :name) ON CONFLICT DO NOTHING"), {"name": name})
    return str(connection.execute(select(_INSTANCE.c.name)).scalar_one())


def renew_lease(connection: Connection, executor_id: str, host: str, seconds: float) -> None:
    """Say that the executor lives, for so many seconds from now. The first time, those long dead are forgotten."""
    now = database_now(connection)
    until = now + timedelta(seconds=seconds)
    changed = connection.execute(update(_EXECUTORS).where(_EXECUTORS.c.id == executor_id).values(lease_until=until))
    if not changed.rowcount:
        connection.execute(delete(_EXECUTORS).where(_EXECUTORS.c.lease_until < now - _FORGOTTEN_AFTER))
        connection.execute(_EXECUTORS.insert(), {"id": executor_id, "host": host, "started_at": now, "lease_until": until})


def release_runs(connection: Connection, executor_id: str) -> None:
    """Let go of all runs and of the lease: the executor stops, its runs' pods go on."""
    connection.execute(update(_RUNS).where(_RUNS.c.owner == executor_id).values(owner=None))
    connection.execute(delete(_EXECUTORS).where(_EXECUTORS.c.id == executor_id))


def claim_runs(connection: Connection, executor_id: str, limit: int, *, take_all: bool = False) -> list[Claim]:
    """Claim unfinished runs that nobody owns, or whose owner is dead; oldest first. `take_all`: whoever owns them."""
    wanted = _claimable(executor_id, None if take_all else database_now(connection)).order_by(_RUNS.c.id).limit(limit)
    if connection.dialect.name == "postgresql":
        wanted = wanted.with_for_update(skip_locked=True)
    ids = connection.scalars(wanted).all()
    if not ids:
        return []
    rows = connection.execute(
        update(_RUNS)
        .where(_RUNS.c.id.in_(ids))
        .values(owner=executor_id, epoch=_RUNS.c.epoch + 1)
        .returning(_RUNS.c.id, _RUNS.c.epoch)
    )
    return sorted(Claim(row.id, row.epoch) for row in rows)


def _claimable(executor_id: str, now: datetime | None) -> Select[Any]:
    """The ids of the runs that the executor may claim; `now` None: whoever owns them. Its own it has already."""
    wanted: Select[Any] = select(_RUNS.c.id).where(_RUNS.c.is_finished.is_(False))
    wanted = wanted.where(or_(_RUNS.c.owner.is_(None), _RUNS.c.owner != executor_id))
    if now is not None:
        alive = select(_EXECUTORS.c.id).where(_EXECUTORS.c.lease_until.between(now, now + _LONGEST_LEASE))
        wanted = wanted.where(or_(_RUNS.c.owner.is_(None), _RUNS.c.owner.not_in(alive)))
    return wanted


def seconds_until_claimable(session: Session, executor_id: str) -> float:
    """In how many seconds there may be runs to claim: 0 where somebody holds some locked, else when the next lease runs out."""
    now = database_now(session.connection())
    if session.execute(_claimable(executor_id, now).limit(1)).first() is not None:
        return 0.0
    others = select(func.min(_EXECUTORS.c.lease_until)).where(_EXECUTORS.c.id != executor_id, _EXECUTORS.c.lease_until > now)
    until: datetime | None = session.execute(others).scalar()
    return math.inf if until is None else (until - now).total_seconds()


def renew_claim(connection: Connection, claim: Claim, executor_id: str) -> Claim | None:
    """Claim a run that the executor owns anew, so that what was started under the old epoch can write no more.

    None: it is not this executor's any more.
    """
    epoch = connection.execute(
        update(_RUNS)
        .where(_RUNS.c.id == claim.run_id, _RUNS.c.owner == executor_id, _RUNS.c.epoch == claim.epoch)
        .values(epoch=_RUNS.c.epoch + 1)
        .returning(_RUNS.c.epoch)
    ).scalar()
    return None if epoch is None else Claim(claim.run_id, epoch)


def list_owned(session: Session, executor_id: str) -> Sequence[Claim]:
    """The unfinished runs that the executor owns, by the database: each must have an actor."""
    rows = session.execute(
        select(_RUNS.c.id, _RUNS.c.epoch).where(col(RunRow.is_finished).is_(False), col(RunRow.owner) == executor_id)
    )
    return [Claim(*row) for row in rows]


def find_epochs(session: Session, run_ids: Collection[str]) -> dict[str, int]:
    """The newest epochs of these runs, as far as they are there."""
    rows = session.execute(select(_RUNS.c.id, _RUNS.c.epoch).where(_RUNS.c.id.in_(run_ids)))
    return {row.id: row.epoch for row in rows}


def find_finished(session: Session, run_ids: Collection[str]) -> set[str]:
    """Which of these runs are there and finished."""
    found = session.scalars(select(_RUNS.c.id).where(_RUNS.c.id.in_(run_ids), _RUNS.c.is_finished.is_(True)))
    return set(found)


def list_intents(session: Session, executor_id: str) -> Sequence[Intent]:
    """What was asked of the runs that the executor owns and that are not finished."""
    rows = session.execute(
        select(_RUNS.c.id, _RUNS.c.cancel_requested_at, _RUNS.c.cancel_reason, _RUNS.c.cancel_force).where(
            col(RunRow.is_finished).is_(False), col(RunRow.owner) == executor_id, _RUNS.c.cancel_requested_at.is_not(None)
        )
    )
    return [Intent(*row) for row in rows]

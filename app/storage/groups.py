"""Concurrency groups: of the runs of a group one has its turn at a time, the first come first.

    submit, retry ─▶ enter (cancel_running: the others are cancelled)      ┐ each locks the group's row to its commit,
    the run's owner ─▶ take_turn: it has it, or it waits for another run   ┘ so they see each other whatever the replica

A group is free when its holder is finished or gone. Who waits asks again when `group_topic` is published, and now and then.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select, text, update
from sqlmodel import Session

from app.domain.workflow.nodes import ConcurrencyPolicy
from app.storage.intents import cancellable
from app.storage.models import GroupRow, RunRow, table_of

_RUNS, _GROUPS = table_of(RunRow), table_of(GroupRow)
_TICK = timedelta(microseconds=1)
#: Locks the row on PostgreSQL, made or found; SQLite has one writer.
_LOCK = text("INSERT INTO run_groups (key) VALUES (:key) ON CONFLICT (key) DO UPDATE SET key = excluded.key RETURNING holder")
_HOLD = _GROUPS.update().where(_GROUPS.c.key == bindparam("b_key")).values(holder=bindparam("holder"))


def group_topic(key: str) -> str:
    """A run of the group is finished: the next one may have its turn. Keys may hold blanks, topics may not."""
    return f"group:{hashlib.blake2b(key.encode(), digest_size=16).hexdigest()}"


def enter(connection: Connection, run_id: str, now: datetime) -> list[str]:
    """Join the run's group, which its row names, behind those who are in it: at submit and at each retry, in that transaction.

    `queued_at` is None until then: of many runs that are committed together, each sees those alone that have joined before it.
    With `cancel_running` these are asked to cancel. Returns which; there is nothing to do where the run has no group.
    """
    row = _group_of(connection, run_id)
    if row is None:
        return []
    key, holder = row.group_key, _lock(connection, row.group_key)
    if holder == run_id:  # it had its turn before it was retried
        connection.execute(_HOLD, {"b_key": key, "holder": None})
    others = _joined(key) & (_RUNS.c.id != run_id)
    last = connection.execute(select(func.max(_RUNS.c.queued_at)).where(others)).scalar()
    queued_at = now if last is None else max(now, last + _TICK)  # whatever the replicas' clocks say
    connection.execute(update(_RUNS).where(_RUNS.c.id == run_id).values(queued_at=queued_at))
    if row.group_policy != ConcurrencyPolicy.CANCEL_RUNNING.value:
        return []
    superseded = connection.execute(
        update(_RUNS)
        .where(others, cancellable(), _RUNS.c.cancel_requested_at.is_(None))
        .values(cancel_requested_at=now, cancel_reason=f"Superseded by run {run_id}", cancel_force=False)
        .returning(_RUNS.c.id)
    )
    return sorted(superseded.scalars())


def waits_for(session: Session | Connection, run_id: str) -> str | None:
    """Which run has its turn before this one, as it is at the moment; None: it may take its turn. Reads only: ask often."""
    row = _group_of(session, run_id)
    if row is None:
        return None
    holder = session.execute(select(_GROUPS.c.holder).where(_GROUPS.c.key == row.group_key)).scalar()
    return _first_before(session, row.group_key, holder, run_id)


def take_turn(connection: Connection, run_id: str) -> str | None:
    """None: it is the run's turn, until it is finished (a run without a group never waits). Else the run that it waits for."""
    row = _group_of(connection, run_id)
    if row is None:
        return None
    holder = _lock(connection, row.group_key)
    first = _first_before(connection, row.group_key, holder, run_id)
    if first is None and holder != run_id:
        connection.execute(_HOLD, {"b_key": row.group_key, "holder": run_id})
    return first


def forget_group(connection: Connection, key: str) -> None:
    """Delete the row of a group that no run is of any more: when a run of it is deleted, in that transaction.

    Its row is locked first: who enters meanwhile waits, and makes it anew.
    """
    _lock(connection, key)
    if connection.execute(select(_RUNS.c.id).where(_RUNS.c.group_key == key).limit(1)).first() is None:
        connection.execute(_GROUPS.delete().where(_GROUPS.c.key == key))


def _first_before(session: Session | Connection, key: str, holder: str | None, run_id: str) -> str | None:
    """The holder, while it is unfinished; else who came first. None: that is the run itself."""
    if holder == run_id:
        return None
    if holder is not None and session.execute(select(_RUNS.c.id).where(_joined(key), _RUNS.c.id == holder)).first():
        return holder
    statement = select(_RUNS.c.id).where(_joined(key)).order_by(_RUNS.c.queued_at, _RUNS.c.id).limit(1)
    first: str | None = session.execute(statement).scalar()
    return None if first == run_id else first


def _group_of(session: Session | Connection, run_id: str) -> Any:
    row = session.execute(select(_RUNS.c.group_key, _RUNS.c.group_policy).where(_RUNS.c.id == run_id)).first()
    return row if row is not None and row.group_key is not None else None


def _joined(key: str) -> ColumnElement[bool]:
    """The runs that are in the group."""
    return and_(_RUNS.c.group_key == key, _RUNS.c.is_finished.is_(False), _RUNS.c.queued_at.is_not(None))


def _lock(connection: Connection, key: str) -> str | None:
    """Hold the group until the transaction ends; who has its turn."""
    holder: str | None = connection.execute(_LOCK, {"key": key}).scalar_one()
    return holder

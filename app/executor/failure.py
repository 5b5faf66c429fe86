"""The last resort: a run whose actor fails again and again ends as Error, with its reason, and its pods are deleted."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select

from app.domain.events import EventType, RunEvent
from app.domain.phases import Phase, RunPhase
from app.domain.pods import PodRef
from app.executor.run_actor import Environment
from app.storage.broker import RUNS, run_topic
from app.storage.executors import Claim
from app.storage.models import AttemptRow, RunRow, TaskRow, table_of
from app.storage.runs import insert_events
from app.storage.writer import Change

REASON = "InternalError"
_OPEN = (Phase.PENDING.value, Phase.RUNNING.value)


async def end_run_as_error(environment: Environment, claim: Claim, cause: BaseException) -> None:
    """End the run in the database without its plan, then ask for its pods' deletion. Raises OwnershipLost."""
    now = environment.clock.now()
    message = f"podrun could not move this run on ({type(cause).__name__}); the service's log has the whole story"
    run_id = claim.run_id
    event = RunEvent(run_id=run_id, time=now, type=EventType.RUN, phase=RunPhase.ERROR.value, reason=REASON, message=message)
    change = Change(
        rows=insert_events([event]),
        call=lambda connection: _end(connection, run_id, now, message),
        fence=(run_id, claim.epoch),
        topics=(run_topic(run_id), RUNS),
    )
    for ref in await environment.writer.commit(change):
        environment.launcher.delete(run_id, ref, lambda _: None)


def _end(connection: Connection, run_id: str, now: datetime, message: str) -> list[PodRef]:
    runs, tasks, attempts = table_of(RunRow), table_of(TaskRow), table_of(AttemptRow)
    ended: dict[str, Any] = {"reason": REASON, "message": message, "finished_at": now}
    pods = connection.execute(
        select(attempts.c.namespace, attempts.c.pod, attempts.c.pod_uid).where(
            attempts.c.run_id == run_id, attempts.c.pod_deleted.is_(False), attempts.c.pod_uid.is_not(None)
        )
    ).all()
    for table in (tasks, attempts):
        connection.execute(
            table.update().where(table.c.run_id == run_id, table.c.phase.in_(_OPEN)).values(phase=Phase.ERROR.value, **ended)
        )
    connection.execute(attempts.update().where(attempts.c.run_id == run_id).values(log_sealed=True, pod_deleted=True))
    phases: dict[str, int] = {}
    for (phase,) in connection.execute(select(tasks.c.phase).where(tasks.c.run_id == run_id)):
        phases[phase] = phases.get(phase, 0) + 1
    is_run = runs.c.id == run_id
    unfinished = [phase.value for phase in RunPhase if not phase.is_over]
    connection.execute(  # a run that had its outcome keeps it: what failed was what comes after
        runs.update().where(is_run, runs.c.phase.in_(unfinished)).values(phase=RunPhase.ERROR.value, **ended)
    )
    connection.execute(runs.update().where(is_run).values(is_finished=True, task_phases=phases, version=runs.c.version + 1))
    return [PodRef(row.namespace, row.pod, row.pod_uid) for row in pods]

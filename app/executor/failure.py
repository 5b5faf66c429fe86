"""The last resort: a run whose actor fails again and again ends as Error, with its reason, and its pods are deleted."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Table, case, func, literal, select

from app.domain.errors import PodDeferred
from app.domain.events import EventType, RunEvent
from app.domain.phases import Phase, RunPhase
from app.domain.pods import PodRef
from app.executor.run_actor import Environment
from app.failpoints import Action
from app.storage.broker import RUNS, run_topic
from app.storage.executors import Claim
from app.storage.models import AttemptRow, IntentRow, LogRow, RunRow, TaskRow, table_of
from app.storage.runs import insert_events
from app.storage.writer import Change

REASON = "InternalError"
_OPEN = (Phase.PENDING.value, Phase.RUNNING.value)


async def end_run_as_error(environment: Environment, claim: Claim, cause: BaseException) -> None:
    """End the run in the database without its plan; it is finished when the delete of its pods was answered.

    Raises OwnershipLost, and the database's errors. Called again after a restart, it goes on.
    """
    now = datetime.now(UTC)
    message = f"podrun could not move this run on ({type(cause).__name__}); the service's log has the whole story"
    run_id = claim.run_id
    event = RunEvent(run_id=run_id, time=now, type=EventType.RUN, phase=RunPhase.ERROR.value, reason=REASON, message=message)
    fence, topics = (run_id, claim.epoch), (run_topic(run_id), RUNS)
    end = Change(
        rows=insert_events([event]),
        call=lambda connection: _end(connection, run_id, now, message),
        fence=fence,
        topics=topics,
        actions=(Action.END_AS_ERROR,),
    )
    pods: list[PodRef] = await environment.writer.commit(end)
    async with asyncio.TaskGroup() as group:
        for ref in pods:
            group.create_task(_delete(environment, run_id, ref), name=f"delete {ref.name}")
    finish = Change(
        call=lambda connection: _finish(connection, run_id), fence=fence, topics=topics, actions=(Action.FINISH_AS_ERROR,)
    )
    await environment.writer.commit(finish)


async def _delete(environment: Environment, run_id: str, ref: PodRef) -> None:
    """Until it is answered. A pod whose creation was not recorded is looked for among those that the watch has seen."""
    if not ref.uid:
        seen = environment.backend.find_pod(ref.namespace, ref.name)
        if seen is None:
            return
        ref = seen.ref
    seconds = 1.0
    while True:
        answered: asyncio.Future[PodDeferred | None] = asyncio.get_running_loop().create_future()
        environment.launcher.delete(run_id, ref, answered.set_result)
        if await answered is None:
            return
        await asyncio.sleep(seconds)
        seconds = min(2 * seconds, 30.0)


def _end(connection: Connection, run_id: str, now: datetime, message: str) -> list[PodRef]:
    runs, tasks, attempts = table_of(RunRow), table_of(TaskRow), table_of(AttemptRow)

    def ended(table: Table) -> dict[str, Any]:
        """By the clock on the wall, which may have been set: but nothing ends before it began."""
        at = case((table.c.started_at > now, table.c.started_at), else_=literal(now, table.c.started_at.type))
        return {"reason": REASON, "message": message, "finished_at": at}

    for table in (tasks, attempts):
        unfinished = table.update().where(table.c.run_id == run_id, table.c.phase.in_(_OPEN))
        connection.execute(unfinished.values(phase=Phase.ERROR.value, **ended(table)))
    counts = select(tasks.c.phase, func.count()).where(tasks.c.run_id == run_id).group_by(tasks.c.phase)
    phases: dict[str, int] = {row[0]: row[1] for row in connection.execute(counts)}
    unfinished_phases = [phase.value for phase in RunPhase if not phase.is_over]
    connection.execute(  # a run that had its outcome keeps it: what failed was what comes after
        runs.update()
        .where(runs.c.id == run_id, runs.c.phase.in_(unfinished_phases))
        .values(phase=RunPhase.ERROR.value, **ended(runs))
    )
    connection.execute(runs.update().where(runs.c.id == run_id).values(task_phases=phases, version=runs.c.version + 1))
    left = select(attempts.c.namespace, attempts.c.pod, attempts.c.pod_uid)
    left = left.where(attempts.c.run_id == run_id, attempts.c.pod_deleted.is_(False))
    return [PodRef(row.namespace, row.pod, row.pod_uid or "") for row in connection.execute(left)]


def _finish(connection: Connection, run_id: str) -> None:
    runs, attempts, logs, intents = table_of(RunRow), table_of(AttemptRow), table_of(LogRow), table_of(IntentRow)
    connection.execute(attempts.update().where(attempts.c.run_id == run_id).values(log_sealed=True, pod_deleted=True))
    connection.execute(logs.update().where(logs.c.run_id == run_id).values(sealed=True))
    # What was asked and could not be done is not to be done when the run is retried.
    connection.execute(intents.delete().where(intents.c.run_id == run_id))
    connection.execute(runs.update().where(runs.c.id == run_id).values(is_finished=True, version=runs.c.version + 1))

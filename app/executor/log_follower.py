"""Follows the logs of one run's containers, as its plan says: which begin, which have ended, which are given up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from app.domain.logs import LogKey
from app.domain.plan import plan
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import RunState, TaskState
from app.domain.pods import MAIN, AttemptKey, PodRef
from app.logs.collector import LogCollector
from app.logs.signs import ContainerSigns


class LogFollower:
    """Owned by the run's actor. One asyncio task a container's log, in the actor's group."""

    def __init__(
        self, collector: LogCollector, epoch: int, post: Callable[[Any], None], fail: Callable[[BaseException], None]
    ) -> None:
        """`post` puts a message into the actor's inbox, `fail` ends the actor."""
        self._collector, self._epoch, self._post, self._fail = collector, epoch, post, fail
        self._signs: dict[LogKey, ContainerSigns] = {}
        self._running: dict[LogKey, asyncio.Task[None]] = {}

    def follow(self, state: RunState, out: Decisions, group: asyncio.TaskGroup) -> None:
        """Do what a step decided about logs."""
        for task, attempt, container in out.collects:
            self._begin(_log_key(state, task, attempt, container), attempt, group)
        for task, attempt, container in out.ended_logs:
            signs = self._signs.get(_log_key(state, task, attempt, container))
            if signs is not None:  # None: it was sealed meanwhile
                signs.pod_leaves = attempt.pod_leaves
                signs.is_orphan = container in attempt.orphaned_logs
                signs.finished_at = attempt.told_finished_at if container == MAIN else None
                signs.ended.set()
        for task, attempt, container in out.abandoned_logs:
            signs = self._signs.get(_log_key(state, task, attempt, container))
            if signs is not None:
                signs.abandoned.set()

    def cancel(self) -> None:
        """Stop following; what was not stored yet is collected by whoever goes on with the run."""
        for running in list(self._running.values()):
            running.cancel()

    def _begin(self, key: LogKey, attempt: AttemptState, group: asyncio.TaskGroup) -> None:
        ref = PodRef(attempt.namespace, attempt.pod, attempt.uid or "")
        is_main = key.container == MAIN
        self._signs[key] = ContainerSigns(
            # Only main is known to run once: a sidecar is started again, and main's start is that of the attempt.
            started_at=attempt.told_started_at if is_main else None,
            finished_at=attempt.told_finished_at if is_main else None,
            restarts=not is_main,
        )
        if is_main and attempt.main_ended:
            self._signs[key].ended.set()
        self._running[key] = group.create_task(self._collect(key, ref), name=f"log {ref.name}/{key.container}")

    async def _collect(self, key: LogKey, ref: PodRef) -> None:
        """Collect a container's log to its end, however that comes, and say so."""
        attempt = AttemptKey(key.run_id, key.task, key.attempt)
        try:
            await self._collector.collect(key, self._epoch, ref, self._signs[key])
            self._post(lambda state, out: plan.log_sealed(state, attempt, key.container, out))
        except Exception as error:  # noqa: BLE001 - it fails the actor, which is told from here
            self._fail(error)
        finally:
            del self._running[key], self._signs[key]


def _log_key(state: RunState, task: TaskState, attempt: AttemptState, container: str) -> LogKey:
    return LogKey(state.run_id, task.name, attempt.number, container)

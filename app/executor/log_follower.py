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


class LogFollower:
    """Owned by the run's actor. One asyncio task a container's log, in the actor's group."""

    def __init__(
        self, collector: LogCollector, epoch: int, post: Callable[[Any], None], fail: Callable[[BaseException], None]
    ) -> None:
        """`post` puts a message into the actor's inbox, `fail` ends the actor."""
        self._collector, self._epoch, self._post, self._fail = collector, epoch, post, fail
        self._ended: dict[LogKey, asyncio.Event] = {}
        self._abandoned: dict[LogKey, asyncio.Event] = {}
        self._running: dict[LogKey, asyncio.Task[None]] = {}

    def follow(self, state: RunState, out: Decisions, group: asyncio.TaskGroup) -> None:
        """Do what a step decided about logs."""
        for task, attempt, container in out.collects:
            self._begin(_log_key(state, task, attempt, container), attempt, group)
        for logs, events in ((out.ended_logs, self._ended), (out.abandoned_logs, self._abandoned)):
            for task, attempt, container in logs:
                event = events.get(_log_key(state, task, attempt, container))
                if event is not None:  # None: it was sealed meanwhile
                    event.set()

    def cancel(self) -> None:
        """Stop following; what was not stored yet is collected by whoever goes on with the run."""
        for running in list(self._running.values()):
            running.cancel()

    def _begin(self, key: LogKey, attempt: AttemptState, group: asyncio.TaskGroup) -> None:
        ref = PodRef(attempt.namespace, attempt.pod, attempt.uid or "")
        self._ended[key], self._abandoned[key] = asyncio.Event(), asyncio.Event()
        if key.container == MAIN and attempt.main_ended:
            self._ended[key].set()
        self._running[key] = group.create_task(self._collect(key, ref), name=f"log {ref.name}/{key.container}")

    async def _collect(self, key: LogKey, ref: PodRef) -> None:
        """Collect a container's log to its end, however that comes, and say so."""
        attempt = AttemptKey(key.run_id, key.task, key.attempt)
        try:
            await self._collector.collect(key, self._epoch, ref, self._ended[key], abandoned=self._abandoned[key])
            self._post(lambda state, out: plan.log_sealed(state, attempt, key.container, out))
        except Exception as error:  # noqa: BLE001 - it fails the actor, which is told from here
            self._fail(error)
        finally:
            del self._running[key], self._ended[key], self._abandoned[key]


def _log_key(state: RunState, task: TaskState, attempt: AttemptState, container: str) -> LogKey:
    return LogKey(state.run_id, task.name, attempt.number, container)

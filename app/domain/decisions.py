"""What a step of the plan decided: what to record, and what to do once that is recorded."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.events import EventType, RunEvent
from app.domain.pods import PodRef
from app.domain.run_state import AttemptState, RunState, TaskState

Pair = tuple[TaskState, AttemptState]


@dataclass(slots=True)
class Decisions:
    """Collected over one step, which may handle several observations.

    `is_urgent`: something waits for the commit: a new pod, the end of the run. The rest may wait for company.
    """

    now: datetime
    # To record.
    run_changed: bool = False
    is_urgent: bool = False
    tasks: dict[str, TaskState] = field(default_factory=dict)
    new_attempts: list[Pair] = field(default_factory=list)
    attempts: dict[tuple[str, int], Pair] = field(default_factory=dict)
    events: list[RunEvent] = field(default_factory=list)
    # To do, once that is committed.
    creates: list[Pair] = field(default_factory=list)
    deletes: list[Pair] = field(default_factory=list)
    strays: list[PodRef] = field(default_factory=list)  #: pods of an attempt of ours that has another pod
    collects: list[Pair] = field(default_factory=list)  #: follow main's log
    ended_logs: list[Pair] = field(default_factory=list)  #: nothing more comes into main's log
    abandoned_logs: list[Pair] = field(default_factory=list)  #: it can't be read to its end: seal it, with a gap
    released_slots: int = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        return not (self.run_changed or self.tasks or self.new_attempts or self.attempts or self.events)

    def task_changed(self, state: RunState, task: TaskState, *, phase_moved: bool = True) -> None:
        """Record the task; its history says so where its phase or reason is new."""
        self.tasks[task.name] = task
        self.run_changed = True
        if phase_moved:
            self.say(state, EventType.TASK, task, None, task.phase.value, task.reason, task.message)

    def attempt_changed(self, state: RunState, task: TaskState, attempt: AttemptState, *, say: bool = False) -> None:
        """Record the attempt; `say` adds it to the history."""
        self.attempts[task.name, attempt.number] = (task, attempt)
        self.run_changed = True
        if say:
            self.say(state, EventType.ATTEMPT, task, attempt, attempt.phase.value, attempt.reason, attempt.message)

    def say(
        self,
        state: RunState,
        kind: EventType,
        task: TaskState | None = None,
        attempt: AttemptState | None = None,
        phase: str | None = None,
        reason: str = "",
        message: str = "",
        details: dict[str, Any] | None = None,
    ) -> None:
        """Add an entry to the run's history."""
        self.events.append(
            RunEvent(
                run_id=state.run_id,
                time=self.now,
                type=kind,
                task=task.name if task else None,
                attempt=attempt.number if attempt else None,
                phase=phase,
                reason=reason,
                message=message,
                details=details,
            )
        )

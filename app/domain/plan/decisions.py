"""What a step of the plan decided: what to record, and what to do once that is recorded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from app.domain.events import EventType, RunEvent
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.evaluation import Evaluation
from app.domain.plan.run_state import RunState, TaskState
from app.domain.pods import PodRef

Pair = tuple[TaskState, AttemptState]
Log = tuple[TaskState, AttemptState, str]  #: of a container of an attempt's pod, by its name


@dataclass(slots=True)
class Decisions:
    """Collected over one step, which may handle several observations.

    `is_urgent`: something waits for the commit: a new pod, the end of the run. The rest may wait for company.
    """

    now: datetime
    sees: Callable[[str], bool] = lambda _namespace: True  #: whether pods of that namespace are observed as they are now
    # To record.
    run_changed: bool = False
    is_urgent: bool = False
    gone_tasks: list[str] = field(default_factory=list)  #: others stand in their place
    new_tasks: dict[str, TaskState] = field(default_factory=dict)
    tasks: dict[str, TaskState] = field(default_factory=dict)
    new_attempts: list[Pair] = field(default_factory=list)
    attempts: dict[tuple[str, int], Pair] = field(default_factory=dict)
    events: list[RunEvent] = field(default_factory=list)
    done_requests: list[int] = field(default_factory=list)  #: ids of what users asked for and has been heeded
    # To do, once that is committed.
    creates: list[Pair] = field(default_factory=list)
    deletes: list[Pair] = field(default_factory=list)
    strays: list[PodRef] = field(default_factory=list)  #: pods of an attempt of ours that has another pod
    evaluations: list[Evaluation] = field(default_factory=list)
    collects: list[Log] = field(default_factory=list)  #: follow the container's log
    ended_logs: list[Log] = field(default_factory=list)  #: nothing more comes into it
    abandoned_logs: list[Log] = field(default_factory=list)  #: it can't be read to its end: seal it, with a gap
    released_slots: int = 0
    goes_on: bool = False  #: there is more to do at once: ask again, after others had their turn

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to record."""
        return not (
            self.run_changed
            or self.tasks
            or self.new_tasks
            or self.new_attempts
            or self.attempts
            or self.events
            or self.done_requests
        )

    @property
    def acts(self) -> bool:
        """Whether there is something to do once it is recorded."""
        return bool(self.creates or self.deletes or self.strays or self.evaluations)

    def task_changed(self, state: RunState, task: TaskState, *, phase_moved: bool = True) -> None:
        """Record the task; its history says so where its phase or reason is new."""
        if task.name not in self.new_tasks:
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

"""A run as its plan sees it: the tasks, their attempts, and the counts that make each step cheap.

`domain.plan` alone moves it. It is made anew from the workflow (and, after a restart, from what was stored) by the executor,
and everything in it that matters is stored before anything is done about it. Costs: making it is linear in tasks and edges,
each step in what the step changes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import NamedTuple

from app.domain.graph import downstream_of
from app.domain.phases import ATTEMPT_TRANSITIONS, RUN_TRANSITIONS, TASK_TRANSITIONS, Phase, RunPhase
from app.domain.pods import AttemptKey
from app.domain.workflow import Task, Workflow


class TimerKind(IntEnum):
    """What a timer is for. The order breaks ties: what ends something comes before what starts something."""

    RUN_TIMEOUT = 0  #: the run's own `timeout_seconds`
    TIMEOUT = 1  #: the attempt's `timeout_seconds`, from main's start
    PENDING_TIMEOUT = 2  #: its `pending_timeout_seconds`, from the first try to create the pod
    NODE_LOST = 3  #: a pod under deletion should be gone by now
    DELETE = 4  #: ask again for the pod's deletion
    CREATE = 5  #: try again to create the pod
    RETRY = 6  #: the next attempt may start


class Timer(NamedTuple):
    """When to look at something again. A timer that is out of date when it fires does nothing."""

    at: datetime
    kind: TimerKind
    task: str
    attempt: int


@dataclass(slots=True, kw_only=True)
class AttemptState:
    """One attempt: one pod. Over is not settled: its log and its pod's delete may still be under way."""

    number: int
    namespace: str
    pod: str  #: the pod's name
    created_at: datetime
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    uid: str | None = None  #: None: the pod's creation was not answered yet
    node: str | None = None
    is_replacement: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_sealed: bool = False
    pod_deleted: bool = False
    log_begun: bool = False  #: an earlier process has stored some of its log, and not sealed it
    # What follows is not stored: it is found again by looking at the pod.
    main_ended: bool = False  #: nothing more comes into its log
    collecting: bool = False  #: a collector follows its log
    delete_requested: bool = False
    creating: bool = False  #: a creation is under way, or will be tried again
    create_tries: int = 0
    delete_tries: int = 0
    counted_settled: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be done about it."""
        return self.phase.is_over and self.log_sealed and self.pod_deleted


@dataclass(slots=True, kw_only=True)
class TaskState:
    """A task in this run."""

    spec: Task
    position: int  #: in the document
    downstream: tuple[str, ...] = ()
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_at: datetime | None = None
    attempts: list[AttemptState] = field(default_factory=list)
    open_upstreams: int = 0  #: upstream tasks that are not over
    is_ready: bool = False  #: waits for a slot

    @property
    def name(self) -> str:
        """The task's name."""
        return self.spec.name

    @property
    def live(self) -> AttemptState | None:
        """The attempt that is not over."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and not last.phase.is_over else None


class IllegalTransition(AssertionError):
    """The plan tried to move a phase against the table of transitions: a bug, which ends this run alone."""


@dataclass(slots=True, kw_only=True)
class RunState:
    """One run. `tasks` is in document order."""

    run_id: str
    workflow: Workflow
    created_at: datetime
    default_namespace: str
    phase: RunPhase = RunPhase.PENDING
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_finished: bool = False
    cancel_reason: str | None = None  #: not None: it was cancelled
    cancel_forced: bool = False
    failing_fast: bool = False
    timed_out: bool = False
    tasks: dict[str, TaskState] = field(default_factory=dict)
    task_phases: Counter[Phase] = field(default_factory=Counter)
    ready: list[tuple[int, str]] = field(default_factory=list)  #: heap by position: may start when there is a slot
    newly_ready: list[str] = field(default_factory=list)  #: those that have not said yet that they wait
    timers: list[Timer] = field(default_factory=list)  #: heap
    open_tasks: int = 0  #: tasks that are not over
    live_attempts: int = 0  #: attempts that are not over: each holds a slot
    unsettled: int = 0  #: attempts that are not settled
    terminating: int = 0  #: attempts that are over while their pod's container still runs
    left_behind: list[str] = field(default_factory=list)  #: pods that did not go when they should have

    def __post_init__(self) -> None:
        """Lay out the tasks."""
        downstream = downstream_of({spec.name: spec.depends_on for spec in self.workflow.tasks})
        for position, spec in enumerate(self.workflow.tasks):
            self.tasks[spec.name] = TaskState(spec=spec, position=position, downstream=downstream[spec.name])
        self.recount()

    def recount(self) -> None:
        """Derive all counts from the tasks: after they were made, or filled from what was stored."""
        self.task_phases = Counter(task.phase for task in self.tasks.values())
        self.open_tasks = sum(not task.phase.is_over for task in self.tasks.values())
        self.live_attempts = self.unsettled = 0
        for task in self.tasks.values():
            task.open_upstreams = sum(not self.tasks[name].phase.is_over for name in task.spec.depends_on)
            self.live_attempts += task.live is not None
            for attempt in task.attempts:
                attempt.counted_settled = attempt.is_settled
                attempt.main_ended = attempt.main_ended or attempt.is_settled
                self.unsettled += not attempt.is_settled

    def find_attempt(self, key: AttemptKey) -> tuple[TaskState, AttemptState] | None:
        """The attempt of that key, None if this run has none."""
        task = self.tasks.get(key.task)
        if task is None or not 0 < key.attempt <= len(task.attempts):
            return None
        return task, task.attempts[key.attempt - 1]

    def get_attempt(self, key: AttemptKey) -> tuple[TaskState, AttemptState]:
        """The attempt of that key, which is one of this run's. Raises LookupError."""
        found = self.find_attempt(key)
        if found is None:
            raise LookupError(f"there is no {key}")
        return found

    def key(self, task: TaskState, attempt: AttemptState) -> AttemptKey:
        """The key of an attempt."""
        return AttemptKey(self.run_id, task.name, attempt.number)

    def namespace_of(self, task: TaskState) -> str:
        """Where the task's pods run: its own, the workflow's, or the service's default namespace."""
        return task.spec.namespace or self.workflow.namespace or self.default_namespace

    def set_timer(self, at: datetime, kind: TimerKind, task: str = "", attempt: int = 0) -> None:
        """Look again at that time."""
        heapq.heappush(self.timers, Timer(at, kind, task, attempt))

    def next_timer_at(self) -> datetime | None:
        """When the plan wants to be asked again, None: when something happens."""
        return self.timers[0].at if self.timers else None

    def move_task(self, task: TaskState, phase: Phase) -> None:
        """Move a task's phase, and what is counted by it."""
        if phase not in TASK_TRANSITIONS.get(task.phase, ()):
            raise IllegalTransition(f"task {task.name}: {task.phase} to {phase}")
        self.task_phases[task.phase] -= 1
        self.task_phases[phase] += 1
        task.phase = phase
        if phase.is_over:
            self.open_tasks -= 1

    def move_attempt(self, task: TaskState, attempt: AttemptState, phase: Phase) -> None:
        """Move an attempt's phase, and what is counted by it."""
        if phase not in ATTEMPT_TRANSITIONS.get(attempt.phase, ()):
            raise IllegalTransition(f"task {task.name}, attempt {attempt.number}: {attempt.phase} to {phase}")
        attempt.phase = phase
        if phase.is_over:
            self.live_attempts -= 1
            self.terminating += not attempt.main_ended

    def move_run(self, phase: RunPhase) -> None:
        """Move the run's phase."""
        if phase not in RUN_TRANSITIONS.get(self.phase, ()):
            raise IllegalTransition(f"run: {self.phase} to {phase}")
        self.phase = phase

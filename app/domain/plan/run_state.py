"""A run as its plan sees it: the tasks, their attempts, and the counts that make each step cheap.

    NodeState (a task of the document) 1─n TaskState (that node in this run; one for each item of a fan-out) 1─n AttemptState

`domain.plan` alone moves it. It is made anew from the workflow (and, after a restart, from what was stored) by the executor,
and everything in it that matters is stored before anything is done about it. Costs: making it is linear in tasks and edges,
each step in what the step changes.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, NamedTuple

from app.domain.phases import ATTEMPT_TRANSITIONS, RUN_TRANSITIONS, TASK_TRANSITIONS, Phase, RunPhase
from app.domain.plan.attempt_state import AttemptState
from app.domain.pods import AttemptKey
from app.domain.workflow.document import Task
from app.domain.workflow.graph import downstream_of
from app.domain.workflow.nodes import Node, Workflow
from app.domain.workflow.trigger_rules import Tally


class TimerKind(IntEnum):
    """What a timer is for. The order breaks ties: what ends something comes before what starts something."""

    RUN_TIMEOUT = 0  #: the run's own `timeout_seconds`
    TIMEOUT = 1  #: the attempt's `timeout_seconds`, from main's start
    PENDING_TIMEOUT = 2  #: its `pending_timeout_seconds`, from the first try to create the pod
    APPROVAL = 3  #: nobody has answered by now
    NODE_LOST = 4  #: a pod under deletion should be gone by now
    DELETE = 5  #: ask again for the pod's deletion
    CREATE = 6  #: try again to create the pod
    RETRY = 7  #: the next attempt may start


class Timer(NamedTuple):
    """When to look at something again. A timer that is out of date when it fires does nothing."""

    at: datetime
    kind: TimerKind
    task: str
    attempt: int


@dataclass(slots=True, kw_only=True)
class TaskState:
    """A task in this run: a node, or one item of a fan-out."""

    node: Node
    index: int | None = None  #: of the item; None: no item
    item: Any = None
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    retry_at: datetime | None = None
    outputs: dict[str, Any] | None = None
    values: dict[str, Any] | None = None  #: of its expressions, by their source; None: nothing was evaluated yet
    attempts: list[AttemptState] = field(default_factory=list)
    attempts_before: int = 0  #: attempts made before the run was last retried: `retries` does not count them
    # What follows is not stored: it follows from the rest.
    spec: Task | None = None  #: None: its expressions were not evaluated yet
    evaluating: bool = False  #: its expressions are at the evaluator
    is_ready: bool = False  #: waits for a slot

    @property
    def name(self) -> str:
        """The task's name in the run."""
        return self.node.name if self.index is None else f"{self.node.name}.{self.index}"

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in every list: by document order, items by index."""
        return (self.node.position, -1 if self.index is None else self.index)

    @property
    def live(self) -> AttemptState | None:
        """The attempt that is not over."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and not last.phase.is_over else None

    @property
    def has_begun(self) -> bool:
        """Whether it was started, since the run was last retried."""
        return self.phase is not Phase.PENDING or len(self.attempts) > self.attempts_before

    @property
    def recent_attempts(self) -> list[AttemptState]:
        """Its attempts since the run was last retried."""
        return self.attempts[self.attempts_before :]

    @property
    def allows_failure(self) -> bool:
        """Whether the run may succeed although this task fails."""
        if self.spec is not None:
            return self.spec.allow_failure
        return self.node.written.get("allow_failure") is True

    @property
    def fails_run(self) -> bool:
        """Whether the run can't succeed any more because of it; what runs on exit is judged apart."""
        return self.phase in (Phase.FAILED, Phase.ERROR) and not self.node.is_exit and not self.allows_failure


@dataclass(slots=True, kw_only=True)
class NodeState:
    """A task of the document in this run: what others wait for."""

    node: Node
    downstream: tuple[str, ...] = ()
    members: list[TaskState] = field(
        default_factory=list
    )  #: the items; before a fan-out's list is known one task stands for it
    is_laid_out: bool = True  #: False: a fan-out whose list, or how much of it may run at a time, is not known yet
    asks_list: bool = False  #: the list's expressions are at the evaluator
    max_parallel: int | None = None
    open_upstreams: int = 0  #: upstream nodes that are not over
    open_members: int = 0  #: members that are not over
    tally: Tally = field(default_factory=Tally)  #: how the others ended
    live_attempts: int = 0
    # Known when all members are over, and found once: thousands of other tasks may ask for it.
    first_ended: dict[bool, TaskState] = field(default_factory=dict)  #: the first that failed (True), or was skipped
    context: Mapping[str, Any] | None = None  #: it, in expressions
    shared: dict[str, Any] = field(default_factory=dict)  #: values that all items have; one of them records these
    held: list[tuple[int, int, str]] = field(default_factory=list)  #: heap: ready, held back by `max_parallel`

    def recount(self) -> None:
        """Derive the counts from the members."""
        self.first_ended, self.context = {}, None
        over = [member.phase for member in self.members if member.phase.is_over]
        counts = Counter("s" if phase is Phase.SUCCEEDED else "k" if phase is Phase.SKIPPED else "f" for phase in over)
        self.tally = Tally(counts["s"], counts["f"], counts["k"])
        self.open_members = len(self.members) - len(over)
        self.live_attempts = sum(member.live is not None for member in self.members)


class IllegalTransition(AssertionError):
    """The plan tried to move a phase against the table of transitions: a bug, which ends this run alone."""


@dataclass(slots=True, kw_only=True)
class RunState:
    """One run."""

    run_id: str
    workflow: Workflow
    created_at: datetime
    namespaces: tuple[str, ...]  #: where pods may run; the first is the default
    params: Mapping[str, Any] = field(default_factory=dict)
    phase: RunPhase = RunPhase.PENDING
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    retried_at: datetime | None = None
    finished_at: datetime | None = None
    is_finished: bool = False
    suspended: bool = False
    cancel_reason: str | None = None  #: not None: it was cancelled
    cancel_forced: bool = False
    failing_fast: bool = False
    has_stopped: bool = False  #: what waited when it began to fail fast was ended
    timed_out: bool = False
    nodes: dict[str, NodeState] = field(default_factory=dict)  #: in document order
    tasks: dict[str, TaskState] = field(default_factory=dict)  #: in no order: see TaskState.place
    former: dict[str, list[AttemptState]] = field(default_factory=dict)  #: of items that were there before the run was retried
    task_phases: Counter[Phase] = field(default_factory=Counter)
    ready: list[tuple[int, int, str]] = field(default_factory=list)  #: heap by place: may start when there is a slot
    newly_ready: list[str] = field(default_factory=list)  #: those that have not said yet that they wait
    timers: list[Timer] = field(default_factory=list)  #: heap
    time_is_up: bool = False  #: the run's own timeout is due, and waits until the pods are seen: nothing new starts
    is_blind: bool = False  #: it was taken up again, and its pods were not looked at since
    held_timers: list[Timer] = field(default_factory=list)  #: they are due, and wait for that look
    values_bytes: int = 0  #: what its expressions have given so far
    exit_begun: bool = False  #: `on_exit` may run
    main_outcome: tuple[RunPhase, str, str] | None = (
        None  #: see `outcome.run_outcome`: of the tasks without `on_exit`, all over
    )
    open_main: int = 0  #: tasks that are not over, without those of `on_exit`
    open_exit: int = 0  #: those of `on_exit` that are not over
    live_attempts: int = 0  #: attempts that are not over: each holds a slot
    unsettled: int = 0  #: attempts that are not settled
    terminating: int = 0  #: attempts that are over while their pod's container still runs
    left_behind: list[str] = field(default_factory=list)  #: pods that did not go when they should have
    strays: set[str] = field(default_factory=set)  #: UIDs of pods with our labels that are no attempt's own: they are deleted

    def __post_init__(self) -> None:
        """Lay out the tasks, as far as they are known from the document."""
        downstream = downstream_of({node.name: node.depends_on for node in self.workflow.nodes})
        for node in self.workflow.nodes:
            limit = node.max_parallel if isinstance(node.max_parallel, int) else None
            self.nodes[node.name] = NodeState(node=node, downstream=downstream[node.name], max_parallel=limit)
            self.lay_out(node.name, node.foreach.items if node.foreach else None)
        self.recount()

    def lay_out(self, name: str, items: tuple[Any, ...] | list[Any] | None) -> list[TaskState]:
        """Put a node's tasks in place of those it has: one for each item; a single one for no fan-out, or none that is known.

        Items that were there before the run was retried go on with the numbers of their attempts. Counts are not derived.
        """
        state = self.nodes[name]
        for member in state.members:
            del self.tasks[member.name]
        state.is_laid_out = not isinstance(state.node.max_parallel, str) and (state.node.foreach is None or items is not None)
        spec = state.node.spec
        if items:
            state.members = [TaskState(node=state.node, index=n, item=item, spec=spec) for n, item in enumerate(items)]
        else:
            state.members = [TaskState(node=state.node, spec=spec)]
        for member in state.members:
            self.tasks[member.name] = member
            if member.name in self.former:
                member.attempts = self.former.pop(member.name)
                member.attempts_before = len(member.attempts)
        return state.members

    def count_members(self, node: NodeState, *, before: int) -> None:
        """Count a node's tasks anew, of which there were `before`, none of them over, and are as many as it has."""
        more = len(node.members) - before
        node.open_members += more
        if node.node.is_exit:
            self.open_exit += more
        else:
            self.open_main += more
        self.task_phases[Phase.PENDING] += more

    def recount(self) -> None:
        """Derive all counts from the tasks: after they were made, or filled from what was stored."""
        self.task_phases = Counter(task.phase for task in self.tasks.values())
        self.main_outcome = None
        self.open_main = self.open_exit = self.live_attempts = self.unsettled = 0
        for state in self.nodes.values():
            state.recount()
            if state.node.is_exit:
                self.open_exit += state.open_members
            else:
                self.open_main += state.open_members
            self.live_attempts += state.live_attempts
        for state in self.nodes.values():
            state.open_upstreams = sum(self.nodes[name].open_members > 0 for name in state.node.depends_on)
        for attempt in self.attempts():
            attempt.counted_settled = attempt.is_settled
            attempt.main_ended = attempt.main_ended or attempt.is_settled
            self.unsettled += not attempt.is_settled

    def attempts(self) -> Iterator[AttemptState]:
        """Every attempt of every task."""
        for task in self.tasks.values():
            yield from task.attempts

    @property
    def open_tasks(self) -> int:
        """Tasks that are not over."""
        return self.open_main + self.open_exit

    @property
    def default_namespace(self) -> str:
        """Where pods run that say nothing of it."""
        return self.namespaces[0]

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
        own = task.spec.namespace if task.spec else None
        return own or self.workflow.namespace or self.default_namespace

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
            node = self.nodes[task.node.name]
            node.open_members -= 1
            node.tally = node.tally.plus(Tally.of(phase))
            if task.node.is_exit:
                self.open_exit -= 1
            else:
                self.open_main -= 1

    def move_attempt(self, task: TaskState, attempt: AttemptState, phase: Phase) -> None:
        """Move an attempt's phase, and what is counted by it."""
        if phase not in ATTEMPT_TRANSITIONS.get(attempt.phase, ()):
            raise IllegalTransition(f"task {task.name}, attempt {attempt.number}: {attempt.phase} to {phase}")
        attempt.phase = phase
        if phase.is_over:
            self.live_attempts -= 1
            self.terminating += not attempt.main_ended
            node = self.nodes[task.node.name]
            node.live_attempts -= 1
            if node.held:  # `max_parallel` lets the next one through
                heapq.heappush(self.ready, heapq.heappop(node.held))

    def move_run(self, phase: RunPhase) -> None:
        """Move the run's phase."""
        if phase not in RUN_TRANSITIONS.get(self.phase, ()):
            raise IllegalTransition(f"run: {self.phase} to {phase}")
        self.phase = phase

"""A cluster of values, for tests of the plan: pods that do what a script says, a store that keeps what was recorded.

It can crash at any moment: what was decided but not recorded is lost, what was recorded but not done is not done.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta

from app.domain import plan
from app.domain.decisions import Decisions
from app.domain.phases import RunPhase
from app.domain.pods import MAIN, AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from app.domain.recovery import reconcile, recover
from app.domain.run_state import AttemptState, RunState, TaskState
from app.domain.workflow import parse_workflow

START = datetime(2026, 1, 1, tzinfo=UTC)
NOT_STORED = {
    "main_ended", "collecting", "delete_requested", "creating", "create_tries", "delete_tries", "counted_settled",
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """How one attempt's pod goes: with an exit code, or lost for a reason before main starts."""

    exit_code: int = 0
    lost: str | None = None
    skips_running: bool = False


@dataclass
class ModelPod:
    key: AttemptKey
    namespace: str
    name: str
    uid: str
    outcome: Outcome
    step: int = 0  # 0 pending, 1 running, 2 over
    exists: bool = True
    deleting: bool = False

    def observation(self) -> PodObservation:
        main = ContainerObservation(name=MAIN, phase=ContainerPhase.WAITING)
        phase, reason = "Pending", ""
        if self.step == 1:
            main = ContainerObservation(name=MAIN, phase=ContainerPhase.RUNNING, started_at=START)
        elif self.step == 2 and self.outcome.lost:
            phase, reason = "Failed", self.outcome.lost
        elif self.step == 2:
            main = ContainerObservation(
                name=MAIN,
                phase=ContainerPhase.TERMINATED,
                started_at=START,
                exit_code=137 if self.deleting else self.outcome.exit_code,
                reason="Error" if self.deleting or self.outcome.exit_code else "Completed",
            )
        return PodObservation(
            key=self.key, namespace=self.namespace, name=self.name, uid=self.uid, exists=self.exists, phase=phase,
            reason=reason, containers=(main,), deletion_at=START if self.deleting else None,
        )  # fmt: skip


@dataclass
class Model:
    """One run on the cluster. `choose(n)` picks which of n possible things happens next."""

    document: dict
    script: Callable[[AttemptKey], Outcome]
    choose: Callable[[int], int]
    slots: int = 1000
    pods: dict[str, ModelPod] = field(default_factory=dict)
    created: Counter[AttemptKey] = field(default_factory=Counter)
    started_when: dict[str, set[str]] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.now = START
        self.workflow = parse_workflow(self.document)
        self.state = self._fresh()
        self.stored = self._snapshot()
        self.todo: list[tuple[str, AttemptKey]] = []
        self.sealed_before_delete = True
        out = Decisions(self.now)
        plan.start(self.state, out)
        self._close(out)

    def _fresh(self) -> RunState:
        return RunState(run_id="run", workflow=self.workflow, created_at=START, default_namespace="default")

    def _snapshot(self) -> dict:
        stored = [item.name for item in fields(AttemptState) if item.name not in NOT_STORED]
        tasks = {
            name: (
                (task.phase, task.reason, task.message, task.started_at, task.finished_at, task.retry_at),
                [{name: getattr(attempt, name) for name in stored} for attempt in task.attempts],
            )
            for name, task in self.state.tasks.items()
        }
        run = (self.state.phase, self.state.reason, self.state.started_at, self.state.is_finished, self.state.cancel_reason)
        return copy.deepcopy({"run": run, "tasks": tasks})

    def crash(self) -> None:
        """Lose everything but what is stored, and start again."""
        self.todo.clear()
        stored = copy.deepcopy(self.stored)
        self.state = state = self._fresh()
        state.phase, state.reason, state.started_at, state.is_finished, state.cancel_reason = stored["run"]
        for name, row in stored["tasks"].items():
            task = state.tasks[name]
            values, attempts = row
            task.phase, task.reason, task.message, task.started_at, task.finished_at, task.retry_at = values
            task.attempts = [AttemptState(**attempt) for attempt in attempts]
        state.recount()
        if state.is_finished:
            return
        out = Decisions(self.now)
        if state.phase is RunPhase.PENDING:
            plan.start(state, out)
        else:
            recover(state)
            reconcile(state, self._find_pod, out)
        self._close(out)

    def _find_pod(self, namespace: str, name: str) -> PodObservation | None:
        pod = self.pods.get(name)
        return pod.observation() if pod and pod.exists and pod.namespace == namespace else None

    def _take_slot(self) -> bool:
        return sum(task.live is not None for task in self.state.tasks.values()) < self.slots

    def _close(self, out: Decisions, *, lose: str = "") -> None:
        """Record and act; `lose` drops the record, or only the acts, and crashes."""
        plan.step(self.state, self._take_slot, out)
        if lose == "record":
            self.crash()
            return
        for task, _ in out.new_attempts:
            over = {name for name, other in self.state.tasks.items() if other.phase.is_over}
            self.started_when.setdefault(task.name, over)
        self.stored = self._snapshot()
        if lose == "acts":
            self.crash()
            return
        self.todo += [("create", self.state.key(*pair)) for pair in out.creates]
        self.todo += [("delete", self.state.key(*pair)) for pair in out.deletes]
        self.todo += [("seal", self.state.key(*pair)) for pair in out.collects]

    def cancel(self) -> None:
        out = Decisions(self.now)
        plan.cancel_requested(self.state, "enough", out, force=False)
        self._close(out)

    def happen(self, *, lose: str = "") -> bool:
        """Let one of the possible things happen. False: nothing can."""
        self.steps += 1
        possible = self._possible()
        if not possible:
            return False
        kind, key = possible[self.choose(len(possible))]
        out = Decisions(self.now)
        getattr(self, f"_{kind}")(key, out)
        self._close(out, lose=lose)
        return True

    def _possible(self) -> Sequence[tuple[str, AttemptKey]]:
        possible = [item for item in self.todo if item[0] != "seal" or self._log_has_ended(item[1])]
        possible += [("move", pod.key) for pod in self.pods.values() if pod.exists and (pod.step < 2 or pod.deleting)]
        if not possible and self.state.timers and not self.state.is_finished:
            possible.append(("tick", AttemptKey("", "", 0)))
        return possible

    def _attempt(self, key: AttemptKey) -> tuple[TaskState, AttemptState]:
        found = self.state.find_attempt(key)
        assert found is not None
        return found

    def _log_has_ended(self, key: AttemptKey) -> bool:
        return self._attempt(key)[1].main_ended

    def _create(self, key: AttemptKey, out: Decisions) -> None:
        self.todo.remove(("create", key))
        _, attempt = self._attempt(key)
        pod = self.pods.get(attempt.pod)
        if attempt.phase.is_over and pod is None:
            plan.pod_refused(self.state, key, "Dropped", "", out)
            return
        if pod is None:
            self.created[key] += 1
            uid = f"uid-{attempt.pod}-{self.created[key]}"
            pod = self.pods[attempt.pod] = ModelPod(key, attempt.namespace, attempt.pod, uid, self.script(key))
        plan.pod_observed(self.state, pod.observation(), out)

    def _delete(self, key: AttemptKey, out: Decisions) -> None:
        self.todo.remove(("delete", key))
        _, attempt = self._attempt(key)
        pod = self.pods.get(attempt.pod)
        if pod is not None and pod.uid == attempt.uid:
            if pod.step == 2 and not pod.outcome.lost and not attempt.log_sealed:
                self.sealed_before_delete = False
            pod.deleting = True
        plan.delete_answered(self.state, key, out)

    def _seal(self, key: AttemptKey, out: Decisions) -> None:
        self.todo.remove(("seal", key))
        plan.log_sealed(self.state, key, out)

    def _move(self, key: AttemptKey, out: Decisions) -> None:
        pod = next(pod for pod in self.pods.values() if pod.key == key)
        if pod.deleting and pod.step != 1:
            pod.exists = False
        elif pod.step == 0 and (pod.outcome.lost or pod.outcome.skips_running):
            pod.step = 2
        else:
            pod.step += 1
        plan.pod_observed(self.state, pod.observation(), out)

    def _tick(self, _key: AttemptKey, out: Decisions) -> None:
        self.now = max(self.now + timedelta(milliseconds=1), self.state.timers[0].at)
        out.now = self.now
        plan.fire_timers(self.state, out)

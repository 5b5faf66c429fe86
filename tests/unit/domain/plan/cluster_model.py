"""A cluster of values, for tests of the plan: pods that do what a script says, a store that keeps what was recorded.

It can crash at any moment: what was decided but not recorded is lost, what was recorded but not done is not done. The store
gets what a step says has changed, and nothing else: a change that the plan forgets to record is lost in a crash.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson

from app.domain.errors import ExpressionFailed
from app.domain.expressions.cel_functions import new_environment
from app.domain.phases import RunPhase
from app.domain.plan import approvals, plan, requests, task_flow
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.evaluation import Evaluation, Prepared, prepare, runs_not
from app.domain.plan.expression_flow import lists_evaluated, tasks_evaluated
from app.domain.plan.recovery import reconcile, recover
from app.domain.plan.run_state import RunState, TaskState
from app.domain.pods import MAIN, AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from app.domain.workflow.parsing import parse_workflow
from app.executor.records import restore

START = datetime(2026, 1, 1, tzinfo=UTC)
NOT_STORED = {
    "main_ended", "collecting", "delete_requested", "creating", "create_tries", "delete_tries", "is_absent",
    "counted_settled", "gone_by", "told_started_at", "ended_logs", "orphaned_logs", "pod_leaves", "others_run", "sealed_logs",
    "begun_logs",
}  # fmt: skip
_ATTEMPT_COLUMNS = [item.name for item in fields(AttemptState) if item.name not in NOT_STORED]
_RUN_COLUMNS = ("phase", "reason", "message", "started_at", "finished_at", "is_finished", "suspended")


@dataclass(frozen=True)
class Outcome:
    """How one attempt's pod goes: with an exit code, or lost for a reason before main starts."""

    exit_code: int = 0
    lost: str | None = None
    skips_running: bool = False
    deferred: str = ""  #: why its pod is never made
    outputs: str = ""


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
    started_at: datetime = START
    finished_at: datetime | None = None
    unschedulable: str | None = None
    grace_seconds: int = 0

    def observation(self) -> PodObservation:
        main = ContainerObservation(name=MAIN, phase=ContainerPhase.WAITING)
        phase, reason = "Pending", ""
        if self.step == 1:
            main = ContainerObservation(name=MAIN, phase=ContainerPhase.RUNNING, started_at=self.started_at)
        elif self.step == 2 and self.outcome.lost:
            phase, reason = "Failed", self.outcome.lost
        elif self.step == 2:
            main = ContainerObservation(
                name=MAIN,
                phase=ContainerPhase.TERMINATED,
                started_at=self.started_at,
                finished_at=self.finished_at,
                exit_code=137 if self.deleting else self.outcome.exit_code,
                reason="Error" if self.deleting or self.outcome.exit_code else "Completed",
                message=self.outcome.outputs,
            )
        return PodObservation(
            key=self.key, namespace=self.namespace, name=self.name, uid=self.uid, exists=self.exists, phase=phase,
            reason=reason, containers=(main,), deletion_at=START if self.deleting else None,
            deletion_grace_seconds=self.grace_seconds if self.deleting else None,
            unschedulable=self.unschedulable if self.step == 0 else None,
        )  # fmt: skip


@dataclass
class Store:
    """The rows of one run."""

    run: dict[str, Any]
    tasks: dict[str, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[tuple[str, int], dict[str, Any]] = field(default_factory=dict)
    logs: dict[tuple[str, int], dict[str, bool]] = field(default_factory=dict)

    def record(self, state: RunState, out: Decisions) -> None:
        for name in out.new_tasks:  # as the writer does it: rows are inserted before others are deleted
            assert name not in self.tasks, f"there is a row of {name} already"
        for name in out.gone_tasks:
            del self.tasks[name]
        for name, task in (*out.new_tasks.items(), *out.tasks.items()):
            assert (name in out.new_tasks) or name in self.tasks, f"there is no row of {name} to change"
            self.tasks[name] = copy.deepcopy(_task_row(task))
        for task, attempt in (*out.new_attempts, *out.attempts.values()):
            row = {name: getattr(attempt, name) for name in _ATTEMPT_COLUMNS}
            self.attempts[task.name, attempt.number] = copy.deepcopy(row)
        if not out.is_empty:
            self.run |= {name: getattr(state, name) for name in _RUN_COLUMNS}

    def stored_run(self, document: dict) -> Any:
        run = SimpleNamespace(**self.run)
        tasks = [SimpleNamespace(name=name, **row) for name, row in self.tasks.items()]
        tasks.sort(key=lambda row: (row.position, -1 if row.foreach_index is None else row.foreach_index))
        attempts = []
        for (task, number), row in sorted(self.attempts.items()):
            values = {"task": task, "attempt": number, "pod_uid": row["uid"], **row}
            attempts.append(SimpleNamespace(**values))
        return SimpleNamespace(
            run=run, document=orjson.dumps(document), tasks=tasks, attempts=attempts, logs=copy.deepcopy(self.logs)
        )


def _task_row(task: TaskState) -> dict[str, Any]:
    return {
        "position": task.node.position,
        "foreach_task": None if task.index is None else task.node.name,
        "foreach_index": task.index,
        "item": task.item,
        **{name: getattr(task, name) for name in ("phase", "reason", "message", "values", "outputs", "attempts_before")},
        **{name: getattr(task, name) for name in ("started_at", "finished_at", "retry_at")},
    }


def evaluate(asked: Evaluation) -> list[Mapping[str, Any] | ExpressionFailed]:
    """What the evaluator would say, at once and in this process."""
    return [_evaluate_one(asked, item) for item in (asked.items if asked.items is not None else (None,))]


def prepare_all(state: RunState, asked: Evaluation, values: Sequence[Any]) -> list[Prepared]:
    """What the executor makes of it: values that are the same for all items are found once."""
    needed = any(not isinstance(value, ExpressionFailed) and not runs_not(asked.node, value) for value in values)
    shared = None
    if asked.shared and needed:
        (shared,) = evaluate(replace(asked, sources=asked.shared, condition=None, items=None))
    return [prepare(asked.node, value, state.namespaces, shared) for value in values]


def _evaluate_one(asked: Evaluation, item: Any) -> Mapping[str, Any] | ExpressionFailed:
    environment, values = new_environment(), {}
    for source in (asked.condition, *asked.sources):
        if source is None or (asked.condition is not None and values.get(asked.condition) is False):
            continue
        value = environment.compile(source).eval(data={**asked.context, "item": item})
        if value.type().name() == "ERROR":
            return ExpressionFailed(str(value.plain_value()))
        values[source] = value.plain_value()
    return values


@dataclass
class Model:
    """One run on the cluster. `choose(n)` picks which of n possible things happens next."""

    document: dict
    script: Callable[[AttemptKey], Outcome]
    choose: Callable[[int], int]
    slots: int = 1000
    params: dict = field(default_factory=dict)
    pods: dict[str, ModelPod] = field(default_factory=dict)
    created: Counter[AttemptKey] = field(default_factory=Counter)
    started_when: dict[tuple[str, int], set[str]] = field(default_factory=dict)
    steps: int = 0

    def __post_init__(self) -> None:
        self.now = START
        self.workflow = parse_workflow(self.document)
        self.state = RunState(
            run_id="run", workflow=self.workflow, created_at=START, namespaces=("default",), params=self.params
        )  # fmt: skip
        run = {
            "id": "run",
            "created_at": START,
            "params": self.params,
            "retried_at": None,
            "cancel_reason": "",
            "cancel_force": False,
        }
        self.store = Store({**run, **{name: getattr(self.state, name) for name in _RUN_COLUMNS}})
        self.store.tasks = {name: copy.deepcopy(_task_row(task)) for name, task in self.state.tasks.items()}
        self.todo: list[tuple[str, Any]] = []
        self.sealed_before_delete = True
        self.is_seen = True
        self.do(plan.start)

    def do(self, message: Callable[[RunState, Decisions], None]) -> None:
        """Let something be asked of the plan."""
        out = Decisions(self.now, lambda _namespace: self.is_seen)
        message(self.state, out)
        plan.fire_timers(self.state, out)
        self._close(out)

    def crash(self) -> None:
        """Lose everything but what is stored, and start again, as the run's actor does: the pods are looked at last."""
        self.todo.clear()
        self.state = state = restore(self.store.stored_run(self.document), ("default",))
        if state.is_finished:
            return
        out = Decisions(self.now)
        has_begun = state.phase is not RunPhase.PENDING
        if has_begun:
            recover(state, out)
        if self.store.run["cancel_reason"]:
            requests.cancel(state, self.store.run["cancel_reason"], out, force=self.store.run["cancel_force"])
        if not has_begun and state.phase is RunPhase.PENDING:
            plan.start(state, out)
        plan.fire_timers(state, out)
        self._close(out)
        if has_begun and not state.is_finished:
            self.do(lambda state, out: reconcile(state, self._find_pod, out))

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
        for task, attempt in out.new_attempts:
            over = {name for name, node in self.state.nodes.items() if not node.open_members}
            self.started_when.setdefault((task.name, attempt.number), over)
        self.store.record(self.state, out)
        for task, attempt, container in out.collects:
            self.store.logs.setdefault((task.name, attempt.number), {}).setdefault(container, False)
        if lose == "acts":
            self.crash()
            return
        self.todo += [("create", self.state.key(*pair)) for pair in out.creates]
        self.todo += [("delete", self.state.key(*pair)) for pair in out.deletes]
        self.todo += [("seal", (self.state.key(task, attempt), container)) for task, attempt, container in out.collects]
        self.todo += [("evaluate", asked) for asked in out.evaluations]
        if out.goes_on:
            self.todo.append(("go_on", None))

    def cancel(self, *, force: bool = False) -> None:
        """A user cancels the run."""
        self.store.run |= {"cancel_reason": "enough", "cancel_force": force or self.store.run["cancel_force"]}
        self.do(lambda state, out: requests.cancel(state, "enough", out, force=force))

    def retry(self, names: Sequence[str] | None = None) -> None:
        """A user retries the finished run."""
        self.store.run |= {"retried_at": self.now, "is_finished": False, "cancel_reason": "", "cancel_force": False}
        self.store.run |= {"phase": RunPhase.PENDING, "reason": "", "message": "", "finished_at": None}
        self.state = restore(self.store.stored_run(self.document), ("default",))

        def again(state: RunState, out: Decisions) -> None:
            requests.retry(state, names, out)
            plan.start(state, out)

        self.do(again)

    def happen(self, *, lose: str = "") -> bool:
        """Let one of the possible things happen. False: nothing can."""
        self.steps += 1
        possible = self._possible()
        if not possible:
            return False
        kind, what = possible[self.choose(len(possible))]
        out = Decisions(self.now)
        getattr(self, f"_{kind}")(what, out)
        self._close(out, lose=lose)
        return True

    def _possible(self) -> Sequence[tuple[str, Any]]:
        possible = [item for item in self.todo if item[0] != "seal" or self._log_has_ended(*item[1])]
        possible += [("move", pod.key) for pod in self.pods.values() if pod.exists and (pod.step < 2 or pod.deleting)]
        waiting = [task.name for task in self.state.tasks.values() if task.reason == task_flow.WAITING_FOR_APPROVAL]
        possible += [("approve", name) for name in waiting]
        if not possible and self.state.timers and not self.state.is_finished:
            possible.append(("tick", None))
        return possible

    def _attempt(self, key: AttemptKey) -> tuple[TaskState, AttemptState]:
        found = self.state.find_attempt(key)
        assert found is not None
        return found

    def _log_has_ended(self, key: AttemptKey, container: str) -> bool:
        attempt = self._attempt(key)[1]
        return attempt.main_ended if container == MAIN else container in attempt.ended_logs

    def _create(self, key: AttemptKey, out: Decisions) -> None:
        self.todo.remove(("create", key))
        _, attempt = self._attempt(key)
        pod = self.pods.get(attempt.pod)
        if attempt.phase.is_over and pod is None:
            plan.pod_refused(self.state, key, "Dropped", "", out)
            return
        if pod is None and (reason := self.script(key).deferred):
            plan.pod_deferred(self.state, key, reason, f"told so: {reason}", None, out)
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

    def _seal(self, log: tuple[AttemptKey, str], out: Decisions) -> None:
        self.todo.remove(("seal", log))
        key, container = log
        self.store.logs[key.task, key.attempt][container] = True
        plan.log_sealed(self.state, key, container, out)

    def _evaluate(self, asked: Evaluation, out: Decisions) -> None:
        self.todo = [item for item in self.todo if item[1] is not asked]
        values = evaluate(asked)
        if asked.tasks:
            prepared = prepare_all(self.state, asked, values)
            tasks_evaluated(self.state, asked, prepared, out)
        else:
            lists_evaluated(self.state, asked.node, values[0], out)

    def _go_on(self, _what: None, _out: Decisions) -> None:
        self.todo.remove(("go_on", None))

    def _approve(self, name: str, out: Decisions) -> None:
        approvals.answer(self.state, name, "", out, approved=True)

    def _move(self, key: AttemptKey, out: Decisions) -> None:
        plan.pod_observed(self.state, self.move_pod(key).observation(), out)

    def move_pod(self, key: AttemptKey) -> ModelPod:
        """The pod goes on, whether somebody sees it or not."""
        pod = next(pod for pod in self.pods.values() if pod.key == key)
        if pod.deleting and pod.step != 1:
            pod.exists = False
        elif pod.step == 0 and (pod.outcome.lost or pod.outcome.skips_running):
            pod.step, pod.started_at, pod.finished_at = 2, self.now, self.now
        else:
            pod.step += 1
            pod.started_at = self.now if pod.step == 1 else pod.started_at
            pod.finished_at = self.now if pod.step == 2 else None
        return pod

    def _tick(self, _what: None, out: Decisions) -> None:
        self.now = max(self.now + timedelta(milliseconds=1), self.state.timers[0].at)
        out.now = self.now
        plan.fire_timers(self.state, out)

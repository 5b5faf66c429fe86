"""The model of the cluster with time in it: a run is moved on by hand, the service runs, is away, and comes back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from app.domain.plan import plan
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import TaskState
from app.domain.pods import AttemptKey
from tests.unit.domain.plan.cluster_model import START, Model, ModelPod, Outcome


def timeline(*tasks: Mapping[str, Any], script: Callable[[AttemptKey], Outcome] | None = None, **workflow: Any) -> Timeline:
    """A run of these tasks that has just begun; its first pods are made."""
    filled = [{"image": "busybox:1"} | dict(task) for task in tasks]
    made = Timeline({"name": "w", "tasks": filled, **workflow}, script or (lambda _key: Outcome()), lambda _count: 0)
    made.settle()
    return made


class Timeline(Model):
    """The service does at once what it decided; a pod moves only when it is told to."""

    @property
    def passed(self) -> float:
        """Seconds since the run was made."""
        return (self.now - START).total_seconds()

    def settle(self) -> None:
        """Let the service do all that it has to do now."""
        while possible := [item for item in self.todo if item[0] != "seal" or self._log_has_ended(*item[1])]:
            kind, what = possible[0]
            self.do(lambda _state, out, kind=kind, what=what: getattr(self, f"_{kind}")(what, out))

    def pass_time(self, seconds: float) -> None:
        """The service runs for so long: each timer fires when it is due."""
        end = self.now + timedelta(seconds=seconds)
        while (at := self.state.next_timer_at()) is not None and at <= end:
            self.now = max(self.now, at)
            self.do(lambda _state, _out: None)
            self.settle()
        self.now = end

    def be_away(self, seconds: float, meanwhile: Callable[[], None] | None = None) -> None:
        """The service is dead for so long, and started again then. `meanwhile` is done halfway."""
        self.todo.clear()
        self.now += timedelta(seconds=seconds / 2)
        self.is_away = True
        if meanwhile is not None:
            meanwhile()
        self.is_away = False
        self.now += timedelta(seconds=seconds / 2)
        self.restart()

    def restart(self) -> None:
        """The service is killed and started again within no time."""
        self.crash()
        self.settle()

    def pod(self, task: str, attempt: int = 1) -> ModelPod:
        """The pod of an attempt."""
        return next(pod for pod in self.pods.values() if pod.key[1:] == (task, attempt))

    def move(self, task: str, attempt: int = 1, *, after: float = 0, **values: Any) -> None:
        """The pod goes on: from pending to running, from running to its end. While the service is away nobody sees it."""
        self.now += timedelta(seconds=after)
        key = self.pod(task, attempt).key
        for name, value in values.items():
            setattr(self.pod(task, attempt), name, value)
        if self.is_away:
            self.move_pod(key)
        else:
            self.do(lambda _state, out: self._move(key, out))
            self.settle()

    def die_at(self, task: str, attempt: int = 1) -> None:
        """The pod goes on; the service records what follows from that, and dies before it does any of it. `be_away` follows."""
        out = Decisions(self.now)
        self._move(self.pod(task, attempt).key, out)
        plan.step(self.state, lambda: True, out)
        self.store.record(self.state, out)

    def show(self, task: str, attempt: int = 1, **values: Any) -> None:
        """The pod shows something new."""
        pod = self.pod(task, attempt)
        for name, value in values.items():
            setattr(pod, name, value)
        if not self.is_away:
            self.do(lambda state, out: plan.pod_observed(state, pod.observation(), out))
            self.settle()

    def __getitem__(self, name: str) -> TaskState:
        return self.state.tasks[name]

    def attempt(self, task: str, number: int = 1) -> AttemptState:
        """An attempt of a task."""
        return self.state.tasks[task].attempts[number - 1]

    is_away = False

"""`Workflow`: a workflow written in Python, which makes the same JSON as one written by hand.

    from podrun import Client, Workflow, item

    with Workflow("shards", params={"count": {"type": "integer", "default": 3}}) as w:
        plan = w.task("plan", image="python:3", command=["sh", "-c", 'echo {"n": 3} > "$PODRUN_OUTPUTS"'])
        work = w.task("work", image="python:3", args=[f"--shard={item}"], foreach="${{ lists.range(params.count) }}")
        done = w.task("done")
        plan >> work >> done

    run = Client().submit(w, params={"count": 5})

Keys are the document's own. What they may hold is the service's to say (`Client.validate`, `podrun lint`); here only what is no
key at all, or no task, is refused. Nothing of the service is needed.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypedDict, TypeVar, Unpack

from podrun.expressions import Expression, Members, reference, step

#: Text, or an expression that gives it.
Text = str | Expression
#: What JSON and expressions can say: Kubernetes' objects, written as in a manifest.
Json = Any


class TaskKeys(TypedDict, total=False):
    """A task's keys but `name`. None is written as null, which takes a default away."""

    depends_on: Sequence[str | Task] | None
    trigger_rule: str | None
    when: bool | Text | None
    image: Text | None
    command: Sequence[Text] | Expression | None
    args: Sequence[Text] | Expression | None
    working_dir: Text | None
    env: Mapping[str, Json] | Sequence[Json] | Text | None
    env_from: Sequence[Json] | Text | None
    resources: Mapping[str, Json] | Text | None
    volumes: Sequence[Json] | Text | None
    volume_mounts: Sequence[Json] | Text | None
    init_containers: Sequence[Json] | Text | None
    sidecars: Sequence[Json] | Text | None
    node_selector: Mapping[str, Json] | Text | None
    tolerations: Sequence[Json] | Text | None
    affinity: Mapping[str, Json] | Text | None
    service_account_name: Text | None
    image_pull_policy: Text | None
    image_pull_secrets: Sequence[Json] | Text | None
    priority_class_name: Text | None
    security_context: Mapping[str, Json] | Text | None
    secrets: Sequence[Json] | Text | None
    labels: Mapping[str, Text] | Text | None
    annotations: Mapping[str, Text] | Text | None
    namespace: Text | None
    pod: Mapping[str, Json] | Text | None
    retries: int | Mapping[str, Json] | Text | None
    allow_failure: bool | Text | None
    timeout_seconds: float | Text | None
    pending_timeout_seconds: float | Text | None
    foreach: Sequence[Json] | Mapping[str, Json] | Text | None
    max_parallel: int | Text | None
    outputs: Mapping[str, Json] | None
    approval: Mapping[str, Json] | None


class WorkflowKeys(TypedDict, total=False):
    """A workflow's keys but `name`, `tasks` and `on_exit`."""

    description: str | None
    labels: Mapping[str, Text] | None
    params: Mapping[str, Json] | None
    namespace: str | None
    task_defaults: Mapping[str, Json] | None
    timeout_seconds: float | None
    fail_fast: bool | None
    max_parallel_tasks: int | None
    concurrency: Mapping[str, Json] | None
    schedule: Mapping[str, Json] | None


#: What stands behind `>>` or `<<`.
Side = TypeVar("Side", bound="Task | Sequence[Task]")

TASK_KEYS = tuple(TaskKeys.__annotations__)
WORKFLOW_KEYS = tuple(WorkflowKeys.__annotations__)


class Task:
    """A task of a `Workflow`, made by `Workflow.task` or `Workflow.on_exit`.

    `a >> b` lets b wait for a, `b << a` too; either side may be a list. Each gives its right side, so that they chain.
    """

    __slots__ = ("_depends_on", "_is_exit", "_keys", "_workflow", "name")

    def __init__(self, workflow: Workflow, name: str, keys: Mapping[str, Any], *, is_exit: bool) -> None:
        self.name = name
        self._workflow, self._keys, self._is_exit = workflow, keys, is_exit
        self._depends_on: dict[str, None] = {}  # an ordered set
        for upstream in keys.get("depends_on") or ():
            self._wait_for(upstream)

    @property
    def outputs(self) -> Members:
        """What the task handed on: `a.outputs["x"]` is `${{ tasks.a.outputs.x }}`; of a `foreach` task a list."""
        return Members(self._source + ".outputs")

    @property
    def phase(self) -> Expression:
        """How the task ended: `${{ tasks.a.phase }}`."""
        return reference(self._source + ".phase")

    @property
    def exit_code(self) -> Expression:
        """The last attempt's exit code: `${{ tasks.a.exit_code }}`; of a `foreach` task a list."""
        return reference(self._source + ".exit_code")

    @property
    def upstream(self) -> tuple[str, ...]:
        """Names of the tasks that it waits for."""
        return tuple(self._depends_on)

    def to_dict(self) -> dict[str, Any]:
        """The task as it stands in the document."""
        document: dict[str, Any] = {"name": self.name}
        if self._depends_on or "depends_on" in self._keys:
            document["depends_on"] = list(self._depends_on)
        for key, value in self._keys.items():
            if key != "depends_on":
                document[key] = _plain(value, f"task {self.name!r}: {key}")
        return document

    def __repr__(self) -> str:
        return f"<Task {self.name!r}>"

    def __rshift__(self, downstream: Side) -> Side:
        for task in _tasks(downstream, f"{self!r} >> {downstream!r}"):
            task._wait_for(self)
        return downstream

    def __lshift__(self, upstream: Side) -> Side:
        for task in _tasks(upstream, f"{self!r} << {upstream!r}"):
            self._wait_for(task)
        return upstream

    def __rrshift__(self, upstream: Sequence[Task]) -> Self:
        for task in _tasks(upstream, f"{upstream!r} >> {self!r}"):
            self._wait_for(task)
        return self

    def __rlshift__(self, downstream: Sequence[Task]) -> Self:
        for task in _tasks(downstream, f"{downstream!r} << {self!r}"):
            task._wait_for(self)
        return self

    @property
    def _source(self) -> str:
        return "tasks" + step(self.name)

    def _wait_for(self, upstream: str | Task) -> None:
        if not isinstance(upstream, str | Task):
            raise TypeError(f"task {self.name!r}: depends_on holds names and tasks, not {upstream!r}")
        name = upstream if isinstance(upstream, str) else upstream.name
        if isinstance(upstream, Task):
            self._check_upstream(upstream)
        if name == self.name:
            raise ValueError(f"task {name!r} can't wait for itself")
        self._depends_on[name] = None

    def _check_upstream(self, upstream: Task) -> None:
        if upstream._workflow is not self._workflow:
            raise ValueError(
                f"task {self.name!r} of workflow {self._workflow.name!r} can't wait for task {upstream.name!r} of workflow "
                f"{upstream._workflow.name!r}"
            )
        if upstream._is_exit and not self._is_exit:
            raise ValueError(f"task {self.name!r} can't wait for {upstream.name!r}: tasks of on_exit run after all others")
        if self._is_exit and not upstream._is_exit:
            raise ValueError(
                f"task {self.name!r} of on_exit runs after all tasks, so after {upstream.name!r} too: it waits for others of "
                "on_exit only"
            )


class Workflow:
    """A workflow under construction. `with` is for the eye: it groups what belongs to the workflow, and does nothing else."""

    def __init__(self, name: str, **keys: Unpack[WorkflowKeys]) -> None:
        """Begin a workflow.

        Args:
            name: A DNS-1123 label of at most 63 characters.
            **keys: The document's keys.

        Raises:
            TypeError: A key is none of the document's.
        """
        _refuse_unknown(keys, WORKFLOW_KEYS, "Workflow", {"tasks": "Workflow.task", "on_exit": "Workflow.on_exit"})
        defaults = keys.get("task_defaults")
        if isinstance(defaults, Mapping):
            _refuse_unknown(defaults, tuple(key for key in TASK_KEYS if key != "depends_on"), "task_defaults", {})
        self.name = name
        self._keys: dict[str, Any] = dict(keys)
        self._tasks: dict[str, Task] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None) -> None:
        return None

    def task(self, name: str, **keys: Unpack[TaskKeys]) -> Task:
        """Add a task. Without `image` (here or in `task_defaults`) it has no pod and succeeds at once.

        Raises:
            TypeError: A key is none of a task's.
            ValueError: There is a task of this name.
        """
        return self._add(name, keys, is_exit=False)

    def on_exit(self, name: str, **keys: Unpack[TaskKeys]) -> Task:
        """Add a task that runs when all others are over, however they ended. Raises as `task`."""
        return self._add(name, keys, is_exit=True)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks in the document's order, those of `on_exit` last."""
        return tuple(sorted(self._tasks.values(), key=lambda task: task._is_exit))

    @property
    def params(self) -> Params:
        """The run's values: `w.params["day"]` is `${{ params.day }}`."""
        return Params(self._keys.get("params") or {})

    @property
    def run(self) -> Members:
        """Of the run `id`, `workflow`, `created_at` and, in `on_exit`, `phase`: `w.run["id"]` is `${{ run.id }}`."""
        return Members("run")

    def to_dict(self) -> dict[str, Any]:
        """The document.

        Raises:
            TypeError: A value is none of JSON's.
            ValueError: A text is not Unicode.
        """
        document: dict[str, Any] = {"name": self.name}
        document |= {key: _plain(value, key) for key, value in self._keys.items()}
        document["tasks"] = [task.to_dict() for task in self._tasks.values() if not task._is_exit]
        if on_exit := [task.to_dict() for task in self._tasks.values() if task._is_exit]:
            document["on_exit"] = on_exit
        return document

    def to_json(self, *, indent: int | None = 2) -> str:
        """The document as text, for a file or `podrun submit -`."""
        return json.dumps(self.to_dict(), indent=indent, ensure_ascii=False, allow_nan=False)

    def __repr__(self) -> str:
        return f"<Workflow {self.name!r}, {len(self._tasks)} tasks>"

    def _add(self, name: str, keys: TaskKeys, *, is_exit: bool) -> Task:
        if not isinstance(name, str):
            raise TypeError(f"a task's name is text, not {name!r}")
        _refuse_unknown(keys, TASK_KEYS, f"task {name!r}", {})
        if name in self._tasks:
            raise ValueError(f"workflow {self.name!r} has a task {name!r} already")
        task = self._tasks[name] = Task(self, name, dict(keys), is_exit=is_exit)
        return task


class Params(Members):
    """A workflow's params by name."""

    __slots__ = ("_declared",)

    def __init__(self, declared: Mapping[str, Any]) -> None:
        super().__init__("params")
        self._declared = declared

    def __getitem__(self, name: str) -> Expression:
        if isinstance(name, str) and name not in self._declared:
            raise KeyError(f"the workflow declares no param {name!r}{_meant(name, self._declared)}")
        return super().__getitem__(name)


def _tasks(side: object, shown: str) -> Iterator[Task]:
    """The tasks of one side of `>>` or `<<`, all checked before the first comes."""
    if isinstance(side, Task):
        return iter((side,))
    if isinstance(side, list | tuple) and all(isinstance(task, Task) for task in side):
        return iter(tuple(side))
    raise TypeError(f"{shown}: tasks and lists of tasks stand on both sides")


def _refuse_unknown(keys: Iterable[str], known: Sequence[str], where: str, instead: Mapping[str, str]) -> None:
    for key in keys:
        if key in instead:
            raise TypeError(f"{where}: {key} is filled by {instead[key]}(...)")
        if key not in known:
            raise TypeError(f"{where}: there is no key {key!r}{_meant(key, known)}")


def _meant(name: str, known: Iterable[str]) -> str:
    """`, did you mean 'x'?`, where a known name is another spelling of this one, or close to it."""
    plain = {key.replace("_", "").replace("-", "").lower(): key for key in known}
    close = difflib.get_close_matches(name.replace("_", "").replace("-", "").lower(), plain, n=1, cutoff=0.6)
    return f", did you mean {plain[close[0]]!r}?" if close else ""


def _plain(value: Any, place: str) -> Any:
    """A value as JSON has it: expressions as text, every mapping and sequence as dict and list."""
    if isinstance(value, Expression | str):
        return _text(str(value), place)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {_key(key, place): _plain(item, f"{place}.{key}") for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_plain(item, f"{place}[{index}]") for index, item in enumerate(value)]
    raise TypeError(f"{place} is {type(value).__name__}, which JSON can't say: {value!r}")


def _key(key: object, place: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"{place}: the key {key!r} must be text")
    return _text(key, place)


def _text(text: str, place: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise ValueError(f"{place}: character {error.start} is half of a surrogate pair, which is no text: {half!a}") from None
    return text

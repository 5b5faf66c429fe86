"""The pods that a workflow would make, before there is a run: what `validate?pods=true` shows.

Params have their defaults, the run a stand-in for its id, and the items of a fan-out are there where its list is known. What
only a run can know (outputs of other tasks, a param without default) stands in the manifest as it was written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson
from pydantic import ValidationError

from app.domain.errors import ExpressionFailed
from app.domain.expressions.analysis import references
from app.domain.expressions.templates import added_characters, render, sources_in
from app.domain.pods import AttemptKey
from app.domain.workflow.document import SecretRef, Task
from app.domain.workflow.nodes import Node, Workflow
from app.domain.workflow.rendering import MAX_ADDED, expand_foreach, render_task
from app.pods.manifest import build_pod

#: More pods than this are counted, and not shown.
PODS_LIMIT = 1000
#: The same for pods whose manifests have more than this in all, as JSON.
BYTES_LIMIT = 16 * 1024 * 1024
#: Stands for the run's id.
RUN_ID = "00000000-0000-7000-8000-000000000000"
#: What of `run` can be told before there is one.
_KNOWN_OF_RUN = frozenset({"id", "workflow"})
#: Keys of a task that are in no manifest.
_UNSHOWN = frozenset({"retries", "allow_failure", "approval", "outputs", "depends_on", "trigger_rule"})
#: Keys of a task whose values are text: an expression can stand there.
_TEXTS = frozenset(
    {"name", "image", "working_dir", "namespace", "service_account_name", "image_pull_policy", "priority_class_name"}
)
#: Keys whose values are merged with others.
_MERGED = ("pod", "init_containers", "sidecars", "volumes", "volume_mounts", "secrets")
#: Where in a manifest the value of a task's key stands as a whole.
_PLACES: Mapping[str, tuple[str, ...]] = {
    "labels": ("metadata", "labels"),
    "annotations": ("metadata", "annotations"),
    "image_pull_secrets": ("spec", "imagePullSecrets"),
    "node_selector": ("spec", "nodeSelector"),
    "tolerations": ("spec", "tolerations"),
    "affinity": ("spec", "affinity"),
    "volumes": ("spec", "volumes"),
    "init_containers": ("spec", "initContainers"),
    "security_context": ("spec", "securityContext"),
    "command": ("main", "command"),
    "args": ("main", "args"),
    "env": ("main", "env"),
    "env_from": ("main", "envFrom"),
    "resources": ("main", "resources"),
    "volume_mounts": ("main", "volumeMounts"),
}


class ItemEvaluator(Protocol):
    """Who evaluates expressions (`app.expressions.evaluator`), as far as a preview needs it."""

    async def evaluate(
        self, sources: Sequence[str], context: Mapping[str, Any], items: Sequence[Any] | None = None
    ) -> Sequence[Mapping[str, Any] | ExpressionFailed]:
        """One outcome for each item, or one: the value of each source, or why one has none. Raises EvaluatorUnavailable."""


@dataclass(frozen=True, slots=True)
class Preview:
    """Manifests of first attempts, in document order."""

    pods: Sequence[Mapping[str, Any]]
    left_out: int  #: so many more would be made


@dataclass(frozen=True, slots=True)
class _Draft:
    """A pod to be: a task, or an item of one, with the values of its expressions as far as they are known."""

    node: Node
    name: str
    values: Mapping[str, Any]


@dataclass(slots=True, kw_only=True)
class _Run:
    """The run that there is not."""

    workflow: Workflow
    params: Mapping[str, Any]
    namespaces: Sequence[str]
    instance: str
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def context(self) -> dict[str, Any]:
        run = {"id": RUN_ID, "workflow": self.workflow.name, "created_at": "", "phase": "Running"}
        return {"params": dict(self.params), "run": run, "tasks": {}}

    def knows(self, source: str, *, has_item: bool) -> bool:
        """Whether the expression has its value already."""
        names = references(source)
        return (
            not names.tasks
            and names.run <= _KNOWN_OF_RUN
            and names.params <= self.params.keys()
            and (not names.all_params or len(self.params) == len(self.workflow.params))
            and (has_item or not names.uses_item)
        )


async def preview_pods(workflow: Workflow, evaluator: ItemEvaluator, *, namespaces: Sequence[str], instance: str) -> Preview:
    """The manifests of the pods that a run of the workflow would make, each in its first attempt.

    Tasks without a pod are left out. Raises EvaluatorUnavailable.
    """
    params = {name: param.default for name, param in workflow.params.items() if not param.is_required}
    run = _Run(workflow=workflow, params=params, namespaces=namespaces, instance=instance)
    run.labels = render(workflow.labels, await _values(run, _sources(workflow.labels), evaluator))
    drafts: list[_Draft] = []
    left_out = 0
    for node in workflow.nodes:
        if not _has_pod(node) or node.when is False:
            continue
        items = await _items(run, node, evaluator)
        count = 1 if items is None else len(items)
        room = min(count, PODS_LIMIT - len(drafts))
        left_out += count - room
        if room:
            drafts += await _drafts(run, node, items if items is None else items[:room], evaluator)
    pods = await asyncio.to_thread(lambda: list(_first_manifests(run, drafts)))
    return Preview(pods, left_out + len(drafts) - len(pods))


def _first_manifests(run: _Run, drafts: Sequence[_Draft]) -> Iterator[Mapping[str, Any]]:
    """The manifests of as many drafts as are shown; the others are not made."""
    room = BYTES_LIMIT
    for draft in drafts:
        manifest = _manifest(run, draft)
        room -= len(orjson.dumps(manifest))
        if room < 0:
            return
        yield manifest


def _has_pod(node: Node) -> bool:
    return (node.spec.image if node.spec is not None else node.written.get("image")) is not None


def _sources(value: object) -> list[str]:
    return list(dict.fromkeys(found.source for found in sources_in(value)))


async def _items(run: _Run, node: Node, evaluator: ItemEvaluator) -> Sequence[Any] | None:
    """What a fan-out goes over; None: there is one task, as far as is known."""
    if node.foreach is None or node.foreach.items is not None:
        return None if node.foreach is None else node.foreach.items
    sources = node.foreach.expressions
    if not all(run.knows(source, has_item=False) for source in sources):
        return None
    try:
        return expand_foreach(node.foreach, await _values(run, sources, evaluator))
    except ExpressionFailed:
        return None


async def _values(run: _Run, sources: Sequence[str], evaluator: ItemEvaluator) -> dict[str, Any]:
    """The sources' values; those that have none yet stand for themselves."""
    values: dict[str, Any] = {source: _as_written(source) for source in sources}
    known = [source for source in sources if run.knows(source, has_item=False)]
    if known:
        (outcome,) = await evaluator.evaluate(known, run.context)
        values |= outcome if isinstance(outcome, Mapping) else {}
    return values


def _as_written(source: str) -> str:
    return f"${{{{ {source} }}}}"


async def _drafts(run: _Run, node: Node, items: Sequence[Any] | None, evaluator: ItemEvaluator) -> Iterator[_Draft]:
    names = [node.name] if items is None else [f"{node.name}.{index}" for index in range(len(items))]
    written = {source: _as_written(source) for source in node.expressions}
    known = [source for source in node.expressions if run.knows(source, has_item=items is not None)]
    outcomes: Sequence[Mapping[str, Any] | ExpressionFailed] = [{}] * len(names)
    if known:
        outcomes = await evaluator.evaluate(known, run.context, items)
    # What fails with the defaults may be right with other values: it stands as written, too.
    return (
        _Draft(node, name, {**written, **outcome} if isinstance(outcome, Mapping) else written)
        for name, outcome in zip(names, outcomes, strict=True)
    )


def _manifest(run: _Run, draft: _Draft) -> dict[str, Any]:
    try:
        return _pod(run, draft, render_task(draft.node, draft.values, run.namespaces))
    except ExpressionFailed:
        task, held = _unchecked_task(draft)
    try:
        manifest = _pod(run, draft, task)
    except (TypeError, ValueError, KeyError, AttributeError):  # an expression stands where lists are merged
        blank = Task(name=task.name)
        manifest = _pod(run, draft, task.model_copy(update={name: getattr(blank, name) for name in _MERGED}))
    for key, text in held.items():
        _place(manifest, _PLACES[key], text)
    return manifest


def _pod(run: _Run, draft: _Draft, task: Task) -> dict[str, Any]:
    return build_pod(
        task,
        key=AttemptKey(RUN_ID, draft.name, 1),
        workflow=run.workflow.name,
        run_labels=run.labels,
        namespace=task.namespace or run.workflow.namespace or run.namespaces[0],
        instance=run.instance,
    )


def _unchecked_task(draft: _Draft) -> tuple[Task, dict[str, str]]:
    """The task, some of whose values are still expressions; and the expressions that stand for a whole list or object."""
    written, texts = {**draft.node.late_defaults, **draft.node.written}, draft.values
    if added_characters(written, texts) > MAX_ADDED:
        texts = {source: _as_written(source) for source in texts}
    rendered = render(written, texts)
    values: dict[str, Any] = {}
    held: dict[str, str] = {}
    for key, value in rendered.items():
        if isinstance(value, str) and key in _PLACES:
            held[key] = value
        elif value is not None and key not in _UNSHOWN and (key in _TEXTS or not isinstance(value, str)):
            values[key] = value
    values["secrets"] = tuple(_secrets(values.get("secrets")))
    return Task.model_construct(**values), held


def _secrets(written: object) -> Iterator[SecretRef]:
    for one in written if isinstance(written, list) else ():
        if isinstance(one, dict):
            try:
                yield SecretRef.model_validate(one)
            except ValidationError:
                yield SecretRef.model_construct(**one)


def _place(manifest: dict[str, Any], path: Sequence[str], text: str) -> None:
    first, name = path
    owner = manifest["spec"]["containers"][0] if first == "main" else manifest[first]
    owner[name] = text

"""The workflow document: its keys, what is wrong with one, and the tasks it stands for once defaults are merged in.

`parse_workflow` is called where a document comes in (the API, the CLI's lint) and where a stored one is taken up again (the
executor). It is pure. Fields that hold Kubernetes' objects keep them verbatim.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from app.domain import field_types as types
from app.domain.document_faults import Loc, model_faults, refuse
from app.domain.errors import Fault, InvalidWorkflow
from app.domain.field_types import MAX_RETRIES, MAX_TASKS, Object
from app.domain.json_values import json_faults
from app.domain.pointers import either, in_document_order, pointer, shown
from app.domain.workflow_checks import workflow_faults

PENDING_TIMEOUT_SECONDS = 600.0


class _Document(BaseModel):
    """A part of the document: no unknown keys, no lenient types; null says the same as leaving an optional key out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        if not isinstance(value, dict) or None not in value.values():
            return value
        fields = cls.model_fields
        return {key: item for key, item in value.items() if item is not None or key not in fields or fields[key].is_required()}


class Retries(_Document):
    """When a failed attempt is followed by another one."""

    limit: int = Field(ge=0, le=MAX_RETRIES, description="How many attempts may follow the first.")
    delay_seconds: types.DelaySeconds = Field(10.0, description="From an attempt's end to the next one's start.")
    factor: float = Field(
        2.0, ge=1, le=1000, allow_inf_nan=False, description="By this the delay grows from each attempt to the next."
    )
    max_delay_seconds: types.DelaySeconds = Field(300.0, description="The delay never grows over this.")
    jitter: bool = Field(True, description="Whether the delay is varied at random, so that many do not come back at once.")
    on: Annotated[tuple[Literal["Failed", "Error"], ...], Field(strict=False)] = Field(
        ("Failed", "Error"), min_length=1, max_length=2, description="The phases that are tried again."
    )
    exit_codes: Annotated[tuple[Annotated[int, Field(ge=1, le=255)], ...], Field(strict=False)] | None = Field(
        None, min_length=1, max_length=255, description="Of Failed attempts only these exit codes are tried again; none: all."
    )


def _as_retries(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | dict | Retries):
        refuse([Fault("", f"must be a whole number of retries, or an object with a limit, not {shown(value)}")])
    if isinstance(value, int):
        if not 0 <= value <= MAX_RETRIES:
            refuse([Fault("", f"must be between 0 and {MAX_RETRIES}, not {shown(value)}")])
        return Retries(limit=value)
    return value


class SecretRef(_Document):
    """A Kubernetes Secret by reference: one key as an environment variable, or the whole of it as files."""

    secret: types.ObjectName = Field(description="The Secret's name.")
    key: types.ConfigKey | None = Field(None, description="With `env`: which key of the Secret.")
    env: types.EnvName | None = Field(None, description="The environment variable that gets the value of `key`.")
    mount_path: types.MountPath | None = Field(
        None, description="The folder in the container where each key is a file, read-only."
    )
    items: types.SecretItems | None = Field(
        None, description="With `mount_path`: which keys become which files, as Kubernetes' KeyToPath; none: all."
    )


class TaskDefaults(_Document):
    """What each task has unless it says otherwise: a task's keys but `name` and `depends_on`."""

    image: types.Image | None = Field(
        None, description="The main container's image. Without one the task has no pod and succeeds at once."
    )
    command: types.Strings | None = Field(None, description="In place of the image's entrypoint.")
    args: types.Strings | None = Field(None, description="In place of the image's arguments.")
    working_dir: types.WorkingDir | None = Field(None, description="Where the command starts, as an absolute path.")
    env: types.Env = Field(
        default_factory=dict, description="Environment variables: an object of names and values, or Kubernetes' list of EnvVar."
    )
    env_from: types.EnvFrom = Field(
        default_factory=list, description="ConfigMaps and Secrets whose keys become environment variables: EnvFromSource."
    )
    resources: types.Resources = Field(
        default_factory=dict, description="Requests and limits of the main container: ResourceRequirements."
    )
    secrets: Annotated[tuple[SecretRef, ...], Field(strict=False)] = Field(
        (), description="Secrets by reference, as environment variables or files."
    )
    labels: types.TaskLabels = Field(default_factory=dict, description="Labels of the pod, added to those of the run.")
    annotations: types.Annotations = Field(default_factory=dict, description="Annotations of the pod.")
    namespace: types.LabelName | None = Field(None, description="Where the pod runs; none: where the workflow says.")
    service_account_name: types.ObjectName | None = Field(
        None, description="The pod's service account. Its token is mounted only where this is given."
    )
    image_pull_policy: types.PullPolicy | None = Field(None, description="When the image is pulled: Kubernetes' words.")
    image_pull_secrets: types.ImagePullSecrets = Field(
        default_factory=list, description="Secrets for pulling the image: LocalObjectReference."
    )
    node_selector: types.NodeSelector = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: types.Tolerations = Field(default_factory=list, description="Taints that the pod tolerates: Toleration.")
    affinity: types.Affinity = Field(default_factory=dict, description="Which nodes and neighbours it likes: Affinity.")
    security_context: types.SecurityContext = Field(
        default_factory=dict,
        description="The keys of PodSecurityContext, which go to the pod, and those that only SecurityContext has, which go "
        "to the main container.",
    )
    retries: Annotated[Retries, BeforeValidator(_as_retries, json_schema_input_type=int | Retries)] = Field(
        Retries(limit=0), description="How many attempts may follow a failed one, or an object that also says when."
    )
    timeout_seconds: types.Seconds | None = Field(
        None, description="How long one attempt may take, from the main container's start; none: for ever."
    )
    pending_timeout_seconds: types.Seconds = Field(
        PENDING_TIMEOUT_SECONDS, description="How long it may take from the first try to create the pod to main's start."
    )
    allow_failure: bool = Field(False, description="Whether the run may succeed although this task fails.")


class Task(TaskDefaults):
    """A node of the workflow's graph: one pod, or none. In `Workflow.tasks` the defaults are merged in."""

    name: types.LabelName = Field(description="Its name, unique in the workflow: a DNS-1123 label.")
    depends_on: types.Strings = Field((), max_length=MAX_TASKS, description="Names of the tasks that it waits for.")


class Workflow(_Document):
    """A workflow: a graph of tasks."""

    name: types.LabelName = Field(description="The workflow's name: a DNS-1123 label.")
    description: str | None = Field(None, max_length=10_000, description="A text for people.")
    labels: types.RunLabels = Field(default_factory=dict, description="Labels of the run and of every pod.")
    namespace: types.LabelName | None = Field(None, description="Where the pods run; none: the service's default.")
    task_defaults: TaskDefaults = Field(
        TaskDefaults(),
        description="What each task has unless it says otherwise. `labels`, `annotations`, `node_selector` and `env` as an "
        "object merge by key, all else is replaced; null takes a default away.",
    )
    tasks: Annotated[tuple[Task, ...], Field(strict=False)] = Field(
        min_length=1, max_length=MAX_TASKS, description="The tasks. Those that are ready start in this order."
    )
    timeout_seconds: types.Seconds | None = Field(
        None, description="How long the run may take, from its start; none: for ever."
    )
    fail_fast: bool = Field(False, description="Whether nothing new starts after the first failure.")
    max_parallel_tasks: int | None = Field(
        None, ge=1, le=1_000_000, description="How many pods the run may have at one time; none: as many as the service."
    )


#: Keys that a task without an image must not have: there is no pod that they could be for.
POD_KEYS = frozenset(TaskDefaults.model_fields) - {
    "image",
    "retries",
    "timeout_seconds",
    "pending_timeout_seconds",
    "allow_failure",
}
_MERGED_BY_KEY = frozenset({"labels", "annotations", "node_selector", "env"})
_MODELS: Mapping[str, type[_Document]] = {
    "tasks": Task,
    "task_defaults": TaskDefaults,
    "retries": Retries,
    "secrets": SecretRef,
}


def parse_workflow(document: object) -> Workflow:
    """Read a posted document: check all of it, and merge the defaults into its tasks.

    Raises:
        InvalidWorkflow: with everything that is wrong, in document order, each thing once.
    """
    faults = list(json_faults(document))
    if any("nested deeper" in fault.detail for fault in faults):
        raise InvalidWorkflow(faults)  # nothing else can be asked of it
    workflow: Workflow | None = None
    faults.extend(_too_many_tasks(document))
    try:
        workflow = Workflow.model_validate(_bounded(document))
    except ValidationError as exc:
        faults.extend(model_faults(exc, _known_keys))
    faults.extend(workflow_faults(document, POD_KEYS))
    if faults or workflow is None or not isinstance(document, Mapping):
        raise InvalidWorkflow(in_document_order(document, faults))
    return _merged(workflow, document)


def _tasks_of(document: object) -> list[Any]:
    tasks = document.get("tasks") if isinstance(document, dict) else None
    return tasks if isinstance(tasks, list) else []


def _too_many_tasks(document: object) -> Iterator[Fault]:
    if (count := len(_tasks_of(document))) > MAX_TASKS:
        yield Fault("/tasks", f"must have at most {MAX_TASKS:,} items, not {count:,}")


def _bounded(document: object) -> object:
    """The document without the tasks that are too many: millions of them are not worth a fault each."""
    tasks = _tasks_of(document)
    return {**document, "tasks": tasks[:MAX_TASKS]} if isinstance(document, dict) and len(tasks) > MAX_TASKS else document


def _known_keys(loc: Loc) -> tuple[str, ...]:
    named = [step for step in loc if isinstance(step, str)]
    return tuple((_MODELS[named[-1]] if named else Workflow).model_fields)


def _merged(workflow: Workflow, document: Mapping[str, Any]) -> Workflow:
    """The workflow with its defaults in its tasks. What was written as null is known only to the document."""
    defaults: Mapping[str, Any] = document.get("task_defaults") or {}
    if not defaults:
        return workflow
    pairs = zip(workflow.tasks, document["tasks"], strict=True)
    return workflow.model_copy(
        update={"tasks": tuple(_merged_task(task, written, workflow.task_defaults, defaults) for task, written in pairs)}
    )


def _merged_task(task: Task, written: Mapping[str, Any], defaults: TaskDefaults, raw_defaults: Mapping[str, Any]) -> Task:
    has_pod = bool(task.image) or ("image" not in written and defaults.image is not None)
    update: Object = {}
    for key in defaults.model_fields_set:
        if not has_pod and (key in POD_KEYS or key == "image"):
            continue
        if key not in written:
            update[key] = getattr(defaults, key)
        elif key in _MERGED_BY_KEY and isinstance(written[key], dict) and isinstance(raw_defaults[key], dict):
            both = {**raw_defaults[key], **written[key]}
            update[key] = {name: text for name, text in both.items() if text is not None}
    return task.model_copy(update=update) if update else task


def check_namespaces(document: object, allowed: Sequence[str]) -> list[Fault]:
    """The namespaces written in a document that the service may not run pods in, at the keys that name them.

    Works on any document, valid or not; what is no text is passed over. `allowed` is not empty.
    """

    def faults() -> Iterator[Fault]:
        for place, owner in _namespaced(document):
            name = owner.get("namespace")
            if isinstance(name, str) and name not in allowed:
                yield Fault(
                    place + "/namespace", f"pods must not run in namespace {shown(name)} here, only in {either(allowed)}"
                )

    return list(faults())


def _namespaced(document: object) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if not isinstance(document, dict):
        return
    owners: list[tuple[str, object]] = [("", document), ("/task_defaults", document.get("task_defaults"))]
    owners.extend((pointer("tasks", index), task) for index, task in enumerate(_tasks_of(document)[:MAX_TASKS]))
    for place, owner in owners:
        if isinstance(owner, dict):
            yield place, owner


def workflow_json_schema() -> dict[str, Any]:
    """The JSON Schema of a workflow document (draft 2020-12), each key described. Graph and Kubernetes' rules go further."""
    schema = Workflow.model_json_schema(mode="validation")
    for model in (schema, *schema["$defs"].values()):
        for key, shape in model.get("properties", {}).items():
            if key not in model.get("required", ()) and {"type": "null"} not in shape.get("anyOf", ()):
                model["properties"][key] = _nullable(shape)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _nullable(shape: dict[str, Any]) -> dict[str, Any]:
    about: dict[str, Any] = {key: shape[key] for key in ("title", "description", "default") if key in shape}
    rest = {key: value for key, value in shape.items() if key not in about}
    choices = rest["anyOf"] if set(rest) == {"anyOf"} else [rest]
    return {"anyOf": [*choices, {"type": "null"}], **about}

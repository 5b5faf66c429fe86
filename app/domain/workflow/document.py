"""The workflow document as it is posted: each key, its type and what it means, as pydantic models.

What one value must be stands here; what must go together is checked by `parsing` and the modules behind it. Fields that
hold Kubernetes' objects keep them verbatim. The JSON Schema that is published is made of these models.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, model_validator

from app.domain.errors import Fault
from app.domain.faults import MOST_FAULTS
from app.domain.kubernetes.schema import unknown_key
from app.domain.pointers import pointer, shown
from app.domain.workflow import field_types as types
from app.domain.workflow.document_faults import refuse
from app.domain.workflow.field_types import MAX_RETRIES
from app.domain.workflow.task_checks import MAX_TASKS

PENDING_TIMEOUT_SECONDS = 600.0
EXIT_TIMEOUT_SECONDS = 600.0  #: `timeout_seconds` of a task of `on_exit` that says nothing else
MAX_SECRETS = 1000  #: of one task
MAX_OUTPUTS = 1000  #: names: their values have 4,096 bytes for all of them


class Document(BaseModel):
    """A part of the document: no unknown keys, no lenient types; null says the same as leaving an optional key out."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: object) -> object:
        if not isinstance(value, dict):
            return value
        fields = cls.model_fields
        if len(value) > len(fields) + MOST_FAULTS:
            # Pydantic would tell of each of them, however many there are.
            refuse(Fault(pointer(str(key)), unknown_key(str(key), (*fields,))) for key in value if key not in fields)
        if None not in value.values():
            return value
        return {key: item for key, item in value.items() if item is not None or key not in fields or fields[key].is_required()}


class Retries(Document):
    """When a failed attempt is followed by another one."""

    limit: int = Field(ge=0, le=MAX_RETRIES, description="How many attempts may follow the first.")
    delay_seconds: types.DelaySeconds = Field(10.0, description="From an attempt's end to the next one's start.")
    factor: float = Field(
        2.0, ge=1, le=1000, allow_inf_nan=False, description="By this the delay grows from each attempt to the next."
    )
    max_delay_seconds: types.DelaySeconds = Field(300.0, description="The delay never grows over this.")
    jitter: bool = Field(True, description="Whether the delay is varied at random, so that many do not come back at once.")
    on: Annotated[tuple[Literal["Failed", "Error"], ...], Field(strict=False), types.at_most(2)] = Field(
        ("Failed", "Error"), min_length=1, max_length=2, description="The phases that are tried again."
    )
    exit_codes: (
        Annotated[
            tuple[Annotated[int, Field(ge=1, le=255)], ...],
            Field(strict=False, min_length=1, max_length=255),
            types.at_most(255),
        ]
        | None
    ) = Field(None, description="Of Failed attempts only these exit codes are tried again; none: all.")


def _as_retries(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, int | dict | Retries):
        refuse([Fault("", f"must be a whole number of retries, or an object with a limit, not {shown(value)}")])
    if isinstance(value, int):
        if not 0 <= value <= MAX_RETRIES:
            refuse([Fault("", f"must be between 0 and {MAX_RETRIES}, not {shown(value)}")])
        return _plain_retries(value)
    return value


@lru_cache(maxsize=MAX_RETRIES + 1)
def _plain_retries(limit: int) -> Retries:
    return Retries(limit=limit)


class SecretRef(Document):
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


class Approval(Document):
    """A person must say yes before the run goes on."""

    message: str = Field("", max_length=10_000, description="What is asked, for the person who answers.")
    timeout_seconds: types.Seconds | None = Field(None, description="How long an answer is waited for; none: for ever.")
    on_timeout: Literal["fail", "skip"] = Field("fail", description="Without an answer in time the task is Failed, or Skipped.")


class OutputSpec(Document):
    """One value that a task hands on."""

    required: bool = Field(True, description="Whether the task fails where its outputs do not have it.")


def _as_outputs(value: object) -> object:
    return {key: {} if item is None else item for key, item in value.items()} if isinstance(value, dict) else value


class TaskDefaults(Document):
    """What each task has unless it says otherwise: a task's keys but `name` and `depends_on`."""

    trigger_rule: types.TriggerRuleName = Field(
        "all_success", description="When the task runs, once its upstream tasks are over. The names are Airflow's."
    )
    when: types.When = Field(
        True, description="Whether the task runs, asked after the trigger rule and for each item; false: it is Skipped."
    )
    foreach: types.ForeachValue | None = Field(
        None,
        description="The task is done once for each item: of a list, of every combination of named lists (the last name "
        "changes fastest), or of the list that an expression gives. Expressions have it as `item`.",
    )
    max_parallel: int | None = Field(
        None, ge=1, le=1_000_000, description="With `foreach`: how many items may be under way at one time."
    )

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
    secrets: Annotated[tuple[SecretRef, ...], Field(strict=False), types.at_most(MAX_SECRETS)] = Field(
        (), max_length=MAX_SECRETS, description="Secrets by reference, as environment variables or files."
    )
    volumes: types.Volumes = Field(default_factory=list, description="Volumes of the pod: Volume.")
    volume_mounts: types.VolumeMounts = Field(
        default_factory=list, description="Where the main container has which volumes: VolumeMount."
    )
    init_containers: types.InitContainers = Field(
        default_factory=list, description="Containers that run one after the other before the main one: Container."
    )
    sidecars: types.Sidecars = Field(
        default_factory=list,
        description="Containers that run beside the main one and end with it: Container. They are init containers with "
        "`restartPolicy: Always`, after the others.",
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
    priority_class_name: types.ObjectName | None = Field(None, description="The pod's priority class.")
    node_selector: types.NodeSelector = Field(default_factory=dict, description="Labels that a node must have.")
    tolerations: types.Tolerations = Field(default_factory=list, description="Taints that the pod tolerates: Toleration.")
    affinity: types.Affinity = Field(default_factory=dict, description="Which nodes and neighbours it likes: Affinity.")
    security_context: types.SecurityContext = Field(
        default_factory=dict,
        description="The keys of PodSecurityContext, which go to the pod, and those that only SecurityContext has, which go "
        "to the main container.",
    )
    pod: types.PodOverlay = Field(
        default_factory=dict,
        description="PodSpec: merged into the pod last, as Kubernetes merges (strategic merge), for whatever has no key here.",
    )
    approval: Approval | None = Field(None, description="The task has no pod: it waits until somebody approves or rejects it.")
    outputs: Annotated[
        dict[str, OutputSpec],
        BeforeValidator(
            _as_outputs, json_schema_input_type=Annotated[dict[str, OutputSpec | None], Field(max_length=MAX_OUTPUTS)]
        ),
        types.at_most(MAX_OUTPUTS),
    ] = Field(default_factory=dict, description="What the task must hand on: names, and whether each is required.")
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
    """A node of the workflow's graph: one pod, or none. As a node's `spec` it is complete: the defaults are merged in."""

    name: types.LabelName = Field(description="Its name, unique in the workflow: a DNS-1123 label.")
    depends_on: Annotated[types.Strings, types.at_most(MAX_TASKS)] = Field(
        (), max_length=MAX_TASKS, description="Names of the tasks that it waits for."
    )


class ParamSpec(Document):
    """A param: what a run gives a value."""

    default: Any = Field(None, description="The value where a run gives none; without it each run must give one.")
    type: Literal["string", "number", "integer", "boolean", "array", "object"] = Field(
        "string", description="The type of its values; a number is a double."
    )
    enum: list[Any] | None = Field(None, min_length=1, description="The values that it may have; none: any of its type.")
    description: str | None = Field(None, max_length=10_000, description="A text for people.")


class ConcurrencySpec(Document):
    """Runs of one group, of whatever workflow in the namespace, are one at a time."""

    group: str = Field(min_length=1, max_length=253, description="The group's name; expressions over params may be in it.")
    policy: Literal["queue", "cancel_running"] = Field(
        "queue", description="A new run waits for the others, first in first out, or cancels them: the newest wins."
    )


class ScheduleSpec(Document):
    """When a stored workflow runs by itself; in a posted workflow it is checked and otherwise ignored."""

    every_seconds: Annotated[float, Field(ge=1, le=types.MAX_SECONDS, allow_inf_nan=False)] | None = Field(
        None, description="From one run to the next."
    )
    cron: types.Cron | None = Field(None, description="Five fields: minute, hour, day of month, month, day of week.")
    timezone: types.TimeZone | None = Field(
        None, description="With `cron`: the time zone that it is meant in, by its IANA name; none: UTC."
    )
    overlap: Literal["allow", "forbid", "replace"] = Field(
        "allow",
        description="When the last run is not finished: the next one runs beside it, is left out, or the last is cancelled.",
    )
    catchup: bool = Field(
        False, description="Whether each time that was missed gets a run (at most 100); else only the last one."
    )


class WorkflowKeys(Document):
    """A workflow's keys but those that hold tasks."""

    name: types.LabelName = Field(description="The workflow's name: a DNS-1123 label.")
    description: str | None = Field(None, max_length=10_000, description="A text for people.")
    labels: types.RunLabels = Field(
        default_factory=dict, description="Labels of the run and of every pod; expressions over params may be in their values."
    )
    params: Annotated[
        dict[str, Any], PlainValidator(lambda value: value, json_schema_input_type=dict[str, ParamSpec | types.BareDefault])
    ] = Field(
        default_factory=dict,
        description="What a run gives values to, by name: an object that describes it, or its default, whose type it then has.",
    )
    namespace: types.LabelName | None = Field(None, description="Where the pods run; none: the service's default.")
    timeout_seconds: types.Seconds | None = Field(
        None, description="How long the run may take, from its start; none: for ever. `on_exit` is not cut by it."
    )
    fail_fast: bool = Field(
        False,
        description="Whether nothing new starts after the first failure, but tasks whose trigger rule is there for failures, "
        "and `on_exit`.",
    )
    max_parallel_tasks: int | None = Field(
        None, ge=1, le=1_000_000, description="How many pods the run may have at one time; none: as many as the service."
    )
    concurrency: ConcurrencySpec | None = Field(None, description="Runs of one group are one at a time.")
    schedule: ScheduleSpec | None = Field(None, description="When a stored workflow runs by itself.")


class WorkflowDocument(WorkflowKeys):
    """A workflow: a graph of tasks."""

    task_defaults: TaskDefaults = Field(
        TaskDefaults(),
        description="What each task, of `on_exit` too, has unless it says otherwise. `labels`, `annotations`, `node_selector` "
        "and `env` as an object merge by key, all else is replaced; null takes a default away.",
    )
    tasks: Annotated[tuple[Task, ...], Field(strict=False)] = Field(
        min_length=1, max_length=MAX_TASKS, description="The tasks. Those that are ready start in this order."
    )
    on_exit: Annotated[tuple[Task, ...], Field(strict=False)] = Field(
        (),
        max_length=MAX_TASKS,
        description="Tasks that run when all others are over, however they ended. They may depend on each other, and have "
        f"`timeout_seconds` {EXIT_TIMEOUT_SECONDS:g} unless they say otherwise.",
    )


#: Keys that a task without an image must not have: there is no pod that they could be for.
POD_KEYS = frozenset(TaskDefaults.model_fields) - {
    "image",
    "trigger_rule",
    "when",
    "foreach",
    "max_parallel",
    "approval",
    "retries",
    "timeout_seconds",
    "pending_timeout_seconds",
    "allow_failure",
}
#: Keys whose values, where both are objects, merge with those of the defaults.
MERGED_BY_KEY = frozenset({"labels", "annotations", "node_selector", "env"})
#: Keys of a task in which no expression may stand.
STATIC_KEYS = frozenset({"name", "depends_on", "trigger_rule", "outputs"})

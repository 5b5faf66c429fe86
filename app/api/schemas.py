"""What requests and answers look like, for the OpenAPI document.

Answers are encoded without these models: they are made of plain values already, and a poll should cost no validation.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from app.domain.events import EventType
from app.domain.phases import Phase, RunPhase
from app.domain.workflow.document import WorkflowDocument

_SENTENCE = "A sentence for the run's history, of at most 1,024 characters."


class RunLinks(BaseModel):
    """Absolute paths of this service."""

    self: str
    tasks: str
    logs: str
    events: str
    workflow: str
    page: str


class AttemptLog(BaseModel):
    """What is stored of the main container's log."""

    bytes: int
    lines: int
    sealed: bool = Field(description="Nothing more will come.")
    gaps: int = Field(description="At so many places lines may be missing.")


class Attempt(BaseModel):
    """One try of a task: one pod."""

    attempt: int = Field(description="From 1.")
    phase: Phase
    reason: str | None = Field(description="One CamelCase word, Kubernetes' own where there is one.")
    message: str | None = Field(description="A sentence for a person.")
    exit_code: int | None
    pod: str
    namespace: str
    node: str | None
    created_at: datetime
    started_at: datetime | None = Field(description="When the main container started.")
    finished_at: datetime | None
    log: AttemptLog


class ForeachItem(BaseModel):
    """Which item of which `foreach` task it is."""

    task: str
    index: int = Field(description="From 0.")
    item: Any = Field(description="What `item` is in its expressions.")


class TaskRun(BaseModel):
    """A task in a run."""

    name: str
    phase: Phase
    reason: str | None = Field(description="One CamelCase word, Kubernetes' own where there is one.")
    message: str | None = Field(description="A sentence for a person.")
    depends_on: list[str]
    foreach: ForeachItem | None
    outputs: dict[str, Any] | None = Field(description="What it handed on.")
    started_at: datetime | None
    finished_at: datetime | None
    attempts: list[Attempt]


class TaskDetail(TaskRun):
    """A task in a run, asked for by its name."""

    containers: list[str] = Field(
        description="Whose logs can be asked for, in the pod's order: init containers, `main`, sidecars, those of `pod`; then "
        "others that have a log, such as those that the cluster adds. A task without a pod has none."
    )


class Run(BaseModel):
    """One execution of a workflow."""

    id: str = Field(description="UUIDv7; its time is `created_at`'s.")
    workflow: str = Field(description="The workflow's name.")
    workflow_version: int | None = Field(description="Of a stored workflow.")
    phase: RunPhase
    reason: str | None
    message: str | None
    is_finished: bool = Field(
        description="Every task is over, each attempt's log is sealed in the store, each pod's delete was answered."
    )
    suspended: bool = Field(description="Nothing new starts, until it is resumed.")
    params: dict[str, Any] = Field(description="Values of all params, defaults filled in.")
    labels: dict[str, str]
    created_at: datetime
    scheduled_at: datetime | None = Field(description="Of a run that a schedule made: when it was due.")
    started_at: datetime | None
    finished_at: datetime | None
    retried_at: datetime | None = Field(description="When it was last retried: its timeout counts from here.")
    task_phases: dict[Phase, int] = Field(description="How many tasks are in which phase.")
    version: int = Field(description="Grows with each recorded change of what the run or its tasks show.")
    links: RunLinks
    tasks: list[TaskRun] | None = Field(None, description="Only with `include=tasks`.")


class RunList(BaseModel):
    """A page of runs, newest first."""

    items: list[Run]
    next_cursor: str | None = Field(description="Where to go on; null: there are no more.")


class RunCounts(BaseModel):
    """How many runs are in which phase."""

    phases: dict[RunPhase, int] = Field(description="Every phase is there.")
    looked_at: int = Field(description="Of so many runs, the newest; 5,000 at most.")
    is_complete: bool = Field(description="False: there are older ones, which were not looked at.")


class TaskList(BaseModel):
    """A page of tasks, in document order."""

    items: list[TaskRun]
    next_cursor: str | None = Field(description="Where to go on; null: there are no more.")


class Event(BaseModel):
    """An entry of a run's history."""

    cursor: str
    time: datetime
    type: EventType
    run_id: str
    workflow: str
    task: str | None
    attempt: int | None
    phase: Phase | RunPhase | None
    reason: str | None
    message: str | None
    details: dict[str, Any] | None


class EventList(BaseModel):
    """A page of history, oldest first."""

    items: list[Event]
    next_cursor: str | None = Field(description="Where to go on; null: there are no more now.")


class Submission(BaseModel):
    """What is to run."""

    workflow: WorkflowDocument | str = Field(
        description="A workflow, or the name of a stored one: `name` (its newest version) or `name@version`."
    )
    params: dict[str, Any] = Field(default_factory=dict, description="Values for the workflow's params.")
    labels: dict[str, str] = Field(default_factory=dict, description="Kubernetes labels of the run, over the workflow's own.")


class Cancel(BaseModel):
    """Why, and how."""

    reason: str | None = Field(None, max_length=1024, description=_SENTENCE)
    force: bool = Field(False, description="Cut `on_exit` too.")


class Retry(BaseModel):
    """What is to run again."""

    tasks: list[str] | None = Field(
        None,
        description="Names of tasks, of `foreach` tasks (all items) or of their items; left out: all that failed. What is "
        "downstream of them runs again too, and all of `on_exit`.",
    )


class Answer(BaseModel):
    """To a task that waits for approval."""

    comment: str | None = Field(None, max_length=1024, description=_SENTENCE)


class Validation(BaseModel):
    """A workflow that is valid."""

    valid: Literal[True]
    name: str
    tasks: int = Field(description="How many tasks it has.")
    pods: list[dict[str, Any]] | None = Field(
        None, description="Only with `pods=true`: the manifests of the pods of first attempts, in document order."
    )
    pods_left_out: int | None = Field(None, description="Only with `pods=true`: so many pods were too many to show.")


class StoredSchedule(BaseModel):
    """When a stored workflow runs by itself, and what came of it."""

    every_seconds: float | None
    cron: str | None
    timezone: str | None = Field(description="The cron's, by its IANA name.")
    overlap: Literal["allow", "forbid", "replace"]
    catchup: bool
    next_at: datetime | None = Field(description="When it comes next; null while it is paused.")
    last_at: datetime | None = Field(description="The time that it last made a run for: that run's `scheduled_at`.")
    last_run_id: str | None = Field(description="That run; it may have been deleted since.")
    last_skipped_at: datetime | None = Field(description="The last time that got no run.")
    last_skipped_reason: str | None = Field(description="Why it got none, a sentence for a person.")


class StoredParam(BaseModel):
    """A param, as a form needs it."""

    type: Literal["string", "number", "integer", "boolean", "array", "object"]
    required: bool = Field(description="It has no default: each run must give a value.")
    default: Any
    enum: list[Any] | None
    description: str | None


class StoredWorkflowLinks(BaseModel):
    """Absolute paths of this service."""

    self: str
    versions: str
    runs: str = Field(description="The runs of a workflow of this name, stored or not.")


class ListedWorkflow(BaseModel):
    """A stored workflow in a list."""

    name: str
    version: int = Field(description="The newest.")
    description: str | None
    paused: bool = Field(description="Its schedule makes no runs.")
    created_at: datetime
    updated_at: datetime
    schedule: StoredSchedule | None = Field(description="The newest version's.")
    links: StoredWorkflowLinks


class StoredWorkflow(ListedWorkflow):
    """A stored workflow with a document."""

    version: int = Field(description="The document's.")
    params: dict[str, StoredParam]
    document: WorkflowDocument = Field(description="The workflow, as it was put.")


class WorkflowList(BaseModel):
    """A page of stored workflows, by name; their documents are left out."""

    items: list[ListedWorkflow]
    next_cursor: str | None = Field(description="Where to go on; null: there are no more.")


class WorkflowVersionLinks(BaseModel):
    """Absolute paths of this service."""

    self: str


class WorkflowVersion(BaseModel):
    """A version of a stored workflow."""

    version: int
    created_at: datetime
    links: WorkflowVersionLinks


class WorkflowVersionList(BaseModel):
    """A page of versions, newest first."""

    items: list[WorkflowVersion]
    next_cursor: str | None = Field(description="Where to go on; null: there are no more.")


class Limits(BaseModel):
    """What podrun takes."""

    max_body_bytes: int
    max_parallel_pods: int
    max_tasks: int


class Info(BaseModel):
    """What the service says of itself."""

    version: str
    instance: str = Field(description="This installation: the label `podrun.dev/instance` of its pods.")
    pods: Literal["kubernetes", "local"]
    namespaces: list[str] = Field(description="Where pods may run; the first is the default.")
    database: Literal["sqlite", "postgresql"]
    limits: Limits

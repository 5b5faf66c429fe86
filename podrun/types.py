"""The service's answers, as plain dicts. Every key is optional here: a newer server may say more, an older one less.

Times are RFC 3339 text in UTC.
"""

from __future__ import annotations

from typing import Any, Literal, TypedDict


class DocumentFault(TypedDict):
    """One thing that is wrong with a document that was sent."""

    pointer: str  #: RFC 6901, into the body as it was sent
    detail: str


class LogSummary(TypedDict, total=False):
    """What is stored of an attempt's log."""

    bytes: int
    lines: int
    sealed: bool  #: nothing more will come
    gaps: int


class Attempt(TypedDict, total=False):
    """One attempt of a task: one pod."""

    attempt: int  #: from 1
    phase: str
    reason: str | None
    message: str | None
    exit_code: int | None
    pod: str | None
    namespace: str | None
    node: str | None
    created_at: str | None
    started_at: str | None
    finished_at: str | None
    log: LogSummary | None


class ForeachItem(TypedDict, total=False):
    """Which item of which `foreach` task a task is."""

    task: str
    index: int  #: from 0
    item: Any


class Task(TypedDict, total=False):
    """A task of a run."""

    name: str
    phase: str  #: Pending, Running, Succeeded, Failed, Error, Skipped, Omitted, Cancelled
    reason: str | None  #: one CamelCase word
    message: str | None  #: a sentence
    depends_on: list[str]
    foreach: ForeachItem | None
    outputs: dict[str, Any] | None  #: what it handed on
    started_at: str | None
    finished_at: str | None
    attempts: list[Attempt]
    containers: list[str]  #: whose logs can be asked for; only of a task that is asked for by its name


class Run(TypedDict, total=False):
    """One execution of a workflow."""

    id: str
    workflow: str  #: the workflow's name
    workflow_version: int | None  #: of a stored workflow
    phase: str  #: Pending, Running, Cancelling, Succeeded, Failed, Error, Cancelled
    reason: str | None
    message: str | None
    is_finished: bool  #: all is over, every log is stored, every pod's delete was answered
    suspended: bool  #: nothing new starts
    params: dict[str, Any]
    labels: dict[str, str]
    created_at: str
    started_at: str | None
    finished_at: str | None
    retried_at: str | None
    scheduled_at: str | None  #: of a run that a schedule made: when it was due
    task_phases: dict[str, int]
    version: int
    links: dict[str, str]
    tasks: list[Task]  #: only where they were asked for


class StoredSchedule(TypedDict, total=False):
    """When a stored workflow runs by itself, and what came of it."""

    every_seconds: float | None
    cron: str | None
    timezone: str | None
    overlap: str  #: allow, forbid, replace
    catchup: bool
    next_at: str | None  #: None while it is paused
    last_at: str | None  #: the time that it last made a run for
    last_run_id: str | None
    last_skipped_at: str | None
    last_skipped_reason: str | None


class StoredWorkflow(TypedDict, total=False):
    """A workflow that is stored under its name. In a list it has neither params nor a document."""

    name: str
    version: int  #: from 1
    description: str | None
    paused: bool  #: its schedule makes no runs
    created_at: str
    updated_at: str
    schedule: StoredSchedule | None
    params: dict[str, dict[str, Any]]  #: by name: type, required, default, enum, description
    document: dict[str, Any]
    links: dict[str, str]


class WorkflowVersion(TypedDict, total=False):
    """A version of a stored workflow."""

    version: int
    created_at: str
    links: dict[str, str]


class LogItem(TypedDict, total=False):
    """What a log yields.

    - `type` "line": a line, `text` without its line feed. One that does not fit a frame comes in several items, all but the
      last with `partial` true.
    - `type` "gap": lines may be missing here; `reason` says why.
    - `type` "end": last of all when following; `phase` is that of the run or task asked for.
    """

    type: Literal["line", "gap", "end"]
    cursor: str
    line: int  #: from 0
    time: str
    task: str
    attempt: int
    container: str
    text: str
    partial: bool
    reason: str
    phase: str


#: A run's event: `cursor`, `time`, `type` (RunPhase, TaskPhase, ...), and `task`, `attempt`, `phase`, `reason`, `message`
#: where they apply. When following, the last item has `type` "end" and the run's `phase`.
Event = dict[str, Any]

#: A frame of a websocket, as it came.
Frame = dict[str, Any]

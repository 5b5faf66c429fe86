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


class Task(TypedDict, total=False):
    """A task of a run."""

    name: str
    phase: str  #: Pending, Running, Succeeded, Failed, Error, Skipped, Omitted, Cancelled
    reason: str | None  #: one CamelCase word
    message: str | None  #: a sentence
    depends_on: list[str]
    started_at: str | None
    finished_at: str | None
    attempts: list[Attempt]


class Run(TypedDict, total=False):
    """One execution of a workflow."""

    id: str
    workflow: str  #: the workflow's name
    phase: str  #: Pending, Running, Cancelling, Succeeded, Failed, Error, Cancelled
    reason: str | None
    message: str | None
    is_finished: bool  #: all is over, every log is stored, every pod's delete was answered
    labels: dict[str, str]
    created_at: str
    started_at: str | None
    finished_at: str | None
    task_phases: dict[str, int]
    version: int
    links: dict[str, str]
    tasks: list[Task]  #: only where they were asked for


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

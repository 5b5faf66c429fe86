"""A run's history: facts in the past tense, append-only, one row each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What an entry of the history is about."""

    RUN = "RunPhase"  #: the run moved to `phase`
    TASK = "TaskPhase"  #: a task moved to `phase`, or its reason changed
    ATTEMPT = "AttemptPhase"  #: an attempt moved to `phase`, or its reason changed
    POD = "PodEvent"  #: a component of the cluster said something of an attempt's pod
    CANCEL = "CancelRequested"  #: somebody asked to cancel the run
    RETRY = "RetryRequested"  #: somebody asked to run again what failed; details: `tasks`, None for all that failed
    SUSPEND = "SuspendRequested"  #: somebody asked that nothing new starts
    RESUME = "ResumeRequested"  #: somebody asked that the run goes on
    APPROVED = "Approved"  #: somebody approved what a task waits for; the message is the comment
    REJECTED = "Rejected"  #: somebody rejected it
    FINISHED = "RunFinished"  #: every log is sealed and every pod's delete answered
    NOTE = "Note"  #: podrun has something to say


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One entry. `phase` is a Phase or RunPhase; None where none is meant."""

    run_id: str
    time: datetime
    type: EventType
    task: str | None = None
    attempt: int | None = None
    phase: str | None = None
    reason: str = ""
    message: str = ""
    details: dict[str, Any] | None = None

"""The phases of runs, tasks and attempts, and the one table of allowed transitions.

Called by `domain.plan`, which moves phases, and by every room that shows them. A phase never moves against these tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Phase(StrEnum):
    """The phase of a task run or of one attempt of it."""

    PENDING = "Pending"  #: not started: waits for upstreams, for a slot, for a retry, or for its pod's container
    RUNNING = "Running"  #: the main container runs
    SUCCEEDED = "Succeeded"  #: main ended with exit code 0, or the task has no pod
    FAILED = "Failed"  #: the user's container failed or ran out of time
    ERROR = "Error"  #: podrun or the cluster could not run it
    SKIPPED = "Skipped"  #: its condition or trigger rule said so
    OMITTED = "Omitted"  #: it can no longer run: an upstream failed, or the run ended first
    CANCELLED = "Cancelled"  #: the run was cancelled

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to a task or attempt in this phase."""
        return self not in (Phase.PENDING, Phase.RUNNING)

    @property
    def is_failure(self) -> bool:
        """Whether it counts as failed for trigger rules (the contract's F)."""
        return self in (Phase.FAILED, Phase.ERROR, Phase.CANCELLED, Phase.OMITTED)


class RunPhase(StrEnum):
    """The phase of a run."""

    PENDING = "Pending"  #: committed, no task has started
    RUNNING = "Running"  #: an executor moves it on
    CANCELLING = "Cancelling"  #: cancelled, its pods are still ending
    SUCCEEDED = "Succeeded"  #: every task ended well, or was allowed to fail
    FAILED = "Failed"  #: a task is Failed, or the run's timeout cut it
    ERROR = "Error"  #: a task is in Error and none is Failed
    CANCELLED = "Cancelled"  #: somebody cancelled it

    @property
    def is_over(self) -> bool:
        """Whether the run has its outcome (logs and deletes may still be under way: see `is_finished`)."""
        return self not in (RunPhase.PENDING, RunPhase.RUNNING, RunPhase.CANCELLING)


_OVER = frozenset(phase for phase in Phase if phase.is_over)
_RUN_OVER = frozenset(phase for phase in RunPhase if phase.is_over)

#: Task: Running goes back to Pending when another attempt follows. Running and then Skipped: an approval nobody gave.
#: A retried run's tasks begin anew: see `domain.plan.requests`, which is outside of this table.
TASK_TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: _OVER | {Phase.RUNNING},
    Phase.RUNNING: _OVER | {Phase.PENDING},
}

#: Attempt: never Skipped or Omitted, and never back.
ATTEMPT_TRANSITIONS: Mapping[Phase, frozenset[Phase]] = {
    Phase.PENDING: frozenset({Phase.RUNNING, Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR, Phase.CANCELLED}),
    Phase.RUNNING: frozenset({Phase.SUCCEEDED, Phase.FAILED, Phase.ERROR, Phase.CANCELLED}),
}

RUN_TRANSITIONS: Mapping[RunPhase, frozenset[RunPhase]] = {
    RunPhase.PENDING: _RUN_OVER | {RunPhase.RUNNING, RunPhase.CANCELLING},
    RunPhase.RUNNING: _RUN_OVER | {RunPhase.CANCELLING},
    RunPhase.CANCELLING: frozenset({RunPhase.CANCELLED, RunPhase.ERROR}),
}

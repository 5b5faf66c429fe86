"""One attempt as the plan sees it: one pod, and the logs of its containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from app.domain.phases import Phase


@dataclass(slots=True, kw_only=True)
class AttemptState:
    """One attempt: one pod. Over is not settled: its logs and its pod's delete may still be under way."""

    number: int
    namespace: str
    pod: str  #: the pod's name
    created_at: datetime
    phase: Phase = Phase.PENDING
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    uid: str | None = None  #: None: the pod's creation was not answered yet
    node: str | None = None
    is_replacement: bool = False
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log_sealed: bool = False  #: every container's log is in the store to its end
    pod_deleted: bool = False
    # Of the logs, by container; the rows of the logs say so.
    sealed_logs: set[str] = field(default_factory=set)
    begun_logs: set[str] = field(default_factory=set)  #: an earlier process has stored some of it, and not sealed it
    # What follows is not stored: it is found again by looking at the pod.
    main_ended: bool = False  #: main has ended, or never will start
    collecting: set[str] = field(default_factory=set)  #: containers whose log a collector follows
    told_started_at: datetime | None = None  #: main's start, by its node's clock
    told_finished_at: datetime | None = None  #: main's end, by the same
    ended_logs: set[str] = field(default_factory=set)  #: of those: nothing more comes
    orphaned_logs: set[str] = field(default_factory=set)  #: of those: the pod is gone, and nobody saw the container end
    pod_leaves: bool = False  #: the pod is being deleted, or is gone
    others_run: bool = False  #: containers beside main run, or may yet: sidecars, which end with the pod
    delete_requested: bool = False
    gone_by: datetime | None = None  #: under deletion: when it should have gone
    creating: bool = False  #: a creation is under way, or will be tried again
    is_absent: bool = False  #: the cluster said that it made no pod, and was not asked again
    create_tries: int = 0
    delete_tries: int = 0
    counted_settled: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be done about it."""
        return self.phase.is_over and self.log_sealed and self.pod_deleted

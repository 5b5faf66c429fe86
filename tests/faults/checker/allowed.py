"""What a test allows, because it did it itself. Nothing of it is allowed by default."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tests.support.numbered_log import Printed

#: Names of pods, runs or tasks; True: any.
Names = bool | Collection[str]


@dataclass(frozen=True, kw_only=True)
class Silence:
    """From `start` to `end` this identity had no right to write to the cluster: it was dead, or its lease had run out."""

    start: datetime
    end: datetime
    user: str = ""  #: of the audit log; "": every service of the installation


@dataclass(frozen=True, kw_only=True)
class Allowed:
    """Exceptions to the rules, and what the test knows that the installation can't."""

    foreign: Names = False  #: pods that others created or deleted, by name
    left_pods: Names = False  #: pods that stay: their node does not answer
    unknown_pods: Names = False  #: pods whose runs were deleted
    unfinished: Names = False  #: runs that are under way, by id
    gaps: Names = False  #: tasks whose logs may have gaps
    orphans: bool = True  #: objects of blocks that were stored twice: their collector died before it said so
    deleted_runs: Collection[str] = ()  #: runs whose deletion was cut off: their objects may be there
    lost_audit: bool = False  #: the API server was killed: a pod may be made without an entry
    clock_moved: bool = False  #: times of one history may go back
    runs: Collection[str] | None = None  #: ids of all runs that were acknowledged; None: the test does not say
    keys: Mapping[str, str] = field(default_factory=dict)  #: idempotency key → id of the run that was answered
    printed: Mapping[tuple[str, str, int], Printed] = field(default_factory=dict)  #: run, task, attempt → main's lines
    silences: Sequence[Silence] = ()


def allows(names: Names, name: str) -> bool:
    """Whether this one is among them."""
    return names if isinstance(names, bool) else name in names

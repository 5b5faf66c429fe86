"""A pod as the rest of podrun sees it, whatever backend runs it: which attempt it is for, and what was observed of it.

`pods` makes these values, `domain.plan` judges them. Nothing here knows Kubernetes' JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

MAIN = "main"  #: the name of a task's own container; every other container is an init container or a sidecar


class AttemptKey(NamedTuple):
    """One try of one task of one run: what a pod is made for."""

    run_id: str
    task: str
    attempt: int  #: from 1


class PodRef(NamedTuple):
    """A pod that exists or existed: `uid` tells it from another one of its name."""

    namespace: str
    name: str
    uid: str


class ContainerPhase(StrEnum):
    """Which of Kubernetes' three container states a container is in."""

    WAITING = "waiting"
    RUNNING = "running"
    TERMINATED = "terminated"


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerObservation:
    """One container's state.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-states
    """

    name: str
    phase: ContainerPhase
    reason: str = ""  #: Kubernetes' word: ImagePullBackOff, OOMKilled, Error, Completed, ...
    message: str = ""
    started_at: datetime | None = None  #: aware, UTC; None while waiting, or where the container never started
    finished_at: datetime | None = None
    exit_code: int | None = None  #: of a terminated container; 128 + signal where a signal ended it
    is_init: bool = False
    is_sidecar: bool = False  #: an init container that runs beside main and ends with the pod


@dataclass(frozen=True, slots=True, kw_only=True)
class PodObservation:
    """What is known of one pod at one moment. Level, not edge: it says what is, not what changed."""

    key: AttemptKey
    namespace: str
    name: str
    uid: str
    exists: bool = True  #: False: the pod was there and is gone; the other fields are what was last seen of it
    phase: str = "Pending"  #: Kubernetes' pod phase: Pending, Running, Succeeded, Failed, Unknown
    reason: str = ""  #: of the pod's status: Evicted, NodeLost, Preempting, UnexpectedAdmissionError, OutOfcpu, ...
    message: str = ""
    node: str | None = None
    unschedulable: str | None = None  #: the scheduler's sentence while no node takes the pod, else None
    disruption: str | None = None  #: reason of a DisruptionTarget condition: PreemptionByScheduler, TerminationByKubelet, ...
    disruption_message: str = ""  #: what that condition says
    deletion_at: datetime | None = None  #: when its grace period ends, by the cluster's clock; None: nobody deletes it
    deletion_grace_seconds: int | None = None  #: that period, of a pod that is being deleted
    containers: tuple[ContainerObservation, ...] = ()  #: init containers first, in the pod's order

    @property
    def ref(self) -> PodRef:
        """Name and identity of the pod."""
        return PodRef(self.namespace, self.name, self.uid)

    def container(self, name: str) -> ContainerObservation | None:
        """The container of that name, None where the pod says nothing of it yet."""
        return next((c for c in self.containers if c.name == name), None)

    @property
    def main(self) -> ContainerObservation | None:
        """The task's own container, None before the kubelet has seen the pod."""
        return self.container(MAIN)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEvent:
    """What a component of the cluster said of a pod (a Kubernetes Event; locally, podrun's own remarks)."""

    namespace: str
    pod: str  #: the pod's name
    uid: str  #: the pod's uid; "" where the component did not name it
    type: str  #: Normal or Warning
    reason: str  #: FailedScheduling, Pulling, BackOff, FailedMount, ...
    message: str
    count: int = 1
    last_at: datetime  #: aware, UTC
    source: str = ""  #: the component: kubelet, default-scheduler, ...
    event_uid: str = ""  #: identity of the event itself: the same event comes again with a larger count

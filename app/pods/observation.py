"""Translates a pod in Kubernetes' own JSON into a `PodObservation`. Pure: no I/O, no clock.

Called by `pods.kubernetes` for each watch event and each item of a list. Only the fields that are used are decoded (a pod is
4 to 5 KB of JSON; this takes microseconds where generated models take half a millisecond). What people and programs wrote, such
as a termination message, may hold any character: `storable` takes out those that no database takes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import msgspec

from app.domain.pods import AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from app.domain.texts import storable
from app.pods.manifest import ATTEMPT_LABEL, INSTANCE_LABEL, RUN_LABEL, TASK_LABEL

#: A pod is an attempt's own where all of these are what the attempt's manifest says.
IDENTITY_LABELS = (RUN_LABEL, TASK_LABEL, ATTEMPT_LABEL, INSTANCE_LABEL)


class _Wire(msgspec.Struct, rename="camel", gc=False):
    """A part of a Kubernetes object. Unknown fields are ignored; what may be null in the JSON may be None here."""


class RawMetadata(_Wire):
    """ObjectMeta, as far as it is used."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    labels: dict[str, str] | None = None
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None


class RawTerminated(_Wire):
    """ContainerStateTerminated."""

    exit_code: int = 0
    reason: str = ""
    message: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None


class RawRunning(_Wire):
    """ContainerStateRunning."""

    started_at: datetime | None = None


class RawWaiting(_Wire):
    """ContainerStateWaiting."""

    reason: str = ""
    message: str = ""


class RawState(_Wire):
    """ContainerState: at most one of the three is there; none means waiting."""

    waiting: RawWaiting | None = None
    running: RawRunning | None = None
    terminated: RawTerminated | None = None


class RawContainerStatus(_Wire):
    """ContainerStatus."""

    name: str
    state: RawState | None = None


class RawCondition(_Wire):
    """PodCondition."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""


class RawStatus(_Wire):
    """PodStatus."""

    phase: str = "Pending"
    reason: str = ""
    message: str = ""
    conditions: list[RawCondition] | None = None
    init_container_statuses: list[RawContainerStatus] | None = None
    container_statuses: list[RawContainerStatus] | None = None


class RawContainer(_Wire):
    """Container of a PodSpec: its name gives the order, which statuses don't keep."""

    name: str
    restart_policy: str | None = None  #: Always: a sidecar, among the init containers


class RawSpec(_Wire):
    """PodSpec."""

    node_name: str | None = None
    init_containers: list[RawContainer] | None = None
    containers: list[RawContainer] | None = None


class RawPod(_Wire):
    """Pod."""

    metadata: RawMetadata
    spec: RawSpec = msgspec.field(default_factory=RawSpec)
    status: RawStatus = msgspec.field(default_factory=RawStatus)


def find_key(labels: Mapping[str, str] | None) -> AttemptKey | None:
    """The attempt that a pod's labels name, None where they name none."""
    if not labels:
        return None
    run_id, name, attempt = labels.get(RUN_LABEL), labels.get(TASK_LABEL), labels.get(ATTEMPT_LABEL, "")
    if not run_id or not name or not (attempt.isascii() and attempt.isdigit()) or len(attempt) > 9:
        return None
    return AttemptKey(run_id, name, int(attempt)) if int(attempt) > 0 else None


def observe_pod(pod: RawPod, *, exists: bool = True) -> PodObservation | None:
    """What the pod's JSON says, None for a pod whose labels name no attempt."""
    metadata, spec, status = pod.metadata, pod.spec, pod.status
    key = find_key(metadata.labels)
    if key is None or not metadata.name or not metadata.uid:
        return None
    conditions = status.conditions or ()
    disruption, disruption_message = _disruption(conditions)
    return PodObservation(
        key=key,
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        exists=exists,
        phase=status.phase or "Pending",
        reason=storable(status.reason),
        message=storable(status.message),
        node=spec.node_name or None,
        unschedulable=_unschedulable(conditions),
        disruption=disruption,
        disruption_message=disruption_message,
        deletion_at=metadata.deletion_timestamp,
        deletion_grace_seconds=metadata.deletion_grace_period_seconds,
        containers=(
            *_containers(status.init_container_statuses, spec.init_containers, is_init=True),
            *_containers(status.container_statuses, spec.containers, is_init=False),
        ),
    )


def _unschedulable(conditions: Sequence[RawCondition]) -> str | None:
    for condition in conditions:
        if condition.type == "PodScheduled" and condition.status == "False":
            return storable(condition.message or condition.reason) or "no node takes the pod"
    return None


def _disruption(conditions: Sequence[RawCondition]) -> tuple[str | None, str]:
    """Reason and message of what took the pod away."""
    for condition in conditions:
        if condition.type == "DisruptionTarget" and condition.status == "True":
            return storable(condition.reason or condition.type), storable(condition.message)
    return None, ""


def _containers(
    statuses: Sequence[RawContainerStatus] | None, specs: Sequence[RawContainer] | None, *, is_init: bool
) -> list[ContainerObservation]:
    sidecars = {container.name for container in specs or () if container.restart_policy == "Always"} if is_init else ()
    found = [_observe_container(status, is_init=is_init, is_sidecar=status.name in sidecars) for status in statuses or ()]
    if len(found) > 1:
        # The kubelet sorts containerStatuses by name; the pod's order is the spec's.
        order = {container.name: place for place, container in enumerate(specs or ())}
        found.sort(key=lambda container: order.get(container.name, len(order)))
    return found


def _observe_container(status: RawContainerStatus, *, is_init: bool, is_sidecar: bool) -> ContainerObservation:
    state = status.state
    if state is not None and state.terminated is not None:
        ended = state.terminated
        return ContainerObservation(
            name=status.name,
            phase=ContainerPhase.TERMINATED,
            reason=storable(ended.reason),
            message=storable(ended.message),
            started_at=_real_time(ended.started_at),
            finished_at=_real_time(ended.finished_at),
            exit_code=ended.exit_code,
            is_init=is_init,
            is_sidecar=is_sidecar,
        )
    if state is not None and state.running is not None:
        return ContainerObservation(
            name=status.name,
            phase=ContainerPhase.RUNNING,
            started_at=_real_time(state.running.started_at),
            is_init=is_init,
            is_sidecar=is_sidecar,
        )
    waiting = state.waiting if state is not None else None
    return ContainerObservation(
        name=status.name,
        phase=ContainerPhase.WAITING,
        reason=storable(waiting.reason) if waiting else "",
        message=storable(waiting.message) if waiting else "",
        is_init=is_init,
        is_sidecar=is_sidecar,
    )


def _real_time(moment: datetime | None) -> datetime | None:
    """None for the zero times by which the kubelet says "never": 1970 (StartError) and the year 1."""
    return moment if moment is not None and moment.year > 1970 else None

"""What a pod's observation means for its attempt: the one place where Kubernetes' words become phase, reason and message.

Called by `domain.plan` for each observation. Level, not edge: the same observation gives the same verdict.

Source of the reasons: kubelet and scheduler, https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/ ;
disruptions: https://kubernetes.io/docs/concepts/workloads/pods/disruptions/#pod-disruption-conditions
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from app.domain.phases import Phase
from app.domain.pods import ContainerObservation, ContainerPhase, PodObservation

#: A container that waits with one of these can't come right by itself.
HOPELESS_WAITING = frozenset({"InvalidImageName", "ErrImageNeverPull"})
#: With one of these as well, where the runtime says that there is no such name: it says so before it asks a registry.
_PULL_TROUBLE = frozenset({"ErrImagePull", "ImagePullBackOff"})
_NO_IMAGE_NAME = "invalid reference format"
#: Waiting reasons of every healthy pod: not worth a word.
ORDINARY_WAITING = frozenset({"", "ContainerCreating", "PodInitializing"})
#: What took a pod away, by the reason of its DisruptionTarget condition.
_DISRUPTIONS = {
    "PreemptionByScheduler": "Preempted",
    "DeletionByTaintManager": "Evicted",
    "EvictionByEvictionAPI": "Evicted",
    "DeletionByPodGC": "PodLost",
    "TerminationByKubelet": "NodeShutdown",
}
#: Reasons of a failed pod that the cluster gave, not the user's container. `OutOf…` (OutOfcpu, OutOfpods) by its prefix.
_INFRASTRUCTURE = {
    "Evicted": "Evicted",
    "Preempting": "Preempted",
    "Preempted": "Preempted",
    "Shutdown": "NodeShutdown",
    "NodeShutdown": "NodeShutdown",
    "Terminated": "NodeShutdown",
    "NodeAffinity": "NodeAffinity",
    "NodeLost": "NodeLost",
    "UnexpectedAdmissionError": "UnexpectedAdmissionError",
}
#: The kubelet, or the container runtime (after its node was started anew), does not know how a container ended, or whether
#: it ever ran; the exit code that it gives, 137 or 255, is made up.
_UNKNOWN_ENDS = frozenset({"ContainerStatusUnknown", "Unknown"})
#: Lost with one of these before main had started, a pod is replaced without counting as a retry. `OutOf…` as well.
REPLACED = frozenset(
    {"Evicted", "Preempted", "NodeShutdown", "NodeAffinity", "UnexpectedAdmissionError", "PodLost", "NodeLost"}
)
_HOW_IS_NOT_KNOWN = "the pod was deleted, and how its container ended is not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What an attempt is, by what its pod shows."""

    phase: Phase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    started_at: datetime | None = None  #: main's start by the node's clock; None: it has not started
    finished_at: datetime | None = None
    main_ended: bool = False  #: main has ended, or never will start: nothing more comes into its log


def is_replaced(reason: str) -> bool:
    """Whether a pod lost for this reason before main started is replaced without counting."""
    return reason in REPLACED or reason.startswith("OutOf")


def judge(pod: PodObservation) -> Verdict:
    """The verdict on an attempt whose pod is as observed. It does not know whether podrun itself asked for the delete."""
    main = pod.main
    if main is not None and main.phase is ContainerPhase.TERMINATED:
        return _ended(pod, main)
    if pod.phase in ("Failed", "Succeeded") or not pod.exists or _will_never_start(pod):
        return _over_without_main(pod, main)
    if main is not None and main.phase is ContainerPhase.RUNNING:
        return Verdict(phase=Phase.RUNNING, started_at=main.started_at)
    return _waiting(pod, main)


def _will_never_start(pod: PodObservation) -> bool:
    """A pod that was deleted before it had a node gets none any more; a finalizer may keep it all the same."""
    return pod.deletion_at is not None and pod.node is None and not any(c.started_at for c in pod.containers)


def _ended(pod: PodObservation, main: ContainerObservation) -> Verdict:
    exit_code = main.exit_code if main.exit_code is not None else -1
    is_unknown = main.reason in _UNKNOWN_ENDS
    started = main.started_at if main.reason not in ("StartError", "ContainerCannotRun") else None

    def verdict(phase: Phase, reason: str, message: str) -> Verdict:
        return Verdict(
            phase=phase, reason=reason, message=message, exit_code=None if is_unknown else main.exit_code,
            started_at=started, finished_at=main.finished_at, main_ended=True,
        )  # fmt: skip

    if exit_code == 0:
        return verdict(Phase.SUCCEEDED, "", "")
    if pod.reason == "DeadlineExceeded":
        return verdict(Phase.FAILED, "DeadlineExceeded", pod.message)
    lost = _infrastructure_reason(pod)
    if lost is not None:
        message = pod.message or pod.disruption_message or main.message or f"the pod was taken away ({lost})"
        return verdict(Phase.ERROR, lost, message)
    if is_unknown and pod.deletion_at is not None:
        return verdict(Phase.ERROR, "PodLost", _HOW_IS_NOT_KNOWN)
    if is_unknown:
        message = "how the container ended is not known: its node or its container runtime was started anew"
        return verdict(Phase.ERROR, main.reason, main.message.strip() or message)
    return verdict(Phase.FAILED, main.reason or "Error", main.message.strip() or _words(main.reason, exit_code))


def _words(reason: str, exit_code: int) -> str:
    if reason == "OOMKilled":
        return f"out of memory: the container was killed at its memory limit (exit code {exit_code})"
    return f"exit code {exit_code}"


def _infrastructure_reason(pod: PodObservation) -> str | None:
    if pod.reason.startswith("OutOf"):
        return pod.reason
    if pod.reason in _INFRASTRUCTURE:
        return _INFRASTRUCTURE[pod.reason]
    return _DISRUPTIONS.get(pod.disruption, "PodLost") if pod.disruption else None


def _over_without_main(pod: PodObservation, main: ContainerObservation | None) -> Verdict:
    """The pod is over or gone, or will never run, and its main container never showed how it ended."""
    started = main.started_at if main is not None else None
    if pod.phase == "Succeeded" and main is None:
        return Verdict(phase=Phase.SUCCEEDED, main_ended=True)
    if pod.phase == "Failed":
        ended = (c for c in pod.containers if c.is_init and not c.is_sidecar and c.phase is ContainerPhase.TERMINATED)
        broken = next((c for c in ended if c.exit_code != 0), None)
        if broken is not None and _infrastructure_reason(pod) is None:
            text = broken.message.strip() or f"exit code {broken.exit_code}"
            message = f"init container {broken.name}: {text}"
            reason = broken.reason or "Error"
            return Verdict(phase=Phase.FAILED, reason=reason, message=message, exit_code=broken.exit_code, main_ended=True)
        if pod.reason == "DeadlineExceeded":
            return Verdict(phase=Phase.FAILED, reason=pod.reason, message=pod.message, started_at=started, main_ended=True)
    reason, words = pod.reason or "PodFailed", f"the pod is {pod.phase}"
    if _will_never_start(pod):
        reason, words = "PodLost", "the pod was deleted before it had a node"
    elif not pod.exists or (pod.deletion_at is not None and not pod.reason):
        reason, words = "PodLost", _HOW_IS_NOT_KNOWN
    reason = _infrastructure_reason(pod) or reason
    message = pod.message or pod.disruption_message or words
    return Verdict(phase=Phase.ERROR, reason=reason, message=message, started_at=started, main_ended=True)


def _is_hopeless(container: ContainerObservation) -> bool:
    if container.reason in _PULL_TROUBLE:
        return _NO_IMAGE_NAME in container.message
    return container.reason in HOPELESS_WAITING


def _waiting(pod: PodObservation, main: ContainerObservation | None) -> Verdict:
    """Pending: in Kubernetes' words why. An init container's trouble stands before main's, which only waits for it."""
    waiting = [c for c in pod.containers if c.phase is ContainerPhase.WAITING]
    for container in waiting:
        if container.reason in ORDINARY_WAITING:
            continue
        name = "" if main is not None and container.name == main.name else f"container {container.name}: "
        message = f"{name}{container.message or container.reason}"
        if _is_hopeless(container):
            return Verdict(phase=Phase.ERROR, reason=container.reason, message=message, main_ended=True)
        return Verdict(phase=Phase.PENDING, reason=container.reason, message=message)
    for sidecar in pod.containers:
        # Until it has started, main waits; between its starts the kubelet says only how it ended.
        if sidecar.is_sidecar and sidecar.phase is ContainerPhase.TERMINATED and sidecar.exit_code:
            message = f"container {sidecar.name}: {sidecar.message.strip() or _words(sidecar.reason, sidecar.exit_code)}"
            return Verdict(phase=Phase.PENDING, reason=sidecar.reason or "Error", message=message)
    if pod.unschedulable is not None:
        return Verdict(phase=Phase.PENDING, reason="Unschedulable", message=pod.unschedulable)
    return Verdict(phase=Phase.PENDING)

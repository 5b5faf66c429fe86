from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.phases import Phase
from app.domain.plan.verdict import is_replaced, judge
from app.domain.pods import MAIN, AttemptKey, ContainerObservation, ContainerPhase, PodObservation

AT = datetime(2026, 1, 1, tzinfo=UTC)


def pod(*containers: ContainerObservation, **values: Any) -> PodObservation:
    given = {"key": AttemptKey("r", "t", 1), "namespace": "n", "name": "p", "uid": "u", "containers": containers}
    return PodObservation(**(given | values))


def waiting(reason: str, message: str = "", **values: Any) -> ContainerObservation:
    return ContainerObservation(
        **({"name": MAIN, "phase": ContainerPhase.WAITING, "reason": reason, "message": message} | values)
    )


def ended(exit_code: int, reason: str = "Error", **values: Any) -> ContainerObservation:
    given = {"name": MAIN, "phase": ContainerPhase.TERMINATED, "exit_code": exit_code, "reason": reason}
    return ContainerObservation(**(given | {"started_at": AT, "finished_at": AT} | values))


RUNNING = ContainerObservation(name=MAIN, phase=ContainerPhase.RUNNING, started_at=AT)

CASES = {
    "new pod": (pod(), Phase.PENDING, "", ""),
    "scheduler's sentence": (pod(unschedulable="0/1 nodes"), Phase.PENDING, "Unschedulable", "0/1 nodes"),
    "being created": (pod(waiting("ContainerCreating")), Phase.PENDING, "", ""),
    "image can't be pulled": (pod(waiting("ErrImagePull", "no such image")), Phase.PENDING, "ErrImagePull", "no such image"),
    "image name hopeless": (pod(waiting("InvalidImageName", "bad")), Phase.ERROR, "InvalidImageName", "bad"),
    "image never pulled": (pod(waiting("ErrImageNeverPull", "absent")), Phase.ERROR, "ErrImageNeverPull", "absent"),
    "image name that the runtime refuses": (
        pod(waiting("ErrImagePull", 'failed to parse image reference "UP/x": invalid reference format: must be lowercase')),
        Phase.ERROR, "ErrImagePull", 'failed to parse image reference "UP/x": invalid reference format: must be lowercase',
    ),
    "image name that the runtime has refused": (
        pod(waiting("ImagePullBackOff", "Back-off pulling image: InvalidImage: invalid reference format")),
        Phase.ERROR, "ImagePullBackOff", "Back-off pulling image: InvalidImage: invalid reference format",
    ),
    "image that may come": (
        pod(waiting("ErrImagePull", "not found")), Phase.PENDING, "ErrImagePull", "not found",
    ),
    "init container waits": (
        pod(waiting("CrashLoopBackOff", "again", name="init", is_init=True), waiting("PodInitializing")),
        Phase.PENDING, "CrashLoopBackOff", "container init: again",
    ),
    "sidecar ends again and again before main": (
        pod(ended(3, name="side", is_init=True, is_sidecar=True), waiting("PodInitializing")),
        Phase.PENDING, "Error", "container side: exit code 3",
    ),
    "sidecar has ended while main runs": (
        pod(ended(3, name="side", is_init=True, is_sidecar=True), RUNNING, phase="Running"), Phase.RUNNING, "", "",
    ),
    "running": (pod(RUNNING, phase="Running"), Phase.RUNNING, "", ""),
    "succeeded, phase behind": (pod(ended(0, "Completed")), Phase.SUCCEEDED, "", ""),
    "failed": (pod(ended(3)), Phase.FAILED, "Error", "exit code 3"),
    "failed with a message": (pod(ended(3, message="bad input\n")), Phase.FAILED, "Error", "bad input"),
    "out of memory": (
        pod(ended(137, "OOMKilled")), Phase.FAILED, "OOMKilled",
        "out of memory: the container was killed at its memory limit (exit code 137)",
    ),
    "no such executable": (
        pod(ended(128, "StartError", message="exec: not found")), Phase.FAILED, "StartError", "exec: not found",
    ),
    "kubelet's own deadline": (
        pod(ended(137), phase="Failed", reason="DeadlineExceeded", message="active too long"),
        Phase.FAILED, "DeadlineExceeded", "active too long",
    ),
    "evicted while it ran": (
        pod(ended(137), phase="Failed", reason="Evicted", message="low on memory"), Phase.ERROR, "Evicted", "low on memory",
    ),
    "evicted, but it had succeeded": (pod(ended(0), phase="Failed", reason="Evicted"), Phase.SUCCEEDED, "", ""),
    "preempted": (
        pod(ended(143), phase="Failed", disruption="PreemptionByScheduler", message="for a better one"),
        Phase.ERROR, "Preempted", "for a better one",
    ),
    "preempted, and the scheduler said why": (
        pod(ended(143), disruption="PreemptionByScheduler", disruption_message="default-scheduler: preempting"),
        Phase.ERROR, "Preempted", "default-scheduler: preempting",
    ),
    "evicted by its node's taint": (
        pod(ended(143), disruption="DeletionByTaintManager", disruption_message="Taint manager: deleting"),
        Phase.ERROR, "Evicted", "Taint manager: deleting",
    ),
    "gone with its node": (
        pod(RUNNING, phase="Failed", disruption="DeletionByPodGC", disruption_message="PodGC: node no longer exists"),
        Phase.ERROR, "PodLost", "PodGC: node no longer exists",
    ),
    "the kubelet does not know how it ended": (
        pod(ended(137, "ContainerStatusUnknown", message="could not be located"), phase="Failed"),
        Phase.ERROR, "ContainerStatusUnknown", "could not be located",
    ),
    "the runtime does not know how it ended: its node was started anew": (
        pod(ended(255, "Unknown"), phase="Failed"), Phase.ERROR, "Unknown",
        "how the container ended is not known: its node or its container runtime was started anew",
    ),
    "its own exit code 255": (pod(ended(255)), Phase.FAILED, "Error", "exit code 255"),
    "the kubelet does not know how it ended, evicted": (
        pod(ended(137, "ContainerStatusUnknown"), phase="Failed", reason="Evicted", message="low on memory"),
        Phase.ERROR, "Evicted", "low on memory",
    ),
    "deleted on its node before it had started": (
        pod(ended(137, "ContainerStatusUnknown", started_at=None, finished_at=None), phase="Failed", node="n", deletion_at=AT),
        Phase.ERROR, "PodLost", "the pod was deleted, and how its container ended is not known",
    ),
    "deleted before it had a node, and kept by a finalizer": (
        pod(unschedulable="0/1 nodes", deletion_at=AT), Phase.ERROR, "PodLost", "the pod was deleted before it had a node",
    ),
    "deleted before it had a node, and failed by the garbage collector": (
        pod(unschedulable="0/1 nodes", phase="Failed", deletion_at=AT),
        Phase.ERROR, "PodLost", "the pod was deleted before it had a node",
    ),
    "deleted, and failed without a word on its container": (
        pod(waiting("ContainerCreating"), phase="Failed", node="n", deletion_at=AT),
        Phase.ERROR, "PodLost", "the pod was deleted, and how its container ended is not known",
    ),
    "failed without a word": (pod(phase="Failed", node="n"), Phase.ERROR, "PodFailed", "the pod is Failed"),
    "evicted before it had a node, and kept by a finalizer": (
        pod(deletion_at=AT, disruption="EvictionByEvictionAPI", disruption_message="Eviction API: evicting"),
        Phase.ERROR, "Evicted", "Eviction API: evicting",
    ),
    "deleted before it had started, on a node that will end it": (
        pod(waiting("ContainerCreating"), node="n", deletion_at=AT), Phase.PENDING, "", "",
    ),
    "node had no room": (
        pod(phase="Failed", reason="OutOfcpu", message="no cpu"), Phase.ERROR, "OutOfcpu", "no cpu",
    ),
    "init container failed": (
        pod(ended(2, name="init", is_init=True), waiting("PodInitializing"), phase="Failed"),
        Phase.FAILED, "Error", "init container init: exit code 2",
    ),
    "gone": (
        pod(RUNNING, exists=False), Phase.ERROR, "PodLost",
        "the pod was deleted, and how its container ended is not known",
    ),
    "gone, but its end was seen": (pod(ended(0), exists=False), Phase.SUCCEEDED, "", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_judge__pod_as_observed__phase_reason_and_message(case: str) -> None:
    observation, phase, reason, message = CASES[case]
    verdict = judge(observation)
    assert (verdict.phase, verdict.reason, verdict.message) == (phase, reason, message)
    assert verdict.main_ended is phase.is_over


def test_judge__start_error__main_has_not_started() -> None:
    assert judge(pod(ended(128, "StartError"))).started_at is None
    assert judge(pod(ended(1))).started_at == AT


def test_judge__end_that_the_kubelet_does_not_know__has_no_exit_code() -> None:
    assert judge(pod(ended(137, "ContainerStatusUnknown", started_at=None, finished_at=None))).exit_code is None
    assert judge(pod(ended(255, "Unknown"))).exit_code is None
    assert judge(pod(ended(137))).exit_code == 137


@pytest.mark.parametrize("reason", ["Evicted", "Preempted", "NodeShutdown", "NodeAffinity", "OutOfpods", "PodLost"])
def test_is_replaced__lost_to_the_cluster__yes(reason: str) -> None:
    assert is_replaced(reason)


@pytest.mark.parametrize("reason", ["Error", "OOMKilled", "DeadlineExceeded", "Unschedulable", "Forbidden"])
def test_is_replaced__the_tasks_own_trouble__no(reason: str) -> None:
    assert not is_replaced(reason)

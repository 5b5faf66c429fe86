"""Pods as API servers show them, and what is made of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from app.domain.pods import AttemptKey, ContainerPhase, PodObservation
from app.pods.observation import RawPod, observe_pod

LABELS = {
    "app.kubernetes.io/managed-by": "podrun",
    "podrun.dev/run": "run-1",
    "podrun.dev/task": "load.0",
    "podrun.dev/attempt": "2",
    "podrun.dev/instance": "inst",
}


def pod(status: dict[str, Any] | None = None, *, labels: dict[str, str] | None = None, **parts: Any) -> dict[str, Any]:
    metadata = {
        "name": "load-x",
        "namespace": "ci",
        "uid": "6b828d41",
        "resourceVersion": "807",
        "creationTimestamp": "2026-01-02T03:04:05Z",
        "labels": LABELS if labels is None else labels,
        "managedFields": [{"manager": "kubelet", "time": "2026-01-02T03:04:05Z", "fieldsV1": {"f:status": {}}}],
    }
    spec = {"nodeName": "node-1", "containers": [{"name": "main", "image": "busybox:1", "resources": {}}]}
    return {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": metadata | parts.get("metadata", {}),
        "spec": spec | parts.get("spec", {}),
        "status": status if status is not None else {"phase": "Pending", "qosClass": "BestEffort"},
    }


def observe(document: dict[str, Any], **options: Any) -> PodObservation | None:
    return observe_pod(msgspec.json.decode(msgspec.json.encode(document), type=RawPod), **options)


def seen(document: dict[str, Any], **options: Any) -> PodObservation:
    observation = observe(document, **options)
    assert observation is not None
    return observation


def main_status(**state: Any) -> dict[str, Any]:
    return {"name": "main", "state": state, "lastState": {}, "ready": False, "restartCount": 0, "image": "busybox:1"}


def ended(**terminated: Any) -> dict[str, Any]:
    times = {"startedAt": "2026-01-02T03:04:06Z", "finishedAt": "2026-01-02T03:04:07Z"}
    return main_status(terminated=times | terminated)


def test_observe_pod__just_created__pending_with_its_attempt():
    observation = seen(pod(spec={"nodeName": None}))
    assert observation.key == AttemptKey("run-1", "load.0", 2)
    assert (observation.namespace, observation.name, observation.uid) == ("ci", "load-x", "6b828d41")
    assert (observation.phase, observation.exists, observation.node, observation.main) == ("Pending", True, None, None)
    assert observation.unschedulable is None
    assert observation.deletion_at is None


def test_observe_pod__unschedulable__has_the_schedulers_sentence():
    sentence = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": sentence,
        "lastProbeTime": None,
    }
    assert seen(pod({"phase": "Pending", "conditions": [condition]})).unschedulable == sentence


def test_observe_pod__scheduled_after_all__no_longer_unschedulable():
    condition = {"type": "PodScheduled", "status": "True", "lastProbeTime": None}
    assert seen(pod({"phase": "Pending", "conditions": [condition]})).unschedulable is None


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("ErrImagePull", 'failed to pull and unpack image "docker.io/library/nosuch:1": no such host'),
        ("ImagePullBackOff", 'Back-off pulling image "nosuch:1"'),
        ("CreateContainerConfigError", 'secret "db" not found'),
        ("InvalidImageName", "Failed to apply default image tag"),
        ("ContainerCreating", ""),
    ],
)
def test_observe_pod__waiting_container__keeps_the_kubelets_words(reason: str, message: str):
    waiting = {"reason": reason} | ({"message": message} if message else {})
    main = seen(pod({"phase": "Pending", "containerStatuses": [main_status(waiting=waiting)]})).main
    assert main is not None
    assert (main.phase, main.reason, main.message) == (ContainerPhase.WAITING, reason, message)
    assert (main.started_at, main.exit_code) == (None, None)


def test_observe_pod__container_with_empty_state__waits():
    main = seen(pod({"phase": "Pending", "containerStatuses": [main_status()]})).main
    assert main is not None
    assert main.phase is ContainerPhase.WAITING


def test_observe_pod__running__has_its_start():
    main = seen(
        pod({"phase": "Running", "containerStatuses": [main_status(running={"startedAt": "2026-01-02T03:04:06Z"})]})
    ).main
    assert main is not None
    assert (main.phase, main.started_at) == (ContainerPhase.RUNNING, datetime(2026, 1, 2, 3, 4, 6, tzinfo=UTC))


def test_observe_pod__out_of_memory__reason_and_code():
    main = seen(pod({"phase": "Failed", "containerStatuses": [ended(exitCode=137, reason="OOMKilled")]})).main
    assert main is not None
    assert (main.phase, main.reason, main.exit_code) == (ContainerPhase.TERMINATED, "OOMKilled", 137)


def test_observe_pod__start_error__never_started():
    message = 'failed to create containerd task: exec: "Python": executable file not found in $PATH: unknown'
    status = ended(exitCode=128, reason="StartError", message=message, startedAt="1970-01-01T00:00:00Z")
    main = seen(pod({"phase": "Failed", "containerStatuses": [status]})).main
    assert main is not None
    assert (main.reason, main.exit_code, main.message, main.started_at) == ("StartError", 128, message, None)
    assert main.finished_at == datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC)


def test_observe_pod__container_status_unknown__null_times():
    status = ended(exitCode=137, reason="ContainerStatusUnknown", startedAt=None, finishedAt=None)
    main = seen(pod({"phase": "Failed", "containerStatuses": [status]})).main
    assert main is not None
    assert (main.started_at, main.finished_at) == (None, None)


def test_observe_pod__terminated_with_phase_pending__is_seen_as_ended():
    main = seen(pod({"phase": "Pending", "containerStatuses": [ended(exitCode=0, reason="Completed")]})).main
    assert main is not None
    assert (main.phase, main.exit_code) == (ContainerPhase.TERMINATED, 0)


def test_observe_pod__evicted__pods_own_reason_and_no_containers():
    message = "The node was low on resource: ephemeral-storage."
    observation = seen(pod({"phase": "Failed", "reason": "Evicted", "message": message}))
    assert (observation.phase, observation.reason, observation.message) == ("Failed", "Evicted", message)
    assert observation.containers == ()


def test_observe_pod__disruption_target__its_reason_and_message():
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "preempted"}
    observation = seen(pod({"phase": "Failed", "conditions": [condition]}))
    assert (observation.disruption, observation.disruption_message) == ("PreemptionByScheduler", "preempted")


def test_observe_pod__deleted__tells_when_the_grace_period_ends():
    observation = seen(
        pod(metadata={"deletionTimestamp": "2026-01-02T03:05:00Z", "deletionGracePeriodSeconds": 30}), exists=False
    )
    assert (observation.deletion_at, observation.deletion_grace_seconds) == (datetime(2026, 1, 2, 3, 5, tzinfo=UTC), 30)
    assert not observation.exists


def test_observe_pod__failing_init_container__stands_before_main():
    init = {"name": "fetch", "state": {"terminated": {"exitCode": 1, "reason": "Error"}}}
    document = pod(
        {
            "phase": "Failed",
            "initContainerStatuses": [init],
            "containerStatuses": [main_status(waiting={"reason": "PodInitializing"})],
        }
    )
    fetch, main = seen(document).containers
    assert (fetch.name, fetch.is_init, fetch.exit_code) == ("fetch", True, 1)
    assert (main.name, main.is_init, main.phase) == ("main", False, ContainerPhase.WAITING)


def test_observe_pod__statuses_sorted_by_name__come_in_the_pods_order():
    names = ["main", "a", "z"]
    statuses = [{"name": name, "state": {}} for name in sorted(names)]
    document = pod({"containerStatuses": statuses}, spec={"containers": [{"name": name} for name in names]})
    assert [container.name for container in seen(document).containers] == names


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"app": "other"},
        {key: value for key, value in LABELS.items() if not key.endswith("attempt")},
        LABELS | {"podrun.dev/attempt": "two"},
        LABELS | {"podrun.dev/attempt": "0"},
        LABELS | {"podrun.dev/attempt": "-1"},
        LABELS | {"podrun.dev/attempt": "9" * 60},
        LABELS | {"podrun.dev/run": ""},
    ],
)
def test_observe_pod__foreign_or_malformed_labels__is_no_pod_of_ours(labels: dict[str, str]):
    assert observe(pod(labels=labels)) is None


def test_observe_pod__sidecars__are_told_from_init_containers():
    spec = {"initContainers": [{"name": "first"}, {"name": "side", "restartPolicy": "Always"}]}
    init = [{"name": "side", "state": {"running": {}}}, {"name": "first", "state": {"terminated": {"exitCode": 0}}}]
    status = {"phase": "Running", "initContainerStatuses": init, "containerStatuses": [main_status(running={})]}
    told = [(c.name, c.is_init, c.is_sidecar) for c in seen(pod(status, spec=spec)).containers]
    assert told == [("first", True, False), ("side", True, True), ("main", False, False)]


def test_observe_pod__texts_that_no_database_takes__are_replaced() -> None:
    ended = {"exitCode": 1, "reason": "Err\0or", "message": "a\0b"}
    status = {
        "phase": "Failed", "reason": "Evi\0cted", "message": "\0",
        "conditions": [
            {"type": "PodScheduled", "status": "False", "message": "no\0node"},
            {"type": "DisruptionTarget", "status": "True", "reason": "x\0y", "message": "\0z"},
        ],
        "containerStatuses": [
            {"name": "main", "state": {"terminated": ended}},
            {"name": "other", "state": {"waiting": {"reason": "Image\0", "message": "\0pull"}}},
        ],
    }  # fmt: skip
    seen = observe_pod(msgspec.json.decode(msgspec.json.encode(pod(status)), type=RawPod))
    assert seen is not None
    assert (seen.reason, seen.message) == ("Evi\ufffdcted", "\ufffd")
    assert (seen.unschedulable, seen.disruption, seen.disruption_message) == ("no\ufffdnode", "x\ufffdy", "\ufffdz")
    assert [(one.reason, one.message) for one in seen.containers] == [
        ("Err\ufffdor", "a\ufffdb"), ("Image\ufffd", "\ufffdpull"),
    ]  # fmt: skip

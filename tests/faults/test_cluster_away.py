"""Pods that end or go while the service is away, and what only a kubelet says of a pod, in its words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.moves import (
    NOWHERE,
    ONE_RETRY,
    SHORT_GRACE,
    assert_one_pod_each,
    delete_pod,
    ends,
    evict_pod,
    keep_pod,
    kube,
    patch_pod,
    pod_gone,
    pod_of,
    pod_up,
    pod_when,
    release_pod,
    tries,
)
from tests.support.service import ServiceProcess
from tests.support.workflows import fake, shell, workflow

pytestmark = [
    pytest.mark.faults, pytest.mark.cluster, pytest.mark.fake_nodes, pytest.mark.usefixtures("cluster_service"),
]  # fmt: skip
Json = dict[str, Any]
STAYS = "echo up; exec sleep 1000"
STAYS_ONCE = f"[ $PODRUN_ATTEMPT = 1 ] || exit 0; {STAYS}"
UNTIL_TOLD = "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done"
SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
DEADLINE = {"pod": {"terminationGracePeriodSeconds": 1, "activeDeadlineSeconds": 15}}


@pytest.fixture
def namespace(cluster_service: ServiceProcess) -> str:
    return cluster_service.namespaces[0]


async def test_service_away__pods_end_and_go_meanwhile__each_outcome_is_the_pods_own(
    api: Api, cluster_service: ServiceProcess, namespace: str, kubeconfig: Path
) -> None:
    tasks = [
        shell("deadline", STAYS, **DEADLINE),
        shell("deadline-again", STAYS_ONCE, retries=ONE_RETRY, **DEADLINE),
        shell("ended", UNTIL_TOLD, **SHORT_GRACE),
        shell("ended-and-kept", UNTIL_TOLD, **SHORT_GRACE),
        shell("ended-and-gone", UNTIL_TOLD, **SHORT_GRACE),
        shell("evicted", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("forced", STAYS, **SHORT_GRACE),
        shell("goes-on", UNTIL_TOLD, **SHORT_GRACE),
        shell("not-begun", "true", node_selector=NOWHERE, allow_failure=True),
        shell("after", "true", depends_on=["ended", "ended-and-kept", "evicted", "goes-on"]),
        shell("omitted", "true", depends_on=["ended-and-gone"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    names = [task["name"] for task in tasks[:8]]
    pods = {name: await pod_up(api, run_id, name) for name in names}
    await api.task_when(run_id, "not-begun", reason="Unschedulable")
    pods["not-begun"] = await pod_of(api, run_id, "not-begun")
    cluster_service.kill()

    await keep_pod(namespace, pods["ended-and-kept"])
    for name in ("ended", "ended-and-kept", "ended-and-gone"):
        await kube("exec", "-n", namespace, pods[name], "-c", "main", "--", "touch", "/tmp/go")
    await evict_pod(namespace, pods["evicted"])
    await delete_pod(namespace, pods["forced"], force=True)
    await delete_pod(namespace, pods["not-begun"])
    for name in ("ended", "ended-and-kept", "ended-and-gone"):
        await pod_when(namespace, pods[name], lambda pod: pod["status"]["phase"] == "Succeeded")
    for name in ("ended-and-kept", "ended-and-gone"):
        await delete_pod(namespace, pods[name])
    for name in ("deadline", "deadline-again"):
        await pod_when(namespace, pods[name], lambda pod: pod["status"].get("reason") == "DeadlineExceeded")
    for name in ("ended-and-gone", "evicted", "forced"):
        await pod_gone(namespace, pods[name])
    cluster_service.start()

    await api.task_when(run_id, "not-begun", attempts=2, reason="Unschedulable")
    await kube("exec", "-n", namespace, pods["goes-on"], "-c", "main", "--", "touch", "/tmp/go")
    await api.task_when(run_id, "after", phase="Succeeded")
    await delete_pod(namespace, await pod_of(api, run_id, "not-begun", 2))
    for number in (3, 4):
        await api.task_when(run_id, "not-begun", attempts=number, reason="Unschedulable")
        await delete_pod(namespace, await pod_of(api, run_id, "not-begun", number))
    run = await api.finished(run_id)
    await release_pod(namespace, pods["ended-and-kept"])
    assert run["phase"] == "Failed"
    assert tries(run, "deadline") == [("Failed", "DeadlineExceeded")]
    assert tries(run, "deadline-again") == [("Failed", "DeadlineExceeded"), ("Succeeded", None)]
    for name in ("ended", "ended-and-kept", "goes-on"):
        assert tries(run, name) == [("Succeeded", None)], name
    assert tries(run, "ended-and-gone") == tries(run, "forced") == [("Error", "PodLost")]
    # Nobody was there to see why it was taken away; it had started, so it counts as a retry.
    assert tries(run, "evicted") == [("Error", "PodLost"), ("Succeeded", None)]
    assert tries(run, "not-begun") == [("Error", "PodLost")] * 4
    assert ends(run)["omitted"][0] == "Omitted"
    by_name = {task["name"]: task for task in run["tasks"]}
    assert by_name["deadline"]["message"] == "Pod was active on the node longer than the specified deadline"
    for name, log in (("deadline", b"up\n"), ("ended", b"up\ndone\n"), ("goes-on", b"up\ndone\n")):
        assert await api.log(run_id, name) == log
        assert by_name[name]["attempts"][0]["log"]["gaps"] == 0
    for name in ("ended-and-gone", "ended-and-kept", "forced"):
        log = await api.log(run_id, name)
        assert log == b"up\ndone\n" or (log == b"up\n" and by_name[name]["attempts"][0]["log"]["gaps"] == 1), name
    await assert_one_pod_each(kubeconfig, namespace, run)


def _terminated(exit_code: int, reason: str, message: str = "") -> Json:
    times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
    return {"state": {"terminated": {"exitCode": exit_code, "reason": reason, "message": message, **times}}}


def _status(phase: str, main: Json, reason: str = "", message: str = "", disruption: str = "") -> Json:
    """The status that a kubelet gives a pod which has ended."""
    container = {"name": "main", "image": "fake:1", "imageID": "", "ready": False, "restartCount": 0, **main}
    told: Json = {"phase": phase, "reason": reason, "message": message, "containerStatuses": [container]}
    if disruption:
        condition = {"type": "DisruptionTarget", "status": "True", "reason": disruption, "message": message}
        told["conditions"] = [{**condition, "lastTransitionTime": "2026-01-01T00:00:00Z"}]
    return {"status": told}


#: What a kubelet that this cluster does not have would say of a pod that runs, and what the attempt is then.
SAID = {
    "shut-down": (
        _status("Failed", _terminated(143, "Error"), "Terminated", SHUTDOWN, "TerminationByKubelet"),
        ("Error", "NodeShutdown", SHUTDOWN, 143),
    ),
    "low-on-memory": (
        _status("Failed", _terminated(137, "Error"), "Evicted", "The node was low on resource: memory."),
        ("Error", "Evicted", "The node was low on resource: memory.", 137),
    ),
    "rebooted": (
        _status("Failed", _terminated(137, "ContainerStatusUnknown", "The container could not be located")),
        ("Error", "ContainerStatusUnknown", "The container could not be located", None),
    ),
    "started-anew": (
        _status("Failed", _terminated(255, "Unknown")),
        (
            "Error", "Unknown",
            "how the container ended is not known: its node or its container runtime was started anew", None,
        ),
    ),
    "finished-in-time": (
        _status("Failed", _terminated(0, "Completed"), "Terminated", SHUTDOWN, "TerminationByKubelet"),
        ("Succeeded", None, None, 0),
    ),
}  # fmt: skip


async def test_kubelet__says_why_a_pod_ended__the_attempt_says_it_too(api: Api, namespace: str, kubeconfig: Path) -> None:
    tasks = [fake(name, 1000, retries=ONE_RETRY if name == "shut-down" else 0) for name in SAID]
    run_id = await api.submit(workflow(*tasks, fake("unknown", 1000)))
    for name, (status, _) in SAID.items():
        await api.task_when(run_id, name, phase="Running")
        await patch_pod(namespace, await pod_of(api, run_id, name), status, subresource="status", kind="strategic")
    await api.task_when(run_id, "unknown", phase="Running")
    unknown = await pod_of(api, run_id, "unknown")
    lost = {"phase": "Unknown", "reason": "NodeLost", "message": "Node is unresponsive"}
    await patch_pod(namespace, unknown, {"status": lost}, subresource="status")
    await api.task_when(run_id, "shut-down", attempts=2, phase="Running")
    assert (await api.task(run_id, "unknown"))["phase"] == "Running"  # the pod is there, and may be heard of again
    for name in ("unknown", "shut-down"):
        pod = await pod_of(api, run_id, name, 1 + (name == "shut-down"))
        told = _status("Succeeded", _terminated(0, "Completed"))
        await patch_pod(namespace, pod, told, subresource="status", kind="strategic")
    run = await api.finished(run_id)
    first = {task["name"]: task["attempts"][0] for task in run["tasks"]}
    seen = {name: tuple(first[name][key] for key in ("phase", "reason", "message", "exit_code")) for name in SAID}
    assert seen == {name: expected for name, (_, expected) in SAID.items()}
    assert tries(run, "shut-down") == [("Error", "NodeShutdown"), ("Succeeded", None)]
    assert tries(run, "unknown") == [("Succeeded", None)]
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_kubelet__does_not_admit_a_pod__it_is_replaced_three_times(api: Api, namespace: str, kubeconfig: Path) -> None:
    on_node = {"nodeName": "node-1"}  # past the scheduler, as a static choice of a node does it
    tasks = [
        shell("no-room", "true", resources={"requests": {"cpu": "1000"}}, pod=on_node),
        shell("wrong-node", "true", node_selector=NOWHERE, pod=on_node),
        shell("not-admitted", "echo ran", node_selector=NOWHERE),
        shell("after", "true", depends_on=["no-room"], trigger_rule="one_failed"),
    ]
    run_id = await api.submit(workflow(*tasks))
    message = "Pod was rejected: Allocate failed due to device plugin"
    for number in (1, 2, 3, 4):
        await api.task_when(run_id, "not-admitted", attempts=number, reason="Unschedulable")
        pod = await pod_of(api, run_id, "not-admitted", number)
        status = {"status": {"phase": "Failed", "reason": "UnexpectedAdmissionError", "message": message}}
        await patch_pod(namespace, pod, status, subresource="status")
    run = await api.finished(run_id)
    assert tries(run, "no-room") == [("Error", "OutOfcpu")] * 4
    assert tries(run, "wrong-node") == [("Error", "NodeAffinity")] * 4
    assert tries(run, "not-admitted") == [("Error", "UnexpectedAdmissionError")] * 4
    assert ends(run)["after"] == ("Succeeded", None)
    messages = {task["name"]: task["message"] for task in run["tasks"]}
    assert messages["not-admitted"] == message
    assert "Node didn't have enough resource: cpu" in messages["no-room"]
    assert "node affinity" in messages["wrong-node"]
    await assert_one_pod_each(kubeconfig, namespace, run)

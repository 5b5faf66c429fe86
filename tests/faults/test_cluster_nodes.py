"""Nodes that are full, tainted, unwell, gone or silent, on nodes of the tests' own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.moves import (
    ONE_RETRY,
    assert_one_pod_each,
    delete_pod,
    ends,
    find_pod,
    kube,
    patch_pod,
    pod_of,
    pod_when,
    tries,
    unique,
)
from tests.support.nodes import OwnNode, fake_node, play_running, silent_node
from tests.support.service import ServiceProcess
from tests.support.workflows import shell, workflow

pytestmark = [
    pytest.mark.faults, pytest.mark.cluster, pytest.mark.fake_nodes, pytest.mark.usefixtures("cluster_service"),
]  # fmt: skip
Json = dict[str, Any]
#: As much of a node as no two pods can have.
MOST = {"resources": {"requests": {"cpu": "60"}}}
GRACE = {"pod": {"terminationGracePeriodSeconds": 1}}
OUT = "moves.example.com/out"


@pytest.fixture
def namespace(cluster_service: ServiceProcess) -> str:
    return cluster_service.namespaces[0]


@asynccontextmanager
async def _priority(value: int) -> AsyncIterator[str]:
    name = unique("moves")
    body = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": name}, "value": value}
    await kube("create", "-f", "-", input_text=json.dumps(body))
    try:
        yield name
    finally:
        await kube("delete", "priorityclass", name)


async def _end_pod(namespace: str, pod: str) -> None:
    """End a fake pod well, as its kubelet does."""
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:01Z"}
    container = {"name": "main", "image": "fake:1", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": "Succeeded", "containerStatuses": [{**container, "state": {"terminated": ended}}]}
    await patch_pod(namespace, pod, {"status": status}, subresource="status", kind="strategic")


async def test_pod__preempted__before_main_started_is_replaced_and_while_it_ran_is_retried(
    api: Api, namespace: str, kubeconfig: Path
) -> None:
    async with _priority(-100) as low, _priority(100) as high, fake_node() as node, silent_node() as silent:
        small = {"priority_class_name": low, **MOST}
        run_id = await api.submit(
            workflow(
                node.fake("runs", retries=ONE_RETRY, **small),
                silent.fake("binds", **small),
                shell("after", "true", depends_on=["runs", "binds"]),
            )
        )
        await api.task_when(run_id, "runs", phase="Running")
        binds = await pod_of(api, run_id, "binds")
        await pod_when(namespace, binds, lambda pod: pod["spec"].get("nodeName"))
        urgent_id = await api.submit(
            workflow(
                node.fake("runs", 2, priority_class_name=high, **MOST),
                silent.fake("binds", priority_class_name=high, **MOST),
            )
        )
        await pod_when(namespace, binds, lambda pod: pod["metadata"].get("deletionTimestamp"))
        await delete_pod(namespace, binds, force=True)  # its kubelet would, now that it has nothing to end
        for name in ("runs", "binds"):
            await api.task_when(run_id, name, attempts=2)
        urgent = await pod_of(api, urgent_id, "binds")
        await pod_when(namespace, urgent, lambda pod: pod["spec"].get("nodeName"))
        await _end_pod(namespace, urgent)
        # There is room again, and so the second attempts come to run.
        await api.task_when(run_id, "runs", attempts=2, phase="Running")
        again = await pod_of(api, run_id, "binds", 2)
        await pod_when(namespace, again, lambda pod: pod["spec"].get("nodeName"))
        for name in ("runs", "binds"):
            await _end_pod(namespace, await pod_of(api, run_id, name, 2))
        await api.task_when(run_id, "after", phase="Succeeded")
        for pod in (urgent, again):  # a silent node's pods are not taken away by anybody
            await delete_pod(namespace, pod, force=True)
        run, urgent_run = await api.finished(run_id), await api.finished(urgent_id)
    assert (run["phase"], urgent_run["phase"]) == ("Succeeded", "Succeeded")
    for name in ("runs", "binds"):
        assert tries(run, name) == [("Error", "Preempted"), ("Succeeded", None)], name
        message = next(task for task in run["tasks"] if task["name"] == name)["attempts"][0]["message"]
        assert message.startswith("default-scheduler: preempting to accommodate a higher priority pod"), name
    for one in (run, urgent_run):
        await assert_one_pod_each(kubeconfig, namespace, one)


async def test_node__tainted_or_unwell_for_a_while__its_pods_go_as_they_tolerate_it(
    api: Api, namespace: str, kubeconfig: Path
) -> None:
    not_ready: Json = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    out: Json = {"key": OUT, "operator": "Exists", "effect": "NoExecute"}
    async with fake_node() as tainted, fake_node() as unwell:
        tasks = [
            tainted.fake("out-at-once", retries=ONE_RETRY),
            tainted.fake("out-soon", tolerations=({**out, "tolerationSeconds": 2},)),
            tainted.fake("stays", tolerations=(out,)),
            unwell.fake("unwell-soon", tolerations=({**not_ready, "tolerationSeconds": 1},)),
            unwell.fake("unwell-stays"),
            shell("on-failure", "true", depends_on=["unwell-soon"], trigger_rule="one_failed"),
        ]
        names = [task["name"] for task in tasks[:5]]
        run_id = await api.submit(workflow(*tasks))
        for name in names:
            await api.task_when(run_id, name, phase="Running")
        await tainted.taint(f"{OUT}=now:NoExecute")
        await unwell.set_ready(False)
        await api.task_when(run_id, "out-at-once", attempts=2, reason="Unschedulable")
        for name in ("out-soon", "unwell-soon"):
            await api.task_when(run_id, name, phase="Error")
        await tainted.taint(f"{OUT}-")
        await unwell.set_ready(True)
        await api.task_when(run_id, "out-at-once", attempts=2, phase="Running")
        for name, number in (("out-at-once", 2), ("stays", 1), ("unwell-stays", 1)):
            await _end_pod(namespace, await pod_of(api, run_id, name, number))
        run = await api.finished(run_id)
    assert tries(run, "out-at-once") == [("Error", "Evicted"), ("Succeeded", None)]
    assert tries(run, "stays") == tries(run, "unwell-stays") == [("Succeeded", None)]
    assert ends(run)["out-soon"] == ends(run)["unwell-soon"] == ("Error", "Evicted")
    assert ends(run)["on-failure"] == ("Succeeded", None)
    message = next(task["message"] for task in run["tasks"] if task["name"] == "unwell-soon")
    assert message == "Taint manager: deleting due to NoExecute taint"
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_unschedulable__until_a_node_comes__runs_once_across_restarts_of_the_service(
    api: Api, cluster_service: ServiceProcess, namespace: str, kubeconfig: Path
) -> None:
    label = f"moves.example.com/{unique('late')}"
    async with fake_node() as node:
        late = {"node_selector": {label: "yes"}, "pending_timeout_seconds": 7200}
        tasks = [node.fake("waits", 1, **late), shell("after", "echo ran", depends_on=["waits"])]
        run_id, more_id = await api.submit(workflow(*tasks)), await api.submit(workflow(*tasks))
        for one in (run_id, more_id):
            waits = await api.task_when(one, "waits", phase="Pending", reason="Unschedulable")
            assert "didn't match Pod's node affinity/selector" in waits["message"]
        cluster_service.kill()
        cluster_service.start()
        assert (await api.task(run_id, "waits"))["reason"] == "Unschedulable"
        await node.label(f"{label}=yes")
        for one in (run_id, more_id):
            run = await api.finished(one)
            assert run["phase"] == "Succeeded"
            assert tries(run, "waits") == [("Succeeded", None)]
            assert await api.log(one, "after") == b"ran\n"
            await assert_one_pod_each(kubeconfig, namespace, run)


@pytest.mark.timeout(200)
async def test_node__gone_or_silent__its_pods_are_lost_and_the_runs_go_on(api: Api, namespace: str, kubeconfig: Path) -> None:
    async with fake_node() as gone, silent_node() as silent, asyncio.TaskGroup() as group:
        group.create_task(_lose_node_object(api, gone, namespace, kubeconfig))
        group.create_task(_lose_kubelet(api, silent, namespace, kubeconfig))


async def _lose_node_object(api: Api, node: OwnNode, namespace: str, kubeconfig: Path) -> None:
    """The machine is gone, and so is its Node: the pod garbage collector takes the pods, within a minute."""
    tasks = [
        node.fake("lost", retries=ONE_RETRY),
        node.fake("lost-for-good", allow_failure=True),
        shell("after", "true", depends_on=["lost"]),
        shell("omitted", "true", depends_on=["lost-for-good"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    for name in ("lost", "lost-for-good"):
        await api.task_when(run_id, name, phase="Running")
    await node.remove()
    await api.task_when(run_id, "lost", attempts=2, reason="Unschedulable", seconds=120)
    await node.add()  # another machine under the old name
    await api.task_when(run_id, "lost", attempts=2, phase="Running")
    await _end_pod(namespace, await pod_of(api, run_id, "lost", 2))
    run = await api.finished(run_id)
    assert run["phase"] == "Succeeded"
    assert tries(run, "lost") == [("Error", "PodLost"), ("Succeeded", None)]
    assert ends(run)["lost-for-good"] == ("Error", "PodLost")
    assert ends(run)["omitted"][0] == "Omitted"
    message = next(task["message"] for task in run["tasks"] if task["name"] == "lost-for-good")
    assert message == "PodGC: node no longer exists"
    await assert_one_pod_each(kubeconfig, namespace, run)


async def _lose_kubelet(api: Api, node: OwnNode, namespace: str, kubeconfig: Path) -> None:
    """Nobody answers on the node any more: what is deleted there stays, and is left after its grace period and a minute."""
    tasks = [
        node.fake("deleted", allow_failure=True, **GRACE),
        node.fake("late", timeout_seconds=3, allow_failure=True, **GRACE),
        shell("after", "true", depends_on=["deleted"], trigger_rule="one_failed"),
        shell("at-once", "true", depends_on=["late"], trigger_rule="one_failed"),
    ]
    run_id = await api.submit(workflow(*tasks))
    cancelled_id = await api.submit(workflow(node.fake("cancelled", **GRACE)))
    pods = [
        await pod_of(api, run_id, "deleted"),
        await pod_of(api, run_id, "late"),
        await pod_of(api, cancelled_id, "cancelled"),
    ]
    for pod in pods:
        await pod_when(namespace, pod, lambda pod: pod["spec"].get("nodeName"))
        await play_running(namespace, pod)
    await api.task_when(run_id, "deleted", phase="Running")
    await api.task_when(cancelled_id, "cancelled", phase="Running")
    await delete_pod(namespace, pods[0])
    await api.cancel(cancelled_id)
    await api.task_when(run_id, "at-once", phase="Succeeded", seconds=30)  # what is downstream does not wait for the pod
    run, cancelled = await api.finished(run_id, 120), await api.finished(cancelled_id, 120)
    for pod in pods:  # the node is back: its kubelet ends what was deleted
        left = await find_pod(namespace, pod)
        assert left is not None
        assert left["metadata"]["deletionTimestamp"]
        await delete_pod(namespace, pod, force=True)
    assert run["phase"] == "Succeeded"
    assert ends(run)["deleted"] == ("Error", "NodeLost")
    assert ends(run)["late"] == ("Failed", "DeadlineExceeded")
    assert ends(run)["after"] == ("Succeeded", None)
    message = next(task["message"] for task in run["tasks"] if task["name"] == "deleted")
    assert message == f"pod {pods[0]} did not go: node {node.name} does not answer"
    assert (cancelled["phase"], cancelled["reason"]) == ("Cancelled", "Cancelled")
    assert cancelled["message"] == f"left on nodes that do not answer: {namespace}/{pods[2]}"
    for one in (run, cancelled):
        logs = [attempt["log"] for task in one["tasks"] for attempt in task["attempts"] if attempt["node"] == node.name]
        assert all(log == {"bytes": 0, "lines": 0, "sealed": True, "gaps": 1} for log in logs), logs
        await assert_one_pod_each(kubeconfig, namespace, one)

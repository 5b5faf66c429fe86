"""Pods that are not what their names and labels say: of the name of an attempt's pod, with its labels, or without them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.domain.names import pod_name
from tests.support.api import Api
from tests.support.cluster import wait_no_pods
from tests.support.moves import (
    ONE_RETRY,
    SHORT_GRACE,
    assert_one_pod_each,
    create,
    delete_pod,
    ends,
    find_pod,
    kube,
    pod_gone,
    pod_up,
    tries,
)
from tests.support.service import ServiceProcess
from tests.support.workflows import approval, shell, workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.usefixtures("cluster_service")]
Json = dict[str, Any]
STAYS = "echo up; exec sleep 1000"
STAYS_ONCE = f"[ $PODRUN_ATTEMPT = 1 ] || exit 0; {STAYS}"
INSTANCE = "podrun.dev/instance"


@pytest.fixture
def namespace(cluster_service: ServiceProcess) -> str:
    return cluster_service.namespaces[0]


def stranger(name: str, labels: dict[str, str], script: str = "echo stranger", **spec: Any) -> Json:
    """A pod that somebody else makes."""
    main = {"name": "main", "image": "busybox:1", "command": ["sh", "-c", script]}
    given = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [main], **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": given}


def labels_of(run_id: str, task: str, instance: str) -> dict[str, str]:
    """What podrun writes on the pod of a task's first attempt."""
    return {
        "podrun.dev/run": run_id, "podrun.dev/task": task, "podrun.dev/attempt": "1", "podrun.dev/workflow": "test",
        INSTANCE: instance, "app.kubernetes.io/managed-by": "podrun",
    }  # fmt: skip


async def _instance(namespace: str, pod: str) -> str:
    found = await find_pod(namespace, pod)
    assert found is not None
    return str(found["metadata"]["labels"][INSTANCE])


async def test_name__taken_by_a_stranger__is_a_conflict_and_the_stranger_stays(
    api: Api, namespace: str, kubeconfig: Path
) -> None:
    after_gate = {"depends_on": ["gate"]}
    tasks = [
        approval("gate"),
        shell("first", STAYS, allow_failure=True, **SHORT_GRACE),
        shell("stranger", "echo ours", retries=ONE_RETRY, **after_gate),
        shell("other", "echo ours", **after_gate),
        shell("after", "true", depends_on=["stranger"]),
        shell("omitted", "true", depends_on=["other"]),
        shell("anyway", "true", depends_on=["other"], trigger_rule="one_failed"),
    ]
    run_id = await api.submit(workflow(*tasks))
    first = await pod_up(api, run_id, "first")
    instance = await _instance(namespace, first)
    names = {name: pod_name(run_id, name, 1) for name in ("stranger", "other")}
    untouched = [
        await create(namespace, stranger(names["stranger"], {"app": "mine"})),
        await create(namespace, stranger(names["other"], labels_of(run_id, "other", f"not-{instance}"))),
    ]
    await api.approve(run_id, "gate")
    await api.task_when(run_id, "anyway", phase="Succeeded")
    await delete_pod(namespace, first)
    run = await api.finished(run_id)
    assert (run["phase"], run["reason"]) == ("Error", "TaskError")
    assert tries(run, "stranger") == [("Error", "PodNameConflict"), ("Succeeded", None)]
    assert tries(run, "other") == [("Error", "PodNameConflict")]
    assert {name: ends(run)[name][0] for name in ("after", "omitted", "anyway")} == {
        "after": "Succeeded", "omitted": "Omitted", "anyway": "Succeeded",
    }  # fmt: skip
    message = next(task["message"] for task in run["tasks"] if task["name"] == "other")
    assert message == f"pod {names['other']} is there already in namespace {namespace} and is not of this attempt"
    assert await api.log(run_id, "stranger") == b"ours\n"
    assert await api.log(run_id, "stranger", attempt=1) == b""
    for made in untouched:
        now = await find_pod(namespace, made["metadata"]["name"])
        assert now is not None
        assert now["metadata"]["uid"] == made["metadata"]["uid"]
        assert "deletionTimestamp" not in now["metadata"]
        await delete_pod(namespace, made["metadata"]["name"], force=True)
    await assert_one_pod_each(kubeconfig, namespace, run)


@pytest.mark.parametrize("restarted", [False, True], ids=["seen", "while-away"])
async def test_pod__with_the_labels_of_an_attempt_that_has_another__is_deleted_by_uid_and_told(
    api: Api, cluster_service: ServiceProcess, namespace: str, restarted: bool
) -> None:
    tasks = [shell("again", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE), shell("copied", STAYS, **SHORT_GRACE)]
    run_id = await api.submit(workflow(*tasks))
    again, copied = [await pod_up(api, run_id, name) for name in ("again", "copied")]
    instance = await _instance(namespace, again)
    if restarted:
        cluster_service.kill()
    await delete_pod(namespace, again, force=True)
    twin = await create(namespace, stranger(again, labels_of(run_id, "again", instance), STAYS))
    copy = await create(namespace, stranger("copy-of-copied", labels_of(run_id, "copied", instance), STAYS))
    future = labels_of(run_id, "copied", instance) | {"podrun.dev/attempt": "7"}
    await create(namespace, stranger("not-begun", future, STAYS))
    if restarted:
        cluster_service.start()
    for name in (again, "copy-of-copied", "not-begun"):
        await pod_gone(namespace, name)
    assert (await api.task_when(run_id, "copied", phase="Running"))["attempts"][0]["pod"] == copied
    await delete_pod(namespace, copied)
    run = await api.finished(run_id)
    assert tries(run, "again") == [("Error", "PodLost"), ("Succeeded", None)]
    assert tries(run, "copied") == [("Error", "PodLost")]
    told = [event for event in await api.events(run_id) if event["reason"] == "StrayPod"]
    assert sorted((event["task"], event["attempt"]) for event in told) == [("again", 1), ("copied", 1)]
    for event, made in zip(sorted(told, key=lambda event: str(event["task"])), (twin, copy), strict=True):
        assert f"pod {made['metadata']['name']} with uid {made['metadata']['uid']}" in event["message"]
    assert await api.log(run_id, "again", attempt=1) == b"up\n"
    assert {made["metadata"]["name"] for made in (twin, copy)} == {again, "copy-of-copied"}
    await asyncio.to_thread(wait_no_pods, namespace, 60, run_id)


async def test_labels__changed_by_others__the_pod_is_still_not_left_behind(api: Api, namespace: str, kubeconfig: Path) -> None:
    tasks = [
        shell("taken-away", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("nobodys", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("renamed", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("added", "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done", **SHORT_GRACE),
    ]
    run_id = await api.submit(workflow(*tasks))
    added = await pod_up(api, run_id, "added")
    taken = {name: await pod_up(api, run_id, name) for name in ("taken-away", "nobodys", "renamed")}
    await kube("label", "pod", added, "-n", namespace, "team=red", "podrun.dev/workflow=renamed", "--overwrite")
    await kube("annotate", "pod", added, "-n", namespace, "example.com/seen=yes")
    await kube("label", "pod", taken["taken-away"], "-n", namespace, f"{INSTANCE}-")
    await kube("label", "pod", taken["nobodys"], "-n", namespace, "podrun.dev/run-")
    await kube("label", "pod", taken["renamed"], "-n", namespace, "podrun.dev/attempt=7", "--overwrite")
    for name, pod in taken.items():
        await api.task_when(run_id, name, phase="Succeeded")
        await pod_gone(namespace, pod)
    await kube("exec", "-n", namespace, added, "-c", "main", "--", "touch", "/tmp/go")
    run = await api.finished(run_id)
    for name in taken:
        assert tries(run, name) == [("Error", "PodLost"), ("Succeeded", None)], name
    assert tries(run, "added") == [("Succeeded", None)]
    await assert_one_pod_each(kubeconfig, namespace, run)

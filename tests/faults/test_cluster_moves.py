"""Kubernetes moves on without us: pods that others delete, evict, kill or keep, before they start and while they run."""

from __future__ import annotations

import asyncio
from pathlib import Path

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
    find_pod,
    keep_pod,
    kube,
    make_secret,
    patch_pod,
    pod_of,
    pod_up,
    pod_when,
    release_pod,
    tries,
    unique,
    wants_secret,
)
from tests.support.service import ServiceProcess
from tests.support.workflows import python, shell, workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.usefixtures("cluster_service")]
STAYS = "echo up; exec sleep 1000"
#: Ends well at the second attempt.
STAYS_ONCE = f"[ $PODRUN_ATTEMPT = 1 ] || exit 0; {STAYS}"
EATS = "eaten = []\nwhile True: eaten.append(bytes(b'x' * 10_000_000))"
LATER = "import time\ntime.sleep(2)\n"
UNTIL_TOLD = "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done"
LITTLE = {"resources": {"limits": {"memory": "64Mi"}}}


@pytest.fixture
def namespace(cluster_service: ServiceProcess) -> str:
    return cluster_service.namespaces[0]


async def test_pod__taken_away_before_main_started__is_replaced_without_counting(
    api: Api, namespace: str, kubeconfig: Path
) -> None:
    secret = unique("late")
    waits = {**wants_secret(secret), **SHORT_GRACE}
    prepares = {"name": "prepare", "image": "busybox:1", "command": ["sh", "-c", STAYS_ONCE]}
    tasks = [
        shell("deleted", "echo ran", **waits),
        shell("forced", "echo ran", **waits),
        shell("evicted", "echo ran", **waits),
        shell("prepared", "echo ran", init_containers=[prepares], **SHORT_GRACE),
        shell("never", "echo ran", node_selector=NOWHERE, allow_failure=True),
        shell("after", "echo ran", depends_on=["deleted", "forced", "evicted", "prepared"]),
        shell("omitted", "echo ran", depends_on=["never"]),
        shell("anyway", "echo ran", depends_on=["never"], trigger_rule="all_done"),
    ]
    run_id = await api.submit(workflow(*tasks))

    async def take(name: str) -> None:
        pod = await pod_of(api, run_id, name)
        begun = "running" if name == "prepared" else "ContainerCreating"
        await pod_when(namespace, pod, lambda pod: begun in str(pod["status"]))
        await (evict_pod(namespace, pod) if name == "evicted" else delete_pod(namespace, pod, force=name == "forced"))
        await api.task_when(run_id, name, attempts=2)

    async def take_never() -> None:
        for number in (1, 2, 3, 4):
            await api.task_when(run_id, "never", attempts=number, reason="Unschedulable")
            await delete_pod(namespace, await pod_of(api, run_id, "never", number))

    async with asyncio.TaskGroup() as group:
        group.create_task(take_never())
        for name in ("deleted", "forced", "evicted", "prepared"):
            group.create_task(take(name))
    await make_secret(namespace, secret)
    run = await api.finished(run_id)
    assert run["phase"] == "Succeeded", run["message"]
    for name in ("deleted", "forced", "prepared"):
        assert tries(run, name) == [("Error", "PodLost"), ("Succeeded", None)], name
    assert tries(run, "evicted") == [("Error", "Evicted"), ("Succeeded", None)]
    assert tries(run, "never") == [("Error", "PodLost")] * 4
    tasks_by_name = {task["name"]: task for task in run["tasks"]}
    for name in ("deleted", "forced", "evicted", "prepared"):
        first = tasks_by_name[name]["attempts"][0]
        its_init_containers = 137 if name == "prepared" else None
        assert (first["started_at"], first["exit_code"]) == (None, its_init_containers), name
    assert tasks_by_name["evicted"]["attempts"][0]["message"] == "Eviction API: evicting"
    assert [ends(run)[name][0] for name in ("after", "omitted", "anyway")] == ["Succeeded", "Omitted", "Succeeded"]
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_pod__taken_away_while_main_runs__is_lost_and_counts_as_a_retry(
    api: Api, namespace: str, kubeconfig: Path
) -> None:
    polite = "trap 'echo bye; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    tasks = [
        shell("lost", STAYS, **SHORT_GRACE),
        shell("forced", STAYS, **SHORT_GRACE),
        shell("again", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("evicted", STAYS, **SHORT_GRACE),
        shell("evicted-again", STAYS_ONCE, retries=ONE_RETRY, **SHORT_GRACE),
        shell("polite", polite),
        shell("polite-evicted", polite),
        shell("omitted", "true", depends_on=["lost"]),
        shell("anyway", "true", depends_on=["lost"], trigger_rule="all_done"),
        shell("on-failure", "true", depends_on=["evicted"], trigger_rule="one_failed"),
        shell("after", "true", depends_on=["again", "evicted-again", "polite", "polite-evicted"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    for name in ("lost", "forced", "again", "polite"):
        await delete_pod(namespace, await pod_up(api, run_id, name), force=name == "forced")
    for name in ("evicted", "evicted-again", "polite-evicted"):
        await evict_pod(namespace, await pod_up(api, run_id, name))
    run = await api.finished(run_id)
    assert (run["phase"], run["reason"]) == ("Error", "TaskError")
    assert tries(run, "lost") == tries(run, "forced") == [("Error", "PodLost")]
    assert tries(run, "again") == [("Error", "PodLost"), ("Succeeded", None)]
    assert tries(run, "evicted") == [("Error", "Evicted")]
    assert tries(run, "evicted-again") == [("Error", "Evicted"), ("Succeeded", None)]
    assert tries(run, "polite") == tries(run, "polite-evicted") == [("Succeeded", None)]
    assert [ends(run)[name][0] for name in ("omitted", "anyway", "on-failure", "after")] == [
        "Omitted", "Succeeded", "Succeeded", "Succeeded",
    ]  # fmt: skip
    messages = {task["name"]: task["message"] for task in run["tasks"]}
    assert messages["evicted"] == "Eviction API: evicting"
    assert "deleted by somebody else while it ran (exit code 137)" in messages["lost"]
    for name in ("lost", "again", "evicted"):
        assert await api.log(run_id, name, attempt=1) == b"up\n"
    assert await api.log(run_id, "polite-evicted") == b"up\nbye\n"
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_pod__out_of_memory__says_which_container_was_killed(api: Api, namespace: str, kubeconfig: Path) -> None:
    beside = {"name": "beside", "image": "busybox:1", "command": ["sh", "-c", "echo beside; exec sleep 1000"]}
    hungry = {"name": "hungry", "image": "python:3", "command": ["python3", "-c", EATS], **LITTLE}
    tasks = [
        python("main-eats", EATS, sidecars=[beside], **LITTLE, **SHORT_GRACE),
        shell("sidecar-eats", UNTIL_TOLD, sidecars=[{**hungry, "command": ["python3", "-c", f"{LATER}{EATS}"]}], **SHORT_GRACE),
        shell("sidecar-ends", "true", sidecars=[{**beside, "command": ["false"]}], pending_timeout_seconds=12, **SHORT_GRACE),
        shell("init-eats", "echo ran", init_containers=[hungry]),
        shell("omitted", "true", depends_on=["main-eats"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    again = await pod_up(api, run_id, "sidecar-eats")
    await pod_when(namespace, again, lambda pod: pod["status"]["initContainerStatuses"][0]["restartCount"])
    await kube("exec", "-n", namespace, again, "-c", "main", "--", "touch", "/tmp/go")
    run = await api.finished(run_id)
    assert ends(run) == {
        "main-eats": ("Failed", "OOMKilled"),
        "sidecar-eats": ("Succeeded", None),
        "sidecar-ends": ("Error", "Error"),
        "init-eats": ("Failed", "OOMKilled"),
        "omitted": ("Omitted", "UpstreamFailed"),
    }
    by_name = {task["name"]: task for task in run["tasks"]}
    assert [by_name[name]["attempts"][0]["exit_code"] for name in ("main-eats", "init-eats")] == [137, 137]
    assert "out of memory" in by_name["main-eats"]["message"]
    assert by_name["init-eats"]["message"].startswith("init container hungry: ")
    assert await api.log(run_id, "main-eats", container="beside") == b"beside\n"
    assert by_name["sidecar-ends"]["message"] == "not started after 12 s: container beside: exit code 1"
    assert await api.log(run_id, "sidecar-eats") == b"up\ndone\n"
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_pod__main_killed_from_outside_or_visited_by_a_debugger__ends_as_its_container_did(
    api: Api, namespace: str, kubeconfig: Path
) -> None:
    visitor = {"name": "visitor", "image": "busybox:1", "command": ["sleep", "1000"]}
    pod = {"pod": {"shareProcessNamespace": True, "terminationGracePeriodSeconds": 1}, "sidecars": [visitor]}
    # Kubernetes makes one dollar of two.
    says_pid = "[ $PODRUN_ATTEMPT = 1 ] || exit 0; echo up; echo pid $$$$; exec sleep 1000"
    tasks = [
        shell("killed", says_pid, retries=ONE_RETRY, **pod),
        shell("stopped", says_pid, retries={"limit": 1, "on": ["Error"]}, **pod),
        shell("debugged", UNTIL_TOLD, **SHORT_GRACE),
    ]
    run_id = await api.submit(workflow(*tasks))
    for name, signal in (("killed", "-KILL"), ("stopped", "-TERM")):
        own = await pod_up(api, run_id, name)
        pid = (await api.log_when(run_id, name, b"pid ")).split()[-1].decode()
        await kube("exec", "-n", namespace, own, "-c", "visitor", "--", "kill", signal, pid)
    debugged = await pod_up(api, run_id, "debugged")
    debugger = {"name": "debugger", "image": "busybox:1", "command": ["sleep", "1000"], "targetContainerName": "main"}
    await patch_pod(namespace, debugged, {"spec": {"ephemeralContainers": [debugger]}}, subresource="ephemeralcontainers")
    await pod_when(
        namespace, debugged, lambda pod: "running" in str([one["state"] for one in pod["status"]["ephemeralContainerStatuses"]])
    )
    await kube("exec", "-n", namespace, debugged, "-c", "main", "--", "touch", "/tmp/go")
    run = await api.finished(run_id)
    assert tries(run, "killed") == [("Failed", "Error"), ("Succeeded", None)]
    assert tries(run, "stopped") == [("Failed", "Error")]  # its own end, whoever sent the signal: no Error, so not retried
    by_name = {task["name"]: task for task in run["tasks"]}
    assert [by_name[name]["attempts"][0]["exit_code"] for name in ("killed", "stopped")] == [137, 143]
    assert tries(run, "debugged") == [("Succeeded", None)]
    assert await api.log(run_id, "debugged") == b"up\ndone\n"
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_pod__kept_by_somebodys_finalizer__does_not_keep_the_run(api: Api, namespace: str, kubeconfig: Path) -> None:
    cancelled_id = await api.submit(workflow(shell("cancelled", STAYS, **SHORT_GRACE)))
    tasks = [
        shell("deleted", STAYS, **SHORT_GRACE),
        shell("ended", UNTIL_TOLD, **SHORT_GRACE),
        shell("no-node", "true", node_selector=NOWHERE),
        shell("after", "true", depends_on=["ended"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    kept = [await pod_up(api, cancelled_id, "cancelled")]
    kept += [await pod_up(api, run_id, name) for name in ("deleted", "ended")]
    await api.task_when(run_id, "no-node", reason="Unschedulable")
    kept.append(await pod_of(api, run_id, "no-node"))
    for pod in kept:
        await keep_pod(namespace, pod)
    try:
        await api.cancel(cancelled_id)
        await delete_pod(namespace, kept[1])
        await kube("exec", "-n", namespace, kept[2], "-c", "main", "--", "touch", "/tmp/go")
        await delete_pod(namespace, kept[3])
        await api.task_when(run_id, "no-node", attempts=2, reason="Unschedulable", seconds=20)
        await api.task_when(run_id, "after", phase="Succeeded")
        await api.task_when(run_id, "deleted", phase="Error")
        await api.cancel(run_id)
        run, cancelled = await api.finished(run_id, 30), await api.finished(cancelled_id, 30)
        left = {pod: await find_pod(namespace, pod) for pod in kept}
        assert all(pod is not None and pod["metadata"]["deletionTimestamp"] for pod in left.values())
    finally:
        for pod in kept:
            await release_pod(namespace, pod)
    assert (cancelled["phase"], cancelled["message"]) == ("Cancelled", None)
    assert ends(run)["deleted"] == ("Error", "PodLost")
    assert ends(run)["ended"] == ("Succeeded", None)
    assert tries(run, "no-node") == [("Error", "PodLost"), ("Cancelled", "Cancelled")]
    first = next(task for task in run["tasks"] if task["name"] == "no-node")["attempts"][0]
    assert first["message"] == "the pod was deleted before it had a node"
    assert await api.log(run_id, "ended") == b"up\ndone\n"
    for one in (run, cancelled):
        await assert_one_pod_each(kubeconfig, namespace, one)

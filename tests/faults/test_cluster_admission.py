"""The cluster does not take a pod, or takes its namespace away: quotas, limits, images, namespaces that end and come back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.cluster import apply, fresh_namespace, wait_no_pods
from tests.support.moves import (
    FINALIZER,
    ONE_RETRY,
    SHORT_GRACE,
    assert_one_pod_each,
    create,
    ends,
    find_pod,
    kube,
    pod_of,
    pod_up,
    tries,
)
from tests.support.service import ServiceProcess, started
from tests.support.workflows import shell, workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.usefixtures("cluster_service")]
Json = dict[str, Any]
STAYS = "echo up; exec sleep 1000"
UNTIL_TOLD = "echo up; while [ ! -e /tmp/go ]; do sleep 0.1; done; echo done"


@pytest.fixture(scope="module")
def cluster_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with namespaces to break: its default, and one for each test that needs one."""
    with ExitStack() as stack:
        names = [stack.enter_context(fresh_namespace()) for _ in range(5)]
        yield started(stack, tmp_path_factory.mktemp("service"), "kubernetes", namespaces=names)


def _quota(**hard: str) -> Json:
    return {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "few"}, "spec": {"hard": hard}}


async def test_quota__exceeded_and_freed__runs_once_also_across_a_restart(
    api: Api, cluster_service: ServiceProcess, kubeconfig: Path
) -> None:
    namespace = cluster_service.namespaces[1]
    apply(namespace, **_quota(pods="1"))
    holder_id = await api.submit(workflow(shell("holds", UNTIL_TOLD, **SHORT_GRACE), namespace=namespace))
    holder = await pod_up(api, holder_id, "holds")
    tasks = [shell("waits", "echo ran"), shell("after", "echo ran", depends_on=["waits"])]
    run_id = await api.submit(workflow(*tasks, namespace=namespace))
    given_up_id = await api.submit(workflow(shell("waits", "true"), namespace=namespace))
    timed_out_id = await api.submit(workflow(shell("waits", "true", pending_timeout_seconds=2), namespace=namespace))
    for one in (run_id, given_up_id):
        waits = await api.task_when(one, "waits", phase="Pending", reason="QuotaExceeded")
        assert "exceeded quota: few, requested: pods=1, used: pods=1, limited: pods=1" in waits["message"]
    timed_out = await api.finished(timed_out_id)
    assert ends(timed_out) == {"waits": ("Error", "QuotaExceeded")}
    cluster_service.kill()
    cluster_service.start()
    await api.cancel(given_up_id)
    given_up = await api.finished(given_up_id, 20)
    assert ends(given_up) == {"waits": ("Cancelled", "Cancelled")}
    assert (await api.task(run_id, "waits"))["reason"] == "QuotaExceeded"
    await kube("exec", "-n", namespace, holder, "-c", "main", "--", "touch", "/tmp/go")
    run, holding = await api.finished(run_id), await api.finished(holder_id)
    assert (run["phase"], holding["phase"]) == ("Succeeded", "Succeeded")
    assert tries(run, "waits") == tries(run, "after") == [("Succeeded", None)]
    for one in (run, holding):
        await assert_one_pod_each(kubeconfig, namespace, one)
    for one in (given_up, timed_out):
        await assert_one_pod_each(kubeconfig, namespace, one, refused=("waits",))


async def test_limits__of_the_namespace__fill_in_and_refuse_for_good(
    api: Api, cluster_service: ServiceProcess, kubeconfig: Path
) -> None:
    limited, strict = cluster_service.namespaces[2:4]
    limits = [{"type": "Container", "default": {"memory": "48Mi"}, "max": {"memory": "64Mi"}}]
    apply(limited, kind="LimitRange", apiVersion="v1", metadata={"name": "small"}, spec={"limits": limits})
    apply(strict, **_quota(**{"requests.cpu": "1"}))
    tasks = [
        shell("filled-in", UNTIL_TOLD, **SHORT_GRACE),
        shell("too-much", "true", resources={"limits": {"memory": "128Mi"}}),
        shell("says-nothing", "true", namespace=strict),
        shell("too-much-at-once", "true", namespace=strict, resources={"requests": {"cpu": "2"}}, pending_timeout_seconds=3),
        shell("anyway", "true", depends_on=["too-much", "says-nothing"], trigger_rule="all_failed"),
    ]
    run_id = await api.submit(workflow(*tasks, namespace=limited))
    pod = await find_pod(limited, filled := await pod_up(api, run_id, "filled-in"))
    assert pod is not None
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"memory": "48Mi"}
    await kube("exec", "-n", limited, filled, "-c", "main", "--", "touch", "/tmp/go")
    run = await api.finished(run_id)
    assert ends(run) == {
        "filled-in": ("Succeeded", None),
        "too-much": ("Error", "Forbidden"),
        "says-nothing": ("Error", "Forbidden"),
        "too-much-at-once": ("Error", "QuotaExceeded"),  # what others hold may be freed: that is not known here
        "anyway": ("Succeeded", None),
    }
    messages = {task["name"]: task["message"] for task in run["tasks"]}
    assert "maximum memory usage per Container is 64Mi, but limit is 128Mi" in messages["too-much"]
    assert "failed quota: few: must specify requests.cpu" in messages["says-nothing"]
    await assert_one_pod_each(kubeconfig, limited, run, refused=("too-much", "says-nothing", "too-much-at-once"))


async def test_image__that_can_not_be_pulled__runs_once_it_can(
    api: Api, cluster_service: ServiceProcess, kubeconfig: Path
) -> None:
    namespace = cluster_service.namespaces[0]
    missing = "registry.invalid/nothing:1"
    beside = {"name": "beside", "image": missing, "command": ["sleep", "1000"]}
    tasks = [
        {**shell("mended", "echo ran"), "image": missing},
        shell("sidecar", "echo ran", sidecars=[beside], pending_timeout_seconds=15),
        shell("after", "echo ran", depends_on=["mended"]),
        shell("omitted", "echo ran", depends_on=["sidecar"]),
    ]
    run_id = await api.submit(workflow(*tasks))
    await api.task_when(run_id, "mended", phase="Pending", reason="ErrImagePull")
    await kube("set", "image", f"pod/{await pod_of(api, run_id, 'mended')}", "main=busybox:1", "-n", namespace)
    run = await api.finished(run_id)
    assert tries(run, "mended") == tries(run, "after") == [("Succeeded", None)]
    assert await api.log(run_id, "mended") == b"ran\n"
    assert ends(run)["sidecar"] in (("Error", "ErrImagePull"), ("Error", "ImagePullBackOff"))
    message = next(task["message"] for task in run["tasks"] if task["name"] == "sidecar")
    assert message.startswith("not started after 15 s: container beside: ")
    assert ends(run)["omitted"][0] == "Omitted"
    await assert_one_pod_each(kubeconfig, namespace, run)


async def test_namespace__deleted_under_a_run__ends_its_tasks_and_is_used_again_when_it_is_back(
    api: Api, cluster_service: ServiceProcess
) -> None:
    safe, doomed = cluster_service.namespaces[0], cluster_service.namespaces[4]
    polite = "trap 'exit 0' TERM; echo up; while :; do sleep 0.1; done"
    tasks = [
        shell("runs", STAYS, **SHORT_GRACE),
        shell("polite", polite, **SHORT_GRACE),
        shell("again", STAYS, retries=ONE_RETRY, **SHORT_GRACE),
        shell("no-node", "true", node_selector={"kubernetes.io/hostname": "nowhere"}),
        shell("after", "true", depends_on=["polite"]),
        shell("elsewhere", "true", depends_on=["again"], trigger_rule="one_failed", namespace=safe),
    ]
    last = [shell("report", "echo ${{ run.phase }}", namespace=safe)]
    run_id = await api.submit(workflow(*tasks, namespace=doomed, on_exit=last))
    for name in ("runs", "polite", "again"):
        await pod_up(api, run_id, name)
    await api.task_when(run_id, "no-node", reason="Unschedulable")
    # What is kept in it keeps the namespace, for a while.
    kept = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kept", "finalizers": [FINALIZER]}}
    await create(doomed, kept)
    await kube("delete", "namespace", doomed, "--wait=false")
    run = await api.finished(run_id, 60)
    posted = await api.finished(await api.submit(workflow(shell("posted", "true"), namespace=doomed)), 20)
    await kube("patch", "configmap", "kept", "-n", doomed, "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await kube("wait", "--for=delete", f"namespace/{doomed}", "--timeout=60s")
    gone = await api.finished(await api.submit(workflow(shell("posted", "true"), namespace=doomed)), 20)
    await kube("create", "namespace", doomed)
    await kube("wait", "--for=create", "serviceaccount/default", "-n", doomed, "--timeout=30s")
    back_id = await api.submit(workflow(shell("posted", "echo ran"), namespace=doomed))
    back = await api.finished(back_id)

    assert (run["phase"], run["reason"]) == ("Error", "TaskError")
    assert tries(run, "runs") == [("Error", "PodLost")]
    assert tries(run, "polite") == [("Succeeded", None)]
    assert tries(run, "again") == [("Error", "PodLost"), ("Error", "Forbidden")]
    assert tries(run, "no-node") == [("Error", "PodLost"), ("Error", "Forbidden")]
    assert ends(run)["after"] == ("Error", "Forbidden")
    assert ends(run)["elsewhere"] == ends(run)["report"] == ("Succeeded", None)
    assert await api.log(run_id, "report") == b"Error\n"
    assert await api.log(run_id, "runs") == b"up\n"
    assert ends(posted) == {"posted": ("Error", "Forbidden")}
    assert f"namespace {doomed} because it is being terminated" in posted["tasks"][0]["message"]
    assert ends(gone) == {"posted": ("Error", "NotFound")}
    assert f'namespaces "{doomed}" not found' in gone["tasks"][0]["message"]
    assert ends(back) == {"posted": ("Succeeded", None)}
    assert await api.log(back_id, "posted") == b"ran\n"
    await asyncio.to_thread(wait_no_pods, doomed, 60)

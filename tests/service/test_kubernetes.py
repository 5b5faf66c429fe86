"""What only a real cluster does to a pod: each reason reaches the task in Kubernetes' own words; what a pod looks like."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api, api_of
from tests.support.cluster import apply, fresh_namespace, kubectl, list_pods, wait_no_pods
from tests.support.service import ServiceProcess
from tests.support.workflows import python, shell, workflow

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster_service")]
MISSING = "podrun-test-not-there"


@pytest.fixture(scope="module")
def cluster_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with three namespaces: its default, one with a quota, and one that does not exist."""
    with ExitStack() as stack:
        names = [stack.enter_context(fresh_namespace()) for _ in range(2)]
        quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
        apply(names[1], **quota)
        service = ServiceProcess(tmp_path_factory.mktemp("service"), "kubernetes", namespaces=[*names, MISSING])
        stack.callback(service.close)
        service.start()
        yield service
    assert not service.faults()


def _pod_of(service: ServiceProcess, attempt: dict[str, Any]) -> dict[str, Any] | None:
    pods = list_pods(service.namespaces[0])
    return next((pod for pod in pods if pod["metadata"]["name"] == attempt["pod"]), None)


async def _when_pending(api: Api, run_id: str, name: str, reason: str) -> dict[str, Any]:
    return await api.task_when(run_id, name, phase="Pending", reason=reason)


async def test_reasons__of_pods_that_wait__are_told_at_once_and_stand_at_the_pending_timeout(
    api: Api, cluster_service: ServiceProcess
) -> None:
    secret = {"secrets": [{"secret": "not-there", "key": "a", "env": "A"}]}
    mounted = {"secrets": [{"secret": "not-there", "mount_path": "/secret"}]}
    huge = {"resources": {"requests": {"cpu": "1000"}}}
    limit = {"pending_timeout_seconds": 14}
    tasks = [
        shell("huge", "true", **huge, **limit),
        shell("elsewhere", "true", node_selector={"kubernetes.io/hostname": "nowhere"}, **limit),
        shell("no-secret", "true", **secret, **limit),
        shell("no-mount", "true", **mounted, **limit),
        {**shell("no-image", "true", **limit), "image": "registry.invalid/nothing:1"},
    ]
    run_id = await api.submit(workflow(*tasks))
    waiting = {
        "huge": await _when_pending(api, run_id, "huge", "Unschedulable"),
        "elsewhere": await _when_pending(api, run_id, "elsewhere", "Unschedulable"),
        "no-secret": await _when_pending(api, run_id, "no-secret", "CreateContainerConfigError"),
        "no-image": await _when_pending(api, run_id, "no-image", "ErrImagePull"),
        "no-mount": await _when_pending(api, run_id, "no-mount", "FailedMount"),
    }
    assert "Insufficient cpu" in waiting["huge"]["message"]
    assert "didn't match Pod's node affinity/selector" in waiting["elsewhere"]["message"]
    assert 'secret "not-there" not found' in waiting["no-secret"]["message"]
    assert 'secret "not-there" not found' in waiting["no-mount"]["message"]
    assert "registry.invalid/nothing:1" in waiting["no-image"]["message"]

    run = await api.finished(run_id)
    ended = {task["name"]: task for task in run["tasks"]}
    assert run["phase"] == "Error"
    assert {name: (task["phase"], task["attempts"][0]["phase"]) for name, task in ended.items()} == dict.fromkeys(
        ended, ("Error", "Error")
    )
    assert {name: task["reason"] for name, task in ended.items() if name != "no-image"} == {
        name: task["reason"] for name, task in waiting.items() if name != "no-image"
    }
    assert ended["no-image"]["reason"] in ("ImagePullBackOff", "ErrImagePull")
    for name, task in ended.items():
        assert task["message"].startswith("not started after 14 s: "), name
        assert task["attempts"][0]["exit_code"] is None
    history = [(event["task"], event["reason"]) for event in await api.events(run_id) if event["type"] == "PodEvent"]
    assert {("huge", "FailedScheduling"), ("no-mount", "FailedMount"), ("no-image", "Failed")} <= set(history)
    await asyncio.to_thread(wait_no_pods, cluster_service.namespaces[0], 60, run_id)


async def test_reasons__of_containers_that_fail__are_kubernetes_own(api: Api, cluster_service: ServiceProcess) -> None:
    eat = "eaten = []\nwhile True: eaten.append(bytes(b'x' * 10_000_000))"
    tasks = [
        python("eats", eat, resources={"limits": {"memory": "64Mi"}}),
        {**shell("no-program", ""), "command": ["not-a-program"]},
        shell("no-folder", "true", working_dir="/etc/passwd/x"),
        {**shell("never", "true"), "image": "not-there:1", "image_pull_policy": "Never"},
        shell("speaks", "echo 'the reason why' > $PODRUN_OUTPUTS; exit 3"),
    ]
    run_id = await api.submit(workflow(*tasks))
    run = await api.finished(run_id)
    ended = {task["name"]: task for task in run["tasks"]}
    assert (ended["eats"]["phase"], ended["eats"]["reason"]) == ("Failed", "OOMKilled")
    assert ended["eats"]["attempts"][0]["exit_code"] == 137
    assert (ended["no-program"]["phase"], ended["no-program"]["reason"]) == ("Failed", "StartError")
    assert '"not-a-program": executable file not found in $PATH' in ended["no-program"]["message"]
    assert (ended["no-folder"]["phase"], ended["no-folder"]["reason"]) in (
        ("Failed", "StartError"),
        ("Error", "RunContainerError"),
    )
    assert (ended["never"]["phase"], ended["never"]["reason"]) == ("Error", "ErrImageNeverPull")
    assert "not-there:1" in ended["never"]["message"]
    assert (ended["speaks"]["phase"], ended["speaks"]["attempts"][0]["exit_code"]) == ("Failed", 3)
    assert "the reason why" in ended["speaks"]["message"]
    assert run["phase"] == "Failed"
    await asyncio.to_thread(wait_no_pods, cluster_service.namespaces[0], 60, run_id)


async def test_quota__exceeded__waits_and_runs_once_there_is_room(api: Api, cluster_service: ServiceProcess) -> None:
    namespace = cluster_service.namespaces[1]
    run_id = await api.submit(workflow(shell("waits", "echo ran"), namespace=namespace))
    waits = await _when_pending(api, run_id, "waits", "QuotaExceeded")
    assert "exceeded quota: none" in waits["message"]
    kubectl("patch", "resourcequota", "none", "-n", namespace, "-p", '{"spec":{"hard":{"pods":"5"}}}')
    run = await api.finished(run_id)
    assert run["phase"] == "Succeeded"
    assert len(run["tasks"][0]["attempts"]) == 1
    assert await api.log(run_id, "waits") == b"ran\n"


async def test_namespace__that_is_not_there__ends_the_task_as_error_in_the_api_servers_words(api: Api) -> None:
    run = await api.finished(await api.submit(workflow(shell("lost", "true"), namespace=MISSING)))
    assert run["phase"] == "Error"
    assert (run["tasks"][0]["phase"], run["tasks"][0]["reason"]) == ("Error", "NotFound")
    assert f'namespaces "{MISSING}" not found' in run["tasks"][0]["message"]


async def test_namespace__that_the_service_does_not_allow__is_refused_at_submit(api: Api) -> None:
    answer = await api.http.post("/runs", json={"workflow": workflow(shell("a", "true"), namespace="kube-system")})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == ["/workflow/namespace"]


async def test_pod__deleted_behind_our_back__is_lost_and_retried(api: Api, cluster_service: ServiceProcess) -> None:
    once = "[ $PODRUN_ATTEMPT = 1 ] || exit 0; trap 'exit 9' TERM; echo waits; while :; do sleep 0.1; done"
    retries = {"limit": 1, "delay_seconds": 0, "jitter": False}
    tasks = [shell("retried", once, retries=retries), shell("lost", once), shell("forced", once)]
    run_id = await api.submit(workflow(*tasks))
    for name in ("retried", "lost", "forced"):
        log = await api.log_when(run_id, name, b"waits\n")
        assert log == b"waits\n"
        pod = (await api.task(run_id, name))["attempts"][0]["pod"]
        force = ("--grace-period=0", "--force") if name == "forced" else ()
        await asyncio.to_thread(kubectl, "delete", "pod", pod, "-n", cluster_service.namespaces[0], "--wait=false", *force)
    run = await api.finished(run_id)
    retried, lost, forced = run["tasks"]
    assert run["phase"] == "Error"
    assert [(one["phase"], one["reason"]) for one in retried["attempts"]] == [("Error", "PodLost"), ("Succeeded", None)]
    assert (lost["phase"], lost["reason"], len(lost["attempts"])) == ("Error", "PodLost", 1)
    assert (forced["phase"], forced["reason"], len(forced["attempts"])) == ("Error", "PodLost", 1)
    assert await api.log(run_id, "retried", attempt=1) == b"waits\n"


async def test_pod__has_all_that_the_task_says(api: Api, cluster_service: ServiceProcess) -> None:
    namespace = cluster_service.namespaces[0]
    kubectl("create", "secret", "generic", "keys", "-n", namespace, "--from-literal=token=s3cret", "--from-literal=other=o")
    kubectl("create", "configmap", "settings", "-n", namespace, "--from-literal=COLOUR=blue")
    kubectl("create", "serviceaccount", "robot", "-n", namespace)
    show = (
        "for n in $(printenv | sort | grep -E '^(A|B|COLOUR|TOKEN|PODRUN)' | sed 's/=.*//'); do printenv $n; done | head -1; "
    )
    script = (
        f"{show} echo A=$A B=$B COLOUR=$COLOUR TOKEN=$TOKEN; echo $PODRUN_WORKFLOW $PODRUN_TASK $PODRUN_ATTEMPT; pwd; id -u;"
        " cat /keys/other; echo; ls /var/run/secrets/kubernetes.io/serviceaccount/token; trap 'exit 0' TERM;"
        " while :; do sleep 0.1; done"
    )
    task = shell(
        "full", script,
        env=[{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}], env_from=[{"configMapRef": {"name": "settings"}}],
        secrets=[{"secret": "keys", "key": "token", "env": "TOKEN"}, {"secret": "keys", "mount_path": "/keys"}],
        resources={"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}, working_dir="/tmp",
        labels={"team": "green"}, annotations={"example.com/note": "a b"}, service_account_name="robot",
        image_pull_policy="IfNotPresent", node_selector={"kubernetes.io/hostname": "node-1"},
        tolerations=[{"key": "fake", "operator": "Exists"}], timeout_seconds=100,
        security_context={"runAsUser": 1234, "runAsNonRoot": True, "capabilities": {"drop": ["ALL"]}, "fsGroup": 1234},
    )  # fmt: skip
    run_id = await api.submit(workflow(task, name="whole", labels={"from": "workflow"}), labels={"by": "request"})
    log = (await api.log_when(run_id, "full", b"token\n")).decode().splitlines()
    attempt = (await api.task(run_id, "full"))["attempts"][0]
    pod = await asyncio.to_thread(_pod_of, cluster_service, attempt)
    await api.cancel(run_id)
    assert log[1:6] == ["A=1 B=12 COLOUR=blue TOKEN=s3cret", "whole full 1", "/tmp", "1234", "o"]
    assert pod is not None
    labels = pod["metadata"]["labels"]
    assert labels.items() >= {
        "team": "green", "from": "workflow", "by": "request", "podrun.dev/run": run_id, "podrun.dev/task": "full",
        "podrun.dev/attempt": "1", "podrun.dev/workflow": "whole", "app.kubernetes.io/managed-by": "podrun",
    }.items()  # fmt: skip
    assert labels["podrun.dev/instance"]
    assert pod["metadata"]["annotations"]["example.com/note"] == "a b"
    spec, [main] = pod["spec"], pod["spec"]["containers"]
    assert (attempt["node"], spec["nodeName"]) == ("node-1", "node-1")
    assert main["name"] == "main"
    assert main["resources"] == {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}
    assert main["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert (spec["securityContext"]["runAsUser"], spec["securityContext"]["fsGroup"]) == (1234, 1234)
    assert (spec["serviceAccountName"], spec["restartPolicy"]) == ("robot", "Never")
    assert spec["activeDeadlineSeconds"] == 600 + 100 + 60
    assert {"key": "fake", "operator": "Exists"} in spec["tolerations"]
    assert (await api.finished(run_id))["phase"] == "Cancelled"


async def test_pod__without_a_service_account__gets_no_token(api: Api) -> None:
    run_id = await api.submit(workflow(shell("bare", "ls /var/run/secrets/kubernetes.io 2>&1 || echo none")))
    assert (await api.finished(run_id))["phase"] == "Succeeded"
    assert (await api.log(run_id, "bare")).splitlines()[-1] == b"none"


async def test_forbidden__by_the_clusters_rules__ends_the_task_as_error_with_its_words(
    tmp_path: Path, kubeconfig: Path
) -> None:
    with fresh_namespace() as namespace:
        kubectl("create", "serviceaccount", "podrun", "-n", namespace)
        kubectl("create", "role", "podrun", "-n", namespace, "--verb=get,list,watch", "--resource=pods,pods/log,events")
        bound = f"--serviceaccount={namespace}:podrun"
        kubectl("create", "rolebinding", "podrun", "-n", namespace, "--role=podrun", bound)
        token = kubectl("create", "token", "podrun", "-n", namespace).strip()
        config = json.loads(kubectl("config", "view", "--raw", "-o", "json", f"--kubeconfig={kubeconfig}"))
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
        restricted = tmp_path / "kubeconfig"
        restricted.write_text(json.dumps(config))
        service = ServiceProcess(tmp_path / "service", "kubernetes", namespaces=[namespace], kubeconfig=restricted)
        service.start()
        try:
            async with api_of(service.url) as api:
                run = await api.finished(await api.submit(workflow(shell("refused", "true"))))
                assert run["phase"] == "Error"
                [task] = run["tasks"]
                assert (task["phase"], task["reason"]) == ("Error", "Forbidden")
                assert f"system:serviceaccount:{namespace}:podrun" in task["message"]
                assert "cannot create resource" in task["message"]
        finally:
            service.close()

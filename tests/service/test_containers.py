"""Pods of several containers on the real cluster: their logs, their ends, what they share, and what the cluster says to them.

The runs that end by themselves are posted together, and each test waits for its own.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime

import pytest

from tests.support.api import Api, api_of
from tests.support.cluster import apply, fresh_namespace, kubectl, list_pods
from tests.support.service import ServiceProcess
from tests.support.waiting import run_apart
from tests.support.workflows import Json, shell, workflow

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("cluster_service")]
GRACE_SECONDS = 4
COUNT = 40
#: Of all containers of a pod together. Source: k8s.io/kubernetes/pkg/kubelet: MaxPodTerminationMessageLogLength
MESSAGE_BYTES_OF_A_POD = 12 * 1024


def container(name: str, script: str, **keys: Json) -> Json:
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script], **keys}


def counts(name: str, more: str = "") -> str:
    return f"i=0; while [ $i -lt {COUNT} ]; do echo {name} $i; i=$((i+1)); done; {more}"


def counted(name: str) -> bytes:
    return b"".join(b"%s %d\n" % (name.encode(), number) for number in range(COUNT))


def filled(size: int) -> str:
    """A script whose outputs have so many bytes."""
    return f'printf \'{{"a": "%0{size - 9}d"}}\' 0 > $PODRUN_OUTPUTS'


WORK = [{"name": "work", "mountPath": "/work"}]
BYE = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done"
TASKS = {
    "logs": shell(
        "logs", f"sleep 1; {counts('main')}",
        init_containers=[container("first", counts("first")), container("second", "true")],
        sidecars=[container("proxy", counts("proxy", BYE))],
    ),
    "stubborn": shell(
        "stubborn", "echo done", sidecars=[container("deaf", counts("deaf", "while :; do sleep 0.1; done"))],
        pod={"terminationGracePeriodSeconds": GRACE_SECONDS},
    ),
    "init-fails": shell(
        "init-fails", "echo never", init_containers=[container("prepare", f"{counts('prepare')} exit 3")],
        sidecars=[container("proxy", BYE)],
    ),
    "volumes": shell(
        "volumes", "cat /work/made; echo more >> /work/made; wc -l < /work/made", volumes=[{"name": "work", "emptyDir": {}}],
        volume_mounts=WORK, init_containers=[container("makes", "echo made > /work/made", volumeMounts=WORK)],
    ),
    "secrets": shell(
        "secrets", "echo $TOKEN; cat /keys/token; echo; ls /some; cat /some/renamed",
        secrets=[
            {"secret": "keys", "key": "token", "env": "TOKEN"},
            {"secret": "keys", "mount_path": "/keys"},
            {"secret": "keys", "mount_path": "/some", "items": [{"key": "other", "path": "renamed"}]},
        ],
    ),
    "restarts": shell(
        "restarts", "until [ -e /work/twice ]; do sleep 0.1; done; echo seen", volumes=[{"name": "work", "emptyDir": {}}],
        volume_mounts=WORK,
        sidecars=[
            container(
                "shaky", f"echo up; [ -e /work/once ] && {{ touch /work/twice; {BYE}; }}; touch /work/once; sleep 1; exit 1",
                volumeMounts=WORK,
            )
        ],
    ),
    "outputs": shell(
        "outputs", filled(MESSAGE_BYTES_OF_A_POD // 4), init_containers=[container(name, "true") for name in ("a", "b", "c")]
    ),
    "too-large": shell(
        "too-large", filled(MESSAGE_BYTES_OF_A_POD // 4 + 1),
        init_containers=[container(name, "true") for name in ("a", "b", "c")],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def cluster_service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServiceProcess]:
    """A service with three namespaces: its default, one with a quota of no pods, and one that refuses ordinary pods."""
    with ExitStack() as stack:
        names = [stack.enter_context(fresh_namespace()) for _ in range(3)]
        kubectl("create", "secret", "generic", "keys", "-n", names[0], "--from-literal=token=s3cret", "--from-literal=other=o")
        quota = {"kind": "ResourceQuota", "apiVersion": "v1", "metadata": {"name": "few"}, "spec": {"hard": {"pods": "0"}}}
        apply(names[1], **quota)
        quota = {**quota, "metadata": {"name": "cpu"}, "spec": {"hard": {"requests.cpu": "1"}}}
        apply(names[1], **quota)
        kubectl("label", "namespace", names[2], "pod-security.kubernetes.io/enforce=restricted")
        service = ServiceProcess(tmp_path_factory.mktemp("service"), "kubernetes", namespaces=names)
        stack.callback(service.close)
        service.start()
        yield service
    assert not service.faults()


@pytest.fixture(scope="module")
def run_ids(cluster_service: ServiceProcess) -> dict[str, str]:
    """The runs, by the name of their only task."""

    async def submit() -> dict[str, str]:
        async with api_of(cluster_service.url) as api:
            return {name: await api.submit(workflow(task)) for name, task in TASKS.items()}

    return run_apart(submit())


async def ended(api: Api, run_id: str) -> Json:
    """The only task of a run that is finished."""
    [task] = (await api.finished(run_id))["tasks"]
    assert [one["log"]["sealed"] for one in task["attempts"]] == [True]
    assert [one["log"]["gaps"] for one in task["attempts"]] == [0]
    return task


async def test_logs__of_each_container__are_whole_and_apart(api: Api, run_ids: dict[str, str]) -> None:
    run_id = run_ids["logs"]
    task = await ended(api, run_id)
    assert task["phase"] == "Succeeded"
    for name, expected in {"first": counted("first"), "second": b"", "proxy": counted("proxy") + b"bye\n"}.items():
        assert await api.log(run_id, "logs", container=name) == expected
    assert await api.log(run_id, "logs") == counted("main")
    lines = (await api.log_lines(run_id, "logs", container="*")).lines
    for name in ("first", "main", "proxy"):
        of_one = [line for line in lines if line["container"] == name]
        assert [line["line"] for line in of_one] == list(range(COUNT + (name == "proxy")))
    assert (await api.http.get(f"/runs/{run_id}/tasks/logs/logs", params={"container": "none"})).status_code == 404


async def test_logs__of_a_sidecar__are_followed_live(api: Api, cluster_service: ServiceProcess) -> None:
    namespace = cluster_service.namespaces[0]
    sidecar = container("proxy", f"echo up; {BYE}")
    run_id = await api.submit(workflow(shell("waits", "until [ -e /tmp/go ]; do sleep 0.1; done", sidecars=[sidecar])))
    path = f"/runs/{run_id}/tasks/waits/logs?container=proxy"
    live = await api.follow(path, lines=1)
    attempt = (await api.task_when(run_id, "waits", phase="Running"))["attempts"][0]
    go = ("exec", "-n", namespace, attempt["pod"], "-c", "main", "--", "touch", "/tmp/go")
    async with asyncio.TaskGroup() as group:
        followed = group.create_task(api.follow(f"{path}&cursor={live.cursor}"))
        await asyncio.to_thread(kubectl, *go)
    assert [line["text"] for line in (*live.lines, *followed.result().lines)] == ["up", "bye"]
    assert followed.result().end == "Succeeded"
    assert (await api.finished(run_id))["phase"] == "Succeeded"


async def test_sidecar__that_ignores_sigterm__delays_the_runs_end_and_not_the_tasks(api: Api, run_ids: dict[str, str]) -> None:
    run_id = run_ids["stubborn"]
    task = await ended(api, run_id)
    run = await api.run(run_id)
    assert (run["phase"], task["phase"]) == ("Succeeded", "Succeeded")
    events = await api.events(run_id)
    told = {kind: next(e["time"] for e in events if (e["type"], e["phase"]) == (kind, "Succeeded")) for kind in
            ("TaskPhase", "RunPhase", "RunFinished")}  # fmt: skip
    at = {kind: datetime.fromisoformat(time) for kind, time in told.items()}
    assert (at["RunPhase"] - at["TaskPhase"]).total_seconds() < 1
    assert (at["RunFinished"] - at["TaskPhase"]).total_seconds() >= GRACE_SECONDS - 2
    assert await api.log(run_id, "stubborn", container="deaf") == counted("deaf")


async def test_init_container__that_fails__fails_the_task_and_is_named(api: Api, run_ids: dict[str, str]) -> None:
    run_id = run_ids["init-fails"]
    task = await ended(api, run_id)
    assert task["phase"] == "Failed"
    assert "prepare" in task["message"]
    assert "3" in task["message"]
    assert await api.log(run_id, "init-fails", container="prepare") == counted("prepare")
    assert await api.log(run_id, "init-fails") == b""


async def test_volumes__are_shared_by_init_container_and_main(api: Api, run_ids: dict[str, str]) -> None:
    assert (await ended(api, run_ids["volumes"]))["phase"] == "Succeeded"
    assert await api.log(run_ids["volumes"], "volumes") == b"made\n2\n"


async def test_secrets__as_variables_and_as_files(api: Api, run_ids: dict[str, str]) -> None:
    assert (await ended(api, run_ids["secrets"]))["phase"] == "Succeeded"
    assert await api.log(run_ids["secrets"], "secrets") == b"s3cret\ns3cret\nrenamed\no"
    for path in (f"/runs/{run_ids['secrets']}/workflow", f"/runs/{run_ids['secrets']}/events"):
        assert "s3cret" not in (await api.http.get(path)).text


async def test_sidecar__that_is_started_again__has_the_log_of_both_times(api: Api, run_ids: dict[str, str]) -> None:
    assert (await ended(api, run_ids["restarts"]))["phase"] == "Succeeded"
    assert await api.log(run_ids["restarts"], "restarts", container="shaky") == b"up\nup\nbye\n"


async def test_outputs__of_a_pod_of_four_containers__may_have_a_quarter_of_12_kib(api: Api, run_ids: dict[str, str]) -> None:
    fits, too_large = [await ended(api, run_ids[name]) for name in ("outputs", "too-large")]
    assert fits["phase"] == "Succeeded", fits["message"]
    assert len(json.dumps(fits["outputs"])) == MESSAGE_BYTES_OF_A_POD // 4
    assert (too_large["phase"], too_large["reason"]) == ("Failed", "OutputsTooLarge")
    assert "3,072" in too_large["message"]


async def test_pod__overlay_labels_and_annotations__reach_the_pod(api: Api, cluster_service: ServiceProcess) -> None:
    task = shell(
        "full", f"echo $A; {BYE}", labels={"team": "green"}, annotations={"example.com/note": "a"}, env={"A": "x$(EXTRA)"},
        volumes=[{"name": "work", "emptyDir": {}}], volume_mounts=WORK,
        pod={
            "terminationGracePeriodSeconds": 7, "hostname": "bench", "priority": None,
            "volumes": [{"name": "other", "emptyDir": {"medium": "Memory"}}],
            "containers": [
                {"name": "main", "env": [{"name": "EXTRA", "value": "1"}],
                 "volumeMounts": [{"name": "other", "mountPath": "/other"}]},
            ],
        },
    )  # fmt: skip
    run_id = await api.submit(workflow(task))
    assert await api.log_when(run_id, "full", b"\n") == b"x1\n"
    name = (await api.task(run_id, "full"))["attempts"][0]["pod"]
    pods = await asyncio.to_thread(list_pods, cluster_service.namespaces[0])
    await api.cancel(run_id)
    [pod] = [one for one in pods if one["metadata"]["name"] == name]
    spec, main = pod["spec"], pod["spec"]["containers"][0]
    assert (spec["terminationGracePeriodSeconds"], spec["hostname"]) == (7, "bench")
    assert {volume["name"] for volume in spec["volumes"]} == {"work", "other"}
    assert {mount["mountPath"] for mount in main["volumeMounts"]} == {"/work", "/other"}
    assert pod["metadata"]["labels"]["team"] == "green"
    assert pod["metadata"]["annotations"]["example.com/note"] == "a"
    assert (await api.finished(run_id))["phase"] == "Cancelled"
    assert await api.log(run_id, "full") == b"x1\nbye\n"


async def test_quota__exceeded_by_a_fan_out__each_item_waits_and_runs_once_there_is_room(
    api: Api, cluster_service: ServiceProcess
) -> None:
    namespace = cluster_service.namespaces[1]
    task = shell("work", "echo ${{ item }}", foreach=[0, 1, 2, 3], resources={"requests": {"cpu": "10m"}}, namespace=namespace)
    run_id = await api.submit(workflow(task))
    for number in range(4):
        waits = await api.task_when(run_id, f"work.{number}", phase="Pending", reason="QuotaExceeded")
        assert "exceeded quota: few" in waits["message"]
    await asyncio.to_thread(kubectl, "patch", "resourcequota", "few", "-n", namespace, "-p", '{"spec":{"hard":{"pods":"2"}}}')
    run = await api.finished(run_id)
    assert [(task["phase"], len(task["attempts"])) for task in run["tasks"]] == [("Succeeded", 1)] * 4
    assert [await api.log(run_id, f"work.{number}") for number in range(4)] == [b"%d\n" % number for number in range(4)]


async def test_quota__exceeded__a_cancelled_run_is_finished_at_once(api: Api, cluster_service: ServiceProcess) -> None:
    namespace = cluster_service.namespaces[1]
    huge = {"resources": {"limits": {"cpu": "9"}, "requests": {"cpu": "9"}}}
    run_id = await api.submit(workflow(shell("huge", "true", namespace=namespace, **huge)))
    await api.task_when(run_id, "huge", phase="Pending", reason="QuotaExceeded")
    await api.cancel(run_id)
    assert (await api.finished(run_id, 10))["phase"] == "Cancelled"


async def test_admission__that_refuses_the_pod__is_the_tasks_reason_in_its_words(
    api: Api, cluster_service: ServiceProcess
) -> None:
    namespace = cluster_service.namespaces[2]
    refused = shell("refused", "true")
    allowed = shell(
        "allowed", "echo fine",
        security_context={
            "runAsUser": 1000, "runAsNonRoot": True, "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    )  # fmt: skip
    run = await api.finished(await api.submit(workflow(refused, allowed, namespace=namespace)))
    first, second = run["tasks"]
    assert (run["phase"], first["phase"], first["reason"]) == ("Error", "Error", "Forbidden")
    assert 'violates PodSecurity "restricted:latest"' in first["message"]
    assert second["phase"] == "Succeeded", second["message"]

"""Init containers and sidecars of a task on a real kubelet: what is seen of them, what they say, and what the verdict is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from app.domain.phases import Phase
from app.domain.plan.verdict import judge
from app.domain.pods import AttemptKey, ContainerPhase, PodObservation
from app.domain.workflow.document import Task
from app.pods.kubernetes.backend import KubernetesBackend
from app.pods.kubernetes.cluster import load_cluster
from app.pods.manifest import build_pod
from tests.contract.bench import Bench, enter, new_id, split_log

pytestmark = pytest.mark.cluster

INSTANCE = new_id("instance")
FOREVER = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@pytest.fixture
async def bench(namespace: str) -> AsyncIterator[Bench]:
    cluster = await load_cluster()

    def make_backend(instance: str) -> KubernetesBackend:
        return KubernetesBackend(cluster, instance=instance, namespaces=[namespace])

    async with enter(make_backend, INSTANCE, namespace, "busybox:1") as opened:
        yield opened


def container(name: str, script: str, **keys: Any) -> dict[str, Any]:
    return {"name": name, "image": "busybox:1", "command": ["sh", "-c", script], **keys}


async def run(bench: Bench, namespace: str, script: str, **keys: Any) -> PodObservation:
    task = Task(name="t", image="busybox:1", command=("sh", "-c", script), **keys)
    key = AttemptKey(new_id("run"), "t", 1)
    return await bench.create(build_pod(task, key=key, workflow="w", run_labels={}, namespace=namespace, instance=INSTANCE))


async def read(bench: Bench, pod: PodObservation, name: str) -> bytes:
    log = b"".join([chunk async for chunk in bench.backend.read_log(pod.ref, name, None)])
    return split_log(log)[1]


def is_judged(pod: PodObservation) -> bool:
    return judge(pod).main_ended


async def test_task__sidecar_and_init_container_with_a_shared_volume__main_alone_decides(bench: Bench, namespace: str):
    mount = {"volumeMounts": [{"name": "shared", "mountPath": "/shared"}]}
    pod = await run(
        bench,
        namespace,
        "cat /shared/hello; until [ -e /shared/up ]; do sleep 0.1; done; echo '{\"a\": 1}' > $PODRUN_OUTPUTS",
        volumes=[{"name": "shared", "emptyDir": {}}],
        volume_mounts=[{"name": "shared", "mountPath": "/shared"}],
        init_containers=[container("first", "echo first of $PODRUN_TASK; echo hello > /shared/hello", **mount)],
        sidecars=[container("side", f"echo side; touch /shared/up; {FOREVER}", **mount)],
        pod={"terminationGracePeriodSeconds": 1},
    )
    seen = await bench.seen.wait_for(pod.uid, is_judged)
    assert (judge(seen).phase, seen.main and seen.main.message.strip()) == (Phase.SUCCEEDED, '{"a": 1}')
    first, side, main = seen.containers
    assert (first.name, first.is_init, first.is_sidecar, first.exit_code) == ("first", True, False, 0)
    assert (side.name, side.is_init, side.is_sidecar) == ("side", True, True)
    assert (main.name, main.is_init) == ("main", False)
    assert await read(bench, pod, "first") == b"first of t\n"
    assert await read(bench, pod, "main") == b"hello\n"
    await bench.seen.wait_for(pod.uid, lambda o: all(c.phase is ContainerPhase.TERMINATED for c in o.containers))
    assert await read(bench, pod, "side") == b"side\n"


async def test_task__init_container_fails__failed_and_named(bench: Bench, namespace: str):
    pod = await run(
        bench,
        namespace,
        "echo never",
        init_containers=[container("migrate", "echo no such table; exit 7")],
        pod={"initContainers": [container("proxy", FOREVER, restartPolicy="Always")], "terminationGracePeriodSeconds": 1},
    )
    seen = await bench.seen.wait_for(pod.uid, is_judged)
    verdict = judge(seen)
    assert (verdict.phase, verdict.exit_code, verdict.message) == (Phase.FAILED, 7, "init container migrate: exit code 7")
    assert [c.name for c in seen.containers if c.is_sidecar] == ["proxy"]
    assert await read(bench, pod, "migrate") == b"no such table\n"

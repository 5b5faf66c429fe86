"""What only a real API server, scheduler and kubelet can show of the Kubernetes backend."""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
import yaml

from app.domain.errors import ClusterConfigInvalid, LogUnavailable, PodDeferred, PodRefused
from app.domain.pods import PodObservation
from app.pods.kubernetes.backend import KubernetesBackend
from app.pods.kubernetes.cluster import load_cluster
from tests.conftest import kubectl
from tests.contract.bench import FOREVER, Bench, allow, enter, new_id

pytestmark = pytest.mark.cluster

QUOTA = """
apiVersion: v1
kind: ResourceQuota
metadata: {name: small}
spec: {hard: {pods: "1"}}
"""
ROLE = """
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: podrun}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch, create, delete]}
- {apiGroups: [""], resources: [pods/log], verbs: [get]}
- {apiGroups: [""], resources: [events], verbs: [list, watch]}
"""


@pytest.fixture
async def bench(namespace: str) -> AsyncIterator[Bench]:
    async with open_bench(namespace) as opened:
        yield opened


@asynccontextmanager
async def open_bench(*namespaces: str) -> AsyncIterator[Bench]:
    cluster = await load_cluster()

    def make_backend(instance: str) -> KubernetesBackend:
        return KubernetesBackend(cluster, instance=instance, namespaces=namespaces)

    async with enter(make_backend, new_id("instance"), namespaces[0], "busybox:1") as opened:
        yield opened


async def waiting_for(bench: Bench, pod: PodObservation, *reasons: str) -> str:
    """The message with which main waits for one of these reasons."""
    found = await bench.seen.wait_for(pod.uid, lambda o: o.main is not None and o.main.reason in reasons)
    assert found.main is not None
    return found.main.message


async def wait_event(bench: Bench, reason: str) -> str:
    async with asyncio.timeout(30):
        while True:
            for event in bench.seen.events:
                if event.reason == reason:
                    return event.message
            await asyncio.sleep(0.05)


async def test_pending__no_node_fits__the_schedulers_sentence_and_its_event(bench: Bench):
    pod = await bench.create(bench.manifest(FOREVER, pod={"nodeSelector": {"no-such": "node"}}))
    seen = await bench.seen.wait_for(pod.uid, lambda o: o.unschedulable is not None)
    assert seen.unschedulable is not None
    assert "nodes are available" in seen.unschedulable
    assert await wait_event(bench, "FailedScheduling") == seen.unschedulable
    # Until a node has it, the API server serves its log as an empty one.
    assert await bench.read(pod.ref) == b""


async def test_pending__image_is_missing__the_runtimes_words_and_no_log_yet(bench: Bench):
    pod = await bench.create(bench.manifest(FOREVER, image="no-such-image:1"))
    assert "no-such-image" in await waiting_for(bench, pod, "ErrImagePull", "ImagePullBackOff")
    with pytest.raises(LogUnavailable) as unavailable:
        await bench.read(pod.ref)
    assert not unavailable.value.gone


async def test_pending__secret_is_missing__config_error(bench: Bench):
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "no-such", "key": "a"}}}]
    pod = await bench.create(bench.manifest(FOREVER, env=env))
    assert await waiting_for(bench, pod, "CreateContainerConfigError") == 'secret "no-such" not found'


async def test_end__out_of_memory__oom_killed(bench: Bench):
    limits = {"limits": {"memory": "16Mi"}}
    pod = await bench.create(bench.manifest(["sh", "-c", "tail /dev/zero"], resources=limits))
    main = await bench.seen.wait_for_end(pod.uid)
    assert (main.reason, main.exit_code) == ("OOMKilled", 137)


async def test_create__quota_is_used_up__deferred_in_the_api_servers_words(bench: Bench, namespace: str):
    kubectl("apply", "-n", namespace, "-f", "-", input_text=QUOTA)
    first = await bench.create(bench.manifest(FOREVER))
    with pytest.raises(PodDeferred) as deferred:
        await bench.create(bench.manifest(FOREVER))
    assert deferred.value.reason == "QuotaExceeded"
    assert "exceeded quota: small" in deferred.value.message
    await bench.backend.delete_pod(first.ref, allow, grace_seconds=0)
    await bench.seen.wait_for_gone(first.uid)


async def test_create__namespace_is_missing__refused(bench: Bench):
    manifest = bench.manifest(FOREVER)
    manifest["metadata"]["namespace"] = "no-such-namespace"
    with pytest.raises(PodRefused) as refused:
        await bench.create(manifest)
    assert refused.value.reason == "NotFound"


async def test_follow_log__container_says_nothing__closes_at_once(bench: Bench):
    pod = await bench.create(bench.manifest(FOREVER))
    await bench.seen.wait_for_start(pod.uid)
    stream = bench.backend.follow_log(pod.ref, "main", None)
    async with aclosing(stream):  # type: ignore[type-var]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await anext(stream)


def write_exec_kubeconfig(kubeconfig: Path, tmp_path: Path, namespace: str) -> None:
    """A kubeconfig whose user is the service account `podrun`, by way of a credentials plug-in."""
    token = kubectl("create", "token", "podrun", "-n", namespace).strip()
    answer = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}}
    plugin = tmp_path / "plugin"
    plugin.write_text(f"#!/bin/sh\necho {shlex.quote(json.dumps(answer))}\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    config = yaml.safe_load(kubeconfig.read_text())
    config["users"][0]["user"] = {"exec": {"apiVersion": answer["apiVersion"], "command": str(plugin)}}
    config["contexts"][0]["context"]["namespace"] = namespace
    (tmp_path / "kubeconfig").write_text(yaml.safe_dump(config))


async def test_role__exec_plugin_and_the_least_rights__enough_there_and_said_elsewhere(
    namespace: str, kubeconfig: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    kubectl("apply", "-n", namespace, "-f", "-", input_text=ROLE)
    kubectl("create", "serviceaccount", "podrun", "-n", namespace)
    kubectl("create", "rolebinding", "podrun", "-n", namespace, "--role=podrun", f"--serviceaccount={namespace}:podrun")
    write_exec_kubeconfig(kubeconfig, tmp_path, namespace)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))

    assert (await KubernetesBackend.open(instance="i")).namespaces == (namespace,)
    async with open_bench(namespace) as bench:
        pod = await bench.run("echo hello")
        await bench.seen.wait_for_end(pod.uid)
        assert b"hello" in await bench.read(pod.ref)
        assert await bench.backend.check() is None
    async with open_bench(namespace, "kube-system") as bench, asyncio.timeout(30):
        assert (await bench.run("exit 0")).exists
        while (sentence := await bench.backend.check()) is None:
            pass
        assert "kube-system" in sentence


@pytest.mark.parametrize("content", [None, "", "not: a kubeconfig", "clusters: [", "[1]"])
async def test_open__unusable_kubeconfig__says_which(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | None):
    path = tmp_path / "kubeconfig"
    if content is not None:
        path.write_text(content)
    monkeypatch.setenv("KUBECONFIG", str(path))
    with pytest.raises(ClusterConfigInvalid) as invalid:
        await KubernetesBackend.open(instance="i")
    assert str(path) in str(invalid.value)


async def test_enter__no_cluster_there__comes_up_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cluster = {"server": "http://127.0.0.1:9"}
    context = {"cluster": "c", "user": "u"}
    config = {
        "current-context": "x",
        "clusters": [{"name": "c", "cluster": cluster}],
        "contexts": [{"name": "x", "context": context}],
        "users": [{"name": "u", "user": {}}],
    }
    (tmp_path / "kubeconfig").write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    backend = await KubernetesBackend.open(instance="i", namespaces=["a", "b"])
    assert backend.namespaces == ("a", "b")
    async with backend:
        sentence = await backend.check()
        assert sentence is not None
        assert "can't be reached" in sentence
        with pytest.raises(PodDeferred):
            await backend.create_pod({"metadata": {"name": "x", "namespace": "a", "labels": {}}}, allow)

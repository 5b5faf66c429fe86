"""What others do to the cluster while podrun runs on it: people, controllers, the kubelet. All of it by kubectl."""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support import cluster
from tests.support.api import Api

Json = dict[str, Any]
FINALIZER = "example.com/keep"
#: How long the cluster may take where a test does not say.
WAIT_SECONDS = 60.0
#: A pod that goes as soon as it is asked to.
SHORT_GRACE = {"pod": {"terminationGracePeriodSeconds": 1}}
#: Another attempt at once, and no third one.
ONE_RETRY = {"limit": 1, "delay_seconds": 0, "jitter": False}
#: No node has this label: a pod that wants it waits.
NOWHERE = {"moves.example.com/node": "nowhere"}


async def kube(*arguments: str, check: bool = True, input_text: str | None = None) -> str:
    """What kubectl printed."""
    return await asyncio.to_thread(cluster.kubectl, *arguments, check=check, input_text=input_text)


async def create(namespace: str, manifest: Json) -> Json:
    """Create the object, and return what the API server made of it."""
    text = await kube("create", "-n", namespace, "-o", "json", "-f", "-", input_text=json.dumps(manifest))
    made: Json = json.loads(text)
    return made


async def find_pod(namespace: str, name: str) -> Json | None:
    """The pod as it is, None if there is none."""
    text = await kube("get", "pod", name, "-n", namespace, "-o", "json", "--ignore-not-found")
    return json.loads(text) if text.strip() else None


async def pod_when(namespace: str, name: str, condition: Callable[[Json], object], seconds: float = WAIT_SECONDS) -> Json:
    """The pod, once it is there and the condition holds."""
    pod: Json | None = None
    try:
        async with asyncio.timeout(seconds):
            while (pod := await find_pod(namespace, name)) is None or not condition(pod):  # noqa: ASYNC110
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"pod {name} is not as wanted after {seconds} s: {json.dumps(pod and pod['status'])}") from None
    return pod


async def pod_gone(namespace: str, name: str, seconds: float = WAIT_SECONDS) -> None:
    """Wait until there is no pod of that name."""
    await kube("wait", "--for=delete", f"pod/{name}", "-n", namespace, f"--timeout={seconds:.0f}s")


async def delete_pod(namespace: str, name: str, *, force: bool = False, wait: bool = False) -> None:
    """Delete it as a person does."""
    options = ("--grace-period=0", "--force") if force else ()
    await kube("delete", "pod", name, "-n", namespace, f"--wait={'true' if wait else 'false'}", *options)


async def evict_pod(namespace: str, name: str) -> None:
    """Evict it as `kubectl drain` does."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name, "namespace": namespace}}
    path = f"/api/v1/namespaces/{namespace}/pods/{name}/eviction"
    await kube("create", "--raw", path, "-f", "-", input_text=json.dumps(body))


async def patch_pod(namespace: str, name: str, body: Json, *, subresource: str | None = None, kind: str = "merge") -> None:
    """Patch it; with `subresource="status"` as its kubelet does."""
    options = (f"--subresource={subresource}",) if subresource else ()
    await kube("patch", "pod", name, "-n", namespace, f"--type={kind}", "-p", json.dumps(body), *options)


async def keep_pod(namespace: str, name: str) -> None:
    """Put a finalizer on it: however it is deleted, it stays."""
    await patch_pod(namespace, name, {"metadata": {"finalizers": [FINALIZER]}})


async def release_pod(namespace: str, name: str) -> None:
    """Take the finalizer away."""
    await patch_pod(namespace, name, {"metadata": {"finalizers": None}})


async def make_secret(namespace: str, name: str) -> None:
    """Make the Secret that a pod waits for."""
    await kube("create", "secret", "generic", name, "-n", namespace, "--from-literal=key=value")


def wants_secret(name: str) -> Json:
    """Keys of a task whose pod has a node, and can't start before there is this Secret."""
    return {"secrets": [{"secret": name, "mount_path": "/secret"}]}


def unique(word: str) -> str:
    """A name that nobody else has."""
    return f"{word}-{secrets.token_hex(4)}"


async def pod_of(api: Api, run_id: str, task: str, number: int = 1) -> str:
    """The name of the pod of a task's attempt, once it is there (of one that the watch has seen)."""
    found = await api.task_when(run_id, task, attempts=number)
    return str(found["attempts"][number - 1]["pod"])


async def pod_up(api: Api, run_id: str, task: str, number: int = 1) -> str:
    """The name of the pod of an attempt that runs, and has said its first line, which is `up`."""
    await api.task_when(run_id, task, attempts=number, phase="Running")
    await api.log_when(run_id, task, b"up\n")
    return await pod_of(api, run_id, task, number)


def ends(run: Json) -> dict[str, tuple[str, str | None]]:
    """Phase and reason of each task."""
    return {task["name"]: (task["phase"], task["reason"]) for task in run["tasks"]}


def tries(run: Json, name: str) -> list[tuple[str, str | None]]:
    """Phase and reason of each of a task's attempts."""
    task = next(task for task in run["tasks"] if task["name"] == name)
    return [(attempt["phase"], attempt["reason"]) for attempt in task["attempts"]]


async def assert_one_pod_each(kubeconfig: Path, namespace: str, run: Json, *, refused: tuple[str, ...] = ()) -> None:
    """Each attempt of the finished run had one pod, but for tasks `refused` theirs; none is left, all logs are sealed."""
    made = await asyncio.to_thread(cluster.creations, kubeconfig, namespace)
    expected = {attempt["pod"]: int(task["name"] not in refused) for task in run["tasks"] for attempt in task["attempts"]}
    assert {name: made[name] for name in expected} == expected
    assert all(attempt["log"]["sealed"] for task in run["tasks"] for attempt in task["attempts"])
    await asyncio.to_thread(cluster.wait_no_pods, namespace, WAIT_SECONDS, run["id"])

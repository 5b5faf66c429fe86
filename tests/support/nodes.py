"""Nodes of a test's own on the real cluster: some whose kubelet is played by kwok, some that have none and never answer."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.moves import kube, patch_pod, unique
from tests.support.workflows import fake

Json = dict[str, Any]
#: The label that pods choose such a node by, and its taint, which keeps all other pods away.
OWN = "moves.example.com/node"
#: As kwok gives them.
CPUS = 64
_NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class OwnNode:
    """A node that nobody else's pods go to."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)

    def fake(self, name: str, seconds: float = 1000, *, tolerations: tuple[Json, ...] = (), **keys: Any) -> Json:
        """A task whose pod goes there, and ends by itself after so long where kwok plays the kubelet."""
        own = {"key": OWN, "operator": "Equal", "value": self.name}
        return fake(name, seconds, **({"node_selector": {OWN: self.name}, "tolerations": [own, *tolerations]} | keys))

    async def add(self) -> None:
        """Put it into the cluster."""
        metadata = {"name": self.name, "labels": {OWN: self.name, **self.labels}}
        taints = [{"key": OWN, "value": self.name, "effect": "NoSchedule"}]
        node = {"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": {"taints": taints}}
        await kube("create", "-f", "-", input_text=json.dumps(node))

    async def remove(self) -> None:
        """Delete it, as a cloud does with a machine that is gone; its pods are left to the garbage collector."""
        await kube("delete", "node", self.name, "--ignore-not-found")

    async def taint(self, taint: str) -> None:
        """Add a taint (`key=value:effect`), or take it away (with a `-` behind)."""
        await kube("taint", "node", self.name, taint)

    async def label(self, label: str) -> None:
        """Add a label (`key=value`)."""
        await kube("label", "node", self.name, label)

    async def set_ready(self, ready: bool, **status: Any) -> None:
        """Say that it is ready, or is not, as its kubelet would."""
        times = {"lastHeartbeatTime": _NOW, "lastTransitionTime": _NOW}
        condition = {"type": "Ready", "status": str(ready), "reason": "Played", "message": "", **times}
        body = {"status": {"conditions": [condition], **status}}
        await kube("patch", "node", self.name, "--subresource=status", "--type=strategic", "-p", json.dumps(body))


@asynccontextmanager
async def fake_node() -> AsyncIterator[OwnNode]:
    """A node whose pods live as their annotations say (needs the mark `fake_nodes`)."""
    node = OwnNode(unique("moves"), {"type": "fake"})
    await node.add()
    try:
        await kube("wait", "--for=condition=Ready", f"node/{node.name}", "--timeout=30s")
        yield node
    finally:
        await node.remove()


@asynccontextmanager
async def silent_node() -> AsyncIterator[OwnNode]:
    """A node that takes pods, and then says nothing more: the test plays its kubelet, as far as there is one."""
    node = OwnNode(unique("silent"))
    await node.add()
    try:
        room = {"cpu": str(CPUS), "memory": "64Gi", "pods": "100"}
        await node.set_ready(True, capacity=room, allocatable=room)
        yield node
    finally:
        await node.remove()


async def play_running(namespace: str, pod: str) -> None:
    """Say of a pod on a silent node that its main container runs."""
    container = {"name": "main", "image": "fake:1", "imageID": "", "ready": True, "restartCount": 0}
    running = {**container, "state": {"running": {"startedAt": _NOW}}}
    status = {"status": {"phase": "Running", "startTime": _NOW, "containerStatuses": [running]}}
    await patch_pod(namespace, pod, status, subresource="status", kind="strategic")

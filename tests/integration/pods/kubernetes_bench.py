"""A Kubernetes backend before a made up API server, for tests of what it makes of the server's answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.domain.pods import PodEvent, PodObservation
from app.pods.kubernetes.backend import KubernetesBackend
from app.pods.kubernetes.cluster import Cluster, NoCredentials
from app.pods.kubernetes.listwatch import Timing
from tests.support.api_server import WAIT_SECONDS, FakeApiServer

QUICK = Timing(silence=5, first_pause=0.01, longest_pause=0.05, forbidden_pause=0.05, reported=0.05)


def manifest(name: str, namespace: str = "ci", attempt: int = 1, **metadata: Any) -> dict[str, Any]:
    labels = {"run": "r", "task": name, "attempt": str(attempt), "instance": "inst"}
    own = {"name": name, "namespace": namespace, "labels": {f"podrun.dev/{key}": value for key, value in labels.items()}}
    return {"metadata": own | metadata, "spec": {"containers": [{"name": "main"}]}, "status": {"phase": "Pending"}}


def event_of(name: str, version: int) -> dict[str, Any]:
    return {
        "metadata": {"name": f"{name}.1", "namespace": "ci", "uid": f"event-{name}", "resourceVersion": str(version)},
        "involvedObject": {"kind": "Pod", "namespace": "ci", "name": name, "uid": "u"},
        "reason": "FailedScheduling",
        "message": "0/1 nodes are available",
        "type": "Warning",
        "eventTime": "2026-01-02T03:04:05.123456Z",
        "firstTimestamp": None,
        "lastTimestamp": None,
        "source": {},
        "reportingComponent": "default-scheduler",
    }


def allow() -> None:
    """A guard that never objects."""


class Recorder:
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.told: asyncio.Queue[PodObservation] = asyncio.Queue()
        self.events: asyncio.Queue[PodEvent] = asyncio.Queue()

    def pod_observed(self, observation: PodObservation) -> None:
        self.told.put_nowait(observation)

    def pod_event(self, event: PodEvent) -> None:
        self.events.put_nowait(event)

    async def next(self) -> tuple[str, str, bool]:
        """Name, phase and existence of the next observation."""
        async with asyncio.timeout(WAIT_SECONDS):
            observation = await self.told.get()
        return observation.name, observation.phase, observation.exists

    async def next_event(self) -> PodEvent:
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.events.get()


class Bench:
    def __init__(self, server: FakeApiServer) -> None:
        self.server, self.seen = server, Recorder()
        self.backend: KubernetesBackend

    def make(self, credentials: Any = None, timing: Timing = QUICK, **options: Any) -> KubernetesBackend:
        cluster = Cluster(server=self.server.url, namespace="ci", credentials=credentials or NoCredentials())
        self.backend = KubernetesBackend(cluster, instance="inst", timing=timing, **options)
        self.backend.listen(self.seen)
        return self.backend


def refusing(answer: Callable[[], web.Response], when: Callable[[web.Request], bool]) -> Any:
    async def intercept(request: web.Request) -> web.StreamResponse | None:
        return answer() if when(request) else None

    return intercept

"""What the contract of `PodBackend` is tested with: a listener that remembers, a bench that takes away the pods it made."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from typing import Any

from app.domain.errors import LeaseExpired
from app.domain.pods import ContainerObservation, ContainerPhase, PodEvent, PodObservation, PodRef
from app.pods.port import PodBackend

MakeBackend = Callable[[str], PodBackend]

WAIT_SECONDS = 30.0
FOREVER = ["sh", "-c", "while :; do sleep 1; done"]
_STAMPED = re.compile(rb"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{9}Z (.*)", re.DOTALL)


def allow() -> None:
    """A guard that never objects."""


def deny() -> None:
    """A guard whose lease is over."""
    raise LeaseExpired("not ours any more")


def new_id(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"


class Recorder:
    """A listener that remembers everything, and lets a test wait for it."""

    def __init__(self) -> None:
        self.observations: list[PodObservation] = []
        self.events: list[PodEvent] = []
        self._changed = asyncio.Event()

    def pod_observed(self, observation: PodObservation) -> None:
        self.observations.append(observation)
        self._changed.set()

    def pod_event(self, event: PodEvent) -> None:
        self.events.append(event)

    async def wait_for(self, uid: str, is_it: Callable[[PodObservation], bool]) -> PodObservation:
        """The first observation of that pod which is it."""
        async with asyncio.timeout(WAIT_SECONDS):
            while True:
                self._changed.clear()
                found = next((o for o in self.observations if o.uid == uid and is_it(o)), None)
                if found is not None:
                    return found
                await self._changed.wait()

    async def wait_for_end(self, uid: str) -> ContainerObservation:
        """Main as it ended."""
        seen = await self.wait_for(uid, lambda o: o.main is not None and o.main.phase is ContainerPhase.TERMINATED)
        assert seen.main is not None
        return seen.main

    async def wait_for_start(self, uid: str) -> PodObservation:
        return await self.wait_for(uid, lambda o: o.main is not None and o.main.phase is not ContainerPhase.WAITING)

    async def wait_for_gone(self, uid: str) -> PodObservation:
        return await self.wait_for(uid, lambda o: not o.exists)


class Bench:
    """An entered backend with a recorder, that takes away the pods it made."""

    def __init__(self, backend: PodBackend, instance: str, namespace: str, image: str) -> None:
        self.backend = backend
        self.seen = Recorder()
        self._instance = instance
        self._namespace = namespace
        self._image = image
        self.refs: list[PodRef] = []

    def manifest(self, command: Sequence[str], *, name: str | None = None, attempt: int = 1, **main: Any) -> dict[str, Any]:
        """A pod as `pods.manifest` makes it; keywords go into its container, `pod={...}` into its spec."""
        name = name or new_id("pod")
        pod = main.pop("pod", {})
        env = [{"name": "PODRUN_TASK", "value": name}, {"name": "PODRUN_OUTPUTS", "value": "/dev/termination-log"}]
        container = {
            "name": "main",
            "image": self._image,
            "imagePullPolicy": "IfNotPresent",
            "command": list(command),
            "env": env,
        }
        container["env"] = env + main.pop("env", [])
        labels = {"run": "run-1", "task": name, "attempt": str(attempt), "workflow": "contract", "instance": self._instance}
        return {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {f"podrun.dev/{key}": value for key, value in labels.items()}
                | {"app.kubernetes.io/managed-by": "podrun"},
            },
            "spec": {
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 1,
                "automountServiceAccountToken": False,
                "containers": [container | main],
            }
            | pod,
        }

    async def create(self, manifest: dict[str, Any]) -> PodObservation:
        created = await self.backend.create_pod(manifest, allow)
        self.refs.append(created.ref)
        return created

    async def run(self, script: str, **main: Any) -> PodObservation:
        """Create a pod that runs a shell script."""
        return await self.create(self.manifest(["sh", "-c", script], **main))

    async def read(self, ref: PodRef, since: datetime | None = None) -> bytes:
        """The log that is there, stamps and all."""
        return b"".join([chunk async for chunk in self.backend.read_log(ref, "main", since)])

    async def follow_until(self, ref: PodRef, end: bytes) -> bytes:
        """Follow a log until that has come, from the container's start on: before it there is no log to follow."""
        await self.seen.wait_for_start(ref.uid)
        got = b""
        stream = self.backend.follow_log(ref, "main", None)
        async with asyncio.timeout(WAIT_SECONDS), AsyncExitStack() as stack:
            stack.push_async_callback(stream.aclose)  # type: ignore[attr-defined]
            async for chunk in stream:
                got += chunk
                if end in got:
                    break
        return got


@asynccontextmanager
async def enter(make_backend: MakeBackend, instance: str, namespace: str, image: str) -> AsyncIterator[Bench]:
    bench = Bench(make_backend(instance), instance, namespace, image)
    bench.backend.listen(bench.seen)
    async with bench.backend:
        async with asyncio.timeout(WAIT_SECONDS):
            await bench.backend.wait_synced(namespace)
        try:
            yield bench
        finally:
            for ref in bench.refs:
                await bench.backend.delete_pod(ref, allow, grace_seconds=0)


def split_log(log: bytes) -> tuple[list[str], bytes]:
    """The stamps, to the second, and the text that the container wrote."""
    seconds, texts = [], []
    for line in re.findall(rb"[^\n]*\n|[^\n]+", log):
        match = _STAMPED.fullmatch(line)
        assert match is not None, line[:100]
        seconds.append(match[1].decode())
        texts.append(match[2])
    return seconds, b"".join(texts)

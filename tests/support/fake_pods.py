"""A backend of values: pods end when the test says so, or by themselves at once. Behind the port, for tests of the executor."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from app.domain.errors import LogUnavailable, PodDeferred, PodRefused
from app.domain.pods import MAIN, AttemptKey, ContainerObservation, ContainerPhase, PodObservation, PodRef
from app.pods.port import Guard, Manifest, PodListener

Answer = Callable[[AttemptKey], PodRefused | PodDeferred | None]


class FakePods:
    """Implements PodBackend. `created` and `deleted` tell what was asked, in order."""

    kind: Literal["kubernetes", "local"] = "local"
    namespaces = ("default",)

    def __init__(self, *, ends_at_once: bool = True) -> None:
        self.ends_at_once = ends_at_once
        self.is_seen = True
        self.answer: Answer = lambda _key: None
        self.remark: Callable[[Manifest], list[str]] = lambda _manifest: []
        self.exit_code: Callable[[AttemptKey], int] = lambda _key: 0
        self.created: list[AttemptKey] = []
        self.deleted: list[PodRef] = []
        self.pods: dict[tuple[str, str], PodObservation] = {}
        self._listeners: list[PodListener] = []

    async def __aenter__(self) -> FakePods:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def listen(self, listener: PodListener) -> None:
        self._listeners.append(listener)

    async def wait_synced(self, namespace: str) -> None:
        pass

    def find_pod(self, namespace: str, name: str) -> PodObservation | None:
        return self.pods.get((namespace, name))

    def list_pods(self, namespace: str, run_id: str) -> list[PodObservation]:
        return [pod for (place, _), pod in self.pods.items() if place == namespace and pod.key.run_id == run_id]

    def sees(self, namespace: str) -> bool:
        return self.is_seen

    async def create_pod(self, manifest: Manifest, guard: Guard) -> PodObservation:
        labels, name = manifest["metadata"]["labels"], manifest["metadata"]["name"]
        namespace = manifest["metadata"]["namespace"]
        key = AttemptKey(labels["podrun.dev/run"], labels["podrun.dev/task"], int(labels["podrun.dev/attempt"]))
        guard()
        if error := self.answer(key):
            raise error
        if (namespace, name) not in self.pods:
            self.created.append(key)
            self.tell(PodObservation(key=key, namespace=namespace, name=name, uid=f"uid-{len(self.created)}"))
        if self.ends_at_once:
            self.end(key)
        return self.pods[namespace, name]

    def end(self, key: AttemptKey) -> None:
        """Main of that pod ends."""
        pod = next(pod for pod in self.pods.values() if pod.key == key)
        exit_code, now = self.exit_code(key), datetime.now(UTC)
        main = ContainerObservation(
            name=MAIN, phase=ContainerPhase.TERMINATED, exit_code=exit_code, reason="Error" if exit_code else "Completed",
            started_at=now, finished_at=now,
        )  # fmt: skip
        self.tell(PodObservation(key=key, namespace=pod.namespace, name=pod.name, uid=pod.uid, containers=(main,)))

    def tell(self, pod: PodObservation) -> None:
        """The pod is as told."""
        self.pods[pod.namespace, pod.name] = pod
        for listener in self._listeners:
            listener.pod_observed(pod)

    async def delete_pod(self, ref: PodRef, guard: Guard, *, grace_seconds: int | None = None) -> None:
        guard()
        self.deleted.append(ref)
        self.pods.pop((ref.namespace, ref.name), None)

    async def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        async for chunk in self.read_log(ref, container, since):
            yield chunk

    async def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        pod = self.pods.get((ref.namespace, ref.name))
        if pod is None:
            raise LogUnavailable("the pod is gone", gone=True)
        yield f"2026-01-01T00:00:00.000000001Z {pod.key.task}\n".encode()

    async def check(self) -> str | None:
        return None

    def refuse(self, document: Mapping[str, Any]) -> list[Any]:
        return []

    def remarks(self, manifest: Manifest) -> list[str]:
        return self.remark(manifest)

"""`PodBackend` on a Kubernetes cluster. Made by `app.main`, used by the executor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import datetime
from functools import partial
from typing import Any, Literal

import msgspec

from app import failpoints
from app.domain.errors import Fault, LogUnavailable, PodDeferred, PodRefused
from app.domain.pods import ContainerPhase, PodObservation, PodRef
from app.failpoints import Action
from app.pods.kubernetes.client import ApiClient
from app.pods.kubernetes.cluster import Cluster, load_cluster
from app.pods.kubernetes.errors import (
    ApiError,
    ApiUnreachable,
    create_error,
    delete_error,
    is_already_exists,
    is_other_uid,
)
from app.pods.kubernetes.informer import NamespaceInformer
from app.pods.kubernetes.listwatch import Timing
from app.pods.kubernetes.logs import stream_log
from app.pods.kubernetes.objects import decode_pod, parse_version
from app.pods.kubernetes.store import DeafListener
from app.pods.observation import IDENTITY_LABELS, RawPod, observe_pod
from app.pods.port import Guard, Manifest, PodListener

#: More in flight does not create faster, it only makes each wait longer.
CREATES_IN_FLIGHT = 64
DELETES_IN_FLIGHT = 32
CHECK_SECONDS = 2.0
#: Logs that are read without following: hundreds of pods that end together would each need a connection of its own, and they
#: share these. Who has waited for so long reads all the same: others may hang, at a node that is gone.
READS_IN_FLIGHT, READ_PATIENCE_SECONDS = 16, 0.5


class KubernetesBackend:
    """Runs pods on one cluster, in the given namespaces, under one instance's labels.

    Owns the sessions and the informers. A namespace that was not given is watched from its first use on: runs of before a
    change of settings may have pods there.
    """

    kind: Literal["kubernetes", "local"] = "kubernetes"

    def __init__(
        self,
        cluster: Cluster,
        *,
        instance: str,
        namespaces: Sequence[str] = (),
        timing: Timing | None = None,
        page_size: int = 500,
    ) -> None:
        """Connects to nothing yet.

        Args:
            cluster: from `load_cluster`
            instance: value of the label podrun.dev/instance of every pod that is ours
            namespaces: where pods may run, the default first; empty: the cluster's own default
            timing: for tests
            page_size: of lists
        """
        self.namespaces: tuple[str, ...] = tuple(dict.fromkeys(namespaces)) or (cluster.namespace,)
        self._client = ApiClient(cluster)
        self._instance, self._timing, self._page_size = instance, timing or Timing(), page_size
        self._listener: PodListener = DeafListener()
        self._informers: dict[str, NamespaceInformer] = {}
        self._watchers: list[asyncio.Task[None]] = []
        self._group = asyncio.TaskGroup()
        self._stack = AsyncExitStack()
        self._creates = asyncio.Semaphore(CREATES_IN_FLIGHT)
        self._deletes = asyncio.Semaphore(DELETES_IN_FLIGHT)
        self._reads = asyncio.Semaphore(READS_IN_FLIGHT)

    @classmethod
    async def open(cls, *, instance: str, namespaces: Sequence[str] = ()) -> KubernetesBackend:
        """Find the cluster (kubeconfig or service account) and make a backend for it; enter it next.

        Raises:
            ClusterConfigInvalid: there is no usable configuration.
        """
        return cls(await load_cluster(), instance=instance, namespaces=namespaces)

    async def __aenter__(self) -> KubernetesBackend:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._client)
            await stack.enter_async_context(self._group)
            stack.callback(self._stop_watching)
            for namespace in self.namespaces:
                self._informer(namespace)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    def listen(self, listener: PodListener) -> None:
        """Tell this listener from now on. Called once, before entering."""
        self._listener = listener

    async def wait_synced(self, namespace: str) -> None:
        """Wait until every pod of this instance in the namespace has been listed at least once."""
        await self._informer(namespace).store.synced.wait()

    def find_pod(self, namespace: str, name: str) -> PodObservation | None:
        """The pod as last seen by the watch or as it was created, None if it was not seen or is gone. No I/O."""
        informer = self._informers.get(namespace)
        return informer.store.find(name) if informer else None

    def list_pods(self, namespace: str, run_id: str) -> list[PodObservation]:
        """Every pod of the run as last seen. No I/O."""
        informer = self._informers.get(namespace)
        return informer.store.list_run(run_id) if informer else []

    def sees(self, namespace: str) -> bool:
        """Whether the namespace's watch is open."""
        informer = self._informers.get(namespace)
        return informer is not None and informer.sees

    async def create_pod(self, manifest: Manifest, guard: Guard) -> PodObservation:
        """Create or adopt, as the port says.

        What is returned has `exists` False where the watch has already seen that pod go.
        """
        metadata: Mapping[str, Any] = manifest["metadata"]
        name, namespace = str(metadata["name"]), str(metadata.get("namespace") or self.namespaces[0])
        store = self._informer(namespace).store
        path = f"/api/v1/namespaces/{namespace}/pods"
        async with self._creates:
            with store.creating(name):
                try:
                    failpoints.before(Action.CREATE_POD)
                    body = await self._client.call("POST", path, body=manifest, guard=guard)
                    failpoints.after(Action.CREATE_POD)
                    pod = _read_pod(body)
                except ApiError as exc:
                    if not is_already_exists(exc):
                        raise create_error(exc) from exc
                    pod = await self._get_own_pod(f"{path}/{name}", metadata.get("labels") or {})
                except ApiUnreachable as exc:
                    raise create_error(exc) from exc
                observation = observe_pod(pod)
                if observation is None:
                    raise PodRefused("Invalid", f"pod {name} has no labels of podrun that name its attempt")
                return store.insert(observation, parse_version(pod.metadata.resource_version))

    async def delete_pod(self, ref: PodRef, guard: Guard, *, grace_seconds: int | None = None) -> None:
        """Ask for the deletion, as the port says. Where it turns out to be gone, the listener is told so."""
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": ref.uid}}
        if grace_seconds is not None:
            body["gracePeriodSeconds"] = grace_seconds
        async with self._deletes:
            try:
                failpoints.before(Action.DELETE_POD)
                await self._client.call("DELETE", f"/api/v1/namespaces/{ref.namespace}/pods/{ref.name}", body=body, guard=guard)
                failpoints.after(Action.DELETE_POD)
            except ApiError as exc:
                if exc.code != 404 and not is_other_uid(exc):
                    raise delete_error(exc) from exc
                informer = self._informers.get(ref.namespace)
                if informer:
                    informer.store.forget(ref.name, ref.uid)
            except ApiUnreachable as exc:
                raise delete_error(exc) from exc

    def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """The log as it grows, as the port says."""
        return self._stream_log(ref, container, since, follow=True)

    def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """What is there of the log now."""
        return self._stream_log(ref, container, since, follow=False)

    async def check(self) -> str | None:
        """Whether the API server answers and lets us list, and whether every namespace is watched."""
        path = f"/api/v1/namespaces/{self.namespaces[0]}/pods"
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._client.call("GET", path, params={"limit": "1"}, timeout_seconds=CHECK_SECONDS)
        except (ApiError, ApiUnreachable) as exc:
            return f"pods in namespace {self.namespaces[0]} can't be listed: {exc}"
        except TimeoutError:
            return f"the API server did not answer within {CHECK_SECONDS:.0f} s"
        troubles = (informer.find_trouble() for informer in self._informers.values())
        return next((trouble for trouble in troubles if trouble), None)

    def refuse(self, document: Mapping[str, Any]) -> list[Fault]:  # noqa: ARG002 - the port's signature
        """Kubernetes refuses nothing of a valid workflow."""
        return []

    def remarks(self, manifest: Manifest) -> list[str]:  # noqa: ARG002 - the port's signature
        """Kubernetes honours all that it takes."""
        return []

    def _informer(self, namespace: str) -> NamespaceInformer:
        """The namespace's informer, started where it is missing."""
        informer = self._informers.get(namespace)
        if informer is None:
            informer = NamespaceInformer(self._client, namespace, self._instance, self._listener, self._timing, self._page_size)
            watcher = self._group.create_task(informer.run(), name=f"informer {namespace}")
            self._informers[namespace] = informer
            self._watchers.append(watcher)
        return informer

    def _stop_watching(self) -> None:
        for watcher in self._watchers:
            watcher.cancel()

    async def _get_own_pod(self, path: str, labels: Mapping[str, str]) -> RawPod:
        """The pod that is there already, if it is the same attempt's."""
        try:
            failpoints.before(Action.GET_POD)
            pod = _read_pod(await self._client.call("GET", path))
            failpoints.after(Action.GET_POD)
        except ApiError as exc:
            # 404: it went in between. Whatever it is, the caller tries again and finds out.
            raise PodDeferred(exc.reason, exc.message, exc.retry_after_seconds) from exc
        except ApiUnreachable as exc:
            raise create_error(exc) from exc
        found = pod.metadata.labels or {}
        if any(found.get(label) != labels.get(label) or label not in labels for label in IDENTITY_LABELS):
            raise PodRefused(
                "PodNameConflict",
                f"pod {pod.metadata.name} is there already in namespace {pod.metadata.namespace} and is not of this attempt",
            )
        return pod

    async def _stream_log(self, ref: PodRef, container: str, since: datetime | None, *, follow: bool) -> AsyncIterator[bytes]:
        # The API reads logs by name alone: another pod of that name is not ours.
        known = self.find_pod(ref.namespace, ref.name)
        if known is not None and known.uid != ref.uid:
            raise LogUnavailable(f"pod {ref.name} is gone: another one has its name", gone=True)
        failpoints.before(Action.READ_LOG)
        is_let_go = partial(self._is_let_go, ref, container)
        async with nullcontext() if follow else self._place_among_reads():
            async for chunk in stream_log(self._client, ref, container, since, follow=follow, is_let_go=is_let_go):
                yield chunk
        failpoints.after(Action.READ_LOG)

    @asynccontextmanager
    async def _place_among_reads(self) -> AsyncIterator[None]:
        has_place = True
        try:
            async with asyncio.timeout(READ_PATIENCE_SECONDS):
                await self._reads.acquire()
        except TimeoutError:
            has_place = False
        try:
            yield
        finally:
            if has_place:
                self._reads.release()

    def _is_let_go(self, ref: PodRef, container: str) -> bool:
        """Whether the kubelet is done with the pod: it deletes it without grace then. A finalizer may keep it all the same."""
        pod = self.find_pod(ref.namespace, ref.name)
        if pod is None or pod.uid != ref.uid or pod.deletion_at is None or pod.deletion_grace_seconds != 0:
            return False
        seen = pod.container(container)
        return seen is not None and seen.phase is ContainerPhase.TERMINATED


def _read_pod(body: bytes) -> RawPod:
    try:
        return decode_pod(body)
    except msgspec.MsgspecError as exc:
        raise ApiUnreachable("InvalidAnswer", "the API server's answer is no pod") from exc

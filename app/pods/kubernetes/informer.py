"""All of one namespace: its pods of this instance, and their events, kept by two list-and-watches for all runs together."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
import structlog

from app.domain.kubernetes.labels import MANAGED_BY
from app.pods.kubernetes.client import ApiClient
from app.pods.kubernetes.listwatch import ListWatch, Timing
from app.pods.kubernetes.objects import decode_event, decode_pod, parse_version, to_pod_event
from app.pods.kubernetes.store import PodStore
from app.pods.manifest import INSTANCE_LABEL, MANAGER
from app.pods.observation import observe_pod
from app.pods.port import PodListener

log = structlog.get_logger(__name__)


class NamespaceInformer:
    """Watches one namespace. `run` is its coroutine and ends only when it is cancelled."""

    def __init__(
        self, client: ApiClient, namespace: str, instance: str, listener: PodListener, timing: Timing, page_size: int = 500
    ) -> None:
        self.store = PodStore(namespace, listener)
        root = f"/api/v1/namespaces/{namespace}"
        ours = {"labelSelector": f"{MANAGED_BY}={MANAGER},{INSTANCE_LABEL}={instance}"}
        self._pods = ListWatch(client, f"{root}/pods", ours, _PodSink(self.store), timing, page_size)
        for_events = replace(timing, watch=timing.event_watch)
        of_pods = {"fieldSelector": "involvedObject.kind=Pod"}
        self._events = ListWatch(client, f"{root}/events", of_pods, _EventSink(self.store), for_events, page_size)

    async def run(self) -> None:
        """Watch until cancelled. Events wait for the first list of pods: before it nobody knows whose they are."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._pods.run(), name=f"watch pods {self.store.namespace}")
            await self.store.synced.wait()
            group.create_task(self._events.run(), name=f"watch events {self.store.namespace}")

    @property
    def sees(self) -> bool:
        """Whether the pods here are as they are in the cluster, as far as can be known."""
        return self._pods.is_current

    def find_trouble(self) -> str | None:
        """A sentence on why pods can't be seen at the moment, None when they are."""
        trouble = self._pods.trouble
        return f"pods in namespace {self.store.namespace} can't be watched: {trouble}" if trouble else None


class _PodSink:
    """Pods → the store."""

    def __init__(self, store: PodStore) -> None:
        self._store = store
        self._before: Mapping[str, str] = {}
        self._found: list[tuple[str, str]] = []

    def list_started(self) -> None:
        self._before, self._found = self._store.snapshot(), []

    def listed(self, items: Sequence[msgspec.Raw], version: int) -> None:
        if 0 < version < self._store.version:
            self._store.rewind(version)
        for item in items:
            try:
                pod = decode_pod(item)
            except msgspec.MsgspecError as exc:
                self._unreadable(exc)
                continue
            observation = observe_pod(pod)
            if observation is not None:  # else its labels name no attempt any more: it is not one of ours
                self._found.append((pod.metadata.name, pod.metadata.uid))
                self._store.saw(observation, parse_version(pod.metadata.resource_version))

    def list_ended(self, version: int) -> None:
        self._store.listed(self._before, self._found, version)
        self._before, self._found = {}, []

    def changed(self, kind: str, item: msgspec.Raw) -> str:
        try:
            pod = decode_pod(item)
        except msgspec.MsgspecError as exc:
            self._unreadable(exc)
            return ""
        observation = observe_pod(pod, exists=kind != "DELETED")
        if observation is not None and kind == "DELETED":
            self._store.saw_deleted(observation)
        elif observation is not None:
            self._store.saw(observation, parse_version(pod.metadata.resource_version))
        else:
            self._store.forget(pod.metadata.name, pod.metadata.uid)
        return pod.metadata.resource_version

    def reached(self, version: int) -> None:
        self._store.reached(version)

    def _unreadable(self, exc: msgspec.MsgspecError) -> None:
        # msgspec's text names the field and the types, never the value.
        log.warning("a pod can't be read", namespace=self._store.namespace, error=str(exc))


class _EventSink:
    """Events of pods that the store knows → its listener. A later list tells only what is new since."""

    def __init__(self, store: PodStore) -> None:
        self._store = store
        self._version = 0  #: all events up to here have been told

    def list_started(self) -> None:
        """Nothing to prepare."""

    def listed(self, items: Sequence[msgspec.Raw], version: int) -> None:
        if version < self._version:
            self._version = 0  # the cluster was restored from a backup
        for item in items:
            self._take(item, after=self._version)

    def list_ended(self, version: int) -> None:
        self._version = max(self._version, version)

    def changed(self, kind: str, item: msgspec.Raw) -> str:
        # An event that is deleted has only become old.
        return self._take(item, after=0 if kind != "DELETED" else None)

    def reached(self, version: int) -> None:
        self._version = max(self._version, version)

    def _take(self, item: msgspec.Raw, *, after: int | None) -> str:
        """Tell the event if it is newer than that, and of a pod that is known; returns its version."""
        try:
            event = decode_event(item)
        except msgspec.MsgspecError as exc:
            log.warning("an event can't be read", namespace=self._store.namespace, error=str(exc))
            return ""
        version = event.metadata.resource_version
        is_new = after is not None and (after == 0 or parse_version(version) > after)
        if is_new and self._store.knows(event.involved_object.name):
            self._store.tell_event(to_pod_event(event))
        return version

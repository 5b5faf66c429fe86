"""The pods of one namespace as the watch has them, and who is told of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import structlog

from app.domain.pods import PodEvent, PodObservation
from app.pods.port import PodListener

log = structlog.get_logger(__name__)


class DeafListener:
    """Stands in until somebody listens."""

    def pod_observed(self, observation: PodObservation) -> None:
        """Nobody is told."""

    def pod_event(self, event: PodEvent) -> None:
        """Nobody is told."""


@dataclass(frozen=True, slots=True)
class _Entry:
    observation: PodObservation
    version: int


class PodStore:
    """What is known of one namespace's pods. Its owner is the namespace's informer; `insert` is for creations' answers.

    `version` is how far the cluster's history is in here, bookmarks included: a pod that was made before it and is not here
    is gone.
    """

    def __init__(self, namespace: str, listener: PodListener) -> None:
        self.namespace = namespace
        self.synced = asyncio.Event()
        self.version = 0
        self._listener = listener
        self._entries: dict[str, _Entry] = {}
        self._creating: Counter[str] = Counter()

    def find(self, name: str) -> PodObservation | None:
        """The pod as last seen."""
        entry = self._entries.get(name)
        return entry.observation if entry else None

    def list_run(self, run_id: str) -> list[PodObservation]:
        """The run's pods as last seen. Takes time with all pods of the namespace: for what is done once a run."""
        return [one.observation for one in self._entries.values() if one.observation.key.run_id == run_id]

    def knows(self, name: str) -> bool:
        """Whether a pod of that name is here or is being created."""
        return name in self._entries or name in self._creating

    @contextmanager
    def creating(self, name: str) -> Iterator[None]:
        """While a pod of that name is being created, its events are ours already."""
        self._creating[name] += 1
        try:
            yield
        finally:
            self._creating[name] -= 1
            if not self._creating[name]:
                del self._creating[name]

    def snapshot(self) -> Mapping[str, str]:
        """Name → UID of every pod here: what a list that starts now must find, or it is gone."""
        return {name: entry.observation.uid for name, entry in self._entries.items()}

    def insert(self, observation: PodObservation, version: int) -> PodObservation:
        """Take in the answer of a creation, unless the watch was faster; the newer of the two is returned, gone or not."""
        entry = self._entries.get(observation.name)
        if entry is not None and entry.version >= version:
            return entry.observation if entry.observation.uid == observation.uid else replace(observation, exists=False)
        if entry is None and 0 < version <= self.version:
            return replace(observation, exists=False)
        self._entries[observation.name] = _Entry(observation, version)
        return observation

    def saw(self, observation: PodObservation, version: int) -> None:
        """Take in a pod from a list or a watch, and tell it. What is older than what is here is left out."""
        entry = self._entries.get(observation.name)
        if entry is not None:
            if version < entry.version:
                return
            # Where its labels name another attempt now, the pod of the one that they named before is gone.
            if entry.observation.uid != observation.uid or entry.observation.key != observation.key:
                self._tell(replace(entry.observation, exists=False))
        self._entries[observation.name] = _Entry(observation, version)
        self._tell(observation)

    def saw_deleted(self, observation: PodObservation) -> None:
        """Take in that a pod is gone, and tell it, with what was last seen of it."""
        entry = self._entries.get(observation.name)
        if entry is not None and entry.observation.uid == observation.uid:
            del self._entries[observation.name]
        self._tell(observation if not observation.exists else replace(observation, exists=False))

    def listed(self, before: Mapping[str, str], found: Iterable[tuple[str, str]], version: int) -> None:
        """End a list: what was here before its request (`before`) and was not in it (`found`: name, UID) is gone."""
        present = set(found)
        for name, uid in before.items():
            if (name, uid) not in present:
                self.forget(name, uid)
        self.reached(version)
        self.synced.set()

    def rewind(self, version: int) -> None:
        """A list is older than what is here: the cluster was restored from a backup, and versions here mean nothing."""
        self.version = version
        self._entries = {name: _Entry(entry.observation, 0) for name, entry in self._entries.items()}

    def forget(self, name: str, uid: str) -> None:
        """Somebody found out that this pod is gone."""
        entry = self._entries.get(name)
        if entry is not None and entry.observation.uid == uid:
            self.saw_deleted(entry.observation)

    def reached(self, version: int) -> None:
        """All that happened up to that version is in here."""
        self.version = max(self.version, version)

    def tell_event(self, event: PodEvent) -> None:
        """Pass an event on."""
        try:
            self._listener.pod_event(event)
        except Exception:
            log.exception("a listener failed", namespace=self.namespace, pod=event.pod)

    def _tell(self, observation: PodObservation) -> None:
        try:
            self._listener.pod_observed(observation)
        except Exception:
            log.exception("a listener failed", namespace=self.namespace, pod=observation.name)

"""Which events of pods are in a run's history: a watch that begins tells them all again, also before the run was loaded."""

from __future__ import annotations

from collections.abc import Mapping

from app.domain.pods import AttemptKey, PodEvent

Told = tuple[AttemptKey, PodEvent]


class ToldEvents:
    """What a run was told of its pods. One for an actor."""

    def __init__(self) -> None:
        self._counts: dict[str, int] | None = None  # by the events' identity: how often they were counted; None: not known yet
        self._early: list[Told] = []

    def take(self, key: AttemptKey, event: PodEvent) -> bool:
        """Whether this is new, or counted more often than before. Before `restore` nothing is: it waits."""
        if self._counts is None:
            self._early.append((key, event))
            return False
        identity = event.event_uid or f"{event.pod}/{event.reason}/{event.message}"
        if self._counts.get(identity, 0) >= event.count:
            return False
        self._counts[identity] = event.count
        return True

    def restore(self, counts: Mapping[str, int]) -> list[Told]:
        """Go on from what the history has; returns what has waited and is new."""
        self._counts = dict(counts)
        early, self._early = self._early, []
        return [(key, event) for key, event in early if self.take(key, event)]

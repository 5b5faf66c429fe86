"""Pods that come when their run is finished: a creation was on its way for so long that the run's owner waits for it no more.

Such as that of a process which was stopped between its guard and its write, and wakes up when another one has long taken the
run over and brought it to its end. Only a run's owner judges its pods, but a finished run has none: whoever sees them deletes
them, by their UID.
"""

from __future__ import annotations

import time
from functools import partial

import structlog

from app.domain.errors import PodDeferred
from app.domain.pods import PodObservation, PodRef
from app.executor.launcher import Launcher
from app.pods.port import PodBackend
from app.storage.database import Database
from app.storage.executors import find_finished

#: A pod is judged so long after it was seen: by then the watch also knows of a delete that its run's owner has just asked for.
JUDGED_AFTER_SECONDS = 4.0

log = structlog.get_logger(__name__)


class LatePods:
    """Told of each pod whose run has no actor here; `look` from time to time."""

    def __init__(self, database: Database, backend: PodBackend, launcher: Launcher) -> None:
        self._database, self._backend, self._launcher = database, backend, launcher
        self._seen: dict[PodRef, tuple[str, float]] = {}  # the run, and when it was seen first

    def observed(self, pod: PodObservation) -> None:
        """A pod is as observed, and nobody here judges it."""
        if pod.exists and pod.deletion_at is None:
            self._seen.setdefault(pod.ref, (pod.key.run_id, time.monotonic()))
        else:
            self._seen.pop(pod.ref, None)

    async def look(self) -> None:
        """Have those deleted whose runs are finished, forget the others. Raises the database's errors."""
        before = time.monotonic() - JUDGED_AFTER_SECONDS
        due = {ref: run_id for ref, (run_id, seen_at) in self._seen.items() if seen_at <= before}
        if not due:
            return
        finished = await self._database.read(lambda session: find_finished(session, set(due.values())))
        for ref, run_id in due.items():
            seen = self._seen.pop(ref, None)
            if seen is not None and run_id in finished:
                log.warning("a pod came when its run was finished: deleted", run=run_id, pod=ref.name, namespace=ref.namespace)
                self._launcher.delete(run_id, ref, partial(self._answered, ref, run_id))

    def _answered(self, ref: PodRef, run_id: str, deferred: PodDeferred | None) -> None:
        pod = self._backend.find_pod(ref.namespace, ref.name)
        if deferred is not None and pod is not None and pod.ref == ref:
            self._seen.setdefault(ref, (run_id, time.monotonic()))

"""The port through which the executor runs pods. `pods.kubernetes` and `pods.local` implement it, and pass one contract suite.

A backend knows pods, not runs: it creates what it is given, tells what it sees, and reads logs. It never decides an outcome.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import datetime
from typing import Any, Literal, Protocol

from app.domain.errors import Fault
from app.domain.pods import PodEvent, PodObservation, PodRef

#: A pod's manifest in Kubernetes' own JSON, as `pods.manifest.build_pod` makes it.
Manifest = Mapping[str, Any]

#: Called right before a write to the cluster, with no await in between. What it raises drops the write, and is raised.
Guard = Callable[[], None]


class PodListener(Protocol):
    """Who is told what a backend sees. Both methods return at once and never raise."""

    def pod_observed(self, observation: PodObservation) -> None:
        """A pod is as told (`exists` False: it is gone). The same observation may come more than once."""

    def pod_event(self, event: PodEvent) -> None:
        """A component said something of a pod. Only of pods that carry this instance's labels."""


class PodBackend(Protocol):
    """Runs pods and watches them.

    Use: enter it as an async context manager (opens connections, starts watching in the background; returns at once, also
    when the cluster is out of reach), leave it (stops watching; pods go on running).
    """

    kind: Literal["kubernetes", "local"]

    async def __aenter__(self) -> PodBackend: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def listen(self, listener: PodListener) -> None:
        """Tell this listener from now on. Called once, before entering."""

    async def wait_synced(self, namespace: str) -> None:
        """Wait until every pod of this instance in the namespace has been listed at least once."""

    def find_pod(self, namespace: str, name: str) -> PodObservation | None:
        """The pod as last seen by the watch, None if the watch has not seen it or it is gone. No I/O."""

    def list_pods(self, namespace: str, run_id: str) -> list[PodObservation]:
        """Every pod with that run's labels as last seen by the watch, whatever its name. No I/O."""

    def sees(self, namespace: str) -> bool:
        """Whether what is told of that namespace's pods is what they are now, as far as can be known. No I/O.

        False until they were listed, and while they can't be watched.
        """

    async def create_pod(self, manifest: Manifest, guard: Guard) -> PodObservation:
        """Create the pod; where one of its name exists with the same run, task, attempt and instance labels, adopt it.

        Raises:
            PodRefused: it will never be taken as it is (400, 403 but for quota, 404, 422; PodNameConflict: a pod of that
                name is there and is not ours).
            PodDeferred: not now (quota, 429, 5xx, no connection): the caller tries again. The pod may exist all the same.
            LeaseExpired: `guard` raised it; nothing was sent.
        """

    async def delete_pod(self, ref: PodRef, guard: Guard, *, grace_seconds: int | None = None) -> None:
        """Ask for the pod's deletion, by UID; None takes the pod's own grace period. A pod that is gone is no error.

        Returns when the request was answered; the pod may be there for its grace period. Raises PodDeferred, LeaseExpired.
        """

    def follow_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """The container's log as it grows, in chunks cut anywhere, in the kubelet's `timestamps=true` format.

        Each line is a stamp in RFC 3339 with nanoseconds, one space, the line's bytes as printed, a line feed; the last
        line may lack its line feed. From `since` on (cut to whole seconds, inclusive), None: from the first byte that is
        there. The iterator ends where the server ends it: that proves nothing. It may also never end. Close it with
        `aclosing`. Raises LogUnavailable.
        """

    def read_log(self, ref: PodRef, container: str, since: datetime | None) -> AsyncIterator[bytes]:
        """The same without following: what is there now, then the end."""

    async def check(self) -> str | None:
        """None when pods can be run now, else a sentence that says what is wrong. For /readyz; bounded to two seconds."""

    def refuse(self, document: Mapping[str, Any]) -> list[Fault]:
        """What this backend can't run of a workflow document, whatever else is wrong with it; empty: all is well.

        Pointers are into the document as posted, at the task's key or at the one in `task_defaults` that it comes from.
        Kubernetes refuses nothing here.
        """

    def remarks(self, manifest: Manifest) -> list[str]:
        """Sentences on what this backend takes but does not honour in the pod; they become events of the run."""

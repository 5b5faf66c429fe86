"""Creates and deletes pods for all runs: in fair order, at a bounded rate, so many at a time.

Actors order; the answer comes back through their inbox. Nothing is retried here: what was deferred is the plan's to time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Self

import structlog
from aiolimiter import AsyncLimiter

from app.domain.errors import LeaseExpired, PodDeferred, PodRefused
from app.domain.pods import PodObservation, PodRef
from app.pods.port import Guard, Manifest, PodBackend

CREATIONS_IN_FLIGHT = 64
DELETIONS_IN_FLIGHT = 32

log = structlog.get_logger(__name__)

Job = Callable[[], Awaitable[None]]
CreateAnswer = Callable[[PodObservation | PodRefused | PodDeferred], None]
DeleteAnswer = Callable[[PodDeferred | None], None]

_NOT_WANTED = "the pod was not wanted any more"


class _NotWanted(Exception):
    """Its actor is over, or does not want it any more."""


class FairQueue:
    """Jobs of many runs, taken round-robin over the runs, in order within each."""

    def __init__(self) -> None:
        self._runs: dict[str, deque[Job]] = {}
        self._count = asyncio.Semaphore(0)

    def put(self, run_id: str, job: Job) -> None:
        """Add a job of that run."""
        self._runs.setdefault(run_id, deque()).append(job)
        self._count.release()

    async def wait(self) -> None:
        """Wait until there is a job for this caller; then call `take`, once."""
        await self._count.acquire()

    def take(self) -> Job:
        """The next job."""
        run_id = next(iter(self._runs))
        jobs = self._runs.pop(run_id)
        job = jobs.popleft()
        if jobs:
            self._runs[run_id] = jobs  # behind the others
        return job


class Launcher:
    """An async context manager: its workers live as long as the block."""

    def __init__(self, backend: PodBackend, guard: Guard, *, create_qps: float, create_burst: int) -> None:
        self._backend, self._guard = backend, guard
        self._creates, self._deletes = FairQueue(), FairQueue()
        self._limiter = AsyncLimiter(create_burst, create_burst / create_qps)
        self._group = asyncio.TaskGroup()
        self._workers: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        for number in range(CREATIONS_IN_FLIGHT):
            self._workers.append(self._group.create_task(self._work(self._creates, self._limiter), name=f"creator {number}"))
        for number in range(DELETIONS_IN_FLIGHT):
            self._workers.append(self._group.create_task(self._work(self._deletes, None), name=f"deleter {number}"))
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        for worker in self._workers:
            worker.cancel()
        await self._group.__aexit__(None, None, None)

    def create(self, run_id: str, manifest: Manifest, wanted: Callable[[], bool], answer: CreateAnswer) -> None:
        """Create the pod when its turn comes, unless it is not `wanted` any more by then (then PodRefused)."""

        async def job() -> None:
            if not wanted():
                answer(PodRefused("Dropped", _NOT_WANTED))
                return
            try:
                answer(await self._backend.create_pod(manifest, self._guard_of(wanted)))
            except _NotWanted:
                answer(PodRefused("Dropped", _NOT_WANTED))
            except (PodRefused, PodDeferred) as error:
                answer(error)
            except LeaseExpired as error:
                answer(PodDeferred("LeaseExpired", str(error)))
            except Exception as error:
                log.exception("a pod could not be created", pod=manifest["metadata"]["name"])
                answer(PodDeferred("InternalError", f"{type(error).__name__} in the service, see its log"))

        self._creates.put(run_id, job)

    def delete(self, run_id: str, ref: PodRef, answer: DeleteAnswer, wanted: Callable[[], bool] = lambda: True) -> None:
        """Ask for the pod's deletion when its turn comes, if it is still `wanted` by then (else there is no answer)."""

        async def job() -> None:
            if not wanted():
                return
            try:
                await self._backend.delete_pod(ref, self._guard_of(wanted))
            except _NotWanted:
                pass
            except PodDeferred as error:
                answer(error)
            except LeaseExpired as error:
                answer(PodDeferred("LeaseExpired", str(error)))
            except Exception as error:
                log.exception("a pod could not be deleted", pod=ref.name)
                answer(PodDeferred("InternalError", f"{type(error).__name__} in the service, see its log"))
            else:
                answer(None)

        self._deletes.put(run_id, job)

    def _guard_of(self, wanted: Callable[[], bool]) -> Guard:
        """Asked last of all: the connection took its time, and the run may have been lost and the lease renewed meanwhile."""

        def guard() -> None:
            self._guard()
            if not wanted():
                raise _NotWanted

        return guard

    async def _work(self, queue: FairQueue, limiter: AsyncLimiter | None) -> None:
        while True:
            await queue.wait()
            if limiter is not None:
                await limiter.acquire()
            await queue.take()()

"""A lane: one worker at a time, and the jobs that take turns with it."""

from __future__ import annotations

import asyncio
import contextlib

import structlog

from app.expressions.jobs import Job, Turns
from app.expressions.limits import Limits
from app.expressions.process import WorkerDied, WorkerProcess

log = structlog.get_logger(__name__)


class Lane:
    """Owns its worker. `run` is its whole life; cancelled, it ends the worker."""

    def __init__(
        self,
        name: str,
        limits: Limits,
        cpu_seconds: float,
        *,
        python: str,
        hand_over: Turns | None = None,
        idle_seconds: float | None = None,
    ) -> None:
        """`hand_over`: where jobs go on that turned out to be slow. `idle_seconds`: how long a worker without work stays."""
        self.name = name
        self.turns = Turns()
        self._limits, self._cpu_seconds, self._idle_seconds = limits, cpu_seconds, idle_seconds
        self._python, self._hand_over = python, hand_over
        self._worker: WorkerProcess | None = None
        self._failed_starts = 0

    async def run(self) -> None:
        """Serve jobs until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                while True:
                    await self._wait()
                    if self._worker is None:
                        await self._start(group)
                    if self._worker is not None and (job := self.turns.take()):
                        await self._turn(self._worker, job)
        finally:
            await self._stop()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._idle_seconds):
                await self.turns.some()
        except TimeoutError:
            await self._stop()
            await self.turns.some()

    async def _start(self, group: asyncio.TaskGroup) -> None:
        try:
            worker = await WorkerProcess.start(self._limits.memory_bytes, self._python)
        except (WorkerDied, OSError, TimeoutError) as error:
            why = f"no process for expressions could be started: {error or type(error).__name__}"
            log.error(why, lane=self.name)  # noqa: TRY400  # the traceback would only show this line
            while job := self.turns.take():
                job.unavailable(why)
            pause = self._limits.restart_seconds * 2**self._failed_starts
            self._failed_starts = min(self._failed_starts + 1, 16)
            await asyncio.sleep(min(pause, self._limits.most_restart_seconds))
            return
        self._failed_starts = 0
        self._worker = worker
        group.create_task(worker.log_stderr(), name="expressions: standard error")

    async def _turn(self, worker: WorkerProcess, job: Job) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                reply = await worker.ask(*job.request(worker.contexts, self._cpu_seconds))
            job.answered(reply, loop.time())
        except WorkerDied as death:
            self._worker = None
            self._ended(job, death)
        except TimeoutError:
            worker.kill()
            await self._stop()
            job.unavailable(f"no values came in {self._limits.answer_seconds:g} seconds")
        except Exception as error:
            # A mistake of ours with one job must not stop all others.
            log.exception("an evaluation failed", lane=self.name)
            worker.kill()
            await self._stop()
            job.unavailable(f"the evaluation failed: {type(error).__name__}")
        if loop.time() - began > self._cpu_seconds:
            job.is_slow = True
        if not job.is_over:
            (self._hand_over if self._hand_over and job.is_slow else self.turns).add_again(job)

    def _ended(self, job: Job, death: WorkerDied) -> None:
        log.info("expressions ended their worker", lane=self.name, how=str(death), owner=job.owner)
        job.worker_ended(death, asyncio.get_running_loop().time(), is_first_try=self._hand_over is not None)

    async def _stop(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            with contextlib.suppress(TimeoutError):
                await worker.stop()

"""The door: callers ask for values, lanes of workers find them.

    evaluate ─▶ quick lane ─▶ values
                    └─ took long, or ended its worker ─▶ slow lane ─▶ values, or what went wrong

Whoever is new goes through the quick lane, where little CPU is allowed: what needs more than that is tried again in the slow
lane with all that an expression may take. So a stranger's endless computation holds up its likes, and others hardly.
"""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self

import structlog

from app.domain.errors import EvaluatorUnavailable, ExpressionFailed
from app.domain.expressions.analysis import references
from app.expressions.contexts import encoded, is_small, narrowed
from app.expressions.jobs import Evaluated, Job
from app.expressions.lane import Lane
from app.expressions.limits import Limits

log = structlog.get_logger(__name__)

_IDLE_SECONDS: Final = 60.0  #: the slow lane's worker ends after so long without work


class Evaluator:
    """An async context manager. Workers start at the first use, and end with it."""

    def __init__(self, limits: Limits | None = None, *, python: str = sys.executable) -> None:
        """`python`: the interpreter that runs the workers."""
        self._limits = one = limits or Limits()
        self._group = asyncio.TaskGroup()
        self._slow = Lane("slow", one, one.cpu_seconds, python=python, idle_seconds=_IDLE_SECONDS)
        self._quick = Lane("quick", one, one.quick_cpu_seconds, python=python, hand_over=self._slow.turns)
        self._lanes: list[asyncio.Task[None]] = []
        self._room = asyncio.Semaphore(self._limits.jobs)
        self._jobs: set[Job] = set()
        self._calls = itertools.count()
        self._is_open = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._is_open = True
        self._lanes = [
            self._group.create_task(lane.run(), name=f"expressions: {lane.name} lane") for lane in (self._quick, self._slow)
        ]
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self._is_open = False
        for job in self._jobs:
            job.unavailable("podrun is shutting down")
        for lane in self._lanes:
            lane.cancel()
        await self._group.__aexit__(None, None, None)

    def prepare(self) -> None:
        """Start the worker, if there is none: values will be asked for soon."""
        self._quick.turns.wake()

    async def evaluate(
        self,
        sources: Sequence[str],
        context: Mapping[str, Any],
        items: Sequence[Any] | None = None,
        condition: str | None = None,
        *,
        owner: str | None = None,
    ) -> list[Evaluated]:
        """The values of expressions, once for each item; once in all if `items` is None.

        `condition` comes first: where it is false the others are not evaluated, and the values hold just the condition. What
        an expression does wrong is an outcome, not an exception. Owners (runs) take turns; without `owner` the call is one.

        Raises:
            EvaluatorUnavailable: podrun is at fault; ask again in a moment.
        """
        count = 1 if items is None else len(items)
        try:
            paths = {path for source in _named(sources, condition) for path in references(source).paths}
            wanted = narrowed(context, paths)
            encoding = encoded(wanted) if is_small(wanted) else await asyncio.to_thread(encoded, wanted)
        except ExpressionFailed as failure:
            return [failure] * count
        except UnicodeEncodeError:
            return [ExpressionFailed("a value that the expressions use holds half of a surrogate pair")] * count
        if not count:
            return []
        job = Job(
            owner=owner or f"call {next(self._calls)}",
            sources=list(sources),
            condition=condition,
            context=encoding,
            items=items,
            future=asyncio.get_running_loop().create_future(),
            progressed_at=asyncio.get_running_loop().time(),
        )
        return await self._done(job)

    async def _done(self, job: Job) -> list[Evaluated]:
        try:
            async with asyncio.timeout(self._limits.answer_seconds):
                await self._room.acquire()
        except TimeoutError:
            raise EvaluatorUnavailable("too many expressions wait for their values") from None
        self._jobs.add(job)
        try:
            if not self._is_open:
                raise EvaluatorUnavailable("podrun is shutting down")
            job.progressed_at = asyncio.get_running_loop().time()
            self._quick.turns.add(job)
            return await self._awaited(job)
        finally:
            self._jobs.discard(job)
            self._room.release()
            job.future.cancel()  # if we were cancelled: nobody waits for it any more

    async def _awaited(self, job: Job) -> list[Evaluated]:
        """Wait for the values, as long as there is progress."""
        loop = asyncio.get_running_loop()
        while not job.future.done():
            patience = job.progressed_at + self._limits.answer_seconds - loop.time()
            if patience <= 0:
                raise EvaluatorUnavailable(f"no values came in {self._limits.answer_seconds:g} seconds")
            await asyncio.wait([job.future], timeout=patience)
        return job.future.result()


def _named(sources: Sequence[str], condition: str | None) -> list[str]:
    return [*sources] if condition is None else [condition, *sources]

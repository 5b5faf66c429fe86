"""Expressions that wait for their values, and whose turn it is."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from app.domain.errors import EvaluatorUnavailable, ExpressionFailed
from app.domain.expressions.cel_errors import ADVICE
from app.expressions.contexts import EncodedContext
from app.expressions.process import WorkerDied
from app.expressions.protocol import Outcome, RecentContexts, Reply, Request, shortened

ITEMS_AT_ONCE: Final = 250
_SHRINK: Final = 16  #: so much smaller is the next try when many items together ended the worker
_ENDINGS_ALLOWED: Final = 3  #: of one job's items, before the rest is not even tried
_NAMED: Final = 3  #: expressions that a message repeats
_TOO_LONG: Final = f"more than the one second of CPU time that a task's expressions may take together: {ADVICE}"
#: A `map` copies its list at each step, so its memory grows with the square of the list's length.
_TOO_LARGE: Final = (
    "more memory than it may have, as map and filter do over more than about 4,000 elements: compute it in a task"
)
_encode = msgspec.json.Encoder().encode
_decode_reply = msgspec.json.Decoder(Reply).decode
_decode_outcome = msgspec.json.Decoder(Outcome).decode

#: The values by source, or what went wrong (a value: nothing is raised).
Evaluated = dict[str, Any] | ExpressionFailed


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One call of `evaluate`, and how far it is. The lanes change it, one at a time."""

    owner: str
    sources: list[str]
    condition: str | None
    context: EncodedContext
    items: Sequence[Any] | None
    future: asyncio.Future[list[Evaluated]]
    progressed_at: float  #: of the event loop's clock
    outcomes: list[Evaluated] = field(default_factory=list)
    at_once: int = ITEMS_AT_ONCE
    is_slow: bool = False  #: it took more than others should wait for
    endings: int = 0  #: items that ended a worker
    lost: int = 0  #: workers that ended while they had the items that are next, for whatever reason

    @property
    def is_over(self) -> bool:
        """Whether nobody waits for it any more."""
        return self.future.done()

    @property
    def asked(self) -> int:
        """How many items are asked next."""
        return 1 if self.items is None else min(self.at_once, len(self.items) - len(self.outcomes))

    def request(self, contexts: RecentContexts[None], cpu_seconds: float) -> tuple[bytes, EncodedContext | None]:
        """What to send to a worker that has these contexts."""
        key = self.context.key
        brings_context = not contexts.use(key)
        if brings_context:
            contexts.keep(key, None)
        first = len(self.outcomes)
        items = None if self.items is None else list(self.items[first : first + self.asked])
        request = _encode(Request(self.sources, self.condition, key, brings_context, items, cpu_seconds))
        return request, self.context if brings_context else None

    def answered(self, reply: bytes, now: float) -> None:
        """Take the worker's answer."""
        for raw in _decode_reply(reply).outcomes:
            self.outcomes.append(self._evaluated(_decode_outcome(raw)))
        self.lost = 0
        self.at_once = min(2 * self.at_once, ITEMS_AT_ONCE)
        self._moved_on(now)

    def worker_ended(self, death: WorkerDied, now: float, *, is_first_try: bool) -> None:
        """Make of a worker's end what it means: smaller portions, another try, or a failure."""
        self.is_slow = True
        self.lost += 1
        if self.asked > 1:
            self.at_once = max(1, self.asked // _SHRINK)
        elif death.used_up_cpu or death.used_up_memory:
            # At the first try less CPU was allowed than they may have, and other contexts may have taken the memory.
            if not is_first_try:
                self._failed(self._takes_too_much(death), now)
        elif self.lost > 1:  # once may be chance: somebody killed the worker
            self._failed(f"the expressions ended their worker ({death})", now)

    def _takes_too_much(self, death: WorkerDied) -> str:
        sources = list(dict.fromkeys(self.sources if self.condition is None else [self.condition, *self.sources]))
        if len(sources) == 1:
            who = f"the expression `{shortened(sources[0])}`"
        elif len(sources) > _NAMED:
            who = f"one of the task's {len(sources)} expressions"
        else:
            who = f"one of the expressions {' and '.join(f'`{shortened(source)}`' for source in sources)}"
        if not death.used_up_cpu:
            return f"{who} needs {_TOO_LARGE}"
        return f"{who} takes {_TOO_LONG}" if len(sources) == 1 else f"the expressions take {_TOO_LONG}"

    def _failed(self, message: str, now: float) -> None:
        self.outcomes.append(ExpressionFailed(message))
        self.lost = 0
        self.endings += 1
        if self.endings >= _ENDINGS_ALLOWED and self.items is not None:
            rest = f"not evaluated: {self.endings} items before it used up their CPU time or memory"
            self.outcomes += [ExpressionFailed(rest)] * (len(self.items) - len(self.outcomes))
        self._moved_on(now)

    def unavailable(self, why: str) -> None:
        """End it: podrun can't do it now."""
        if not self.future.done():
            self.future.set_exception(EvaluatorUnavailable(why))

    def _moved_on(self, now: float) -> None:
        self.progressed_at = now
        if len(self.outcomes) >= (1 if self.items is None else len(self.items)) and not self.future.done():
            self.future.set_result(self.outcomes)

    def _evaluated(self, outcome: Outcome) -> Evaluated:
        if outcome.failure is not None:
            return ExpressionFailed(outcome.failure)
        values = dict(zip(self.sources, outcome.values or (), strict=False))
        return values if self.condition is None else {**values, self.condition: outcome.condition}


class Turns:
    """The jobs of one lane. Owners take turns, portion by portion; the jobs of one owner go in order."""

    def __init__(self) -> None:
        self._owners: OrderedDict[str, deque[Job]] = OrderedDict()
        self._some = asyncio.Event()

    def add(self, job: Job) -> None:
        """A new job."""
        self._owners.setdefault(job.owner, deque()).append(job)
        self._some.set()

    def add_again(self, job: Job) -> None:
        """A job that had its turn and is not over: its owner's next one, but after everybody else's."""
        self._owners.setdefault(job.owner, deque()).appendleft(job)
        self._owners.move_to_end(job.owner)
        self._some.set()

    def wake(self) -> None:
        """Let `some` return although there is no job."""
        self._some.set()

    async def some(self) -> None:
        """Wait until there is a job, or somebody calls `wake`."""
        await self._some.wait()

    def take(self) -> Job | None:
        """The next job that somebody waits for; it is not in here until it is added again. None: there is none."""
        while self._owners:
            owner, jobs = next(iter(self._owners.items()))
            job = jobs.popleft()
            if jobs:
                self._owners.move_to_end(owner)
            else:
                del self._owners[owner]
            if not job.is_over:
                return job
        self._some.clear()
        return None

"""The proof that this executor lives, and the guard that keeps it from touching the cluster when it can't prove that."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.domain.errors import LeaseExpired
from app.failpoints import Action
from app.storage.errors import describe_outage
from app.storage.executors import renew_lease
from app.storage.writer import Change, Writer

LEASE_SECONDS = 10.0
RENEW_SECONDS = 2.5
#: The guard holds back this long before the lease ends: a request under way must arrive before a successor acts.
MARGIN_SECONDS = 2.0

log = structlog.get_logger(__name__)


class Lease:
    """This executor's row, renewed while it lives. The deadline is monotonic: a stopped process wakes up past it."""

    def __init__(self, executor_id: str, writer: Writer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.executor_id = executor_id
        self._writer, self._clock = writer, clock
        self._deadline = 0.0

    @property
    def is_held(self) -> bool:
        """Whether others still see this executor alive, for some time to come."""
        return self._clock() < self._deadline - MARGIN_SECONDS

    def guard(self) -> None:
        """Raise LeaseExpired unless the lease is held: called right before each write to the cluster."""
        if not self.is_held:
            raise LeaseExpired("this executor's lease has run out: another one may own its runs")

    async def renew(self, ran_out: Callable[[], Awaitable[None]] | None = None) -> None:
        """Renew it once. Raises the database's errors, and what `ran_out` raises.

        Where it had run out, others may have claimed this executor's runs: `ran_out` is awaited before it is held again.
        """
        asked = self._clock()
        host = socket.gethostname()
        call = partial(renew_lease, executor_id=self.executor_id, host=host, seconds=LEASE_SECONDS)
        change = Change(call=call, actions=(Action.RENEW_LEASE,))
        await self._writer.commit(change)
        if ran_out is not None and self._clock() >= self._deadline:
            await ran_out()
        self._deadline = asked + LEASE_SECONDS

    async def keep(self, ran_out: Callable[[], Awaitable[None]]) -> None:
        """Renew it for ever; see `renew`."""
        while True:
            await asyncio.sleep(RENEW_SECONDS)
            try:
                async with asyncio.timeout(LEASE_SECONDS):
                    await self.renew(ran_out)
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("the lease could not be renewed", error=describe_outage(error), held=self.is_held)

"""One read for all who ask for the same at the same time. The read begins after each of them has asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(slots=True, eq=False)
class _Flight(Generic[V]):
    """One read, and who waits for it."""

    ended: asyncio.Event = field(default_factory=asyncio.Event)
    values: list[V] = field(default_factory=list)  #: what was read; none: it failed, or was never made
    error: Exception | None = None


class SharedReads(Generic[K, V]):
    """Reads by key: at most one of a key is made at a time, and one more is waited for by all who have come since.

    Who comes while a read is being made can't have its value, which may be older than what woke it:

        read 1 ├────────┤
        a, b, c   ↑ ↑ ↑  ├─ read 2 for a, b and c ─┤

    Owns the reads in progress. The first who waits for a read makes it; is it cancelled, the next one does.
    """

    def __init__(self, read: Callable[[K], Awaitable[V]]) -> None:
        """`read` has a deadline of its own."""
        self._read = read
        self._current: dict[K, _Flight[V]] = {}
        self._next: dict[K, _Flight[V]] = {}

    async def get(self, key: K) -> V:
        """What a read gives that begins now or later. Raises what the read raises, to all who share it."""
        while flight := self._next.get(key):
            await flight.ended.wait()
            if flight.error is not None:
                raise flight.error
            if flight.values:
                return flight.values[0]
        return await self._lead(key)

    async def _lead(self, key: K) -> V:
        flight = self._next[key] = _Flight[V]()
        try:
            while current := self._current.get(key):
                await current.ended.wait()
            del self._next[key]
            self._current[key] = flight
            value = await self._read(key)
            flight.values.append(value)
        except Exception as error:
            flight.error = error
            raise
        finally:
            for flights in (self._next, self._current):
                if flights.get(key) is flight:
                    del flights[key]
            flight.ended.set()
        return value

"""Who waits for what, in this process: a reader waits on a topic, then reads the database once.

Nothing is carried but the wake-up, so nothing can be lost or reordered: a woken reader reads what is committed. The writer
publishes after each commit; between replicas `storage.notifications` carries the topics.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

RUNS = "runs"  #: any run changed
SUBMITTED = "submitted"  #: a run waits to be claimed
INTENTS = "intents"  #: somebody asked something of a run
SCHEDULES = "schedules"  #: a stored workflow's schedule was changed


def run_topic(run_id: str) -> str:
    """What the run or its tasks show changed, or its history grew."""
    return f"run:{run_id}"


def logs_topic(run_id: str) -> str:
    """A log of the run grew, was sealed, or has a gap."""
    return f"logs:{run_id}"


class Subscription:
    """One reader's wake-ups. Call `clear`, then read, then `wait`: what is published in between wakes it at once."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def clear(self) -> None:
        """From here on, wake me."""
        self._event.clear()

    def wake(self) -> None:
        """Something was published."""
        self._event.set()

    @property
    def is_woken(self) -> bool:
        """Whether something was published since `clear`."""
        return self._event.is_set()

    async def wait(self, timeout_seconds: float) -> bool:
        """Whether something was published since `clear`; False when the time is over."""
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True


class Broker:
    """Topics and their subscriptions. Single-threaded: the event loop's."""

    def __init__(self) -> None:
        self._subscriptions: defaultdict[str, set[Subscription]] = defaultdict(set)

    @contextmanager
    def subscribe(self, *topics: str) -> Iterator[Subscription]:
        """A subscription to these topics, for as long as the block runs."""
        subscription = Subscription()
        for topic in topics:
            self._subscriptions[topic].add(subscription)
        try:
            yield subscription
        finally:
            for topic in topics:
                self._subscriptions[topic].discard(subscription)
                if not self._subscriptions[topic]:
                    del self._subscriptions[topic]

    def publish(self, topics: Iterable[str]) -> None:
        """Wake whoever waits on one of the topics."""
        for topic in topics:
            for subscription in self._subscriptions.get(topic, ()):
                subscription.wake()

    def publish_all(self) -> None:
        """Wake everybody: wake-ups may have been lost."""
        self.publish(list(self._subscriptions))

"""A cancellation that asyncio loses.

Up to Python 3.12 a TaskGroup that is cancelled just as one of its tasks fails raises that task's error, and the cancellation is
forgotten. In an outage that is no rare case: one transaction fails for all who wait for it, at the same moment. So whoever
catches what comes out of a group, and goes on, asks here first.
"""

from __future__ import annotations

import asyncio


def stop_if_cancelled() -> None:
    """Raise CancelledError where this asyncio task was asked to end, and an error came in its place.

    A group's tasks must be waited for within its block: of one that fails while the group is being left, a cancellation is
    counted that nobody asked for.
    """
    running = asyncio.current_task()
    if running is not None and running.cancelling():
        raise asyncio.CancelledError

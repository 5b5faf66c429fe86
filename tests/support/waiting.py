"""Waiting in tests for what has no event of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_apart(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run it in an event loop of its own, in another thread: for fixtures of a module, which have none."""
    results: list[Result] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            results.append(asyncio.run(coroutine))
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            failures.append(error)

    thread = threading.Thread(target=run, name="apart")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


async def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Return when the condition holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - conditions on other processes and on values have no event
            await asyncio.sleep(0.005)

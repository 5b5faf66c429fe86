"""A collection that is told to stop just as the index fails, which in an outage is the rule: one commit fails for all."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from app.logs.errors import LogStoreUnavailable
from tests.integration.logs.conftest import Logs
from tests.integration.logs.kubelet import FakeKubelet


class FailingIndex:
    """Fails at each append, and has its caller's work told to stop at that moment."""

    def __init__(self, rows: Any, error: Exception) -> None:
        self._rows, self._error = rows, error
        self.collecting: asyncio.Task[Any] | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    async def append_block(self, *_arguments: object) -> None:
        assert self.collecting is not None
        self.collecting.cancel()
        raise self._error


@pytest.mark.parametrize("error", [OSError("away"), LogStoreUnavailable("away")], ids=["index", "store"])
async def test_collect__cancelled_as_the_index_fails__ends(logs: Logs, error: Exception) -> None:
    kubelet = FakeKubelet()
    kubelet.write(b"one\n")
    index = FailingIndex(logs.rows, error)
    async with asyncio.TaskGroup() as group:
        collecting = replace(logs, rows=index).collect(kubelet, asyncio.Event())
        index.collecting = group.create_task(collecting, name="collection")
        await asyncio.wait([index.collecting], timeout=5)
        assert index.collecting.cancelled()
        assert kubelet.opened == ["follow"]


class FailingOnce:
    """Fails at the first append."""

    def __init__(self, rows: Any) -> None:
        self._rows, self._fails = rows, True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    async def append_block(self, *arguments: Any) -> None:
        if self._fails:
            self._fails = False
            raise OSError("away")
        await self._rows.append_block(*arguments)


async def test_collect__the_index_fails_as_the_last_block_is_stored__begins_again(logs: Logs) -> None:
    kubelet = FakeKubelet()
    kubelet.write(b"one\n")
    summary = await replace(logs, rows=FailingOnce(logs.rows)).collect(kubelet)
    assert (summary.bytes, summary.sealed) == (4, True)
    assert await logs.text() == b"one\n"

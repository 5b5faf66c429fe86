"""A log store and the index of one run, on SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.domain.logs import LogKey, LogSummary
from app.domain.pods import PodRef
from app.logs.collector import LogCollector
from app.logs.frames import Follow, Gap, Lines, LogLine, LogQuery
from app.logs.reader import LogReader
from app.logs.signs import ContainerSigns
from app.logs.store import LogStore
from app.storage import migrate
from app.storage.broker import Broker, logs_topic
from app.storage.database import open_database
from app.storage.logs import LogRows
from app.storage.writer import Writer
from tests.integration.logs.kubelet import FakeKubelet
from tests.integration.storage.rows import new_run, run_row

RUN = run_row(1)["id"]
REF = PodRef("default", "pod", "uid")
KEY = LogKey(RUN, "a", 1, "main")


@dataclass
class Logs:
    """Everything that logs need. Short names: nearly every test has them in each line."""

    rows: LogRows
    store: LogStore
    reader: LogReader
    broker: Broker
    folder: Path

    async def collect(
        self, kubelet: FakeKubelet, ended: asyncio.Event | None = None, key: LogKey = KEY, epoch: int = 1, **options
    ) -> LogSummary:
        """Collect what the kubelet has; `options` are further signs."""
        if ended is None:
            ended = asyncio.Event()
            ended.set()
            kubelet.over = True
        signs = ContainerSigns(ended=ended, **options)
        async with asyncio.timeout(20):
            return await LogCollector(kubelet, self.rows, self.store).collect(key, epoch, REF, signs)

    async def until_stored(self, size: int) -> None:
        """Wait until so many bytes of the log are stored."""
        with self.broker.subscribe(logs_topic(RUN)) as wake:
            async with asyncio.timeout(20):
                while not (found := await self.rows.find_logs(RUN, KEY.task)) or found[0].bytes < size:
                    await wake.wait(1)
                    wake.clear()

    async def text(self, follow: bool = False, task: str | None = "a", **query) -> bytes:
        return b"".join([chunk async for chunk in self._plain(follow, LogQuery(run_id=RUN, task=task, **query))])

    async def _plain(self, follow: bool, query: LogQuery) -> AsyncIterator[bytes]:
        if not follow:
            async for chunk in self.reader.plain(query):
                yield chunk
            return
        with self.broker.subscribe(logs_topic(RUN)) as wake:
            async for chunk in self.reader.plain(query, Follow(wake=wake, is_over=self.all_sealed)):
                yield chunk

    async def all_sealed(self) -> bool:
        logs = await self.rows.find_logs(RUN)
        return bool(logs) and all(log.sealed for log in logs)

    async def items(self, task: str | None = "a", **query) -> list[LogLine | Gap]:
        found: list[LogLine | Gap] = []
        async for frame in self.reader.lines(LogQuery(run_id=RUN, task=task, **query)):
            if isinstance(frame, Lines):
                found += frame.lines
            elif isinstance(frame, Gap):
                found.append(frame)
        return found

    async def gaps(self) -> list[Gap]:
        return [item for item in await self.items() if isinstance(item, Gap)]


@pytest.fixture
async def logs(tmp_path: Path) -> AsyncIterator[Logs]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(f"sqlite+aiosqlite:///{tmp_path}/podrun.db"))
        await database.write(migrate.upgrade_connection)
        broker = Broker()
        writer = await stack.enter_async_context(Writer(database, broker))
        await writer.commit(new_run(1, ("a", "b"), epoch=1))
        rows, store = LogRows(database, writer), LogStore(str(tmp_path / "logs"))
        yield Logs(rows, store, LogReader(rows, store), broker, tmp_path)


def joined(items: list[LogLine | Gap]) -> bytes:
    """The bytes of lines."""
    return b"".join(item.text + b"\n" * item.ends_with_newline for item in items if isinstance(item, LogLine))

"""How often the database is read for those who wait."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

from sqlmodel import Session

from app.runs.history import PACE_SECONDS, History
from app.runs.service import Runs
from app.storage.database import Database
from tests.integration.api.service import FakeEvaluator, FakePods, running


class CountingDatabase:
    """Counts how often it is read."""

    def __init__(self, database: Database) -> None:
        self._database, self.reads = database, 0
        self.url, self.is_shared, self.write = database.url, True, database.write

    async def read(self, function: Callable[[Session], Any]) -> Any:
        self.reads += 1
        return await self._database.read(function)


async def test_wait__many_wait_for_one_run__they_share_their_reads(tmp_path: Path) -> None:
    async def nobody_left() -> bool:
        return False

    async with running(tmp_path) as service:
        run = await service.submit()
        database = CountingDatabase(service.database)
        runs = Runs(
            database=database, writer=service.writer, broker=service.broker, pods=FakePods(), log_objects=service.log_store,
            evaluator=FakeEvaluator(),
        )  # fmt: skip
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            polls = [
                group.create_task(
                    runs.wait(run["id"], etag=None, seconds=30, give_up=nobody_left, include_tasks=number % 2 == 0)
                )
                for number in range(100)
            ]
            for _ in range(10):
                await service.move_run(run["id"], "Running")
            await service.move_run(run["id"], "Succeeded", is_finished=True)
        answers = [poll.result() for poll in polls]
        assert all(answer.is_finished and json.loads(answer.body)["phase"] == "Succeeded" for answer in answers)
        assert len({id(answer.body) for answer in answers}) < 10
        assert database.reads < 50


async def test_history__a_run_changes_all_the_time__it_is_read_now_and_then(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        database, seen, begun_at = CountingDatabase(service.database), 0, time.monotonic()
        history = History(database, service.broker)

        async def follow() -> None:
            nonlocal seen
            async with aclosing(history.follow_run(run["id"], None)) as pages:
                async for page in pages:
                    seen += len(page.events)

        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(follow())
            for _ in range(50):
                await service.move_run(run["id"], "Running")
            await service.move_run(run["id"], "Succeeded", is_finished=True)
        assert seen == 52
        assert database.reads <= (time.monotonic() - begun_at) / PACE_SECONDS + 2

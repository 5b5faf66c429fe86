"""100 MB at 1 MB a second arrive whole, though the kubelet rotates the log and the service is killed in the midst of it.

The API server serves the newest file of a log alone. So a kill that lasts through a rotation loses what was printed between the
two: that much, and no more, lies in a gap. The kills here come right after a rotation, and most of them are over before the
next one; which ones are not, a watcher of the container's files tells.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from tests.service.conftest import MakeService
from tests.support.api import Api, Json, api_of
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import wait_no_pods
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.service import ServiceProcess
from tests.support.talkers import LiveReader, stored_log, talker
from tests.support.workflows import workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(300)]
LINES = NumberedLines(100_000, size=988)
RATE = 1_000_000
BYTES = sum(len(LINES.line(number)) for number in range(LINES.count or 0))
TASK = "talks"
#: A kill comes so long after a rotation was seen, or after the container's start, at most.
KILL_SECONDS = 4.0
MOST_KILLS = 5
LOOK_SECONDS = 0.5
RUN_SECONDS = 240.0


@dataclass
class Files:
    """Watches with which line a container's newest file begins."""

    first: int = 0
    rotated_at: list[float] = field(default_factory=list)  #: when it was seen, by the monotonic clock
    is_over: bool = False

    async def watch(self, url: str) -> None:
        """Look at the log's first bytes until the pod is gone. `url` is of the log, at a proxy of the API server."""
        async with httpx.AsyncClient(trust_env=False, timeout=30) as http:
            while not self.is_over:
                answer = await http.get(url, params={"limitBytes": 64})
                if answer.status_code == httpx.codes.NOT_FOUND:
                    self.is_over = True
                # What a rotated file begins with may be the rest of a line.
                starts = [LINES.number(line) for line in answer.content.split(b"\n")] if answer.is_success else []
                first = next((number for number in starts if number is not None), self.first)
                if first > self.first:
                    self.first = first
                    self.rotated_at.append(time.monotonic())
                await asyncio.sleep(LOOK_SECONDS)

    async def next_rotation(self) -> None:
        """Wait for one that has not been seen yet, or for the container's end."""
        seen = len(self.rotated_at)
        while len(self.rotated_at) == seen and not self.is_over:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)


@dataclass
class Kills:
    """Kills the service again and again, right after rotations."""

    service: ServiceProcess
    files: Files
    chance: random.Random
    away: list[tuple[float, float]] = field(default_factory=list)  #: from when to when it was dead

    async def go_on(self) -> None:
        """Kill until the container is over, or it is enough."""
        for _ in range(MOST_KILLS):
            await asyncio.sleep(self.chance.uniform(0, KILL_SECONDS))
            if self.files.is_over:
                return
            killed_at = time.monotonic()
            await asyncio.to_thread(self.service.kill)
            await asyncio.to_thread(self.service.start)
            self.away.append((killed_at, time.monotonic()))
            await self.files.next_rotation()

    @property
    def through_rotations(self) -> int:
        """How many of them lasted through a rotation, with what it takes to open the log again."""
        return sum(any(killed_at - 1 <= at <= back_at + 2 for at in self.files.rotated_at) for killed_at, back_at in self.away)


@asynccontextmanager
async def watched(api: Api, run_id: str) -> AsyncIterator[Files]:
    """The files of the run's container, for as long as the block."""
    attempt = (await api.task_when(run_id, TASK, phase="Running"))["attempts"][0]
    files = Files()
    with ApiProxy() as proxy:
        path = f"/api/v1/namespaces/{attempt['namespace']}/pods/{attempt['pod']}/log"
        async with asyncio.TaskGroup() as group:
            group.create_task(files.watch(proxy.url + path), name="files")
            yield files
            files.is_over = True


def check_log(check: LogCheck, log: Json, through_rotations: int) -> None:
    """Each line is there once; without a kill that lasted through a rotation all of them, and nothing is said to be missing."""
    assert check.end() == []
    assert (check.empty_gaps, log["sealed"]) == (0, True)
    assert check.gaps <= through_rotations
    if not through_rotations:
        assert (check.stored, check.missing, check.gaps) == (LINES.count, 0, 0)


async def test_rotation__100_mb_at_1_mb_a_second_and_kills__whole_and_once_for_live_readers_too(
    make_service: MakeService, chance: random.Random
) -> None:
    service = make_service("kubernetes")
    async with api_of(service.url, patience_seconds=120) as api:
        run_id = await api.submit(workflow(talker(TASK, LINES, RATE)))
        checks = {path: LogCheck(LINES) for path in (f"/runs/{run_id}/tasks/{TASK}/logs", f"/runs/{run_id}/logs")}
        readers = [LiveReader(api, path, check.take) for path, check in checks.items()]
        async with asyncio.TaskGroup() as group:
            for reader in readers:
                group.create_task(reader.read(RUN_SECONDS), name="reader")
            async with watched(api, run_id) as files:
                kills = Kills(service, files, chance)
                killing = group.create_task(kills.go_on(), name="kills")
                run = await api.finished(run_id, RUN_SECONDS)
            await killing
        assert run["phase"] == "Succeeded"
        log = run["tasks"][0]["attempts"][0]["log"]
        lost_through = kills.through_rotations
        for check in (*checks.values(), await stored_log(api, run_id, TASK, LINES)):
            check_log(check, log, lost_through)
            assert (check.gaps, check.stored) == (log["gaps"], log["lines"])
        assert log["bytes"] == BYTES or log["gaps"]
        assert [reader.end for reader in readers] == ["Succeeded"] * 2
    assert len(files.rotated_at) >= 4
    assert len(kills.away) >= 3
    assert lost_through < len(kills.away)
    assert all(reader.cuts for reader in readers)
    await asyncio.to_thread(wait_no_pods, service.namespaces[0], run_id=run_id)

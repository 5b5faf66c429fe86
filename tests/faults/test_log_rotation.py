"""100 MB at 1 MB a second arrive whole, though the kubelet rotates the log and the service is killed in the midst of it.

The API server serves the newest file of a log alone. So a kill that lasts through a rotation loses what was printed between the
two: that much, and no more, lies in a gap. The kills here come right after a rotation, and most of them are over before the
next one; which ones are not, a watcher of the container's files tells.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass, field

import pytest

from tests.service.conftest import MakeService
from tests.support.api import Json, api_of
from tests.support.cluster import wait_no_pods
from tests.support.log_files import LogFiles, watched_files
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.service import ServiceProcess
from tests.support.talkers import LiveReader, stored_log, talker
from tests.support.workflows import workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(300)]
LINES = NumberedLines(100_000, size=988)
RATE = 1_000_000
BYTES = sum(len(LINES.line(number)) for number in range(LINES.count or 0))
TASK = "talks"
#: A kill comes so long after a rotation was seen, or after the container's start: what the new file begins with is stored then.
KILL_SECONDS = (1.5, 5.0)
MOST_KILLS = 5
RUN_SECONDS = 240.0


@dataclass
class Kills:
    """Kills the service again and again, right after rotations."""

    service: ServiceProcess
    files: LogFiles
    chance: random.Random
    away: list[tuple[float, float]] = field(default_factory=list)  #: from when to when it was dead

    async def go_on(self) -> None:
        """Kill until the container is over, or it is enough."""
        for _ in range(MOST_KILLS):
            await asyncio.sleep(self.chance.uniform(*KILL_SECONDS))
            if self.files.is_over:
                return
            killed_at = time.monotonic()
            await asyncio.to_thread(self.service.kill)
            await asyncio.to_thread(self.service.start)
            self.away.append((killed_at, time.monotonic()))
            await self.files.rotations(len(self.files.rotated_at) + 1)

    @property
    def through_rotations(self) -> int:
        """How many of them lasted through a rotation, with what it takes to open the log again."""
        return sum(any(killed_at - 1 <= at <= back_at + 2 for at in self.files.rotated_at) for killed_at, back_at in self.away)


def check_log(check: LogCheck, log: Json, through_rotations: int) -> None:
    """Each line is there once; without a kill that lasted through a rotation all of them, and nothing is said to be missing."""
    assert check.end() == []
    assert log["sealed"]
    assert check.gaps <= through_rotations  # who comes back to a new file can't know whether anything stood before it
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
            attempt = (await api.task_when(run_id, TASK, phase="Running"))["attempts"][0]
            async with watched_files(attempt, LINES) as files:
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

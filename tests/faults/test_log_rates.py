"""What a kubelet can't serve lies in a gap: containers that speak too fast, followers that are too slow or come too late.

At 5 MB/s and more, and to who is two rotations behind, the kubelet leaves out whole files and says nothing. Whether it does is
up to it; that each missing line lies inside a recorded gap is up to podrun.
"""

from __future__ import annotations

import asyncio
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.service.conftest import MakeService
from tests.support.api import Api, Json, api_of
from tests.support.api_proxy import ApiProxy
from tests.support.cluster import fresh_namespace
from tests.support.log_files import watched_files
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.service import ServiceProcess, started
from tests.support.talkers import LiveReader, stored_log, talker
from tests.support.workflows import workflow

pytestmark = [pytest.mark.faults, pytest.mark.cluster, pytest.mark.timeout(300)]
TASK = "talks"
RUN_SECONDS = 240.0
#: 200 MB in all: of long lines at 5 MB/s, and of short ones as fast as the container can.
FAST, FAST_RATE = NumberedLines(130_000, size=988), 5_000_000
FASTEST = NumberedLines(500_000, size=130)
#: Their followers miss rotations: one stands still while two go by, one is not there before the first.
MUCH, MUCH_RATE = NumberedLines(140_000, size=988), 2_000_000


async def follow(api: Api, run_id: str, lines: NumberedLines) -> LogCheck:
    """The check of the log as a live reader got it."""
    check = LogCheck(lines)
    await LiveReader(api, f"/runs/{run_id}/tasks/{TASK}/logs", check.take).read(RUN_SECONDS)
    return check


async def check_log(api: Api, run: Json, lines: NumberedLines, live: LogCheck | None = None) -> LogCheck:
    """Whatever is missing lies in a gap, and the attempt says how many there are."""
    assert run["phase"] == "Succeeded"
    log = run["tasks"][0]["attempts"][0]["log"]
    stored = await stored_log(api, run["id"], TASK, lines)
    assert log["sealed"]
    for one in (stored, live) if live else (stored,):
        assert one.end() == [], f"{one.gaps} gaps, {one.missing} lines missing"
    assert (stored.gaps, stored.stored) == (log["gaps"], log["lines"])
    if live is not None:
        assert (live.stored, live.missing) == (stored.stored, stored.missing)
    return stored


@pytest.mark.parametrize(
    ("lines", "rate", "kills"), [(FAST, FAST_RATE, 1), (FASTEST, 0, 0)], ids=["5 MB a second and a kill", "full speed"]
)
async def test_rate__more_than_the_kubelet_serves__what_is_missing_lies_in_gaps(
    make_service: MakeService, chance: random.Random, lines: NumberedLines, rate: int, kills: int
) -> None:
    service = make_service("kubernetes")
    async with api_of(service.url, patience_seconds=120) as api:
        run_id = await api.submit(workflow(talker(TASK, lines, rate)))
        async with asyncio.TaskGroup() as group:
            live = group.create_task(follow(api, run_id, lines), name="reader")
            await api.task_when(run_id, TASK, phase="Running")
            for _ in range(kills):
                await asyncio.sleep(chance.uniform(2, 15))
                await asyncio.to_thread(service.kill)
                await asyncio.to_thread(service.start)
            run = await api.finished(run_id, RUN_SECONDS)
        await check_log(api, run, lines, live.result())


async def slow_reader(service: ServiceProcess, proxy: ApiProxy) -> LogCheck:
    """The log of a container whose follower stands still for a while, and then goes on."""
    async with api_of(service.url) as api:
        run_id = await api.submit(workflow(talker(TASK, MUCH, MUCH_RATE)))
        attempt = (await api.task_when(run_id, TASK, phase="Running"))["attempts"][0]
        async with watched_files(attempt, MUCH) as files:
            await files.rotations(1)  # the next file will be larger than what the connections between us hold
            assert proxy.now("silence", verb="log", query="follow=true") == 1
            await files.rotations(3)
            proxy.now("speak", verb="log")
        assert len(files.rotated_at) == 3
        return await check_log(api, await api.finished(run_id, RUN_SECONDS), MUCH)


async def late_reader(service: ServiceProcess) -> LogCheck:
    """The log of a container that has spoken for long when somebody looks for the first time."""
    async with api_of(service.url, patience_seconds=120) as api:
        run_id = await api.submit(workflow(talker(TASK, MUCH, MUCH_RATE, pause_seconds=1.5)))
        attempt = (await api.task_when(run_id, TASK, phase="Running"))["attempts"][0]
        await asyncio.to_thread(service.kill)
        async with watched_files(attempt, MUCH) as files:
            await files.rotations(1)
            assert files.rotated_at
            await asyncio.to_thread(service.start)
        return await check_log(api, await api.finished(run_id, RUN_SECONDS), MUCH)


async def test_rate__follower_that_stands_still_and_one_that_is_late__what_is_missing_lies_in_gaps(tmp_path: Path) -> None:
    with ExitStack() as stack:
        namespace = stack.enter_context(fresh_namespace())
        proxy = stack.enter_context(ApiProxy())
        kubeconfig = proxy.write_kubeconfig(tmp_path / "kubeconfig", namespace)
        slow = started(stack, tmp_path / "slow", "kubernetes", kubeconfig=kubeconfig, namespaces=[namespace])
        late = started(stack, tmp_path / "late", "kubernetes")
        async with asyncio.TaskGroup() as group:
            of_slow = group.create_task(slow_reader(slow, proxy), name="slow")
            of_late = group.create_task(late_reader(late), name="late")
    lost = {"slow": of_slow.result().missing, "late": of_late.result().missing}
    assert all(lines > 1000 for lines in lost.values()), lost

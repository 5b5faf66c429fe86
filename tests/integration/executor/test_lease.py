"""A lease that ran out, and an executor that then goes on as if nothing had happened: what is no longer its own it leaves."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from app.domain.pods import AttemptKey, PodObservation
from app.pods.port import Guard, Manifest
from app.storage.executors import renew_lease
from app.storage.models import RunRow, table_of
from tests.integration.executor.test_executor import Bench, bench
from tests.support.fake_pods import FakePods
from tests.support.waiting import until

__all__ = ["bench"]


class SlowPods(FakePods):
    """Each creation waits for its connection until the test lets it go on; only then is the guard asked."""

    def __init__(self) -> None:
        super().__init__(ends_at_once=False)
        self.waiting: list[str] = []
        self.connected = asyncio.Event()

    async def create_pod(self, manifest: Manifest, guard: Guard) -> PodObservation:
        self.waiting.append(manifest["metadata"]["name"])
        await self.connected.wait()
        return await super().create_pod(manifest, guard)


class StoppableClock:
    """The monotonic clock; `jump` is what a stopped process finds when it wakes."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


async def _take(bench: Bench, run_id: str) -> None:
    """Another executor, which lives, claims the run."""
    runs = table_of(RunRow)
    take: Any = runs.update().where(runs.c.id == run_id).values(owner="second", epoch=runs.c.epoch + 1)
    await bench.database.write(lambda connection: renew_lease(connection, "second", "host", 60))
    await bench.database.write(lambda connection: connection.execute(take))


@pytest.mark.parametrize("taken", [True, False])
async def test_lease__ran_out_and_is_held_again__of_runs_that_others_took_nothing_is_done(bench: Bench, taken: bool) -> None:
    pods, clock = SlowPods(), StoppableClock()
    bench.pods = pods
    async with bench.executor(clock=clock) as executor:
        run_id = await bench.submit(1, {"name": "a"})
        await until(lambda: pods.waiting)
        clock.jump(60)
        if taken:
            await _take(bench, run_id)
        assert executor.owner is None
        await until(lambda: executor.owner)
        pods.connected.set()
        await until(lambda: not executor.active_runs if taken else pods.created)
        await asyncio.sleep(0.1)  # a creation that was not dropped would come through by now
    assert pods.created == ([] if taken else [AttemptKey(run_id, "a", 1)])
    assert (await bench.run(run_id)).owner == ("second" if taken else None)


async def test_lease__ran_out__the_executor_claims_nothing_until_it_is_held_again(bench: Bench) -> None:
    clock = StoppableClock()
    async with bench.executor(clock=clock) as executor:
        clock.jump(60)
        run_id = await bench.submit(1, {"name": "a"})
        await asyncio.sleep(0.5)  # it was told of the run at once
        assert (await bench.run(run_id)).owner is None
        await until(lambda: executor.owner)
        assert (await bench.finished(run_id)).phase == "Succeeded"


async def test_executor__run_taken_while_its_lease_is_held__its_actor_ends_at_the_next_look(bench: Bench) -> None:
    """Such as when the database's clock was set forward: all leases seem to have run out, and nobody's own clock says so."""
    bench.pods.ends_at_once = False
    async with bench.executor() as executor:
        taken, kept = await bench.submit(1, {"name": "a"}), await bench.submit(2, {"name": "a"})
        await until(lambda: len(bench.pods.created) == 2)
        for run_id in (taken, kept):
            await bench.recorded(run_id)
        await _take(bench, taken)
        await until(lambda: executor.active_runs == 1, 10)
        bench.pods.end(AttemptKey(kept, "a", 1))
        assert (await bench.finished(kept)).phase == "Succeeded"

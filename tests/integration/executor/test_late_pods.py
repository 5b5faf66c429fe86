"""A pod that comes when its run is finished, such as by a creation that was on its way for a minute."""

from __future__ import annotations

import asyncio

from app.domain.errors import PodDeferred
from app.domain.pods import AttemptKey, PodObservation, PodRef
from app.executor.late_pods import JUDGED_AFTER_SECONDS
from app.pods.port import Guard
from app.storage.broker import SUBMITTED
from app.storage.executors import renew_lease
from tests.integration.executor.test_executor import Bench, bench
from tests.support.fake_pods import FakePods
from tests.support.waiting import until

__all__ = ["bench"]


class ReluctantPods(FakePods):
    """The first delete is not taken."""

    refused = 0

    async def delete_pod(self, ref: PodRef, guard: Guard, *, grace_seconds: int | None = None) -> None:
        if ref.uid == "late" and not self.refused:
            self.refused += 1
            raise PodDeferred("ServiceUnavailable", "not now")
        await super().delete_pod(ref, guard, grace_seconds=grace_seconds)


def _pod(run_id: str, uid: str) -> PodObservation:
    return PodObservation(key=AttemptKey(run_id, "a", 1), namespace="default", name=f"a-{uid}", uid=uid)


async def _look(bench: Bench) -> None:
    """Have the executor look once more, when what it was told of is old enough."""
    await asyncio.sleep(JUDGED_AFTER_SECONDS + 0.1)
    bench.broker.publish([SUBMITTED])


async def test_late_pod__its_run_is_finished__it_is_deleted_by_its_uid(bench: Bench) -> None:
    pods = bench.pods = ReluctantPods()
    async with bench.executor():
        run_id = await bench.submit(1, {"name": "a"})
        await bench.finished(run_id)
        before = list(pods.deleted)
        pods.tell(_pod(run_id, "late"))
        await _look(bench)
        await until(lambda: pods.refused, 10)
        await _look(bench)
        await until(lambda: pods.deleted != before, 10)
    assert [ref.uid for ref in pods.deleted[len(before) :]] == ["late"]


async def test_late_pod__its_run_is_another_ones_or_not_known__is_left_alone(bench: Bench) -> None:
    async with bench.executor():
        await bench.database.write(lambda connection: renew_lease(connection, "second", "host", 60))
        run_id = await bench.submit(1, {"name": "a"}, owner="second")
        bench.pods.tell(_pod(run_id, "others"))
        bench.pods.tell(_pod("01900000-0000-7000-8000-000000000009", "nobodys"))
        await _look(bench)
        await asyncio.sleep(0.5)
    assert bench.pods.deleted == []

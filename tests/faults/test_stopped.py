"""A replica that is stopped in the middle of something, and wakes up when another one has long taken its runs over.

It stops itself, at places that are named: between a decision and its record, a record and its deed, in the midst of a
transaction with all that it holds locked. What it then does as if nothing had happened is refused.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.faults.replicated import TAKEN_OVER_SECONDS, Group, group_of, listening_postgres, start
from tests.support.api import api_of
from tests.support.numbered_log import NumberedLines, find_violations
from tests.support.postgres import PostgresServer
from tests.support.replicas import Replica
from tests.support.waiting import until
from tests.support.workflows import Json, python, shell, workflow

__all__ = ["listening_postgres"]
pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

PROGRAM = Path(__file__).resolve().parents[1] / "support" / "stopping_serve.py"
LINES = NumberedLines(400, size=400)
_TALK = """
import time
for number in range(COUNT):
    print(line(KEY, number, SIZE).decode(), end="", flush=True)
    time.sleep(0.04)
"""
#: One replica each, and how often a place is passed before it stops there.
PLACES = {
    "in the midst of deeds": (
        ("after begin attempt", 2), ("before create pod", 3), ("after create pod", 3), ("before record uid", 3),
        ("before record running", 2), ("before delete pod", 2), ("after submit run", 2), ("before renew lease", 3),
    ),
    "in the midst of records": (
        ("before append log", 20), ("before begin attempt", 2), ("before record outcome", 2), ("after record outcome", 2),
        ("before settle attempt", 2), ("commit of INSERT INTO log_blocks", 15), ("commit of INSERT INTO attempts", 2),
        ("commit of SELECT pg_advisory_xact_lock", 8),
    ),
}  # fmt: skip
RUNS = 2  #: of each


def _talks(marks: Path) -> Json:
    """Says numbered lines for some 20 s, while other tasks follow each other; each start leaves a mark."""
    mark = f"echo $PODRUN_RUN_ID/$PODRUN_TASK/$PODRUN_ATTEMPT >> {marks}; echo said $PODRUN_TASK; sleep 0.5"
    return workflow(
        python("talks", LINES.script + _TALK),
        shell("a", mark), shell("b", mark, depends_on=["a"]), shell("c", mark, depends_on=["b"]),
        shell("items", mark, depends_on=["a"], foreach=list(range(4))),
    )  # fmt: skip


def _marked(run_ids: Sequence[str]) -> Counter[str]:
    """The marks that these runs leave."""
    names = ["a", "b", "c", *(f"items.{number}" for number in range(4))]
    return Counter(f"{run_id}/{name}/1" for run_id in run_ids for name in names)


async def _submit(replica: Replica, other: Replica, marks: Path, count: int) -> list[str]:
    """Submit to that replica; where it stops in the midst of it, the same again, under the same key, to the other one."""
    made: list[str] = []
    async with api_of(replica.url) as api, api_of(other.url) as again:
        for number in range(count):
            key = f"{replica.url} {number}"
            try:
                async with asyncio.timeout(20):  # on a busy machine an answer takes seconds
                    made.append(await api.submit(_talks(marks), key=key))
            except TimeoutError:
                assert replica.is_frozen
                made.append(await again.submit(_talks(marks), key=key))
    return made


async def _told(replica: Replica, run_ids: Sequence[str]) -> None:
    """Wait until the replica has said of each of these runs that it is not its any more."""
    try:
        await until(lambda: not [one for one in run_ids if f'"a run is not ours any more" run={one}' not in replica.text()], 15)
    except TimeoutError:
        raise AssertionError(f"it did not notice that {run_ids} are lost\n{replica.text()}") from None


@pytest.mark.parametrize("places", PLACES.values(), ids=PLACES)
async def test_stop__at_a_place__the_runs_go_on_elsewhere_and_what_it_does_when_it_wakes_is_refused(
    listening_postgres: PostgresServer, places: tuple[tuple[str, int], ...], tmp_path: Path
) -> None:
    with group_of(tmp_path, listening_postgres, len(places) + 1) as group:
        for replica, (place, times) in zip(group.replicas, places, strict=False):
            replica.program = ["-P", str(PROGRAM), place, str(times)]
        await asyncio.to_thread(start, group.replicas)
        await _stop_and_wake(group, tmp_path / "marks")


async def _stopped(group: Group, replica: Replica) -> list[str]:
    """The runs that the replica has when it stops; they must have new owners soon."""
    await until(lambda: replica.is_frozen, 90)
    stopped_at = datetime.now(UTC)
    lost = await asyncio.to_thread(group.owned_by, replica)
    assert lost, "it had nothing to lose"
    seconds = await group.taken_over(lost, stopped_at)
    assert seconds < TAKEN_OVER_SECONDS, f"{seconds} s until the last of {lost} had a new owner"
    return lost


async def _stop_and_wake(group: Group, marks: Path) -> None:
    """Have all but the last one stop, and wake up when all their runs are others' and some have ended."""
    *stopping, last = group.replicas
    async with asyncio.TaskGroup() as tasks:
        stops = [tasks.create_task(_stopped(group, one)) for one in stopping]
        posts = [tasks.create_task(_submit(one, last, marks, RUNS)) for one in stopping]
    run_ids = [run_id for made in posts for run_id in made.result()]
    async with api_of(last.url) as api:
        runs = [await api.finished(run_id) for run_id in run_ids[::RUNS]]  # of the others some are under way
        woken_at = datetime.now(UTC)
        for one in stopping:
            one.thaw()
        runs += [await api.finished(run_id) for run_id in run_ids[1::RUNS]]
        assert {run["phase"] for run in runs} == {"Succeeded"}
        assert sorted([run["id"] async for run in api.pages("/runs")]) == sorted(run_ids)
        for run_id in run_ids:
            assert find_violations(LINES, await api.log(run_id, "talks")) == []
    for one, lost in zip(stopping, stops, strict=True):
        await asyncio.to_thread(one.wait_ready)
        await _told(one, lost.result())
        group.check_left_alone(one, lost.result(), woken_at)
    assert Counter(_read(marks)) == _marked(run_ids)
    await asyncio.to_thread(group.check)


def _read(marks: Path) -> list[str]:
    return marks.read_text().split() if marks.exists() else []


async def test_stop__with_creations_waiting__none_of_them_is_made_when_it_wakes(
    tmp_path: Path, listening_postgres: PostgresServer, chance: random.Random
) -> None:
    marks = tmp_path / "marks"
    settings = [{"POD_CREATE_QPS": "1", "POD_CREATE_BURST": "1"}, {}, {}]
    with group_of(tmp_path, listening_postgres, settings=settings) as group:
        await asyncio.to_thread(start, group.replicas)
        slow, other, _ = group.replicas
        mark = shell("a", f"echo $PODRUN_RUN_ID >> {marks}")
        async with api_of(slow.url) as api:
            run_ids = [await api.submit(workflow(mark)) for _ in range(20)]
        stops_after = chance.randint(1, 5)
        await until(lambda: len(_read(marks)) >= stops_after)
        slow.freeze()
        stopped_at = datetime.now(UTC)
        lost = group.owned_by(slow)
        assert len(lost) > 10
        assert await group.taken_over(lost, stopped_at) < TAKEN_OVER_SECONDS
        async with api_of(other.url) as api:
            for run_id in run_ids:
                assert (await api.finished(run_id))["phase"] == "Succeeded"
        woken_at = datetime.now(UTC)
        slow.thaw()
        await asyncio.to_thread(slow.wait_ready)
        await asyncio.sleep(8)  # what it had in hand would come at one each second
        group.check_left_alone(slow, lost, woken_at)
        assert Counter(_read(marks)) == dict.fromkeys(run_ids, 1)
        await asyncio.to_thread(group.check)

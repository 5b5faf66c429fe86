"""The executor over a real SQLite, with pods that are values."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import OperationalError

from app.domain.errors import PodDeferred
from app.domain.pods import AttemptKey, PodEvent
from app.executor.executor import Executor
from app.executor.launcher import Launcher
from app.executor.lease import Lease
from app.executor.run_actor import Environment
from app.executor.slots import Slots
from app.expressions.evaluator import Evaluator
from app.logs.collector import LogCollector
from app.logs.store import LogStore
from app.runs.requests import Requests
from app.storage import migrate
from app.storage.broker import INTENTS, Broker, run_topic
from app.storage.database import Database, open_database
from app.storage.executors import claim_runs
from app.storage.intents import list_run_intents, request_cancel
from app.storage.logs import LogRows
from app.storage.models import RunRow, table_of
from app.storage.runs import ATTEMPTS, RUNS, find_run, list_attempts, list_events, list_tasks
from app.storage.writer import Change, Writer
from tests.integration.storage.rows import NOW, new_run, run_row
from tests.support.fake_pods import FakePods
from tests.support.waiting import until

SECONDS = 20.0


@dataclass
class Bench:
    database: Database
    writer: Writer
    broker: Broker
    pods: FakePods
    tmp_path: Path

    @asynccontextmanager
    async def executor(
        self, name: str = "me", slots: int = 100, *, clock: Callable[[], float] = time.monotonic
    ) -> AsyncIterator[Executor]:
        """`clock` is the lease's."""
        async with AsyncExitStack() as stack:
            rows, lease = LogRows(self.database, self.writer), Lease(name, self.writer, clock=clock)
            launcher = Launcher(self.pods, lease.guard, create_qps=10_000, create_burst=10_000)
            store = LogStore(str(self.tmp_path / "logs"))
            environment = Environment(
                database=self.database, writer=self.writer, backend=self.pods, launcher=launcher, slots=Slots(slots),
                collector=LogCollector(self.pods, rows, store), instance="i",
                evaluator=await stack.enter_async_context(Evaluator()), broker=self.broker, namespaces=("default",),
            )  # fmt: skip
            executor = Executor(lease, environment, self.broker, is_alone=False)
            self.pods.listen(executor)
            await stack.enter_async_context(launcher)
            yield await stack.enter_async_context(executor)

    async def submit(
        self, number: int, *tasks: dict[str, Any], owner: str | None = None, created_at: datetime | None = None, **workflow: Any
    ) -> str:
        """Store a run, as a POST does."""
        document = {"name": "demo", "tasks": [{"image": "busybox:1"} | task for task in tasks], **workflow}
        values = {"owner": owner, "epoch": 1 if owner else 0} | ({"created_at": created_at} if created_at else {})
        change = new_run(number, tuple(task["name"] for task in tasks), **values)
        rows = [(s, p | {"body": json.dumps(document).encode()} if "body" in p else p) for s, p in change.rows]
        await self.writer.commit(Change(rows=rows, topics=("submitted",)))
        return str(run_row(number)["id"])

    async def run(self, run_id: str) -> RunRow:
        row = await self.database.read(lambda session: find_run(session, run_id))
        assert row is not None
        return row

    async def recorded(self, run_id: str) -> None:
        """Wait until the first attempt's pod is recorded."""
        async with asyncio.timeout(SECONDS):
            with self.broker.subscribe(run_topic(run_id)) as subscription:
                while True:
                    subscription.clear()
                    attempts = await self.database.read(lambda session: list_attempts(session, run_id))
                    if attempts and attempts[0].pod_uid is not None:
                        return
                    await subscription.wait(SECONDS)

    async def pod_events(self, run_id: str) -> list[str]:
        """The reasons of the pods' events in the run's history."""
        events = await self.database.read(lambda session: list_events(session, run_id, 0, 100))
        return [event.reason for event in events if event.type == "PodEvent"]

    async def told(self, run_id: str, reason: str) -> None:
        """Wait until an event of a pod is recorded."""
        async with asyncio.timeout(SECONDS):
            while reason not in await self.pod_events(run_id):  # noqa: ASYNC110 - it has no topic of its own
                await asyncio.sleep(0.01)

    async def finished(self, run_id: str, condition: Callable[[RunRow], bool] = lambda run: run.is_finished) -> RunRow:
        async with asyncio.timeout(SECONDS):
            with self.broker.subscribe(run_topic(run_id)) as subscription:
                while True:
                    subscription.clear()
                    row = await self.run(run_id)
                    if condition(row):
                        return row
                    await subscription.wait(SECONDS)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    broker = Broker()
    async with open_database(f"sqlite:///{tmp_path}/podrun.db") as database:
        await database.write(migrate.upgrade_connection)
        async with Writer(database, broker) as writer:
            yield Bench(database, writer, broker, FakePods(), tmp_path)


async def test_executor__diamond__runs_to_its_end_and_deletes_every_pod(bench: Bench) -> None:
    async with bench.executor():
        run_id = await bench.submit(
            1, {"name": "a"}, {"name": "b", "depends_on": ["a"]}, {"name": "c", "depends_on": ["a"]},
            {"name": "d", "depends_on": ["b", "c"]},
        )  # fmt: skip
        run = await bench.finished(run_id)
    assert (run.phase, run.task_phases) == ("Succeeded", {"Succeeded": 4})
    assert [key.task for key in bench.pods.created][0::3] == ["a", "d"]
    assert len(bench.pods.deleted) == 4
    assert bench.pods.pods == {}
    attempts = await bench.database.read(lambda session: list_attempts(session, run_id))
    assert all(attempt.log_sealed and attempt.pod_deleted for attempt in attempts)


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyError("a bug")])
async def test_executor__one_actor_fails__its_run_ends_as_error_and_the_others_go_on(bench: Bench, error: Exception) -> None:
    def remark(manifest: Any) -> list[str]:
        if manifest["metadata"]["labels"]["podrun.dev/task"] == "poison":
            raise error
        return []

    bench.pods.remark = remark
    async with bench.executor():
        bad = await bench.submit(1, {"name": "poison"})
        good = await bench.submit(2, {"name": "a"})
        assert (await bench.finished(good)).phase == "Succeeded"
        run = await bench.finished(bad)
    assert (run.phase, run.reason) == ("Error", "InternalError")
    assert type(error).__name__ in run.message
    tasks = await bench.database.read(lambda session: list_tasks(session, bad))
    assert [(task.phase, task.reason) for task in tasks] == [("Error", "InternalError")]


async def test_executor__another_one_takes_the_run__the_first_writes_and_creates_no_more(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    async with bench.executor("first") as first:
        run_id = await bench.submit(1, {"name": "a"}, {"name": "b", "depends_on": ["a"]})
        await until(lambda: bench.pods.created)
        claims = await bench.database.write(lambda connection: claim_runs(connection, "second", 10, take_all=True))
        assert [claim.run_id for claim in claims] == [run_id]
        before = await bench.run(run_id)
        bench.pods.end(AttemptKey(run_id, "a", 1))
        await until(lambda: not first.active_runs)
        after = await bench.run(run_id)
    assert (after.version, after.owner) == (before.version, "second")
    assert [key.task for key in bench.pods.created] == ["a"]
    assert bench.pods.deleted == []


async def test_executor__stopped_and_started__adopts_the_pod_and_goes_on(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    async with bench.executor("first"):
        run_id = await bench.submit(1, {"name": "a"}, {"name": "b", "depends_on": ["a"]})
        await until(lambda: bench.pods.created)
    assert (await bench.run(run_id)).owner is None
    bench.pods.end(AttemptKey(run_id, "a", 1))
    bench.pods.ends_at_once = True
    async with bench.executor("second"):
        assert (await bench.finished(run_id)).phase == "Succeeded"
    assert [key.task for key in bench.pods.created] == ["a", "b"]


async def test_executor__started_again__events_of_pods_that_were_told_are_not_told_again(bench: Bench) -> None:
    def event(reason: str, uid: str) -> PodEvent:
        [pod] = bench.pods.pods.values()
        about = {"namespace": pod.namespace, "pod": pod.name, "uid": pod.uid, "type": "Normal", "message": "", "last_at": NOW}
        return PodEvent(reason=reason, event_uid=uid, **about)  # type: ignore[arg-type]

    bench.pods.ends_at_once = False
    async with bench.executor("first") as executor:
        run_id = await bench.submit(1, {"name": "a"})
        await until(lambda: bench.pods.created)
        await bench.recorded(run_id)
        executor.pod_event(event("Pulled", "1"))
        await bench.told(run_id, "Pulled")
    async with bench.executor("second") as executor:
        while not executor.active_runs:  # noqa: ASYNC110 - until its actor is made, and the run is being read
            await asyncio.sleep(0)
        for uid, reason in (("1", "Pulled"), ("2", "Started")):  # as a watch does that begins: before the run was loaded
            executor.pod_event(event(reason, uid))
        bench.pods.end(AttemptKey(run_id, "a", 1))
        await bench.finished(run_id)
    assert await bench.pod_events(run_id) == ["Pulled", "Started"]


async def test_executor__pod_gone_while_it_was_away__pod_lost_and_not_created_again(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    async with bench.executor("first"):
        run_id = await bench.submit(1, {"name": "a", "image": "busybox:1"})
        await until(lambda: bench.pods.created)
        await bench.recorded(run_id)
    bench.pods.pods.clear()
    bench.pods.ends_at_once = True
    async with bench.executor("second"):
        run = await bench.finished(run_id)
    attempts = await bench.database.read(lambda session: list_attempts(session, run_id))
    # Lost before main had started: replaced, without counting as a retry.
    assert [(attempt.reason, attempt.is_replacement) for attempt in attempts] == [("PodLost", False), ("", True)]
    assert run.phase == "Succeeded"


async def test_executor__machines_clock_was_set_before_it_is_taken_up__run_goes_on_by_its_own(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    async with bench.executor("first"):
        run_id = await bench.submit(1, {"name": "a"}, timeout_seconds=2)
        await bench.recorded(run_id)
    hour = timedelta(hours=1)

    def set_forward(connection: Connection) -> None:
        """All that was recorded is an hour older than the machine's clock would have it."""
        (row,) = connection.execute(select(RUNS.c.clock, RUNS.c.started_at))
        boot, zero = row.clock.split("/")
        clock = f"{boot}/{int(zero) - 3600 * 1_000_000}"
        connection.execute(update(RUNS).values(clock=clock, created_at=row.started_at - hour, started_at=row.started_at - hour))
        connection.execute(update(ATTEMPTS).values(created_at=row.started_at - hour))

    await bench.database.write(set_forward)
    async with bench.executor("second"):
        run = await bench.finished(run_id, lambda run: run.finished_at is not None)
    assert run.reason == "DeadlineExceeded"
    assert run.started_at is not None
    assert run.finished_at is not None
    assert 2 <= (run.finished_at - run.started_at).total_seconds() < 60


async def test_executor__run_from_a_clock_that_is_ahead__no_time_is_before_another(bench: Bench) -> None:
    created_at = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    async with bench.executor():
        run_id = await bench.submit(1, {"name": "a"}, created_at=created_at)
        run = await bench.finished(run_id)
    (task,) = await bench.database.read(lambda session: list_tasks(session, run_id))
    (attempt,) = await bench.database.read(lambda session: list_attempts(session, run_id))
    times = [
        created_at, run.started_at, attempt.created_at, attempt.started_at, attempt.finished_at, task.finished_at,
        run.finished_at,
    ]  # fmt: skip
    assert None not in times
    assert times == sorted(times)


async def test_executor__cancel_asked_in_the_database__heard(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    async with bench.executor():
        run_id = await bench.submit(1, {"name": "a"})
        await until(lambda: bench.pods.created)
        asked = Change(call=lambda c: request_cancel(c, run_id, NOW, "enough", force=False), topics=(INTENTS,))
        await bench.writer.commit(asked)
        await until(lambda: bench.pods.deleted)
        ref = bench.pods.deleted[0]
        assert ref.name.startswith("a-")
        run = await bench.run(run_id)
    assert (run.phase, run.message) == ("Cancelling", "enough")
    events = await bench.database.read(lambda session: list_events(session, run_id, 0, 100))
    assert ("RunPhase", "Cancelling", "enough") in [(event.type, event.phase, event.message) for event in events]


async def test_executor__more_tasks_than_slots__all_run(bench: Bench) -> None:
    async with bench.executor(slots=3):
        first = await bench.submit(1, *({"name": f"t{number}"} for number in range(30)))
        second = await bench.submit(2, *({"name": f"t{number}"} for number in range(30)))
        assert (await bench.finished(first)).task_phases == {"Succeeded": 30}
        assert (await bench.finished(second)).task_phases == {"Succeeded": 30}
    assert len(bench.pods.created) == len(set(bench.pods.created)) == 60


async def test_executor__run_lost_and_won_back__gets_an_actor_of_the_new_epoch(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    async with bench.executor("me"):
        run_id = await bench.submit(1, {"name": "a"})
        await until(lambda: bench.pods.created)
        await bench.recorded(run_id)
        runs = table_of(RunRow)
        won_back = runs.update().where(runs.c.id == run_id).values(epoch=runs.c.epoch + 2)
        await bench.writer.commit(Change(call=lambda connection: connection.execute(won_back), topics=("submitted",)))
        bench.pods.end(AttemptKey(run_id, "a", 1))
        assert (await bench.finished(run_id)).phase == "Succeeded"
    assert len(bench.pods.created) == 1


async def test_executor__owned_run_without_actor__is_found_and_run(bench: Bench) -> None:
    async with bench.executor("me"):
        run_id = await bench.submit(1, {"name": "a"}, owner="me")
        assert (await bench.finished(run_id)).phase == "Succeeded"


async def test_executor__pod_can_be_deleted_only_later__asked_again(bench: Bench) -> None:
    asked: list[str] = []
    delete = bench.pods.delete_pod

    async def delete_pod(ref: Any, guard: Any, **options: Any) -> None:
        asked.append(ref.name)
        if len(asked) == 1:
            raise PodDeferred("ServiceUnavailable", "not now")
        await delete(ref, guard, **options)

    bench.pods.delete_pod = delete_pod  # type: ignore[method-assign]
    async with bench.executor():
        run = await bench.finished(await bench.submit(1, {"name": "a"}))
    assert run.phase == "Succeeded"
    assert len(asked) == 2


async def test_executor__run_that_fails_fast__keeps_no_slot_that_others_wait_for(bench: Bench) -> None:
    bench.pods.ends_at_once = False
    bench.pods.exit_code = lambda key: int(key.task == "bad")
    async with bench.executor(slots=2):
        first = await bench.submit(1, {"name": "bad"}, {"name": "long"}, {"name": "more"}, fail_fast=True)
        await until(lambda: len(bench.pods.created) == 2)
        second = await bench.submit(2, {"name": "b"})
        bench.pods.end(AttemptKey(first, "bad", 1))
        await until(lambda: len(bench.pods.created) == 3)
        assert bench.pods.created[2].run_id == second


async def test_executor__last_step_can_not_be_recorded__it_is_recorded_later(bench: Bench) -> None:
    """The commit that says `is_finished` fails once, as when the disk is full."""
    async with bench.executor("me"):
        post, failed = bench.writer.post, []

        def post_or_fail(change: Change, *, urgent: bool = True) -> asyncio.Future[Any]:
            finishing = [p for _, p in change.rows if p.get("is_finished")]
            if finishing and not failed:
                failed.append(finishing)
                return post(Change(call=_disk_full, fence=change.fence, is_step=True), urgent=urgent)
            return post(change, urgent=urgent)

        bench.writer.post = post_or_fail  # type: ignore[method-assign]
        run = await bench.finished(await bench.submit(1, {"name": "a"}))
    assert failed
    assert run.phase == "Succeeded"
    assert len(bench.pods.created) == 1


async def test_retry__fan_out_that_was_never_laid_out__is_begun_anew(bench: Bench) -> None:
    bench.pods.exit_code = lambda key: int(key.task == "a" and key.attempt == 1)
    async with bench.executor() as executor:
        run_id = await bench.submit(1, {"name": "a"}, {"name": "work", "depends_on": ["a"], "foreach": "${{ lists.range(2) }}"})
        assert (await bench.finished(run_id)).task_phases == {"Failed": 1, "Omitted": 1}
        await Requests(bench.database, bench.writer, executor).retry(run_id, None)
        run = await bench.finished(run_id)
    assert (run.phase, run.task_phases) == ("Succeeded", {"Succeeded": 3})


async def test_retry__can_not_be_done__is_not_done_by_the_next_retry(bench: Bench) -> None:
    def remark(_manifest: Any) -> list[str]:
        raise RuntimeError("a bug")

    bench.pods.exit_code = lambda _key: 1
    async with bench.executor() as executor:
        run_id = await bench.submit(1, {"name": "a"})
        await bench.finished(run_id)
        bench.pods.remark = remark
        await Requests(bench.database, bench.writer, executor).retry(run_id, None)
        await bench.finished(run_id)
    assert await bench.database.read(lambda session: list_run_intents(session, run_id)) == []


def _disk_full(_connection: Any) -> None:
    raise OperationalError("COMMIT", {}, Exception("database or disk is full"))

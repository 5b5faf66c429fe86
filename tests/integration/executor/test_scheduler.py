"""Schedules on SQLite and PostgreSQL: time is moved by moving what the database says is due."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from app.domain.errors import EvaluatorUnavailable, ExpressionFailed
from app.executor.scheduler import FAILURE_LIMIT, LOOK_SECONDS, Scheduler
from app.executor.set_back import SetBack
from app.runs.schedules import CATCHUP_LIMIT
from app.runs.submit import Submitter
from app.runs.workflows import StoredWorkflows
from app.storage.broker import Broker
from app.storage.database import Database
from app.storage.models import RunRow, WorkflowRow, WorkflowVersionRow, table_of
from app.storage.runs import list_events
from app.storage.workflows import find_workflow
from app.storage.writer import Writer
from tests.integration.storage.conftest import broker, database, database_url, writer  # noqa: F401 - fixtures
from tests.support.fake_pods import FakePods
from tests.support.waiting import until

WORKFLOWS, VERSIONS, RUNS = table_of(WorkflowRow), table_of(WorkflowVersionRow), table_of(RunRow)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
#: The time that came last while these tests run; the next one is half an hour away.
LAST = (datetime.now(UTC) - 30 * MINUTE).replace(second=0, microsecond=0)
HOURLY = {"cron": f"{LAST.minute} * * * *", "timezone": "UTC"}


@dataclass
class Admission:
    owner: str | None = "me"
    admitted: list[str] = field(default_factory=list)

    def admit(self, run_id: str, epoch: int) -> None:
        self.admitted.append(run_id)


@dataclass
class Evaluator:
    """Every expression has this value; an error is raised, or given."""

    answer: Any = "x"

    async def evaluate(self, sources: Sequence[str], context: Mapping[str, Any], items: Any = None) -> list[Any]:
        if isinstance(self.answer, EvaluatorUnavailable):
            raise self.answer
        value = self.answer if isinstance(self.answer, ExpressionFailed) else dict.fromkeys(sources, self.answer)
        return [value for _ in items or (None,)]


@dataclass(kw_only=True)
class Bench:
    database: Database
    writer: Writer
    broker: Broker
    evaluator: Evaluator = field(default_factory=Evaluator)
    admission: Admission = field(default_factory=Admission)

    def __post_init__(self) -> None:
        self.pods = FakePods()
        self.stored = StoredWorkflows(
            database=self.database, writer=self.writer, pods=self.pods, evaluator=self.evaluator, instance="i"
        )
        self.scheduler = self.another(self.writer)

    def another(self, with_writer: Writer) -> Scheduler:
        submitter = Submitter(self.database, with_writer, self.pods, self.evaluator, self.admission)
        return Scheduler(
            database=self.database, writer=with_writer, broker=self.broker, submitter=submitter, pods=self.pods
        )  # fmt: skip

    async def put(self, name: str = "w", schedule: Mapping[str, Any] | None = None, **keys: Any) -> None:
        document = {"name": name, "schedule": HOURLY | (schedule or {}), "tasks": [{"name": "a"}], **keys}
        await self.stored.put(name, json.dumps(document).encode())

    async def make_due(self, first: datetime, name: str = "w", **columns: Any) -> None:
        """Let time pass: the schedule was to come at `first`, the first time."""
        columns = {"next_fire_at": first, "anchor_at": first - HOUR, "last_fire_at": None, **columns}
        await self.database.write(lambda c: c.execute(update(WORKFLOWS).where(WORKFLOWS.c.name == name).values(columns)))

    async def row(self, name: str = "w") -> WorkflowRow:
        row = await self.database.read(lambda session: find_workflow(session, name))
        assert row is not None
        return row

    async def runs(self) -> list[RunRow]:
        return list(await self.database.read(lambda session: session.scalars(select(RunRow).order_by(RUNS.c.id)).all()))

    async def change_runs(self, **columns: Any) -> None:
        await self.database.write(lambda c: c.execute(update(RUNS).values(columns)))

    async def settle(self) -> None:
        """Look until nothing is due any more."""
        while await self.scheduler.look() == 0.0:
            pass


@pytest.fixture
async def bench(database: Database, writer: Writer, broker: Broker) -> Bench:  # noqa: F811 - fixtures
    return Bench(database=database, writer=writer, broker=broker)


async def test_look__nothing_is_due__says_when_to_look_again(bench: Bench) -> None:
    assert await bench.scheduler.look() == LOOK_SECONDS
    await bench.put()
    assert 0 < await bench.scheduler.look() <= LOOK_SECONDS
    assert await bench.runs() == []


async def test_look__a_time_has_come__makes_one_run_of_the_newest_version(bench: Bench) -> None:
    await bench.put(description="first")
    await bench.put(description="second")
    await bench.make_due(LAST)
    await bench.settle()
    await bench.settle()
    (run,) = await bench.runs()
    assert (run.workflow, run.workflow_version, run.schedule_of, run.scheduled_at) == ("w", 2, "w", LAST)
    assert (run.owner, bench.admission.admitted) == ("me", [run.id])
    row = await bench.row()
    assert (row.next_fire_at, row.last_fire_at, row.last_run_id) == (LAST + HOUR, LAST, run.id)
    assert (row.last_skipped_at, row.last_skipped_reason) == (None, None)


async def test_look__many_replicas_at_once__each_time_fires_once(bench: Bench) -> None:
    for number in range(4):
        await bench.put(f"w{number}", {"catchup": True})
        await bench.make_due(LAST - 2 * HOUR, f"w{number}")
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(Writer(bench.database, bench.broker)) for _ in range(4)]
        replicas = [bench.another(one) for one in writers]
        for _ in range(4):
            async with asyncio.TaskGroup() as group:
                for replica in replicas:
                    group.create_task(replica.look())
    await bench.settle()
    fired = [(run.schedule_of, run.scheduled_at) for run in await bench.runs()]
    wanted = [(f"w{number}", LAST - hours * HOUR) for number in range(4) for hours in range(3)]
    assert sorted(fired) == sorted(wanted)
    assert len(bench.admission.admitted) == len(wanted)


async def test_look__clock_was_a_month_ahead_and_is_set_right__goes_on_from_now(bench: Bench) -> None:
    await bench.put()
    month = 30 * 24 * HOUR
    await bench.make_due(LAST)
    await bench.settle()
    await bench.make_due(LAST + month + HOUR, last_fire_at=LAST + month)  # as a clock that was ahead has left it
    await bench.another(bench.writer).look()
    assert (await bench.row()).next_fire_at == LAST + HOUR
    await bench.make_due(LAST + month + HOUR)
    await bench.settle()  # this one has looked before, and has not seen the clock go back
    assert (await bench.row()).next_fire_at == LAST + month + HOUR


async def test_set_back__clock_goes_back_while_it_is_looked_at__next_times_are_found_anew_then(bench: Bench) -> None:
    passed = 0.0
    set_back = SetBack(bench.database, bench.writer, monotonic=lambda: passed)
    await bench.put()
    now = LAST + MINUTE
    assert not await set_back.look(now)
    await bench.make_due(LAST + 9 * HOUR)
    for step in (HOUR, 30 * MINUTE, timedelta(seconds=-30)):  # set forward, later, and set back a little
        now, passed = now + step, passed + max(step, timedelta()).total_seconds() / 2
        assert not await set_back.look(now)
    now -= timedelta(hours=1, seconds=30)
    assert await set_back.look(now)
    assert (await bench.row()).next_fire_at == LAST + HOUR
    assert not await set_back.look(now)


async def test_look__time_comes_again_since_the_clock_was_set_back__gets_a_run_unless_it_has_one(bench: Bench) -> None:
    await bench.put()
    await bench.make_due(LAST - HOUR, next_fire_at=LAST)
    await bench.settle()
    for first in (LAST - HOUR, LAST):  # of the two it was the second that had a run
        await bench.make_due(first, schedule={**HOURLY, "overlap": "allow", "catchup": True}, last_fire_at=LAST)
        await bench.settle()
    assert [run.scheduled_at for run in await bench.runs()] == [LAST, LAST - HOUR]
    row = await bench.row()
    assert (row.last_fire_at, row.last_skipped_at) == (LAST, LAST)
    assert row.last_skipped_reason == "it had its run before the clock was set back"


async def test_look__times_were_missed__only_the_latest_is_run_and_it_is_seen(bench: Bench) -> None:
    await bench.put()
    await bench.make_due(LAST - 5 * HOUR)
    await bench.settle()
    assert [run.scheduled_at for run in await bench.runs()] == [LAST]
    row = await bench.row()
    assert row.next_fire_at == LAST + HOUR
    assert (row.last_skipped_at, "`catchup` is false" in (row.last_skipped_reason or "")) == (LAST - HOUR, True)


async def test_look__times_were_missed_with_catchup__the_newest_hundred_are_run_in_order(bench: Bench) -> None:
    await bench.put(schedule={"catchup": True})
    await bench.make_due(LAST - 120 * HOUR)
    await bench.settle()
    expected = [LAST - hours * HOUR for hours in reversed(range(CATCHUP_LIMIT))]
    assert [run.scheduled_at for run in await bench.runs()] == expected
    row = await bench.row()
    assert (row.next_fire_at, row.last_skipped_at) == (LAST + HOUR, LAST - CATCHUP_LIMIT * HOUR)


async def test_look__overlap_forbid__is_left_out_until_the_last_run_is_finished(bench: Bench) -> None:
    await bench.put(schedule={"overlap": "forbid"})
    for hours in (2, 1):
        await bench.make_due(LAST - hours * HOUR, next_fire_at=LAST)
        await bench.settle()
    (run,) = await bench.runs()
    row = await bench.row()
    assert row.last_skipped_at == LAST
    assert row.last_skipped_reason == f"run {run.id} is not finished, and `overlap` is forbid"
    await bench.change_runs(is_finished=True)
    await bench.make_due(LAST)
    await bench.settle()
    assert len(await bench.runs()) == 2


async def test_look__overlap_replace__the_last_run_is_cancelled_once(bench: Bench) -> None:
    await bench.put(schedule={"overlap": "replace"})
    for _ in range(3):
        await bench.make_due(LAST)
        await bench.settle()
    first, second, third = await bench.runs()
    assert (third.cancel_requested_at, second.cancel_reason) == (None, f"Replaced by run {third.id} of the same schedule")
    assert first.cancel_reason == f"Replaced by run {second.id} of the same schedule"
    events = await bench.database.read(lambda session: list_events(session, None, 0, 100))
    assert [event.run_id for event in events if event.type == "CancelRequested"] == [first.id, second.id]


async def test_look__overlap_allow__they_run_side_by_side(bench: Bench) -> None:
    await bench.put()
    for _ in range(2):
        await bench.make_due(LAST)
        await bench.settle()
    assert [run.cancel_requested_at for run in await bench.runs()] == [None, None]


async def test_look__paused__makes_no_run_and_unpause_goes_on_from_now(bench: Bench) -> None:
    await bench.put(schedule={"catchup": True})
    await bench.make_due(LAST - 3 * HOUR)
    await bench.stored.set_paused("w", paused=True)
    await bench.settle()
    assert (await bench.row()).next_fire_at is None
    await bench.stored.set_paused("w", paused=False)
    await bench.settle()
    assert (await bench.runs(), (await bench.row()).next_fire_at) == ([], LAST + HOUR)


async def test_look__deleted__makes_no_run(bench: Bench) -> None:
    await bench.put()
    await bench.make_due(LAST)
    await bench.stored.delete("w")
    await bench.settle()
    assert await bench.runs() == []


@pytest.mark.parametrize("body", [b'{"name": "w", "from_the_future": true}', b"no JSON"])
async def test_look__document_that_can_not_be_read__is_left_out_and_others_go_on(bench: Bench, body: bytes) -> None:
    for name in ("w", "x"):
        await bench.put(name)
        await bench.make_due(LAST, name)
    await bench.database.write(lambda c: c.execute(update(VERSIONS).where(VERSIONS.c.name == "w").values(body=body)))
    await bench.settle()
    assert [run.workflow for run in await bench.runs()] == ["x"]
    row = await bench.row()
    assert (row.last_skipped_at, row.next_fire_at) == (LAST, LAST + HOUR)
    assert (row.last_skipped_reason or "").startswith("version 1 can't be run: ")


@pytest.mark.parametrize("schedule", [{"moon": "full"}, {**HOURLY, "cron": "0 0 31 2 *", "overlap": "allow", "catchup": False}])
async def test_look__schedule_that_can_not_be_read__stops_and_says_so(bench: Bench, schedule: dict[str, Any]) -> None:
    await bench.put()
    await bench.make_due(LAST, schedule=schedule)
    await bench.settle()
    row = await bench.row()
    assert (await bench.runs(), row.next_fire_at, row.last_skipped_at) == ([], None, LAST)
    assert row.last_skipped_reason


async def test_look__expression_without_a_value__is_left_out(bench: Bench) -> None:
    await bench.put(labels={"day": "${{ params.day }}"}, params={"day": "mon"})
    bench.evaluator.answer = ExpressionFailed("params.day: no such key")
    await bench.make_due(LAST)
    await bench.settle()
    assert await bench.runs() == []
    assert "no such key" in ((await bench.row()).last_skipped_reason or "")


async def test_look__evaluator_is_away__is_tried_again(bench: Bench) -> None:
    await bench.put(labels={"day": "${{ params.day }}"}, params={"day": "mon"})
    bench.evaluator.answer = EvaluatorUnavailable("it does not start")
    await bench.make_due(LAST)
    for _ in range(FAILURE_LIMIT + 1):
        assert await bench.scheduler.look() == LOOK_SECONDS
    bench.evaluator.answer = "tue"
    await bench.settle()
    (run,) = await bench.runs()
    assert (run.labels, run.params, run.scheduled_at) == ({"day": "tue"}, {"day": "mon"}, LAST)


async def test_look__podrun_fails_at_it__is_moved_on_after_some_tries(bench: Bench) -> None:
    await bench.put(labels={"day": "${{ params.day }}"}, params={"day": "mon"})
    bench.evaluator.answer = 10  # no mapping comes of this
    bench.evaluator.evaluate = None  # type: ignore[assignment,method-assign]  # a fault of podrun's own
    await bench.make_due(LAST)
    for _ in range(FAILURE_LIMIT - 1):
        assert await bench.scheduler.look() == LOOK_SECONDS
    assert await bench.scheduler.look() == 0.0
    row = await bench.row()
    assert (row.last_skipped_reason, row.next_fire_at) == ("podrun failed at it: TypeError", LAST + HOUR)


async def test_scheduler__in_its_loop__fires_in_time_and_hears_of_changes(bench: Bench) -> None:
    async with bench.scheduler:
        await bench.put(schedule={"cron": None, "timezone": None, "every_seconds": 1})
        await until(lambda: bool(bench.admission.admitted), seconds=4)
    first, *_ = await bench.runs()
    assert first.scheduled_at is not None
    assert timedelta() <= first.created_at - first.scheduled_at < timedelta(seconds=0.5)


async def test_put__same_times__keep_their_anchor_and_what_is_due(bench: Bench) -> None:
    await bench.put(schedule={"cron": None, "timezone": None, "every_seconds": 3600})
    before = await bench.row()
    await bench.make_due(LAST - MINUTE)
    await bench.put(schedule={"cron": None, "timezone": None, "every_seconds": 3600, "overlap": "forbid"})
    after = await bench.row()
    assert (after.version, after.next_fire_at, after.anchor_at) == (2, LAST - MINUTE, LAST - MINUTE - HOUR)
    await bench.put(schedule={"cron": None, "timezone": None, "every_seconds": 1800})
    changed = await bench.row()
    assert before.anchor_at is not None
    assert changed.anchor_at is not None
    assert changed.anchor_at >= before.anchor_at
    assert changed.next_fire_at == changed.anchor_at + timedelta(seconds=1800)

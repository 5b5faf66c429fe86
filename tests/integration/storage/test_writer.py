from __future__ import annotations

import asyncio
import time

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import IntegrityError

from app.domain.errors import OwnershipLost
from app.domain.events import EventType, RunEvent
from app.storage.broker import RUNS, Broker
from app.storage.database import Database
from app.storage.errors import DatabaseUnavailable
from app.storage.runs import TOUCH_RUN, find_run, insert_events, list_events
from app.storage.writer import CLOSING_SECONDS, LAZY_SECONDS, Change, Writer
from tests.integration.storage.rows import NOW, new_run, run_row

FIRST, SECOND = run_row(1)["id"], run_row(2)["id"]


async def _version(database: Database, run_id: str) -> int:
    run = await database.read(lambda session: find_run(session, run_id))
    assert run is not None
    return run.version


async def test_commit__many_at_once__share_transactions(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1))
    before = writer.commits
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(writer.commit(Change(rows=[(TOUCH_RUN, {"b_run_id": FIRST})])))
    assert writer.commits - before <= 3
    assert await _version(database, FIRST) == 101


async def test_commit__one_breaks_a_constraint__the_others_are_kept(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1))
    outcomes = [writer.post(new_run(2)), writer.post(new_run(1)), writer.post(new_run(3))]
    await asyncio.wait(outcomes)
    assert isinstance(outcomes[1].exception(), IntegrityError)
    assert outcomes[0].exception() is None
    assert outcomes[2].exception() is None
    assert await _version(database, SECOND) == 1


async def test_commit__old_epoch__is_refused_alone_and_writes_nothing(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, epoch=2))
    await writer.commit(new_run(2, epoch=1))
    stale = writer.post(Change(rows=[(TOUCH_RUN, {"b_run_id": FIRST})], fence=(FIRST, 1)))
    fresh = writer.post(Change(rows=[(TOUCH_RUN, {"b_run_id": SECOND})], fence=(SECOND, 1)))
    await asyncio.wait([stale, fresh])
    assert isinstance(stale.exception(), OwnershipLost)
    assert fresh.exception() is None
    assert await _version(database, FIRST) == 1
    assert await _version(database, SECOND) == 2


async def test_commit__run_is_gone__ownership_is_lost(writer: Writer) -> None:
    with pytest.raises(OwnershipLost):
        await writer.commit(Change(rows=[(TOUCH_RUN, {"b_run_id": FIRST})], fence=(FIRST, 1)))


async def test_commit__call_raises__only_its_waiter_is_told(database: Database, writer: Writer) -> None:
    def fail(_connection: Connection) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        await writer.commit(Change(call=fail))
    await writer.commit(new_run(1))
    assert await _version(database, FIRST) == 1


async def test_commit__bug_in_one_call__the_batch_is_tried_one_by_one(database: Database, writer: Writer) -> None:
    def fail(_connection: Connection) -> None:
        raise RuntimeError("a bug")

    good, bad = writer.post(new_run(1)), writer.post(Change(call=fail))
    await asyncio.wait([good, bad])
    assert good.exception() is None
    assert isinstance(bad.exception(), RuntimeError)
    assert await _version(database, FIRST) == 1


async def test_commit__lazy__one_that_is_due_goes_with_an_urgent_one(writer: Writer) -> None:
    await writer.commit(new_run(1))
    lazy = writer.post(Change(rows=[(TOUCH_RUN, {"b_run_id": FIRST})]), urgent=False)
    time.sleep(2 * LAZY_SECONDS)  # noqa: ASYNC251 - the writer has not got round to it
    before = writer.commits
    await writer.commit(new_run(2))
    assert lazy.done()
    assert writer.commits == before + 1


async def test_commit__urgent__takes_the_steps_before_it_along_and_nothing_else(database: Database, writer: Writer) -> None:
    for number in (1, 2):
        await writer.commit(new_run(number, epoch=1))

    def change(run_id: str, *, is_step: bool) -> Change:
        return Change(rows=[(TOUCH_RUN, {"b_run_id": run_id})], fence=(run_id, 1), is_step=is_step)

    log_of_first = writer.post(change(FIRST, is_step=False), urgent=False)
    step_of_first = writer.post(change(FIRST, is_step=True), urgent=False)
    step_of_second = writer.post(change(SECOND, is_step=True), urgent=False)
    urgent = writer.post(change(FIRST, is_step=True))
    after = writer.post(change(FIRST, is_step=True), urgent=False)
    await urgent
    assert [one.done() for one in (step_of_first, log_of_first, step_of_second, after)] == [True, False, False, False]
    await asyncio.wait([log_of_first, step_of_second, after])
    assert (await _version(database, FIRST), await _version(database, SECOND)) == (5, 2)
    log_of_first = writer.post(change(FIRST, is_step=False), urgent=False)
    step_of_second = writer.post(change(SECOND, is_step=True), urgent=False)
    await writer.commit(change(FIRST, is_step=False))
    assert (log_of_first.done(), step_of_second.done()) == (True, False)


async def test_commit__urgent_ones_come_all_the_time__lazy_ones_are_not_forgotten(writer: Writer) -> None:
    for number in (1, 2):
        await writer.commit(new_run(number, epoch=1))
    lazy = writer.post(Change(rows=[(TOUCH_RUN, {"b_run_id": FIRST})], fence=(FIRST, 1)), urgent=False)
    async with asyncio.timeout(10):
        while not lazy.done():
            await writer.commit(Change(rows=[(TOUCH_RUN, {"b_run_id": SECOND})], fence=(SECOND, 1)))


async def test_commit__done__topics_are_woken_after_it(database: Database, broker: Broker, writer: Writer) -> None:
    with broker.subscribe(RUNS) as subscription:
        change = new_run(1)
        change.topics = (RUNS,)
        await writer.commit(change)
        assert await subscription.wait(1.0)
        assert await _version(database, FIRST) == 1


async def test_history__many_writers__ids_are_read_in_the_order_of_their_commits(
    database: Database, broker: Broker, writer: Writer
) -> None:
    await writer.commit(new_run(1))

    async def write(writer: Writer, name: str) -> None:
        for number in range(20):
            event = RunEvent(run_id=FIRST, time=NOW, type=EventType.NOTE, message=f"{name}{number}")
            await writer.commit(Change(rows=insert_events([event])))

    seen: list[str] = []
    after = 0
    async with Writer(database, broker) as other, asyncio.TaskGroup() as group:
        tasks = [group.create_task(write(writer, "a")), group.create_task(write(other, "b"))]
        while not all(task.done() for task in tasks) or len(seen) < 40:
            rows = await database.read(lambda session, after=after: list_events(session, FIRST, after, 100))
            seen += [row.message for row in rows]
            after = rows[-1].id or 0 if rows else after
            await asyncio.sleep(0)
    assert sorted(seen) == sorted(f"{name}{number}" for name in "ab" for number in range(20))
    assert [m for m in seen if m[0] == "a"] == [f"a{number}" for number in range(20)]


async def test_commit__step_after_one_that_failed__fails_too(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, epoch=1))

    def fail(_connection: Connection) -> None:
        raise RuntimeError("a bug")

    fence = (FIRST, 1)
    touch = [(TOUCH_RUN, {"b_run_id": FIRST})]
    failed = writer.post(Change(call=fail, fence=fence, is_step=True))
    after = writer.post(Change(rows=touch, fence=fence, is_step=True))
    beside = writer.post(Change(rows=touch, fence=fence))
    await asyncio.wait([failed, after, beside])
    assert isinstance(failed.exception(), RuntimeError)
    assert isinstance(after.exception(), RuntimeError)
    assert beside.exception() is None
    with pytest.raises(RuntimeError):
        await writer.commit(Change(rows=touch, fence=fence, is_step=True))
    assert await _version(database, FIRST) == 2


async def test_trouble__an_outage__is_kept_until_something_is_committed(writer: Writer) -> None:
    def fail(_connection: Connection) -> None:
        raise DatabaseUnavailable("it did not answer in time")

    assert writer.trouble is None
    with pytest.raises(DatabaseUnavailable) as caught:
        await writer.commit(Change(call=fail))
    assert writer.trouble is caught.value
    with pytest.raises(ZeroDivisionError):
        await writer.commit(Change(call=lambda _connection: 1 / 0))
    assert writer.trouble is caught.value
    await writer.commit(Change())
    assert writer.trouble is None


class HangingDatabase:
    """Takes what is to be written, and never answers."""

    async def write(self, _function: object) -> None:
        await asyncio.Event().wait()


async def test_close__the_database_hangs__ends_soon_and_nobody_waits_for_ever() -> None:
    began = time.monotonic()
    async with Writer(HangingDatabase(), Broker()) as writer:
        waiting = [writer.post(Change())]
        await asyncio.sleep(0.1)
        waiting.append(writer.post(Change()))
    assert time.monotonic() - began < CLOSING_SECONDS + 1
    assert all(one.cancelled() for one in waiting)

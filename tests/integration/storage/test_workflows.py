"""Stored workflows and their use cases, on SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from app.domain.errors import InvalidWorkflow, NotFound, PreconditionFailed
from app.runs.workflows import StoredWorkflows
from app.storage.broker import Broker
from app.storage.database import Database
from app.storage.workflows import (
    advance_schedule,
    find_version,
    find_workflow,
    list_due,
    list_versions,
    list_workflow_names,
    update_workflow,
)
from app.storage.writer import Change, Writer
from tests.support.fake_pods import FakePods


def from_now(**offset: float) -> datetime:
    """A time at this distance from now: the database asks its own clock, which has gone on since the suite began."""
    return datetime.now(UTC) + timedelta(**offset)


def body(name: str = "w", **keys: Any) -> bytes:
    return json.dumps({"name": name, "tasks": [{"name": "a"}], **keys}).encode()


@pytest.fixture
def stored(database: Database, writer: Writer) -> StoredWorkflows:
    return make_stored(database, writer)


def make_stored(database: Database, writer: Writer) -> StoredWorkflows:
    evaluator: Any = None  # nothing is evaluated
    return StoredWorkflows(database=database, writer=writer, pods=FakePods(), evaluator=evaluator, instance="i")


async def test_find_version__newest_and_earlier_ones__are_their_bytes(stored: StoredWorkflows, database: Database) -> None:
    for text in ("one", "two"):
        await stored.put("w", body(description=text))

    def read(session) -> list[bytes | None]:
        found = [find_version(session, "w", version) for version in (None, 1, 2, 3)]
        return [one.body if one else None for one in found]

    assert await database.read(read) == [body(description="two"), body(description="one"), body(description="two"), None]
    assert await database.read(lambda session: find_version(session, "x", None)) is None


async def test_put__many_at_once__each_change_has_a_number_of_its_own(database: Database, broker: Broker) -> None:
    async with AsyncExitStack() as stack:
        writers = [await stack.enter_async_context(Writer(database, broker)) for _ in range(3)]
        async with asyncio.TaskGroup() as group:
            for number in range(12):
                one = make_stored(database, writers[number % 3])
                group.create_task(one.put("w", body(description=str(number))))
    versions = await database.read(lambda session: list_versions(session, "w", before=None, limit=100))
    assert [version for version, _ in versions] == list(range(12, 0, -1))


async def test_put__two_who_saw_the_same_version__the_second_is_refused(stored: StoredWorkflows, database: Database) -> None:
    await stored.put("w", body())
    async with asyncio.TaskGroup() as group:
        sent = [
            group.create_task(_refusal(stored.put("w", body(description=text), lambda etag: etag == '"1"')))
            for text in ("mine", "yours")
        ]
    assert sorted(str(one.result()) for one in sent) == ["None", "PreconditionFailed"]
    row = await database.read(lambda session: find_workflow(session, "w"))
    assert row is not None
    assert row.version == 2


async def _refusal(put: Any) -> str | None:
    try:
        await put
    except PreconditionFailed as error:
        return type(error).__name__
    return None


async def test_put__refused_for_its_precondition__leaves_no_trace(stored: StoredWorkflows, database: Database) -> None:
    with pytest.raises(PreconditionFailed, match="it is not there"):
        await stored.put("w", body(), lambda etag: etag is not None)
    assert await database.read(list_workflow_names) == []


async def test_delete__and_put_again__goes_on_counting_and_begins_anew(stored: StoredWorkflows, database: Database) -> None:
    await stored.put("w", body())
    await stored.put("w", body(description="two", schedule={"every_seconds": 60}))
    await stored.set_paused("w", paused=True)
    await stored.delete("w")
    assert await database.read(lambda session: find_version(session, "w", 1)) is None
    with pytest.raises(NotFound):
        await stored.delete("w")
    answer = await stored.put("w", body(description="two", schedule={"every_seconds": 60}))
    view = json.loads(answer.body)
    assert (answer.is_new, view["version"], view["paused"]) == (True, 3, False)
    assert view["schedule"]["next_at"] is not None
    assert await database.read(lambda session: find_version(session, "w", 2)) is None


async def test_put__schedule_that_never_comes_or_lacks_params__is_refused(stored: StoredWorkflows) -> None:
    with pytest.raises(InvalidWorkflow) as refused:
        await stored.put("w", body(schedule={"cron": "0 0 31 2 *"}, params={"x": {}}))
    assert all(fault.pointer.startswith("/schedule") for fault in refused.value.faults)
    with pytest.raises(InvalidWorkflow, match="the params x, y have no default") as refused:
        await stored.put("w", body(schedule={"every_seconds": 5}, params={"x": {}, "y": {}, "z": 1}))
    assert [fault.pointer for fault in refused.value.faults] == ["/schedule"]
    await stored.put("w", body(schedule={"every_seconds": 5}, params={"z": 1}))


async def test_put__what_is_no_schedule_any_more__has_no_next_time(stored: StoredWorkflows, database: Database) -> None:
    await stored.put("w", body(schedule={"every_seconds": 60}))
    await stored.put("w", body())
    row = await database.read(lambda session: find_workflow(session, "w"))
    assert row is not None
    assert (row.schedule, row.anchor_at, row.next_fire_at) == (None, None, None)


async def test_advance_schedule__as_it_was_read__moves_on_once(
    stored: StoredWorkflows, database: Database, writer: Writer
) -> None:
    await stored.put("w", body(schedule={"every_seconds": 60}))
    past = {"next_fire_at": from_now(minutes=-1)}
    await database.write(lambda connection: update_workflow(connection, "w", past))
    (due,), upcoming = await database.read(lambda session: list_due(session, 10))
    assert (due.body, due.unfinished, upcoming) == (body(schedule={"every_seconds": 60}), {}, None)

    def advance(connection: Connection) -> bool:
        return advance_schedule(connection, due.workflow, {"next_fire_at": from_now(minutes=10)})

    assert [await writer.commit(Change(call=advance)) for _ in range(2)] == [True, False]
    nothing, upcoming = await database.read(lambda session: list_due(session, 10))
    assert nothing == []
    assert 0 < (upcoming or 0) <= 600


@pytest.mark.parametrize("change", ["put", "pause", "delete"])
async def test_advance_schedule__changed_since_it_was_read__is_left_alone(
    stored: StoredWorkflows, database: Database, writer: Writer, change: str
) -> None:
    await stored.put("w", body(schedule={"every_seconds": 60}))
    past = {"next_fire_at": from_now(minutes=-1)}
    await database.write(lambda connection: update_workflow(connection, "w", past))
    (due,), _ = await database.read(lambda session: list_due(session, 10))
    if change == "put":
        await stored.put("w", body(schedule={"every_seconds": 60}, description="another"))
    elif change == "pause":
        await stored.set_paused("w", paused=True)
    else:
        await stored.delete("w")
    moved = Change(call=lambda connection: advance_schedule(connection, due.workflow, {"next_fire_at": from_now()}))
    assert await writer.commit(moved) is False


async def test_set_paused__again__changes_nothing(stored: StoredWorkflows) -> None:
    await stored.put("w", body(schedule={"every_seconds": 3600}))
    paused = await stored.set_paused("w", paused=True)
    assert (await stored.set_paused("w", paused=True)).body == paused.body
    unpaused = await stored.set_paused("w", paused=False)
    assert (await stored.set_paused("w", paused=False)).body == unpaused.body
    with pytest.raises(NotFound):
        await stored.set_paused("x", paused=True)

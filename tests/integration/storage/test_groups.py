"""Concurrency groups: one turn at a time, in order, whoever asks and from wherever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text, update

from app.storage import migrate
from app.storage.broker import Broker
from app.storage.database import Database, open_database
from app.storage.groups import enter, group_topic, take_turn, waits_for
from app.storage.intents import request_retry
from app.storage.models import RunRow, table_of
from app.storage.runs import delete_run, find_run
from app.storage.writer import Change, Writer
from tests.integration.storage.rows import NOW, new_run, run_row

RUNS = table_of(RunRow)
MANY = range(100, 120)  #: runs that ask at the same time


def run_id(number: int) -> str:
    return run_row(number)["id"]


def in_group(number: int, *, key: str = "default/deploy", policy: str = "queue", now: datetime = NOW, **values: Any) -> Change:
    """The change that submits such a run."""
    change = new_run(number, group_key=key, group_policy=policy, **values)
    change.call = lambda connection: enter(connection, run_id(number), now)
    return change


async def turn(database: Database, number: int) -> int | None:
    """The number of the run that it waits for, None: it has its turn."""
    before = await database.read(lambda session: waits_for(session, run_id(number)))
    holder = await database.write(lambda connection: take_turn(connection, run_id(number)))
    assert before == holder or number in MANY
    return None if holder is None else int(holder[-12:])


async def finish(database: Database, number: int) -> None:
    await database.write(lambda c: c.execute(update(RUNS).where(RUNS.c.id == run_id(number)).values(is_finished=True)))


@pytest.fixture
async def replica(database: Database) -> AsyncIterator[tuple[Database, Writer]]:
    """A second process on the same database (on SQLite there is one: the same)."""
    if database.url.get_backend_name() == "sqlite":
        async with Writer(database, Broker()) as writer:
            yield database, writer
        return
    url = database.url.render_as_string(hide_password=False)
    async with open_database(url) as other, Writer(other, Broker()) as writer:
        yield other, writer


async def test_take_turn__first_come__first_served(database: Database, writer: Writer) -> None:
    for number in (1, 2, 3):
        await writer.commit(in_group(number))
    assert [await turn(database, number) for number in (3, 2, 1, 1, 2)] == [1, 1, None, None, 1]
    await finish(database, 1)
    assert [await turn(database, number) for number in (3, 2, 3)] == [2, None, 2]
    await finish(database, 2)
    assert await turn(database, 3) is None


async def test_take_turn__no_group_or_another__nobody_is_waited_for(database: Database, writer: Writer) -> None:
    await writer.commit(in_group(1))
    await writer.commit(new_run(2))
    await writer.commit(in_group(3, key="other/deploy"))
    assert [await turn(database, number) for number in (1, 2, 3, 4)] == [None] * 4


async def test_take_turn__holder_was_deleted__the_group_is_free(database: Database, writer: Writer) -> None:
    await writer.commit(in_group(1))
    await writer.commit(in_group(2))
    assert await turn(database, 1) is None
    await finish(database, 1)
    await database.write(lambda connection: delete_run(connection, run_id(1)))
    assert await turn(database, 2) is None


async def test_take_turn__clock_of_the_second_is_behind__it_is_second_all_the_same(database: Database, writer: Writer) -> None:
    await writer.commit(in_group(2, now=NOW))
    await writer.commit(in_group(1, now=NOW - timedelta(hours=1)))
    assert [await turn(database, 1), await turn(database, 2)] == [2, None]


async def test_enter__cancel_running__cancels_all_others_that_are_not_over(database: Database, writer: Writer) -> None:
    await writer.commit(in_group(1))
    await writer.commit(in_group(2))
    await writer.commit(in_group(3, phase="Succeeded"))
    await writer.commit(in_group(4, key="default/other"))
    assert await turn(database, 1) is None
    superseded = await writer.commit(in_group(5, policy="cancel_running"))
    assert superseded == [run_id(1), run_id(2)]
    for number in (1, 2):
        run = await database.read(lambda session, number=number: find_run(session, run_id(number)))
        assert run is not None
        assert run.cancel_reason == f"Superseded by run {run_id(5)}"
        assert run.cancel_requested_at is not None
    assert await turn(database, 5) == 1, "it waits until the other one's pods are gone"
    for number in (1, 2, 3):
        await finish(database, number)
    assert await turn(database, 5) is None


async def test_enter__retried_holder__goes_to_the_end_of_the_queue(database: Database, writer: Writer) -> None:
    await writer.commit(in_group(1))
    await writer.commit(in_group(2))
    assert await turn(database, 1) is None
    await finish(database, 1)

    def retry(connection: Connection) -> None:
        assert request_retry(connection, run_id(1), NOW + timedelta(seconds=9), None) == 1
        enter(connection, run_id(1), NOW)

    await database.write(retry)
    assert [await turn(database, 1), await turn(database, 2), await turn(database, 1)] == [2, None, 2]


async def test_groups__two_replicas_at_once__never_two_holders(
    database: Database, writer: Writer, replica: tuple[Database, Writer]
) -> None:
    """Each run is submitted, takes its turn, holds it for a moment and finishes, all at once."""
    processes = [(database, writer), replica]
    holders: set[int] = set()
    order: list[int] = []

    async def live(number: int) -> None:
        base, commits = processes[number % 2]
        await commits.commit(in_group(number))
        while await turn(base, number) is not None:  # noqa: ASYNC110 - the other process has no event of ours
            await asyncio.sleep(0.002)
        assert not holders, "two hold the group"
        holders.add(number)
        order.append(number)
        await asyncio.sleep(0.002)
        holders.remove(number)
        await finish(base, number)

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in MANY:
            group.create_task(live(number))
    assert sorted(order) == list(MANY)


async def test_groups__newest_wins_at_two_replicas_at_once__one_is_left(
    database: Database, writer: Writer, replica: tuple[Database, Writer]
) -> None:
    writers = [writer, replica[1]]
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in MANY:
            group.create_task(writers[number % 2].commit(in_group(number, policy="cancel_running")))
    rows = await database.read(lambda s: s.execute(RUNS.select().where(RUNS.c.cancel_requested_at.is_(None))).all())
    assert len(rows) == 1


async def test_delete_run__the_last_of_its_group__the_group_is_forgotten(database: Database, writer: Writer) -> None:
    async def groups() -> list[str]:
        return await database.read(lambda s: sorted(s.execute(text("SELECT key FROM run_groups")).scalars()))

    for number, key in ((1, "default/a"), (2, "default/a"), (3, "default/b")):
        await writer.commit(in_group(number, key=key))
    await writer.commit(new_run(4, is_finished=True))
    assert await database.write(lambda c: delete_run(c, run_id(1))) is None, "it is not finished"
    for number in (1, 2):
        await finish(database, number)
    await database.write(lambda c: delete_run(c, run_id(4)))
    await database.write(lambda c: delete_run(c, run_id(1)))
    assert await groups() == ["default/a", "default/b"]
    await database.write(lambda c: delete_run(c, run_id(2)))
    assert await groups() == ["default/b"]
    await writer.commit(in_group(5, key="default/a"))
    assert await turn(database, 5) is None
    assert await groups() == ["default/a", "default/b"]


async def test_delete_run__while_others_enter_and_take_their_turn__never_two_holders(
    database: Database, writer: Writer, replica: tuple[Database, Writer]
) -> None:
    """Each run is deleted as soon as it is finished, while the next ones come."""
    processes = [(database, writer), replica]
    holders: set[int] = set()

    async def live(number: int) -> None:
        base, commits = processes[number % 2]
        await commits.commit(in_group(number))
        while await turn(base, number) is not None:  # noqa: ASYNC110 - the other process has no event of ours
            await asyncio.sleep(0.002)
        assert not holders, "two hold the group"
        holders.add(number)
        await asyncio.sleep(0.002)
        holders.remove(number)
        await finish(base, number)
        assert await commits.commit(Change(call=lambda connection: delete_run(connection, run_id(number)))) == []

    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for number in MANY:
            group.create_task(live(number))
    assert await database.read(lambda s: s.execute(text("SELECT count(*) FROM run_groups")).scalar()) == 0


@pytest.mark.postgres
async def test_writer__groups_locked_crosswise__the_deadlock_is_tried_again(postgres_url: str) -> None:
    async with open_database(postgres_url) as one, open_database(postgres_url) as two:
        await one.write(migrate.upgrade_connection)
        async with Writer(one, Broker()) as first, Writer(two, Broker()) as second:
            for number in (1, 2):
                await first.commit(in_group(number, key=f"default/{number}"))

            def enter_both(connection: Connection, *numbers: int) -> None:
                enter(connection, run_id(numbers[0]), NOW)
                connection.execute(text("SELECT pg_sleep(0.3)"))
                enter(connection, run_id(numbers[1]), NOW)

            async with asyncio.timeout(30), asyncio.TaskGroup() as group:
                group.create_task(first.commit(Change(call=lambda c: enter_both(c, 1, 2))))
                group.create_task(second.commit(Change(call=lambda c: enter_both(c, 2, 1))))
            assert first.commits + second.commits > 4, "there was no deadlock"


def test_group_topic__any_key__has_no_blank_and_is_the_same_everywhere() -> None:
    assert group_topic("default/a group ü") == group_topic("default/a group ü")
    assert " " not in group_topic("default/a group")
    assert group_topic("default/a") != group_topic("default/b")

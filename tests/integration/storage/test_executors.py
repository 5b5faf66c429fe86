from __future__ import annotations

import math

import pytest
from sqlalchemy import text

from app.storage import migrate
from app.storage.broker import Broker
from app.storage.database import Database, PostgresDatabase, open_database
from app.storage.executors import (
    claim_runs,
    ensure_instance,
    find_epochs,
    list_intents,
    release_runs,
    renew_lease,
    seconds_until_claimable,
)
from app.storage.intents import request_cancel
from app.storage.writer import Writer
from tests.integration.storage.rows import NOW, new_run, run_row

FIRST, SECOND = run_row(1)["id"], run_row(2)["id"]


async def test_claim__runs_that_nobody_owns__oldest_first_under_a_new_epoch(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(2))
    await writer.commit(new_run(1, epoch=4))
    await writer.commit(new_run(3, is_finished=True))
    assert await database.write(lambda c: claim_runs(c, "me", 10)) == [(FIRST, 5), (SECOND, 1)]
    assert await database.write(lambda c: claim_runs(c, "me", 10)) == []


async def test_claim__owner_lives__its_runs_are_left(database: Database, writer: Writer) -> None:
    await database.write(lambda c: renew_lease(c, "other", "host", 30))
    await writer.commit(new_run(1, owner="other", epoch=1))
    assert await database.write(lambda c: claim_runs(c, "me", 10)) == []


async def test_claim__owners_lease_ran_out__its_runs_are_taken(database: Database, writer: Writer) -> None:
    await database.write(lambda c: renew_lease(c, "other", "host", -1))
    await writer.commit(new_run(1, owner="other", epoch=1))
    assert await database.write(lambda c: claim_runs(c, "me", 10)) == [(FIRST, 2)]


async def test_claim__owners_lease_is_from_before_the_clock_was_set_back__its_runs_are_taken(
    database: Database, writer: Writer
) -> None:
    await database.write(lambda c: renew_lease(c, "other", "host", 3600))
    await writer.commit(new_run(1, owner="other", epoch=1))
    assert await database.write(lambda c: claim_runs(c, "me", 10)) == [(FIRST, 2)]


async def test_claim__lone_service_starts__takes_all_at_once(database: Database, writer: Writer) -> None:
    await database.write(lambda c: renew_lease(c, "before", "host", 30))
    await writer.commit(new_run(1, owner="before", epoch=1))
    assert await database.write(lambda c: claim_runs(c, "me", 10, take_all=True)) == [(FIRST, 2)]


async def test_release__runs_are_there_for_others(database: Database, writer: Writer) -> None:
    await database.write(lambda c: renew_lease(c, "me", "host", 30))
    await writer.commit(new_run(1, owner="me", epoch=1))
    await database.write(lambda c: release_runs(c, "me"))
    assert await database.write(lambda c: claim_runs(c, "other", 10)) == [(FIRST, 2)]


async def test_seconds_until_claimable__others_live__until_the_first_lease_runs_out(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, owner="other", epoch=1))
    for name, seconds in (("me", 5), ("other", 30), ("third", 20), ("dead", -1)):
        await database.write(lambda c, name=name, seconds=seconds: renew_lease(c, name, "host", seconds))
    assert 19 < await database.read(lambda s: seconds_until_claimable(s, "me")) <= 20
    assert 0 < await database.read(lambda s: seconds_until_claimable(s, "third")) <= 5


async def test_seconds_until_claimable__nobody_else__not_known(database: Database) -> None:
    await database.write(lambda c: renew_lease(c, "me", "host", 30))
    assert await database.read(lambda s: seconds_until_claimable(s, "me")) == math.inf


@pytest.mark.postgres
async def test_seconds_until_claimable__a_dead_ones_run_is_locked__none(postgres_url: str) -> None:
    """Whoever holds it locked, such as a user's cancel just now, it can be claimed a moment later."""
    async with open_database(postgres_url) as database:
        assert isinstance(database, PostgresDatabase)
        await database.write(migrate.upgrade_connection)
        async with Writer(database, Broker()) as writer, database.engine.begin() as locking:
            await writer.commit(new_run(1, owner="dead", epoch=1))
            await locking.execute(text("SELECT id FROM runs FOR UPDATE"))
            assert await database.write(lambda c: claim_runs(c, "me", 10)) == []
            assert await database.read(lambda s: seconds_until_claimable(s, "me")) == 0
            await locking.rollback()
            assert await database.write(lambda c: claim_runs(c, "me", 10)) == [(FIRST, 2)]
            assert await database.read(lambda s: seconds_until_claimable(s, "me")) > 0


async def test_find_epochs__of_some_runs__those_that_are_there(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, epoch=3))
    await writer.commit(new_run(2, epoch=4, is_finished=True))
    assert await database.read(lambda s: find_epochs(s, [FIRST, SECOND, "gone"])) == {FIRST: 3, SECOND: 4}


async def test_intents__cancel_asked_of_an_owned_run__listed_until_it_is_finished(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, owner="me", epoch=1))
    await writer.commit(new_run(2, owner="other", epoch=1))
    for run_id in (FIRST, SECOND):
        assert await database.write(lambda c, run_id=run_id: request_cancel(c, run_id, NOW, "why", force=False))
    assert await database.read(lambda s: list_intents(s, "me")) == [(FIRST, NOW, "why", False)]


async def test_request_cancel__again__nothing_new_but_with_force(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, owner="me"))
    assert await database.write(lambda c: request_cancel(c, FIRST, NOW, "a", force=False))
    assert not await database.write(lambda c: request_cancel(c, FIRST, NOW, "b", force=False))
    assert await database.write(lambda c: request_cancel(c, FIRST, NOW, "c", force=True))
    assert not await database.write(lambda c: request_cancel(c, FIRST, NOW, "d", force=True))


async def test_request_cancel__run_is_over__nothing(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, phase="Succeeded"))
    assert not await database.write(lambda c: request_cancel(c, FIRST, NOW, "a", force=True))


async def test_ensure_instance__made_once(database: Database) -> None:
    assert await database.write(lambda c: ensure_instance(c, "one")) == "one"
    assert await database.write(lambda c: ensure_instance(c, "two")) == "one"

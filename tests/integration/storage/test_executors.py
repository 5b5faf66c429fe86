from __future__ import annotations

from app.storage.database import Database
from app.storage.executors import claim_runs, ensure_instance, list_intents, release_runs, renew_lease
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


async def test_claim__lone_service_starts__takes_all_at_once(database: Database, writer: Writer) -> None:
    await database.write(lambda c: renew_lease(c, "before", "host", 30))
    await writer.commit(new_run(1, owner="before", epoch=1))
    assert await database.write(lambda c: claim_runs(c, "me", 10, take_all=True)) == [(FIRST, 2)]


async def test_release__runs_are_there_for_others(database: Database, writer: Writer) -> None:
    await database.write(lambda c: renew_lease(c, "me", "host", 30))
    await writer.commit(new_run(1, owner="me", epoch=1))
    await database.write(lambda c: release_runs(c, "me"))
    assert await database.write(lambda c: claim_runs(c, "other", 10)) == [(FIRST, 2)]


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

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from app.domain.events import EventType, RunEvent
from app.storage.database import Database
from app.storage.idempotency import INSERT_KEY, KEPT_FOR, find_key, forget_keys
from app.storage.run_lists import SCAN_LIMIT, count_phases, list_runs
from app.storage.runs import (
    delete_run,
    find_document,
    find_run,
    id_before_last_events,
    insert_events,
    list_event_runs,
    list_tasks,
    load_run,
)
from app.storage.writer import Change, Writer
from tests.integration.storage.rows import NOW, new_run, run_row


def run_id(number: int) -> str:
    return run_row(number)["id"]


async def _numbers(database: Database, **filters) -> tuple[list[int], str | None]:
    rows, more = await database.read(lambda session: list_runs(session, **filters))
    return [int(row.id[-12:]) for row in rows], more


async def test_list_runs__pages__newest_first_without_holes(database: Database, writer: Writer) -> None:
    for number in range(1, 8):
        await writer.commit(new_run(number))
    first, cursor = await _numbers(database, limit=3)
    second, cursor2 = await _numbers(database, limit=3, before_id=cursor)
    third, end = await _numbers(database, limit=3, before_id=cursor2)
    assert first + second + third == [7, 6, 5, 4, 3, 2, 1]
    assert end is None


async def test_list_runs__exactly_one_page__no_cursor(database: Database, writer: Writer) -> None:
    for number in (1, 2):
        await writer.commit(new_run(number))
    assert await _numbers(database, limit=2) == ([2, 1], None)


async def test_list_runs__filters__all_must_match(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, phase="Failed", workflow="x", labels={"team": "a"}))
    await writer.commit(new_run(2, phase="Failed", workflow="y", labels={"team": "b"}))
    await writer.commit(new_run(3, phase="Running", workflow="x", labels={"team": "a"}))
    assert (await _numbers(database, phases=["Failed"]))[0] == [2, 1]
    assert (await _numbers(database, phases=["Failed", "Running"], workflow="x"))[0] == [3, 1]
    assert (await _numbers(database, matches=lambda labels: labels.get("team") == "a"))[0] == [3, 1]
    assert (await _numbers(database, created_after=NOW + timedelta(seconds=1)))[0] == [3, 2]
    assert (await _numbers(database, created_before=NOW + timedelta(seconds=2)))[0] == [1]
    assert await _numbers(database, workflow="none") == ([], None)


async def test_list_runs__between_two_times__exact_to_the_microsecond_and_by_the_key(
    database: Database, writer: Writer
) -> None:
    for number in range(1, 6):
        await writer.commit(new_run(number))
    two, four = NOW + timedelta(seconds=2), NOW + timedelta(seconds=4)
    tick = timedelta(microseconds=1)
    assert (await _numbers(database, created_after=two, created_before=four))[0] == [3]
    assert (await _numbers(database, created_after=two - tick, created_before=four + tick))[0] == [4, 3, 2]
    year_1, year_9999 = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
    assert (await _numbers(database, created_after=year_1, created_before=year_9999))[0] == [5, 4, 3, 2, 1]
    assert (await _numbers(database, created_after=year_9999, created_before=year_1))[0] == []
    await writer.commit(new_run(6, id="00000000-0000-7000-8000-000000000006"))
    assert (await _numbers(database, created_after=two))[0] == [5, 4, 3], "an id of another time is not looked at"


async def test_list_runs__few_of_many_match__short_page_with_a_cursor(database: Database) -> None:
    for start in range(1, 5201, 650):
        await database.write(
            lambda connection, start=start: connection.execute(
                new_run(1).rows[0][0], [run_row(number) for number in range(start, start + 650)]
            )
        )
    found, cursor = await _numbers(database, matches=bool, limit=10)
    assert (found, cursor) == ([], run_id(201))
    found, cursor = await _numbers(database, matches=lambda labels: not labels, limit=500, before_id=cursor)
    assert (len(found), found[0], cursor) == (200, 200, None)


async def test_count_phases__filters_and_labels__as_the_list_has_them(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, phase="Failed", workflow="x", labels={"team": "a"}))
    await writer.commit(new_run(2, phase="Failed", workflow="y", labels={"team": "b"}))
    await writer.commit(new_run(3, phase="Running", workflow="x", labels={"team": "a"}))

    async def counts(**filters) -> tuple[dict[str, int], int, bool]:
        found = await database.read(lambda session: count_phases(session, **filters))
        return dict(found.phases), found.looked_at, found.is_complete

    assert await counts() == ({"Failed": 2, "Running": 1}, 3, True)
    assert await counts(workflow="x", phases=["Failed"]) == ({"Failed": 1}, 1, True)
    assert await counts(matches=lambda labels: labels.get("team") == "b") == ({"Failed": 1}, 3, True)
    assert await counts(created_after=NOW + timedelta(seconds=2)) == ({"Running": 1}, 1, True)
    assert await counts(created_before=NOW) == ({}, 0, True)


async def test_count_phases__more_than_are_looked_at__says_so(database: Database) -> None:
    for start, count in ((1, 2500), (2501, 2500), (5001, 1)):
        rows = [run_row(number, phase="Failed" if number < 3 else "Pending") for number in range(start, start + count)]
        await database.write(lambda connection, rows=rows: connection.execute(new_run(1).rows[0][0], rows))
        found = await database.read(count_phases)
        newest = start + count - 1
        assert (found.looked_at, found.is_complete) == (min(newest, SCAN_LIMIT), newest <= SCAN_LIMIT)
    assert dict(found.phases) == {"Pending": 4999, "Failed": 1}


async def test_id_before_last_events__of_one_run_and_of_all(database: Database, writer: Writer) -> None:
    for number in (1, 2):
        await writer.commit(new_run(number))
    for number in (1, 2, 1, 2, 1):
        await writer.commit(Change(rows=insert_events([RunEvent(run_id=run_id(number), time=NOW, type=EventType.RUN)])))

    async def before(number: int | None, count: int) -> int:
        run = None if number is None else run_id(number)
        return await database.read(lambda session: id_before_last_events(session, run, count))

    assert [await before(None, count) for count in (0, 1, 4, 5, 100)] == [5, 4, 1, 0, 0]
    assert [await before(1, count) for count in (0, 1, 2, 3, 4)] == [5, 3, 1, 0, 0]
    assert [await before(2, count) for count in (0, 1, 2)] == [4, 2, 0]
    entries = await database.read(lambda session: list_event_runs(session, 4, 2))
    assert entries == [(3, run_id(1)), (2, run_id(2))]


async def test_list_tasks__document_order_and_pages(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, tasks=("z", "a", "m")))
    rows = await database.read(lambda session: list_tasks(session, run_id(1), limit=2))
    assert [row.name for row in rows] == ["z", "a"]
    rows = await database.read(lambda session: list_tasks(session, run_id(1), after=(rows[-1].position, -1)))
    assert [row.name for row in rows] == ["m"]


async def test_load_run__times_are_aware_and_exact(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1))
    stored = await database.read(lambda session: load_run(session, run_id(1)))
    assert stored.run.created_at == NOW + timedelta(seconds=1)
    assert stored.run.created_at.utcoffset() == timedelta(0)


async def test_delete_run__only_when_finished_and_with_all_its_rows(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1))
    await writer.commit(new_run(2, is_finished=True))
    assert await database.write(lambda connection: delete_run(connection, run_id(1))) is None
    assert await database.write(lambda connection: delete_run(connection, run_id(2))) == []
    assert await database.read(lambda session: find_run(session, run_id(2))) is None
    assert await database.read(lambda session: find_document(session, run_id(2))) is None
    assert await database.read(lambda session: find_run(session, run_id(1))) is not None


async def test_idempotency_key__kept_for_a_day(database: Database, writer: Writer) -> None:
    key = {"caller": "c", "key": "k", "body_hash": "h", "run_id": run_id(1), "created_at": NOW}
    await writer.commit(Change(rows=[(INSERT_KEY, key)]))
    assert await database.read(lambda session: find_key(session, "c", "k", NOW + KEPT_FOR / 2)) is not None
    assert await database.read(lambda session: find_key(session, "other", "k", NOW)) is None
    assert await database.read(lambda session: find_key(session, "c", "k", NOW + KEPT_FOR)) is None
    await database.write(lambda connection: forget_keys(connection, NOW + KEPT_FOR))
    await writer.commit(Change(rows=[(INSERT_KEY, key)]))

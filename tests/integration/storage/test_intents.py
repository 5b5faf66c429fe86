"""What users ask of a run, from the API's row to the owner's step."""

from __future__ import annotations

from datetime import timedelta

from app.domain.logs import LogKey
from app.storage.database import Database
from app.storage.intents import (
    DELETE_INTENT,
    INSERT_INTENT,
    IntentKind,
    has_answer,
    intent_row,
    list_requests,
    list_run_intents,
    request_cancel,
    request_retry,
    set_suspended,
)
from app.storage.logs import LogRows
from app.storage.runs import (
    DELETE_TASK,
    INSERT_ATTEMPT,
    INSERT_TASK,
    TASK_COLUMNS,
    UPDATE_TASK,
    delete_run,
    find_run,
    find_task,
    list_task_names,
    list_tasks,
    load_run,
    task_row,
)
from app.storage.writer import Change, Writer
from tests.integration.storage.rows import NOW, new_run, run_row

FIRST, SECOND = run_row(1)["id"], run_row(2)["id"]


async def test_requests__of_owned_runs__in_the_order_in_which_they_were_asked(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, owner="me", epoch=1))
    await writer.commit(new_run(2, owner="other", epoch=1))
    rows = [
        (INSERT_INTENT, intent_row(FIRST, IntentKind.SUSPEND, NOW)),
        (INSERT_INTENT, intent_row(SECOND, IntentKind.RESUME, NOW)),
        (INSERT_INTENT, intent_row(FIRST, IntentKind.APPROVE, NOW, task="a", details={"comment": "yes"})),
    ]
    await writer.commit(Change(rows=rows))
    asked = await database.read(lambda session: list_requests(session, "me"))
    assert [tuple(one)[1:] for one in asked] == [
        (FIRST, IntentKind.SUSPEND, None, {}),
        (FIRST, IntentKind.APPROVE, "a", {"comment": "yes"}),
    ]
    assert await database.write(lambda connection: has_answer(connection, FIRST, "a"))
    assert not await database.write(lambda connection: has_answer(connection, SECOND, "a"))
    assert (await database.read(lambda session: load_run(session, FIRST))).intents == asked
    await writer.commit(Change(rows=[(DELETE_INTENT, {"b_id": one.id}) for one in asked], fence=(FIRST, 1)))
    assert await database.read(lambda session: list_run_intents(session, FIRST)) == []
    assert len(await database.read(lambda session: list_run_intents(session, SECOND))) == 1


async def test_requests__run_is_deleted__gone_with_it(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, is_finished=True))
    await writer.commit(Change(rows=[(INSERT_INTENT, intent_row(FIRST, IntentKind.RESUME, NOW))]))
    await database.write(lambda connection: delete_run(connection, FIRST))
    assert await database.read(lambda session: list_run_intents(session, FIRST)) == []


async def test_retry__only_a_finished_run__is_open_again_for_its_new_owner(database: Database, writer: Writer) -> None:
    await writer.commit(
        new_run(1, is_finished=True, phase="Failed", cancel_requested_at=NOW, cancel_reason="x", cancel_force=True, epoch=3)
    )
    later = NOW + timedelta(seconds=5)
    assert await database.write(lambda connection: request_retry(connection, FIRST, later, "me")) == 4
    assert await database.write(lambda connection: request_retry(connection, FIRST, later, "me")) is None
    assert await database.write(lambda connection: request_retry(connection, SECOND, later, "me")) is None
    run = await database.read(lambda session: find_run(session, FIRST))
    assert run is not None
    assert (run.is_finished, run.phase, run.retried_at, run.owner, run.epoch) == (False, "Pending", later, "me", 4)
    assert (run.cancel_requested_at, run.cancel_reason, run.cancel_force, run.version) == (None, "", False, 2)


async def test_cancel__of_a_run_that_is_to_be_retried__is_taken(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, phase="Failed"))
    assert not await database.write(lambda connection: request_cancel(connection, FIRST, NOW, "", force=False))
    await writer.commit(Change(rows=[(INSERT_INTENT, intent_row(FIRST, IntentKind.RETRY, NOW, details={"tasks": None}))]))
    assert await database.write(lambda connection: request_cancel(connection, FIRST, NOW, "", force=False))


async def test_suspend__once_more_or_over__nothing(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1))
    await writer.commit(new_run(2, phase="Succeeded"))
    changes = [(FIRST, True), (FIRST, True), (FIRST, False), (FIRST, False), (SECOND, True)]
    done = [
        await database.write(lambda c, run_id=run_id, value=value: set_suspended(c, run_id, suspended=value))
        for run_id, value in changes
    ]
    assert done == [True, False, True, False, False]


async def test_fan_out__items_come_in_place_of_its_row__in_one_change(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, tasks=("a", "work", "z"), epoch=1))
    items = [
        task_row(FIRST, f"work.{index}", 1, ("a",), foreach_task="work", foreach_index=index, item=item)
        for index, item in enumerate([{"x": 1}, None, "text"])
    ]
    rows = [*((INSERT_TASK, row) for row in items), (DELETE_TASK, {"b_run_id": FIRST, "b_name": "work"})]
    await writer.commit(Change(rows=rows, fence=(FIRST, 1), is_step=True))
    found = await database.read(lambda session: list_tasks(session, FIRST))
    assert [(row.name, row.item) for row in found] == [
        ("a", None), ("work.0", {"x": 1}), ("work.1", None), ("work.2", "text"), ("z", None),
    ]  # fmt: skip
    assert [row.name for row in await database.read(lambda session: list_tasks(session, FIRST, foreach="work"))] == [
        "work.0", "work.1", "work.2",
    ]  # fmt: skip
    names = await database.read(lambda session: list_task_names(session, FIRST))
    assert names == ["a", "work", "work.0", "work.1", "work.2", "z"]


async def test_update_task__values_and_outputs__are_kept_as_they_are(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1))
    values = {"params.x": [1, 2.5, "a", None], 'tasks["a-b"]': {"z": 1, "a": 2}}
    columns = dict.fromkeys(TASK_COLUMNS) | {"phase": "Running", "reason": "", "message": "", "attempts_before": 2}
    row = {"b_run_id": FIRST, "b_name": "a", **columns, "values": values, "outputs": {"n": 5}}
    await writer.commit(Change(rows=[(UPDATE_TASK, row)]))
    task = await database.read(lambda session: find_task(session, FIRST, "a"))
    assert task is not None
    assert (task.values, task.outputs, task.attempts_before) == (values, {"n": 5}, 2)
    assert list(task.values['tasks["a-b"]']) == ["z", "a"]


async def test_load_run__logs__of_unsettled_attempts_and_all_their_containers(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, tasks=("a", "b"), epoch=1))
    logs = LogRows(database, writer)
    attempt = {
        "run_id": FIRST, "attempt": 1, "reason": "", "message": "", "exit_code": None, "namespace": "default", "pod": "p",
        "pod_uid": None, "node": None, "is_replacement": False, "created_at": NOW, "started_at": None, "finished_at": None,
    }  # fmt: skip
    settled = {"phase": "Succeeded", "log_sealed": True, "pod_deleted": True}
    rows = [
        (INSERT_ATTEMPT, {**attempt, "task": "a", **settled}),
        (INSERT_ATTEMPT, {**attempt, "task": "b", **settled, "pod_deleted": False}),
    ]
    await writer.commit(Change(rows=rows))
    for task, container in (("a", "main"), ("b", "main"), ("b", "proxy")):
        opened = await logs.open_log(LogKey(FIRST, task, 1, container), 1)
        if container == "main":
            await logs.seal_log(LogKey(FIRST, task, 1, container), opened.log_id, 1)
    stored = await database.read(lambda session: load_run(session, FIRST))
    assert stored.logs == {("b", 1): {"main": True, "proxy": False}}

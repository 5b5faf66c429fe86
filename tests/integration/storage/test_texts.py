"""Texts that no database takes, NUL and halves of surrogate pairs: they are replaced, and break no batch of writes."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.events import EventType, RunEvent
from app.domain.logs import LogGap, LogKey
from app.storage.database import Database
from app.storage.intents import INSERT_INTENT, IntentKind, intent_row, list_run_intents
from app.storage.logs import LogRows
from app.storage.runs import (
    ATTEMPT_COLUMNS,
    INSERT_ATTEMPT,
    RUN_COLUMNS,
    TASK_COLUMNS,
    UPDATE_ATTEMPT,
    UPDATE_RUN,
    UPDATE_TASK,
    find_run,
    find_task,
    insert_events,
    list_attempts,
    list_events,
)
from app.storage.types import dump_json
from app.storage.writer import Change, Writer
from tests.integration.storage.rows import NOW, new_run, run_row

RUN = run_row(1)["id"]
BAD, GOOD = "a\0b\ud800c\udfff", "a\ufffdb\ufffdc\ufffd"


async def test_writes__texts_that_no_database_takes__are_replaced(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, epoch=1))
    told = {"reason": BAD, "message": BAD}
    attempt = {
        "run_id": RUN, "task": "a", "attempt": 1, "phase": "Failed", "exit_code": 1, "namespace": "default", "pod": "p",
        "pod_uid": None, "node": None, "is_replacement": False, "created_at": NOW, "started_at": None, "finished_at": None,
        "log_sealed": True, "pod_deleted": True, **told,
    }  # fmt: skip
    run = await database.read(lambda session: find_run(session, RUN))
    run_columns = {name: getattr(run, name) for name in RUN_COLUMNS} | told
    task = dict.fromkeys(TASK_COLUMNS) | {"phase": "Failed", "attempts_before": 0, "outputs": {BAD: [{"x": BAD}]}} | told
    event = RunEvent(run_id=RUN, time=NOW, type=EventType.POD, details={"source": BAD, "list": [BAD, 1, None]}, **told)
    rows = [
        (UPDATE_RUN, {"run_id": RUN, **run_columns}),
        (UPDATE_TASK, {"b_run_id": RUN, "b_name": "a", **task}),
        (INSERT_ATTEMPT, attempt),
        (INSERT_ATTEMPT, attempt | {"attempt": 2, "message": "fine ☃"}),
        (
            UPDATE_ATTEMPT,
            {"b_run_id": RUN, "b_task": "a", "b_attempt": 1} | {name: attempt[name] for name in ATTEMPT_COLUMNS},
        ),
        (INSERT_INTENT, intent_row(RUN, IntentKind.APPROVE, NOW, task="a", details={"comment": BAD})),
        *insert_events([event]),
    ]
    await writer.commit(Change(rows=rows, fence=(RUN, 1), is_step=True))
    found: list[Any] = [
        await database.read(lambda session: find_run(session, RUN)),
        await database.read(lambda session: find_task(session, RUN, "a")),
        *(attempts := await database.read(lambda session: list_attempts(session, RUN)))[:1],
        *(events := await database.read(lambda session: list_events(session, RUN, 0, 10))),
    ]
    assert [(row.reason, row.message) for row in found] == [(GOOD, GOOD)] * 4
    assert attempts[1].message == "fine ☃"
    assert events[0].details == {"source": GOOD, "list": [GOOD, 1, None]}
    assert found[1].outputs == {GOOD: [{"x": GOOD}]}
    (asked,) = await database.read(lambda session: list_run_intents(session, RUN))
    assert asked.details == {"comment": GOOD}


async def test_gap__a_reason_that_no_database_takes__is_replaced(database: Database, writer: Writer) -> None:
    await writer.commit(new_run(1, epoch=1))
    logs, key = LogRows(database, writer), LogKey(RUN, "a", 1, "main")
    log_id = (await logs.open_log(key, 1)).log_id
    await logs.add_gap(key, log_id, 1, LogGap(at_byte=0, from_at=None, to_at=None, reason=BAD))
    assert [gap.reason for gap in await logs.list_gaps(log_id)] == [GOOD]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": ["x\0"]}, '{"a":["x\ufffd"]}'),
        ({"a": "\ud83d"}, '{"a":"\ufffd"}'),
        ({"a": "\\u0000"}, '{"a":"\\\\u0000"}'),
        ({"a": "☃ 😀", "n": 1.0}, '{"a":"☃ 😀","n":1.0}'),
    ],
)
def test_dump_json__any_text__is_one_that_databases_take(value: Any, text: str) -> None:
    assert dump_json(value) == text

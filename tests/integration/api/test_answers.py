"""Answers to approvals that come at once: one is taken, whatever the owner does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import NotFound, NotWaitingForApproval
from app.runs.requests import Requests
from app.storage.database import Database
from app.storage.intents import DELETE_INTENT, IntentKind, list_run_intents
from app.storage.runs import TASK_COLUMNS, UPDATE_TASK, delete_run, find_task, list_events
from app.storage.writer import Change
from tests.integration.api.service import Service, running


@pytest.fixture(params=[None, pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str | None:
    return None if request.param is None else request.getfixturevalue("postgres_url")


async def do_what_is_asked(service: Service, run_id: str) -> list[str]:
    """Do what the run's owner would, in one step: answers end their tasks. Returns what was asked."""
    asked = await service.database.read(lambda session: list_run_intents(session, run_id))
    rows: list[Any] = []
    for one in asked:
        row = await service.database.read(lambda session, name=one.task: find_task(session, run_id, name))
        phase = "Succeeded" if one.kind is IntentKind.APPROVE else "Failed"
        columns = {name: getattr(row, name) for name in TASK_COLUMNS} | {"phase": phase, "reason": "Answered"}
        rows += [
            (DELETE_INTENT, {"b_id": one.id}),
            (UPDATE_TASK, {"b_run_id": run_id, "b_name": one.task, **columns}),
        ]
    await service.writer.commit(Change(rows=rows, fence=(run_id, 0), is_step=True))
    return [one.kind.value for one in asked]


async def test_answers__many_at_once_while_the_owner_does_them__one_is_taken(tmp_path: Path, database_url: str | None) -> None:
    async with running(tmp_path, database_url=database_url) as service, running(
        tmp_path, database_url=database_url or f"sqlite:///{tmp_path}/podrun.db"
    ) as other:  # fmt: skip
        for _ in range(5):
            run = await service.submit()
            await service.move_task(run["id"], "a", "Running", reason="WaitingForApproval")
            over, done = asyncio.Event(), []

            async def own(run_id: str = run["id"], over: asyncio.Event = over, done: list[str] = done) -> None:
                while not over.is_set():
                    done += await do_what_is_asked(service, run_id)

            async with asyncio.timeout(30), asyncio.TaskGroup() as owner:
                owner.create_task(own())
                async with asyncio.TaskGroup() as group:
                    sent = [
                        group.create_task(one.http.post(f"/runs/{run['id']}/tasks/a/{answer}"))
                        for one in (service, other)
                        for answer in ("approve", "reject") * 4
                    ]
                over.set()
            done += await do_what_is_asked(service, run["id"])
            assert sorted(one.result().status_code for one in sent) == [202] + [409] * 15
            assert len(done) == 1
            events = await service.database.read(lambda session, run_id=run["id"]: list_events(session, run_id, 0, 100))
            assert [event.type for event in events if event.type in ("Approved", "Rejected")] == [
                "Approved" if done == ["approve"] else "Rejected"
            ]


class LateDatabase:
    """Between what is read and what is then written, something happens."""

    def __init__(self, database: Database, happens: Callable[[], Awaitable[Any]]) -> None:
        self._database, self._happens = database, happens
        self.url, self.write = database.url, database.write

    async def read(self, function: Callable[[Any], Any]) -> Any:
        found = await self._database.read(function)
        await self._happens()
        return found


async def test_answer__another_is_given_and_done_after_the_first_look__is_refused(
    tmp_path: Path, database_url: str | None
) -> None:
    async with running(tmp_path, database_url=database_url) as service:
        run = await service.submit()
        await service.move_task(run["id"], "a", "Running", reason="WaitingForApproval")
        looks = 0

        async def happens() -> None:
            nonlocal looks
            looks += 1
            if looks == 2:  # the run was looked at, and the task
                assert (await service.http.post(f"/runs/{run['id']}/tasks/a/approve")).status_code == 202
                assert await do_what_is_asked(service, run["id"]) == ["approve"]

        requests = Requests(LateDatabase(service.database, happens), service.writer, None)
        with pytest.raises(NotWaitingForApproval):
            await requests.answer(run["id"], "a", approved=False, comment="")
        assert await service.database.read(lambda session: list_run_intents(session, run["id"])) == []


async def test_answer__the_run_is_deleted_after_the_first_look__is_not_found(tmp_path: Path, database_url: str | None) -> None:
    async with running(tmp_path, database_url=database_url) as service:
        run = await service.submit()
        await service.move_task(run["id"], "a", "Running", reason="WaitingForApproval")
        await service.move_run(run["id"], "Failed", is_finished=True)
        looks = 0

        async def happens() -> None:
            nonlocal looks
            looks += 1
            if looks == 2:
                await service.writer.commit(Change(call=lambda connection: delete_run(connection, run["id"])))

        requests = Requests(LateDatabase(service.database, happens), service.writer, None)
        with pytest.raises(NotFound):
            await requests.answer(run["id"], "a", approved=True, comment="")

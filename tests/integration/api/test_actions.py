"""What users ask of a run over HTTP, beside its cancel: retry, suspend, resume, approve, reject."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from app.storage.intents import Request, list_requests, list_run_intents
from tests.integration.api.service import FakeAdmission, Service, running

NOBODY = "/runs/01a204f4-0976-7652-9c29-425ace738bed"
ACTIONS = ("retry", "suspend", "resume", "tasks/a/approve", "tasks/a/reject")
FAN_OUT = {
    "name": "fan-out",
    "tasks": [{"name": "work", "image": "x", "foreach": [1, 2]}, {"name": "end", "image": "x", "depends_on": ["work"]}],
}


async def intents(service: Service, run_id: str) -> list[tuple[str, str | None, Any]]:
    found = await service.database.read(lambda session: list_run_intents(session, run_id))
    return [(one.kind.value, one.task, one.details) for one in found]


async def told(service: Service, run_id: str) -> list[str]:
    return [event["type"] for event in (await service.http.get(f"/runs/{run_id}/events")).json()["items"]]


@pytest.mark.parametrize("action", ACTIONS)
async def test_actions__no_such_run__is_404(tmp_path: Path, action: str) -> None:
    async with running(tmp_path) as service:
        assert (await service.http.post(f"{NOBODY}/{action}")).status_code == 404


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"{", 400), (b'{"surprise": 1}', 422), (b"[]", 422), (b'{"tasks": 1, "comment": 1}', 422)],
)
async def test_actions__a_wrong_body__is_refused(tmp_path: Path, action: str, body: bytes, status: int) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        headers = {"Content-Type": "application/json"}
        answer = await service.http.post(f"/runs/{run['id']}/{action}", content=body, headers=headers)
        assert answer.status_code == status
        assert await intents(service, run["id"]) == []


async def test_retry__a_finished_run__is_open_again_and_the_intent_is_there(tmp_path: Path) -> None:
    admission = FakeAdmission(owner="me")
    async with running(tmp_path, admission=admission) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}/retry"
        refused = await service.http.post(path)
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:podrun:problem:run-not-finished")
        await service.http.post(f"/runs/{run['id']}/cancel", json={"reason": "x"})
        await service.move_task(run["id"], "a", "Failed")
        await service.move_run(run["id"], "Failed", is_finished=True, task_phases={"Failed": 1, "Omitted": 1})
        before = await service.run_row(run["id"])
        answer = await service.http.post(path)
        assert answer.status_code == 202
        assert (answer.json()["phase"], answer.json()["is_finished"]) == ("Pending", False)
        assert answer.json()["retried_at"] is not None
        row = await service.run_row(run["id"])
        assert (row.owner, row.epoch, row.version) == ("me", 2, before.version + 1)
        assert (row.cancel_requested_at, row.cancel_reason, row.queued_at) == (None, "", None)
        assert admission.admitted == [(run["id"], 1), (run["id"], 2)]
        assert await intents(service, run["id"]) == [("retry", None, {"tasks": None})]
        assert (await told(service, run["id"]))[-1] == "RetryRequested"
        assert (await service.http.post(path)).status_code == 409
        assert (await service.http.delete(f"/runs/{run['id']}")).status_code == 409


async def test_retry__nothing_failed__is_409_unless_tasks_are_named(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit(FAN_OUT)
        await service.move_run(run["id"], "Succeeded", is_finished=True, task_phases={"Succeeded": 3})
        path = f"/runs/{run['id']}/retry"
        answer = await service.http.post(path)
        assert (answer.status_code, answer.json()["type"]) == (409, "urn:podrun:problem:nothing-to-retry")
        unknown = await service.http.post(path, json={"tasks": ["work", "wrok", "work.2", "end"]})
        assert unknown.status_code == 422
        assert [(fault["pointer"], fault["detail"]) for fault in unknown.json()["errors"]] == [
            ("/tasks/1", 'the run has no task "wrok", did you mean "work"?'),
            ("/tasks/2", 'the run has no task "work.2", did you mean "work.0"?'),
        ]
        for wrong in ([], ["work", 1], "work"):
            assert (await service.http.post(path, json={"tasks": wrong})).status_code == 422
        assert (await service.http.post(path, json={"tasks": ["work.1", "end"]})).status_code == 202
        assert await intents(service, run["id"]) == [("retry", None, {"tasks": ["work.1", "end"]})]
        assert (await service.run_row(run["id"])).owner is None


async def test_retry__many_at_once__one_is_taken(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        await service.move_run(run["id"], "Failed", is_finished=True, task_phases={"Failed": 2})
        async with asyncio.TaskGroup() as group:
            sent = [group.create_task(service.http.post(f"/runs/{run['id']}/retry")) for _ in range(8)]
        assert sorted(one.result().status_code for one in sent) == [202] + [409] * 7
        assert len(await intents(service, run["id"])) == 1
        assert (await told(service, run["id"])).count("RetryRequested") == 1


async def test_retry__not_taken_up_yet__can_be_cancelled(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        await service.move_run(run["id"], "Failed", is_finished=True, task_phases={"Failed": 2})
        assert (await service.http.post(f"/runs/{run['id']}/retry")).status_code == 202
        assert (await service.http.post(f"/runs/{run['id']}/cancel")).status_code == 202
        assert (await service.run_row(run["id"])).cancel_requested_at is not None


async def test_suspend_and_resume__again__are_unchanged(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}"
        assert (await service.http.post(f"{path}/resume")).status_code == 200
        first = await service.http.post(f"{path}/suspend", json={})
        assert (first.status_code, first.json()["suspended"], first.json()["version"]) == (202, True, 2)
        again = await service.http.post(f"{path}/suspend")
        assert (again.status_code, again.json()["suspended"], again.json()["version"]) == (200, True, 2)
        last = await service.http.post(f"{path}/resume")
        assert (last.status_code, last.json()["suspended"]) == (202, False)
        assert await intents(service, run["id"]) == [("suspend", None, {}), ("resume", None, {})]
        assert await told(service, run["id"]) == ["RunPhase", "SuspendRequested", "ResumeRequested"]
        await service.move_run(run["id"], "Succeeded", is_finished=True)
        over = await service.http.post(f"{path}/suspend")
        assert (over.status_code, over.json()["suspended"]) == (200, False)


async def test_approve__a_task_that_waits__is_asked_once(tmp_path: Path) -> None:
    async with running(tmp_path, admission=FakeAdmission(owner="me")) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}/tasks"
        assert (await service.http.post(f"{path}/nobody/approve")).status_code == 404
        early = await service.http.post(f"{path}/a/approve")
        assert (early.status_code, early.json()["type"]) == (409, "urn:podrun:problem:not-waiting-for-approval")
        await service.move_task(run["id"], "a", "Running", reason="WaitingForApproval")
        assert (await service.http.post(f"{path}/a/approve", json={"comment": "go"})).status_code == 202
        for answer in ("approve", "reject"):
            again = await service.http.post(f"{path}/a/{answer}")
            assert (again.status_code, again.json()["type"]) == (409, "urn:podrun:problem:already-answered")
        assert await intents(service, run["id"]) == [("approve", "a", {"comment": "go"})]
        (asked,) = await service.database.read(lambda session: list_requests(session, "me"))
        assert isinstance(asked, Request)
        assert (asked.run_id, asked.kind, asked.task) == (run["id"], "approve", "a")
        event = (await service.http.get(f"/runs/{run['id']}/events")).json()["items"][-1]
        assert (event["type"], event["task"], event["message"]) == ("Approved", "a", "go")


async def test_reject__a_task_that_waits__is_an_intent(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        await service.move_task(run["id"], "b", "Running", reason="WaitingForApproval")
        answer = await service.http.post(f"/runs/{run['id']}/tasks/b/reject")
        assert (answer.status_code, answer.json()["id"]) == (202, run["id"])
        assert await intents(service, run["id"]) == [("reject", "b", {"comment": ""})]


@pytest.mark.postgres
async def test_approve__at_two_replicas_at_once__is_asked_once(tmp_path: Path, postgres_url: str) -> None:
    async with (
        running(tmp_path / "1", database_url=postgres_url) as one,
        running(tmp_path / "2", database_url=postgres_url) as two,
    ):
        run = await one.submit()
        await one.move_task(run["id"], "a", "Running", reason="WaitingForApproval")
        async with asyncio.TaskGroup() as group:
            path = f"/runs/{run['id']}/tasks/a"
            sent = [
                group.create_task(service.http.post(f"{path}/{answer}"))
                for service in (one, two)
                for answer in ("approve", "reject")
            ]
        assert sorted(one.result().status_code for one in sent) == [202, 409, 409, 409]
        assert len(await intents(two, run["id"])) == 1

"""Runs over HTTP: submit, list, get and wait, cancel, delete."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest

from app.domain.events import EventType, RunEvent
from tests.integration.api.service import HELLO, FakeAdmission, running


async def test_submit__a_valid_workflow__is_committed_and_shown(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        document = b'{"name":  "hello", "labels": {"team": "a", "tier": "x"},\n "tasks": [{"name": "a"}, {"name": "b"}]}'
        body = b'{ "workflow" : ' + document + b', "labels": {"tier": "y"} }'
        answer = await service.http.post("/runs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
        run = answer.json()
        assert answer.headers["location"] == f"/api/v1/runs/{run['id']}" == run["links"]["self"]
        assert run["labels"] == {"team": "a", "tier": "y"}
        assert (run["phase"], run["task_phases"], run["is_finished"]) == ("Pending", {"Pending": 2}, False)
        assert (run["reason"], run["started_at"], run["params"]) == (None, None, {})
        created = datetime.fromisoformat(run["created_at"])
        assert run["created_at"].endswith("000Z")
        assert UUID(run["id"]).int >> 80 == round(created.timestamp() * 1000)
        assert (await service.http.get(f"/runs/{run['id']}")).json() == run
        assert (await service.http.get(f"/runs/{run['id']}/workflow")).content == document
        row = await service.run_row(run["id"])
        assert (row.owner, row.epoch) == (None, 0)


async def test_submit__with_an_executor__is_owned_and_admitted(tmp_path: Path) -> None:
    admission = FakeAdmission(owner="me")
    async with running(tmp_path, admission=admission) as service:
        run = await service.submit()
        row = await service.run_row(run["id"])
        assert (row.owner, row.epoch) == ("me", 1)
        assert admission.admitted == [(run["id"], 1)]


async def test_submit__everything_wrong__is_told_at_once_with_pointers_into_the_body(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        workflow = {
            "name": "Bad",
            "namespace": "forbidden",
            "tasks": [{"name": "a", "image": "Python:3.6", "depends_on": ["nobody"]}, {"name": "a"}],
        }
        body = {"workflow": workflow, "params": {"x": 1}, "labels": {"-": "y"}, "unknown": 1}
        answer = await service.http.post("/runs", json=body)
        assert answer.status_code == 422
        assert answer.headers["content-type"] == "application/problem+json"
        problem = answer.json()
        assert problem["status"] == 422
        pointers = [fault["pointer"] for fault in problem["errors"]]
        for expected in (
            "/workflow/name", "/workflow/namespace", "/workflow/tasks/0/image", "/workflow/tasks/0/depends_on/0",
            "/workflow/tasks/1/name", "/params/x", "/labels/-", "/unknown",
        ):  # fmt: skip
            assert expected in pointers, (expected, pointers)
        assert pointers == sorted(pointers, key=list(pointers).index)
        assert (await service.http.get("/runs")).json()["items"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"[]", ""), (b"{}", ""), (b'{"workflow": "stored"}', "/workflow"),
        (b'{"workflow": {"name": "x", "tasks": [{"name": "refused"}]}}', "/workflow/tasks/0/name"),
    ],
)  # fmt: skip
async def test_submit__not_a_workflow__points_at_it(tmp_path: Path, body: bytes, pointer: str) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.post("/runs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
        assert pointer in [fault["pointer"] for fault in answer.json()["errors"]]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"workflow": NaN}',
        b"\xff\xfe",
        b'{"workflow":' + b"[" * 200 + b"]" * 200 + b"}",
        b'{"params":1,"params":2}',
    ],
)
async def test_submit__not_json__is_400(tmp_path: Path, body: bytes) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.post("/runs", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:podrun:problem:malformed-document"


async def test_submit__ten_thousand_tasks__holds_nobody_up_for_long(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        tasks = [{"name": f"t{i}", "image": "python:3", "depends_on": [f"t{i - 1}"] if i else []} for i in range(10_000)]
        slowest = 0.0

        async def poll(until: asyncio.Event) -> None:
            nonlocal slowest
            while not until.is_set():
                begun = asyncio.get_running_loop().time()
                assert (await service.http.get("/info")).status_code == 200
                slowest = max(slowest, asyncio.get_running_loop().time() - begun)

        done = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(poll(done))
            answer = await service.http.post("/runs", json={"workflow": {"name": "big", "tasks": tasks}})
            done.set()
        assert answer.status_code == 201
        assert slowest < 2.0
        page = (await service.http.get(f"/runs/{answer.json()['id']}/tasks?limit=1000")).json()
        assert [item["name"] for item in page["items"]] == [f"t{i}" for i in range(1000)]
        whole = (await service.http.get(f"/runs/{answer.json()['id']}?include=tasks")).json()
        assert len(whole["tasks"]) == 10_000


async def test_list__pages__are_newest_first_and_whole(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        made = [(await service.submit())["id"] for _ in range(5)]
        seen: list[str] = []
        path = "/runs?limit=2&workflow=hello"
        while path:
            answer = await service.http.get(path)
            seen += [item["id"] for item in answer.json()["items"]]
            link = answer.headers.get("link")
            assert (link is None) == (answer.json()["next_cursor"] is None)
            if link:
                assert link.startswith("</api/v1/runs?")
                assert link.endswith('>; rel="next"')
                assert "workflow=hello" in link
            path = link.split(">")[0].removeprefix("</api/v1") if link else ""
        assert seen == made[::-1]


async def test_list__filters__choose(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        first = await service.submit({**HELLO, "labels": {"app": "web"}})
        second = await service.submit({**HELLO, "name": "other"})
        await service.move_run(second["id"], "Failed")

        async def ids(query: str) -> list[str]:
            return [item["id"] for item in (await service.http.get(f"/runs?{query}")).json()["items"]]

        assert await ids("phase=Failed") == [second["id"]]
        assert await ids("phase=Failed&phase=Pending") == [second["id"], first["id"]]
        assert await ids("workflow=other") == [second["id"]]
        assert await ids("label_selector=app in (web,db)") == [first["id"]]
        assert await ids("label_selector=!app") == [second["id"]]
        assert await ids("created_after=2100-01-01T00:00:00Z") == []
        assert await ids("created_before=2100-01-01T00:00:00Z") == [second["id"], first["id"]]


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("phase=Nope", "phase"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("label_selector=a in ()", "label_selector"),
        ("created_after=5", "created_after"),
        ("created_after=2020-01-01T00:00:00", "created_after"),
        ("created_after=0001-01-01T00:00:00%2B14:00", "created_after"),
        ("created_before=9999-12-31T23:59:59-14:00", "created_before"),
        ("workflow=%00", "workflow"),
    ],
)
async def test_list__a_wrong_parameter__is_422_and_named(tmp_path: Path, query: str, parameter: str) -> None:
    async with running(tmp_path) as service:
        answer = await service.http.get(f"/runs?{query}")
        assert answer.status_code == 422
        assert [fault["parameter"] for fault in answer.json()["errors"]] == [parameter]


async def test_get__etag__answers_304_until_it_changes(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        etag = (await service.http.get(f"/runs/{run['id']}")).headers["etag"]
        assert etag == f'W/"{run["id"]}.1"'
        same = await service.http.get(f"/runs/{run['id']}", headers={"If-None-Match": etag})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
        await service.move_run(run["id"], "Running")
        changed = await service.http.get(f"/runs/{run['id']}", headers={"If-None-Match": etag})
        assert (changed.status_code, changed.json()["version"]) == (200, 2)


async def test_wait__finished__answers_at_once_when_it_is(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(service.http.get(f"/runs/{run['id']}?wait=30"))
            changing = group.create_task(
                service.http.get(f"/runs/{run['id']}?wait=30", headers={"If-None-Match": f'W/"{run["id"]}.1"'})
            )
            await asyncio.sleep(0.1)
            assert not waiting.done()
            assert not changing.done()
            await service.move_run(run["id"], "Running")
            async with asyncio.timeout(3):
                assert (await changing).json()["phase"] == "Running"
            assert not waiting.done()
            await service.move_run(run["id"], "Succeeded", is_finished=True)
            async with asyncio.timeout(3):
                assert (await waiting).json()["is_finished"] is True


async def test_wait__time_is_up__is_200_or_304(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        assert (await service.http.get(f"/runs/{run['id']}?wait=0.1")).status_code == 200
        headers = {"If-None-Match": f'W/"{run["id"]}.1"'}
        assert (await service.http.get(f"/runs/{run['id']}?wait=0.1", headers=headers)).status_code == 304
        assert (await service.http.get(f"/runs/{run['id']}?wait=61")).status_code == 422


async def test_wait__the_service_stops__answers_at_once(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        async with asyncio.TaskGroup() as group, asyncio.timeout(3):
            waiting = group.create_task(service.http.get(f"/runs/{run['id']}?wait=30"))
            await asyncio.sleep(0.1)
            service.stopping.set()
            assert (await waiting).json()["phase"] == "Pending"


async def test_tasks__with_attempts__are_shown_in_document_order(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        await service.add_attempt(run["id"], "a", 1, phase="Failed", exit_code=3, reason="Error", message="exit code 3")
        await service.add_attempt(run["id"], "a", 2, node="node-1")
        await service.move_task(run["id"], "a", "Running")
        page = (await service.http.get(f"/runs/{run['id']}/tasks")).json()
        assert [item["name"] for item in page["items"]] == ["a", "b"]
        first = page["items"][0]
        alone = (await service.http.get(f"/runs/{run['id']}/tasks/a")).json()
        assert alone == first | {"containers": ["main"]}
        assert (first["phase"], first["foreach"], first["outputs"], first["depends_on"]) == ("Running", None, None, [])
        assert [one["attempt"] for one in first["attempts"]] == [1, 2]
        failed = first["attempts"][0]
        assert (failed["exit_code"], failed["reason"], failed["message"], failed["node"]) == (3, "Error", "exit code 3", None)
        assert failed["log"] == {"bytes": 0, "lines": 0, "sealed": False, "gaps": 0}
        assert set(failed) == {
            "attempt", "phase", "reason", "message", "exit_code", "pod", "namespace", "node", "created_at", "started_at",
            "finished_at", "log",
        }  # fmt: skip
        page = (await service.http.get(f"/runs/{run['id']}/tasks?limit=1")).json()
        following = (await service.http.get(f"/runs/{run['id']}/tasks?limit=1&cursor={page['next_cursor']}")).json()
        assert ([item["name"] for item in following["items"]], following["next_cursor"]) == (["b"], None)
        assert [t["name"] for t in (await service.http.get(f"/runs/{run['id']}/tasks?phase=Pending")).json()["items"]] == ["b"]
        assert (await service.http.get(f"/runs/{run['id']}?include=tasks")).json()["tasks"][0] == first


async def test_cancel__asked__is_an_intent_that_the_owner_sees(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}/cancel"
        assert (await service.http.post(path, json={"reason": "no need"})).status_code == 202
        row = await service.run_row(run["id"])
        assert (row.cancel_reason, row.cancel_force) == ("no need", False)
        assert row.cancel_requested_at is not None
        assert (await service.http.post(path)).status_code == 200
        assert (await service.http.post(path, json={"force": True})).status_code == 202
        assert (await service.run_row(run["id"])).cancel_force is True
        assert (await service.http.post(path, json={"force": True})).status_code == 200
        events = (await service.http.get(f"/runs/{run['id']}/events")).json()["items"]
        assert [event["type"] for event in events] == ["RunPhase", "CancelRequested", "CancelRequested"]
        assert events[1]["message"] == "no need"


async def test_cancel__a_run_that_is_over__is_unchanged(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        await service.move_run(run["id"], "Succeeded")
        answer = await service.http.post(f"/runs/{run['id']}/cancel", json={})
        assert (answer.status_code, answer.json()["phase"]) == (200, "Succeeded")
        wrong = await service.http.post(f"/runs/{run['id']}/cancel", json={"reason": 1, "force": "x", "more": 1})
        assert [fault["pointer"] for fault in wrong.json()["errors"]] == ["/reason", "/force", "/more"]


async def test_delete__only_finished__with_everything(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        refused = await service.http.delete(f"/runs/{run['id']}")
        assert (refused.status_code, refused.json()["type"]) == (409, "urn:podrun:problem:run-not-finished")
        await service.move_run(run["id"], "Succeeded", is_finished=True)
        assert (await service.http.delete(f"/runs/{run['id']}")).status_code == 204
        for path in ("", "/workflow", "/tasks", "/tasks/a", "/events", "/logs", "/tasks/a/logs"):
            assert (await service.http.get(f"/runs/{run['id']}{path}")).status_code == 404
        assert (await service.http.delete(f"/runs/{run['id']}")).status_code == 404


async def test_validate__the_workflow_itself__has_pointers_from_its_root(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        good = await service.http.post("/workflows/validate", json=HELLO)
        assert (good.status_code, good.json()) == (200, {"valid": True, "name": "hello", "tasks": 2})
        bad = await service.http.post("/workflows/validate", json={"name": "x", "tasks": [{"name": "a", "imag": "x"}]})
        assert bad.status_code == 422
        assert [fault["pointer"] for fault in bad.json()["errors"]] == ["/tasks/0/imag"]
        assert (await service.http.get("/workflows/schema")).json()["title"] == "Workflow"


async def test_events__json__are_pages_by_cursor(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        note = RunEvent(
            run_id=run["id"], time=datetime.now(UTC), type=EventType.POD, task="a", attempt=1, reason="Pulling",
            message="Pulling image", details={"count": 2},
        )  # fmt: skip
        await service.move_run(run["id"], "Running", events=[note, note])
        page = (await service.http.get(f"/runs/{run['id']}/events?limit=2")).json()
        assert [event["type"] for event in page["items"]] == ["RunPhase", "PodEvent"]
        assert page["items"][1]["details"] == {"count": 2}
        rest = (await service.http.get(f"/runs/{run['id']}/events?limit=2&cursor={page['next_cursor']}")).json()
        assert (len(rest["items"]), rest["next_cursor"]) == (1, None)
        everything = (await service.http.get("/runs/events")).json()["items"]
        assert [event["cursor"] for event in everything] == [e["cursor"] for e in page["items"] + rest["items"]]
        assert json.loads(json.dumps(everything[0]))["workflow"] == "hello"
        assert (await service.http.get("/runs/events?workflow=other")).json()["items"] == []

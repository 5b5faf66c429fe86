"""Submitting over HTTP: params, stored workflows, labels and groups with expressions, fan-outs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.runs.submit import Submitter
from app.storage.groups import take_turn
from app.storage.models import WorkflowRow, WorkflowVersionRow, table_of
from app.storage.runs import list_tasks
from app.storage.writer import Change
from tests.integration.api.service import HELLO, FakeEvaluator, FakePods, Service, running

DEPLOY = {
    "name": "deploy",
    "params": {"env": "dev", "count": {"type": "integer"}},
    "labels": {"env": "${{ params.env }}", "team": "a"},
    "concurrency": {"group": "deploy ${{ params.env }}", "policy": "cancel_running"},
    "tasks": [{"name": "a", "image": "x"}],
}


async def faults(service: Service, body: Any) -> list[tuple[str, str]]:
    answer = await service.http.post("/runs", json=body)
    assert answer.status_code == 422, answer.text
    return [(fault["pointer"], fault["detail"]) for fault in answer.json()["errors"]]


async def store(service: Service, document: bytes, *, name: str, version: int) -> None:
    now = datetime.now(UTC)
    row = WorkflowRow(name=name, version=version, created_at=now, updated_at=now).model_dump()
    body = {"name": name, "version": version, "body": document, "created_at": now}
    rows = [(table_of(WorkflowVersionRow).insert(), body)]
    rows += [(table_of(WorkflowRow).insert(), row)] if version == 1 else []

    def newest(connection: Any) -> None:
        workflows = table_of(WorkflowRow)
        connection.execute(workflows.update().where(workflows.c.name == name).values(version=version))

    await service.writer.commit(Change(rows=rows, call=newest))


async def test_submit__params__are_checked_and_stored_with_their_defaults(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = (await service.http.post("/runs", json={"workflow": DEPLOY, "params": {"count": 3}})).json()
        assert run["params"] == {"env": "dev", "count": 3}
        assert [place for place, _ in await faults(service, {"workflow": DEPLOY})] == ["/params"]
        wrong = await faults(service, {"workflow": DEPLOY, "params": {"count": "3", "evn": "x"}})
        assert [place for place, _ in wrong] == ["/params/count", "/params/evn"]
        assert [place for place, _ in await faults(service, {"workflow": DEPLOY, "params": [1]})] == ["/params"]


async def test_submit__labels_and_group_with_expressions__are_evaluated(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        body = {"workflow": DEPLOY, "params": {"count": 3, "env": "prod"}, "labels": {"team": "b"}}
        run = (await service.http.post("/runs", json=body)).json()
        assert run["labels"] == {"env": "prod", "team": "b"}
        row = await service.run_row(run["id"])
        assert (row.group_key, row.group_policy, row.queued_at) == ("default/deploy prod", "cancel_running", row.created_at)
        newer = (await service.http.post("/runs", json=body)).json()
        assert (await service.run_row(run["id"])).cancel_reason == f"Superseded by run {newer['id']}"
        assert (await service.run_row(newer["id"])).cancel_requested_at is None
        assert await service.database.write(lambda connection: take_turn(connection, newer["id"])) == run["id"]


@pytest.mark.parametrize(("env", "place"), [("a b", "/workflow/labels/env"), ("", None), ("x" * 64, "/workflow/labels/env")])
async def test_submit__a_label_that_kubernetes_does_not_take__is_refused(tmp_path: Path, env: str, place: str | None) -> None:
    async with running(tmp_path) as service:
        body = {"workflow": DEPLOY, "params": {"count": 3, "env": env}}
        if place is None:
            assert (await service.http.post("/runs", json=body)).status_code == 201
        else:
            assert [found for found, _ in await faults(service, body)] == [place]


async def test_submit__an_expression_without_value__is_refused_at_its_place(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        workflow = {
            **HELLO,
            "params": {"x": {"type": "object", "default": {}}},
            "labels": {"a/b": "${{ params.x.y }}"},
            "concurrency": {"group": "${{ params.x.z }}"},
        }
        assert await faults(service, {"workflow": workflow}) == [
            ("/workflow/labels/a~1b", "params.x.y: no such key"),
            ("/workflow/concurrency/group", "params.x.z: no such key"),
        ]


@pytest.mark.parametrize("env", ["a\nb", "x" * 254, ""])
async def test_submit__a_group_that_is_none__is_refused(tmp_path: Path, env: str) -> None:
    async with running(tmp_path) as service:
        workflow = {**HELLO, "params": {"env": "x"}, "concurrency": {"group": "${{ params.env }}"}}
        found = await faults(service, {"workflow": workflow, "params": {"env": env}})
        assert [place for place, _ in found] == ["/workflow/concurrency/group"]


async def test_submit__a_stored_workflow__by_name_and_version(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        first = b'{"name": "nightly",  "tasks": [{"name": "a", "image": "x"}]}'
        second = b'{"name": "nightly", "params": {"n": {"type": "integer"}}, "tasks": [{"name": "b", "image": "x"}]}'
        await store(service, first, name="nightly", version=1)
        await store(service, second, name="nightly", version=2)
        newest = (await service.http.post("/runs", json={"workflow": "nightly", "params": {"n": 1}})).json()
        older = (await service.http.post("/runs", json={"workflow": "nightly@1"})).json()
        assert [(run["workflow"], run["workflow_version"]) for run in (newest, older)] == [("nightly", 2), ("nightly", 1)]
        assert (await service.http.get(f"/runs/{older['id']}/workflow")).content == first
        assert [place for place, _ in await faults(service, {"workflow": "nightly"})] == ["/params"]
        assert await faults(service, {"workflow": "nightyl"}) == [
            ("/workflow", 'there is no stored workflow "nightyl", did you mean "nightly"?')
        ]
        assert await faults(service, {"workflow": "nightly@3"}) == [
            ("/workflow", 'the stored workflow "nightly" has no version 3')
        ]
        for wrong in ("Nightly", "nightly@0", "nightly@x", "", 1, None):
            assert [place for place, _ in await faults(service, {"workflow": wrong})] == ["/workflow"]


async def test_submit__a_stored_workflow_that_is_not_valid_any_more__is_refused_at_its_name(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await store(service, b'{"name": "old", "namespace": "gone", "tasks": [{"name": "a"}]}', name="old", version=1)
        ((place, detail),) = await faults(service, {"workflow": "old"})
        assert place == "/workflow"
        assert detail.startswith("the stored workflow old can't be run here: /namespace: ")


async def test_submit__a_fan_out__has_a_row_for_each_item_that_is_known(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        workflow = {
            "name": "fan-out",
            "tasks": [
                {"name": "list", "image": "x", "outputs": {"items": {}}},
                {"name": "known", "image": "x", "foreach": {"a": [1, 2], "b": ["x", None]}},
                {"name": "none", "image": "x", "foreach": []},
                {
                    "name": "later", "image": "x", "depends_on": ["list"], "foreach": "${{ tasks.list.outputs.items }}",
                },
                {"name": "end", "image": "x", "depends_on": ["known"]},
            ],
            "on_exit": [{"name": "clean", "image": "x"}],
        }  # fmt: skip
        run = await service.submit(workflow)
        assert run["task_phases"] == {"Pending": 9}
        tasks = (await service.http.get(f"/runs/{run['id']}/tasks")).json()["items"]
        names = ["list", "known.0", "known.1", "known.2", "known.3", "none", "later", "end", "clean"]
        assert [task["name"] for task in tasks] == names
        assert [task["foreach"] for task in tasks[1:4]] == [
            {"task": "known", "index": 0, "item": {"a": 1, "b": "x"}},
            {"task": "known", "index": 1, "item": {"a": 1, "b": None}},
            {"task": "known", "index": 2, "item": {"a": 2, "b": "x"}},
        ]
        assert [task["foreach"] for task in tasks[5:]] == [None] * 4
        assert tasks[7]["depends_on"] == ["known"]

        async def items(name: str) -> list[str]:
            page = (await service.http.get(f"/runs/{run['id']}/tasks?foreach={name}")).json()
            return [task["name"] for task in page["items"]]

        assert await items("known") == names[1:5]
        assert [await items("none"), await items("later"), await items("nobody")] == [["none"], ["later"], []]
        assert (await service.http.get(f"/runs/{run['id']}/tasks/known.2")).json() == tasks[3] | {"containers": ["main"]}


@dataclass
class Holds:
    longest: float = 0.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Holds]:
    """For how long the event loop was held at most, in seconds of its thread's CPU: this machine does other things as well."""
    holds, over = Holds(), asyncio.Event()

    async def watch() -> None:
        while not over.is_set():
            before = time.thread_time()
            await asyncio.sleep(0.001)
            holds.longest = max(holds.longest, time.thread_time() - before)

    async with asyncio.TaskGroup() as group:
        group.create_task(watch())
        yield holds
        over.set()


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
@pytest.mark.parametrize("shape", ["tasks", "items"])
async def test_submit__ten_thousand__holds_the_event_loop_for_a_moment_only(
    tmp_path: Path, request: pytest.FixtureRequest, database: str, shape: str
) -> None:
    if shape == "tasks":
        tasks = [{"name": f"t{i}", "image": "x", "depends_on": [f"t{i - 1}"] if i else []} for i in range(10_000)]
    else:
        tasks = [{"name": "work", "image": "x", "foreach": [{"shard": i} for i in range(10_000)]}]
    body = json.dumps({"workflow": {"name": "big", "tasks": tasks}}).encode()
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else None
    async with running(tmp_path, database_url=url) as service:
        submitter = Submitter(service.database, service.writer, FakePods(), FakeEvaluator(), None)
        async with watched_loop() as holds:
            run = (await submitter.submit(body, key="k", caller="c")).run
        rows = await service.database.read(lambda session: list_tasks(session, run.id))
        assert len(rows) == 10_000
        assert holds.longest < 0.1, "the goal is 0.05 s"

"""Many tasks in one run, and many runs at once: all of them end well, each attempt with one pod."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.cluster import creations, wait_no_pods
from tests.support.service import ServiceProcess
from tests.support.workflows import chain, fake, shell, workflow

TASKS = 200
RUNS = 50
FAKE_LINE = b"one line from a fake pod\n"


def _task(service: ServiceProcess, name: str, **keys: Any) -> dict[str, Any]:
    return shell(name, f"echo {name}", **keys) if service.pods == "local" else fake(name, **keys)


def _line(service: ServiceProcess, name: str) -> bytes:
    return f"{name}\n".encode() if service.pods == "local" else FAKE_LINE


@pytest.fixture(autouse=True)
def _nodes(request: pytest.FixtureRequest, service: ServiceProcess) -> None:
    if service.pods == "kubernetes":
        request.getfixturevalue("fake_nodes")


def _check_tasks(run: dict[str, Any], service: ServiceProcess) -> None:
    assert run["phase"] == "Succeeded", run["message"]
    assert run["task_phases"] == {"Succeeded": len(run["tasks"])}
    for task in run["tasks"]:
        [attempt] = task["attempts"]
        line = _line(service, task["name"])
        assert (attempt["phase"], attempt["exit_code"]) == ("Succeeded", 0)
        assert attempt["log"] == {"bytes": len(line), "lines": 1, "sealed": True, "gaps": 0}, task["name"]


async def test_tasks__200_in_one_run__all_succeed_with_their_logs(
    api: Api, service: ServiceProcess, kubeconfig_or_none: Path | None
) -> None:
    names = [f"task-{number:03}" for number in range(TASKS)]
    run_id = await api.submit(workflow(*(_task(service, name) for name in names)))
    run = await api.finished(run_id)

    assert [task["name"] for task in run["tasks"]] == names
    _check_tasks(run, service)
    lines = (await api.log_lines(run_id)).lines
    assert sorted(line["task"] for line in lines) == names
    assert {line["text"].encode() + b"\n" for line in lines} == {_line(service, name) for name in names}
    events = await api.events(run_id)
    ended = [event["task"] for event in events if event["type"] == "TaskPhase" and event["phase"] == "Succeeded"]
    assert sorted(ended) == names
    if kubeconfig_or_none is not None and service.pods == "kubernetes":
        await asyncio.to_thread(wait_no_pods, service.namespaces[0], run_id=run_id)
        created = creations(kubeconfig_or_none, service.namespaces[0])
        pods = [attempt["pod"] for task in run["tasks"] for attempt in task["attempts"]]
        assert {pod: created[pod] for pod in pods} == dict.fromkeys(pods, 1)


async def test_runs__50_chains_of_three_at_once__all_succeed_in_order(api: Api, service: ServiceProcess) -> None:
    documents = [chain(3, lambda name: _task(service, name), name=f"chain-{number}") for number in range(RUNS)]
    async with asyncio.TaskGroup() as group:
        posted = [group.create_task(api.submit(document)) for document in documents]
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(api.finished(run.result())) for run in posted]

    assert len({run.result()["id"] for run in runs}) == RUNS
    for run, document in zip(runs, documents, strict=True):
        assert run.result()["workflow"] == document["name"]
        _check_tasks(run.result(), service)
        first, second, third = (task["attempts"][0] for task in run.result()["tasks"])
        assert first["created_at"] <= first["finished_at"]
        assert first["created_at"] < second["created_at"] < third["created_at"]
        assert await api.log(run.result()["id"]) == b"".join(
            b"[" + name.encode() + b"] " + _line(service, name) for name in ("t0", "t1", "t2")
        )
    if service.pods == "kubernetes":
        await asyncio.to_thread(wait_no_pods, service.namespaces[0])

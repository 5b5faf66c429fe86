"""The example that every new user starts with, over HTTP, its logs followed over a websocket."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.support.api import Api
from tests.support.cluster import wait_no_pods
from tests.support.service import ServiceProcess

EXAMPLE = json.loads((Path(__file__).parents[2] / "examples" / "kubernetes-sample.json").read_text())


async def test_example__posted_and_followed__each_task_ends_as_it_must_and_says_why(api: Api, service: ServiceProcess) -> None:
    run_id = await api.submit(EXAMPLE)
    async with asyncio.TaskGroup() as group:
        logs = group.create_task(api.follow(f"/runs/{run_id}/logs"))
        events = group.create_task(api.follow(f"/runs/{run_id}/events"))
        finished = group.create_task(api.finished(run_id))
    run = finished.result()
    start, passing, failing = run["tasks"]

    assert (run["phase"], run["reason"], run["is_finished"]) == ("Failed", "TaskFailed", True)
    assert run["task_phases"] == {"Succeeded": 2, "Failed": 1}
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    assert (start["phase"], start["attempts"]) == ("Succeeded", [])
    assert (passing["phase"], passing["reason"], passing["message"]) == ("Succeeded", None, None)
    [attempt] = passing["attempts"]
    assert (attempt["attempt"], attempt["phase"], attempt["exit_code"]) == (1, "Succeeded", 0)
    assert attempt["log"] == {"bytes": 12, "lines": 1, "sealed": True, "gaps": 0}
    assert attempt["created_at"] <= attempt["started_at"] <= attempt["finished_at"]
    assert (failing["phase"], failing["reason"]) == ("Failed", "StartError")
    assert 'exec: "Python": executable file not found in $PATH' in failing["message"]
    assert failing["message"] in run["message"]
    [attempt] = failing["attempts"]
    assert (attempt["phase"], attempt["exit_code"], attempt["log"]["bytes"]) == ("Failed", 128, 0)

    assert logs.result().end == "Failed"
    assert [(line["task"], line["attempt"], line["line"], line["text"]) for line in logs.result().lines] == [
        ("passing-task", 1, 0, "hello world")
    ]
    assert await api.log(run_id) == b"[passing-task] hello world\n"
    assert await api.log(run_id, "passing-task") == b"hello world\n"
    assert await api.log(run_id, "failing-task") == b""
    _check_history(events.result().events)
    assert events.result().end == "Failed"
    if service.pods == "kubernetes":
        wait_no_pods(service.namespaces[0], run_id=run_id)


def _check_history(events: list[dict[str, object]]) -> None:
    moves = [(event["type"], event["task"], event["phase"]) for event in events]
    phases = [phase for kind, _, phase in moves if kind == "RunPhase"]
    assert phases == ["Pending", "Running", "Failed"]
    assert moves[-1] == ("RunFinished", None, "Failed")
    passing = [phase for kind, task, phase in moves if (kind, task) == ("TaskPhase", "passing-task")]
    assert passing[-1] == "Succeeded"
    assert "Failed" in [phase for kind, task, phase in moves if (kind, task) == ("TaskPhase", "failing-task")]
    assert moves.index(("TaskPhase", "start", "Succeeded")) < moves.index(("AttemptPhase", "passing-task", "Pending"))

"""Which logs of a task there are, and which there never were."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from app.storage.runs import DELETE_TASK
from app.storage.writer import Change
from tests.integration.api.service import Service, running

FAN_OUT = {
    "name": "fan-out",
    "tasks": [
        {
            "name": "work", "image": "x", "foreach": [1, 2, 3], "init_containers": [{"name": "fetch", "image": "x"}],
        }
    ],
}  # fmt: skip


async def over(service: Service, task: str = "work.2", attempts: int = 2) -> str:
    """A run whose task is over, after so many attempts; each has said its number."""
    run_id: str = (await service.submit(FAN_OUT))["id"]
    await service.move_task(run_id, task, "Failed")
    for attempt in range(1, attempts + 1):
        await service.add_attempt(run_id, task, attempt, phase="Failed", log_sealed=True)
        talker = service.talker(run_id, task, attempt)
        await talker.say(f"{attempt}\n".encode())
        await talker.seal()
    return run_id


@pytest.mark.parametrize("is_finished", [True, False])
async def test_logs__of_an_item_that_the_list_has_no_more__can_be_read(tmp_path: Path, is_finished: bool) -> None:
    async with running(tmp_path) as service:
        run_id = await over(service)
        await service.writer.commit(Change(rows=[(DELETE_TASK, {"b_run_id": run_id, "b_name": "work.2"})]))
        await service.move_run(run_id, "Succeeded" if is_finished else "Running", is_finished=is_finished)
        path = f"/runs/{run_id}/tasks/work.2/logs"
        assert (await service.http.get(path)).text == "2\n"
        assert (await service.http.get(f"{path}?attempt=all&follow=true")).text == "1\n2\n"
        assert (await service.http.get(f"{path}?attempt=1")).text == "1\n"
        events = await service.http.get(path, headers={"Accept": "text/event-stream"})
        assert (events.status_code, '"end"' in events.text) == (200, True)
        assert (await service.http.get(f"{path}?container=fetch")).status_code == 200
        for missing in ("attempt=3", "container=nobody"):
            assert (await service.http.get(f"{path}?{missing}")).status_code == 404
        for nobody in ("work.3", "work", "nobody"):
            assert (await service.http.get(f"/runs/{run_id}/tasks/{nobody}/logs")).status_code == 404


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("attempt=3", "there is no attempt 'work.2/3': the task has those from 1 to 2"),
        ("attempt=3&container=proxy", "there is no attempt 'work.2/3': the task has those from 1 to 2"),
        ("container=nobody", "there is no container 'nobody': the task's containers are main, fetch, proxy"),
        ("container=nobody&attempt=all", "there is no container 'nobody': the task's containers are main, fetch, proxy"),
    ],
)
@pytest.mark.parametrize("accept", ["text/plain", "application/x-ndjson", "text/event-stream"])
async def test_logs__that_there_never_were__are_404_that_says_what_there_is(
    tmp_path: Path, query: str, detail: str, accept: str
) -> None:
    async with running(tmp_path) as service:
        run_id = await over(service)
        await service.talker(run_id, "work.2", 1, "proxy").say(b"p\n")
        answer = await service.http.get(f"/runs/{run_id}/tasks/work.2/logs?{query}", headers={"Accept": accept})
        assert (answer.status_code, answer.json()["detail"]) == (404, detail)


async def test_logs__that_are_empty_or_may_still_come__are_200(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run_id = await over(service)
        for query in ("attempt=1", "container=fetch", "container=*", "attempt=2&container=*", "attempt=1&container=fetch"):
            assert (await service.http.get(f"/runs/{run_id}/tasks/work.2/logs?{query}")).status_code == 200
        await service.move_task(run_id, "work.0", "Skipped")
        never = f"/runs/{run_id}/tasks/work.0/logs"
        assert (await service.http.get(never)).status_code == 200
        assert (await service.http.get(f"{never}?attempt=1")).json()["detail"] == (
            "there is no attempt 'work.0/1': the task has none"
        )
        await service.move_task(run_id, "work.1", "Running")
        await service.add_attempt(run_id, "work.1")
        for query in ("attempt=2", "container=nobody"):
            answer = await service.http.get(f"/runs/{run_id}/tasks/work.1/logs?{query}")
            assert (answer.status_code, answer.content) == (200, b"")
        await service.move_task(run_id, "work.1", "Succeeded")  # a sidecar may still be ending
        assert (await service.http.get(f"/runs/{run_id}/tasks/work.1/logs?container=nobody")).status_code == 200


async def test_logs__followed_before_the_owner_has_begun_with_a_retry__go_on_into_the_new_attempt(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run_id = await over(service, attempts=1)
        await service.move_run(run_id, "Failed", is_finished=True, task_phases={"Pending": 2, "Failed": 1})
        assert (await service.http.post(f"/runs/{run_id}/retry")).status_code == 202
        path = f"/runs/{run_id}/tasks/work.2/logs"
        assert (await service.http.get(f"{path}?attempt=2")).status_code == 200  # it will come
        async with service.http.stream("GET", f"{path}?attempt=all&follow=true") as answer:
            lines = answer.aiter_lines()
            assert await anext(lines) == "1"
            await service.add_attempt(run_id, "work.2", 2, phase="Succeeded", log_sealed=True)
            talker = replace(service.talker(run_id, "work.2", 2), epoch=1)
            await talker.say(b"2\n")
            await talker.seal()
            await service.move_task(run_id, "work.2", "Succeeded")
            await service.move_run(run_id, "Succeeded", is_finished=True)
            assert [line async for line in lines] == ["2"]

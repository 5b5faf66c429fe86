"""What a page needs beside lists: runs counted by phase, the last entries of a history, a task's containers."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from app.domain.events import EventType, RunEvent
from tests.integration.api.service import HELLO, Service, read_frames, running


async def _events(service: Service, path: str, query: str) -> list[int]:
    """The cursors of a page of history."""
    answer = await service.http.get(f"{path}?{query}")
    assert answer.status_code == 200, answer.text
    return [int(event["cursor"]) for event in answer.json()["items"]]


async def _with_history(service: Service, count: int, workflow: Any = None) -> str:
    """A run with so many entries in its history, the first of which is that of its submission."""
    run = await service.submit(workflow)
    for _ in range(count - 1):
        await service.move_run(run["id"], "Running")
    return str(run["id"])


async def test_counts__with_filters__are_those_of_the_list(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        for number in range(5):
            run = await service.submit({**HELLO, "labels": {"team": "a" if number % 2 else "b"}})
            if number < 2:
                await service.move_run(run["id"], "Failed")
        await service.submit({**HELLO, "name": "other"})
        nothing = dict.fromkeys(("Pending", "Running", "Cancelling", "Succeeded", "Failed", "Error", "Cancelled"), 0)
        for query, counts, looked_at in (
            ("", {"Pending": 4, "Failed": 2}, 6),
            ("workflow=hello", {"Pending": 3, "Failed": 2}, 5),
            ("phase=Failed", {"Failed": 2}, 2),
            ("label_selector=team=a", {"Pending": 1, "Failed": 1}, 6),
            ("phase=Pending&label_selector=team", {"Pending": 3}, 4),
            ("created_after=2100-01-01T00:00:00Z", {}, 0),
        ):
            answer = (await service.http.get(f"/runs/counts?{query}")).json()
            assert answer == {"phases": nothing | counts, "looked_at": looked_at, "is_complete": True}, query
        wrong = await service.http.get("/runs/counts?phase=Nope")
        assert [fault["parameter"] for fault in wrong.json()["errors"]] == ["phase"]


async def test_events__tail__a_page_has_the_last_ones_oldest_first(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        await _with_history(service, 4)  # 1 to 4
        run_id = await _with_history(service, 130)
        await _with_history(service, 3, {**HELLO, "name": "other"})  # 135 to 137
        path = f"/runs/{run_id}/events"
        assert await _events(service, path, "tail=3") == [132, 133, 134]
        assert await _events(service, path, "tail=0") == []
        assert await _events(service, path, "tail=120") == list(range(15, 135))
        assert await _events(service, path, "tail=5000") == list(range(5, 135))
        assert await _events(service, path, "tail=120&limit=2") == [15, 16]
        page = await service.http.get(f"{path}?tail=3&limit=2")
        assert page.json()["next_cursor"] == "133"
        assert page.headers["link"] == f'</api/v1{path}?limit=2&cursor=133>; rel="next"'
        assert await _events(service, path, "limit=2&cursor=133") == [134]
        assert await _events(service, "/runs/events", "tail=4") == [134, 135, 136, 137]
        assert await _events(service, "/runs/events", "tail=0") == []
        assert await _events(service, "/runs/events", "tail=2&workflow=hello") == [133, 134]
        assert await _events(service, "/runs/events", "tail=900&workflow=hello") == list(range(1, 135))
        assert await _events(service, "/runs/events", "tail=9&phase=Pending") == []


async def test_events__tail_of_some_runs_far_back__looks_at_so_many_entries(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run_id = await _with_history(service, 3)
        quiet = await service.submit({**HELLO, "name": "other"})
        assert await _events(service, "/runs/events", "tail=2&workflow=hello") == [2, 3]
        row = await service.run_row(quiet["id"])
        events = [_note(quiet["id"]) for _ in range(4999)]
        await service.move_run(row.id, "Running", events=events)  # 5 to 5003
        assert await _events(service, "/runs/events", "tail=2&workflow=other") == [5002, 5003]
        assert await _events(service, "/runs/events", "tail=2&workflow=hello") == []
        assert await _events(service, f"/runs/{run_id}/events", "tail=2") == [2, 3]


@pytest.mark.parametrize("path", ["/runs/events", "/runs/{run}/events"])
async def test_events__tail_with_cursor_or_below_0__is_422(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as service:
        path = path.replace("{run}", (await service.submit())["id"])
        for query in ("tail=1&cursor=1", "tail=0&cursor=1", "tail=-1", "tail=x", "tail=100001"):
            for headers in ({}, {"Accept": "text/event-stream"}):
                answer = await service.http.get(f"{path}?{query}", headers=headers)
                assert answer.status_code == 422, query
                assert [fault["parameter"] for fault in answer.json()["errors"]] == ["tail"]
            with pytest.raises(InvalidStatus) as refused:
                async with service.socket(f"{path}?{query}"):
                    pass
            assert refused.value.response.status_code == 422
        assert (await service.http.get("/runs/01a204f4-0976-7652-9c29-425ace738bed/events?tail=1")).status_code == 404


async def test_socket__tail_0__has_all_that_happens_once_it_is_open(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run_id = await _with_history(service, 3)
        for path in (f"/runs/{run_id}/events", "/runs/events"):
            async with service.socket(f"{path}?tail=0") as socket:
                await service.move_run(run_id, "Running")
                (frame,) = await read_frames(socket, 1)
                page = (await service.http.get(f"/runs/{run_id}/events?tail=1")).json()
                assert frame["event"] == page["items"][0]
            async with service.socket(f"{path}?tail=2") as socket:
                frames = await read_frames(socket, 2)
                assert frames[-1]["event"] == page["items"][0]
        await service.move_run(run_id, "Succeeded", is_finished=True)
        async with service.socket(f"/runs/{run_id}/events?tail=0") as socket:
            assert await read_frames(socket, 1) == [{"type": "end", "phase": "Succeeded"}]


async def test_sse__tail__begins_there_and_has_an_id_to_come_back_with(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run_id = await _with_history(service, 3)
        await service.move_run(run_id, "Succeeded", is_finished=True)
        headers = {"Accept": "text/event-stream"}
        answer = await service.http.get(f"/runs/{run_id}/events?tail=2", headers=headers)
        assert answer.text.startswith(": podrun\nid: 2\n\n")
        data = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
        assert [frame.get("cursor") for frame in data] == ["3", "4", None]
        # A browser comes back to the same address: what it says it has had counts.
        again = await service.http.get(f"/runs/{run_id}/events?tail=2", headers={**headers, "Last-Event-ID": "3"})
        assert again.text.count("event: event") == 1
        async with asyncio.timeout(5), service.http.stream("GET", "/runs/events?tail=1", headers=headers) as stream:
            lines = aiter(stream.aiter_lines())
            assert [await anext(lines) for _ in range(2)] == [": podrun", "id: 3"]


async def test_task__asked_for_by_name__has_its_containers(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        workflow = {
            "name": "many",
            "tasks": [
                {
                    "name": "a", "image": "python:3", "init_containers": [{"name": "fetch", "image": "i"}],
                    "sidecars": [{"name": "proxy", "image": "i"}],
                    "pod": {"containers": [{"name": "main"}, {"name": "extra", "image": "i"}]},
                },
                {"name": "b", "approval": {"message": "may it?"}},
                {"name": "c", "image": "python:3", "foreach": [1, 2], "sidecars": [{"name": "db", "image": "i"}]},
            ],
        }  # fmt: skip
        run = await service.submit(workflow)

        async def containers(task: str) -> list[str]:
            found: list[str] = (await service.http.get(f"/runs/{run['id']}/tasks/{task}")).json()["containers"]
            return found

        assert await containers("a") == ["fetch", "main", "proxy", "extra"]
        assert await containers("b") == []
        assert await containers("c.1") == ["main", "db"]
        await service.talker(run["id"], "a", container="injected").say(b"hello\n")
        await service.talker(run["id"], "a", container="proxy").say(b"hello\n")
        assert await containers("a") == ["fetch", "main", "proxy", "extra", "injected"]
        listed = (await service.http.get(f"/runs/{run['id']}/tasks")).json()["items"]
        assert all("containers" not in item for item in listed)


def _note(run_id: str) -> RunEvent:
    return RunEvent(run_id=run_id, time=datetime.now(UTC), type=EventType.POD, reason="Pulled", message="it is there")

"""Logs and events over HTTP and websocket, live and afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.integration.api.service import Service, read_frames, running

BYTES = b"first\nsecond \xff\xfe\r\n\x1b[31mred\x1b[0m\nno newline"


async def _finish(service: Service, run_id: str, phase: str = "Succeeded") -> None:
    await service.move_run(run_id, phase, is_finished=True)


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not reached():  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)


async def _sse(service: Service, path: str, **headers: str) -> list[dict[str, str]]:
    """All events of a stream that ends."""
    found: list[dict[str, str]] = []
    async with service.http.stream("GET", path, headers={"Accept": "text/event-stream", **headers}) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        text = "".join([part async for part in answer.aiter_text()])
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if fields:
            found.append(fields)
    return found


async def test_logs__as_text__are_the_bytes_as_they_were(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}/tasks/a/logs"
        nothing = await service.http.get(path)
        assert (nothing.status_code, nothing.content) == (200, b"")
        talker = service.talker(run["id"], "a")
        await talker.say(BYTES)
        await talker.seal()
        answer = await service.http.get(path)
        assert answer.content == BYTES
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert (await service.http.get(f"/runs/{run['id']}/logs")).content.startswith(b"[a] first\n[a] second \xff")
        assert (await service.http.get(f"{path}?tail=1")).content == b"no newline"
        assert (await service.http.get(f"{path}?grep=second")).content == b"second \xff\xfe\r\n"
        assert (await service.http.get(f"{path}?limit=1&timestamps=true")).content == b"2023-11-14T22:13:20.000000000Z first\n"


async def test_logs__as_ndjson__are_lines_and_gaps(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        talker = service.talker(run["id"], "a")
        await talker.say(b"one\n")
        await talker.gap("the kubelet rotated")
        await talker.say(b"two \xff\n")
        await talker.seal()
        answer = await service.http.get(f"/runs/{run['id']}/tasks/a/logs", headers={"Accept": "application/x-ndjson"})
        one, gap, two = (json.loads(line) for line in answer.text.splitlines())
        assert answer.headers["content-type"] == "application/x-ndjson"
        assert {key: one[key] for key in one if key != "cursor"} == {
            "line": 0, "time": "2023-11-14T22:13:20.000000000Z", "task": "a", "attempt": 1, "container": "main", "text": "one",
        }  # fmt: skip
        assert (gap["type"], gap["reason"], gap["to"]) == ("gap", "the kubelet rotated", None)
        assert two["text"] == "two \ufffd"


async def test_socket__a_log_that_grows__is_followed_to_its_end(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        talker = service.talker(run["id"], "a")
        async with service.socket(f"/runs/{run['id']}/tasks/a/logs") as socket:
            assert socket.subprotocol is None
            await talker.say(b"hello\n")
            (frame,) = await read_frames(socket, 1)
            assert (frame["type"], [line["text"] for line in frame["lines"]]) == ("lines", ["hello"])
            await talker.say(b"world\n")
            (frame,) = await read_frames(socket, 1)
            assert [line["text"] for line in frame["lines"]] == ["world"]
            cursor = frame["lines"][-1]["cursor"]
            await talker.gap("some are missing")
            await talker.say(b"last")
            await talker.seal()
            await service.add_attempt(run["id"], "a", phase="Failed", log_sealed=True)
            await service.move_task(run["id"], "a", "Failed")
            frames = await read_frames(socket, 3)
            assert [frame["type"] for frame in frames] == ["gap", "lines", "end"]
            assert frames[-1] == {"type": "end", "phase": "Failed"}
            with pytest.raises(ConnectionClosed) as closed:
                await socket.recv()
            assert closed.value.rcvd
            assert closed.value.rcvd.code == 1000
        async with service.socket(f"/runs/{run['id']}/tasks/a/logs?cursor={cursor}") as socket:
            assert [frame["type"] for frame in await read_frames(socket, 3)] == ["gap", "lines", "end"]


async def test_socket__broken_off_anywhere__goes_on_without_loss_or_repetition(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        talkers = [service.talker(run["id"], name) for name in ("a", "b")]
        seen: list[tuple[str, str]] = []
        cursor = ""
        for turn in range(6):
            for talker in talkers:
                await talker.say(b"".join(b"%d.%d\n" % (turn, index) for index in range(50)))
            async with service.socket(f"/runs/{run['id']}/logs{cursor}") as socket:
                wanted = len(seen) + 100
                while len(seen) < wanted:
                    (frame,) = await read_frames(socket, 1)
                    for line in frame["lines"]:
                        seen.append((line["task"], line["text"]))
                        cursor = f"?cursor={line['cursor']}"
                        if len(seen) == wanted - 7 * turn:  # not always at the end
                            wanted = len(seen)
                            break
        for talker in talkers:
            await talker.seal()
        await _finish(service, run["id"])
        async with service.socket(f"/runs/{run['id']}/logs{cursor}") as socket:
            while (frame := (await read_frames(socket, 1))[0])["type"] != "end":
                seen += [(line["task"], line["text"]) for line in frame["lines"]]
        for name in ("a", "b"):
            expected = [f"{turn}.{index}" for turn in range(6) for index in range(50)]
            assert [text for task, text in seen if task == name] == expected


async def test_socket__long_lines__come_in_frames_of_256_kib(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        talker = service.talker(run["id"], "a")
        texts = [b"x" * 500_000, b"\xff" * 300_000, b'"' * 300_000, b"short"] + [b"y" * 1000] * 2000
        for first in range(0, len(texts), 500):
            await talker.say(b"".join(text + b"\n" for text in texts[first : first + 500]))
        await talker.seal()
        await _finish(service, run["id"])
        lines: list[str] = []
        partial = False
        async with service.socket(f"/runs/{run['id']}/logs", max_size=None) as socket:
            while True:
                raw = await socket.recv()
                assert len(raw.encode() if isinstance(raw, str) else raw) <= 256 * 1024
                frame = json.loads(raw)
                if frame["type"] == "end":
                    break
                for line in frame["lines"]:
                    if partial:
                        lines[-1] += line["text"]
                    else:
                        lines.append(line["text"])
                    partial = line.get("partial", False)
        assert [len(line) for line in lines] == [len(text) for text in texts]
        assert lines[0] == texts[0].decode()


async def test_sse__a_finished_log__carries_the_same_frames_and_ends_with_204(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        talker = service.talker(run["id"], "a")
        await talker.say(b"one\ntwo\n")
        await talker.seal()
        await _finish(service, run["id"])
        path = f"/runs/{run['id']}/logs"
        lines, end = await _sse(service, path)
        assert (lines["event"], end["event"]) == ("lines", "end")
        assert json.loads(lines["data"])["lines"][-1]["cursor"] == lines["id"]
        assert json.loads(end["data"]) == {"type": "end", "phase": "Succeeded"}
        again = await _sse(service, path, **{"Last-Event-ID": lines["id"]})
        assert [event["event"] for event in again] == ["end"]
        headers = {"Accept": "text/event-stream", "Last-Event-ID": end["id"]}
        assert (await service.http.get(path, headers=headers)).status_code == 204


async def test_events__followed__come_from_the_first_to_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}/events"
        async with service.socket(path) as socket:
            (first,) = await read_frames(socket, 1)
            assert (first["type"], first["event"]["type"], first["event"]["phase"]) == ("event", "RunPhase", "Pending")
            assert first["cursor"] == first["event"]["cursor"]
            await service.move_run(run["id"], "Running")
            (second,) = await read_frames(socket, 1)
            assert second["event"]["phase"] == "Running"
            await _finish(service, run["id"])
            third, end = await read_frames(socket, 2)
            assert (third["event"]["phase"], end) == ("Succeeded", {"type": "end", "phase": "Succeeded"})
        events = await _sse(service, path, **{"Last-Event-ID": second["cursor"]})
        assert [event["event"] for event in events] == ["event", "end"]
        assert json.loads(events[0]["data"]) == third
        headers = {"Accept": "text/event-stream", "Last-Event-ID": events[-1]["id"]}
        assert (await service.http.get(path, headers=headers)).status_code == 204


async def test_all_events__without_cursor__start_now_and_are_filtered(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        old = await service.submit()
        async with service.socket("/runs/events?workflow=hello") as socket:
            await service.submit({"name": "other", "tasks": [{"name": "a"}]})
            run = await service.submit()
            (frame,) = await read_frames(socket, 1)
            assert (frame["event"]["run_id"], frame["event"]["workflow"]) == (run["id"], "hello")
        assert run["id"] != old["id"]
        cursor = int(frame["cursor"])
        async with service.socket(f"/runs/events?cursor={cursor - 2}") as socket:
            frames = await read_frames(socket, 2)
            assert [one["event"]["workflow"] for one in frames] == ["other", "hello"]


async def test_all_events__cut_off_before_the_first_event__there_is_an_id_to_come_back_with(tmp_path: Path) -> None:
    async def first(service: Service, field: str, **headers: str) -> str:
        async with (
            asyncio.timeout(5),
            service.http.stream("GET", "/runs/events", headers={"Accept": "text/event-stream", **headers}) as answer,
        ):
            async for line in answer.aiter_lines():
                if line.startswith(field):
                    return line.removeprefix(field)
        raise AssertionError

    async with running(tmp_path) as service:
        await service.submit()
        start = await first(service, "id: ")
        missed = await service.submit()
        data = await first(service, "data: ", **{"Last-Event-ID": start})
        assert json.loads(data)["event"]["run_id"] == missed["id"]


async def test_streams__the_service_stops__close_with_1012(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        base = f"/runs/{run['id']}"
        async with (
            service.socket(f"{base}/logs") as logs,
            service.socket("/runs/events") as events,
            service.http.stream("GET", f"{base}/logs?follow=true") as text,
            service.http.stream("GET", f"{base}/events", headers={"Accept": "text/event-stream"}) as sse,
            asyncio.timeout(5),
        ):
            service.stopping.set()
            for socket in (logs, events):
                with pytest.raises(ConnectionClosed) as closed:
                    await socket.recv()
                assert closed.value.rcvd
                assert closed.value.rcvd.code == 1012
            with pytest.raises(httpx.RemoteProtocolError):  # unfinished: a part is not taken for the whole
                await text.aread()
            assert (await sse.aread()).startswith(b":")
        assert (await service.http.get(f"{service.url}/readyz")).status_code == 503


async def test_streams__clients_that_left__are_let_go(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        async with service.socket(f"/runs/{run['id']}/logs"), service.http.stream("GET", f"/runs/{run['id']}/logs?follow=true"):
            await _until(lambda: len(service.broker._subscriptions) == 2)
        await _until(lambda: not service.broker._subscriptions)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs/01a204f4-0976-7652-9c29-425ace738bed/logs", 404), ("/runs/x/events", 404), ("/nothing", 404), ("/runs", 404),
        ("/runs/RUN/tasks/nobody/logs", 404), ("/runs/RUN/logs?cursor=nonsense", 422), ("/runs/RUN/logs?attempt=0", 422),
        ("/runs/RUN/events?cursor=x", 422), ("/runs/events?label_selector=(", 422),
    ],
)  # fmt: skip
async def test_socket__refused__is_a_plain_answer_with_its_problem(tmp_path: Path, path: str, status: int) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        with pytest.raises(InvalidStatus) as refused:
            async with service.socket(path.replace("RUN", run["id"])):
                pass
        answer = refused.value.response
        assert answer.status_code == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        problem: dict[str, Any] = json.loads(answer.body or b"")
        assert problem["status"] == status


@pytest.mark.parametrize("accept", ["text/plain", "application/x-ndjson", "text/event-stream"])
async def test_logs__refused__before_anything_is_sent(tmp_path: Path, accept: str) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        headers = {"Accept": accept}
        wrong = await service.http.get(f"/runs/{run['id']}/logs?cursor=nonsense&follow=true", headers=headers)
        assert wrong.status_code == 422
        assert (await service.http.get(f"/runs/{run['id']}/tasks/c/logs", headers=headers)).status_code == 404


async def test_wait_for_logs__with_follow__as_text_and_ndjson(tmp_path: Path) -> None:
    async with running(tmp_path) as service:
        run = await service.submit()
        path = f"/runs/{run['id']}/tasks/a/logs?follow=true"
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            text = group.create_task(service.http.get(path))
            lines = group.create_task(service.http.get(path, headers={"Accept": "application/x-ndjson"}))
            talker = service.talker(run["id"], "a")
            await talker.say(b"one\n")
            await asyncio.sleep(0.05)
            assert not text.done()
            await talker.say(b"two")
            await talker.seal()
            await _finish(service, run["id"])
        assert text.result().content == b"one\ntwo"
        objects = [json.loads(line) for line in lines.result().text.splitlines()]
        assert [one.get("text") for one in objects] == ["one", "two", None]
        assert objects[-1] == {"type": "end", "phase": "Pending"}

"""Logs come back byte for byte: live, afterwards, in every form, from the middle on, and after a restart."""

from __future__ import annotations

import asyncio
import hashlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.service.conftest import KUBERNETES, MakeService
from tests.support.api import PREFIX, Api, api_of
from tests.support.cluster import wait_no_pods
from tests.support.service import ServiceProcess
from tests.support.workflows import python, workflow

#: Says `lines(N)`: N bytes in lines of all lengths up to 1,000, each with its number. In the container and here the same.
LINES = """
import hashlib, os, time
def lines(size):
    number = 0
    while size > 0:
        digest = hashlib.sha256(b"%d" % number).hexdigest().encode()
        line = (b"%d " % number + (digest * 16)[: number * 37 % 1000])[: size - 1] + b"\\n"
        yield line
        size, number = size - len(line), number + 1
def write_all(data):
    view = memoryview(data)
    while view:
        view = view[os.write(1, view):]
"""
_made: dict[str, Any] = {}
exec(LINES, _made)  # the same text as in the container


def _lines(size: int) -> bytes:
    return b"".join(_made["lines"](size))


BURST_BYTES = 5_000_000
LONG_BYTES = 40_000_000
CHUNK_LINES = 200  #: about 100 kB; whole, since the kubelet loses what stands before a rotation of a line half written
#: What a container writes, at once. The key is the task's name.
WRITTEN = {
    "burst": _lines(BURST_BYTES),
    "long-line": b"".join(_lines(1_000_000).split(b"\n")),
    "no-newline": b"one\ntwo",
    "only-newlines": b"\n\n\n",
    "nothing": b"",
    "binary": b"\xff\xfe\x00a\x00\n\x80\x81\xf0\x9f\n\x00\n"
    + bytes(byte for byte in range(256) if byte not in b"\r\n")
    + b"\n\xc3",
    "returns": b"a\rb\n\r\r\nc\r\n",
    "escapes": "\x1b[31mred\x1b[0m \u2028 \u00e4\u20ac\U0001f600\n".encode(),
}
SCRIPTS = {
    "burst": f"write_all(b''.join(lines({BURST_BYTES})))",
    "long-line": "write_all(b''.join(line[:-1] for line in lines(1_000_000)))",
}
TALKERS, TALKED = 10, 2_000


def _script(name: str) -> str:
    return LINES + SCRIPTS.get(name, f"write_all({WRITTEN[name]!r})")


def _kept(service: ServiceProcess, name: str) -> bytes:
    """What is stored of what was written: the container runtime makes a carriage return before a line feed disappear."""
    return WRITTEN[name].replace(b"\r\n", b"\n") if service.pods == "kubernetes" else WRITTEN[name]


def _sums(logs: dict[str, bytes]) -> dict[str, tuple[int, str]]:
    """Comparing these instead of megabytes keeps failures readable."""
    return {name: (len(log), hashlib.sha256(log).hexdigest()) for name, log in logs.items()}


async def _stream(api: Api, path: str) -> bytes:
    async with api.http.stream("GET", path) as answer:
        assert answer.status_code == 200
        return b"".join([chunk async for chunk in answer.aiter_raw()])


async def test_bytes__of_every_kind__are_the_same_live_and_when_the_pod_is_gone(api: Api, service: ServiceProcess) -> None:
    run_id = await api.submit(workflow(*(python(name, _script(name)) for name in WRITTEN)))
    async with asyncio.TaskGroup() as group:
        paths = {name: f"/runs/{run_id}/tasks/{name}/logs" for name in WRITTEN}
        plain = {name: group.create_task(_stream(api, f"{path}?follow=true")) for name, path in paths.items()}
        frames = {name: group.create_task(api.follow(path)) for name, path in paths.items()}
        finished = group.create_task(api.finished(run_id))
    run = finished.result()
    assert run["phase"] == "Succeeded", run["message"]
    kept = {name: _kept(service, name) for name in WRITTEN}
    wanted = _sums(kept)
    assert _sums({name: one.result() for name, one in plain.items()}) == wanted
    assert _sums({name: await api.log(run_id, name) for name in WRITTEN}) == wanted
    for name, followed in frames.items():
        text, expected = followed.result().text(), kept[name].decode("utf-8", "replace").removesuffix("\n")
        assert followed.result().end == "Succeeded"
        if name not in ("binary", "long-line"):  # a piece of a line is decoded by itself
            assert text == expected, name
    assert frames["long-line"].result().text() == kept["long-line"].decode()
    for task in run["tasks"]:
        [attempt] = task["attempts"]
        log = kept[task["name"]]
        size = {
            "bytes": len(log),
            "lines": log.count(b"\n") + (not log.endswith(b"\n") and bool(log)),
            "sealed": True,
            "gaps": 0,
        }
        assert attempt["log"] == size, task["name"]


async def test_talkers__ten_at_once__each_is_whole_and_in_order_in_the_runs_log(api: Api, service: ServiceProcess) -> None:
    names = [f"talker-{number}" for number in range(TALKERS)]
    script = f"import time\nfor n in range({TALKED}):\n print(n, 'x' * (n % 200)); n % 100 or time.sleep(0.02)"
    run_id = await api.submit(workflow(*(python(name, script) for name in names)))
    async with asyncio.TaskGroup() as group:
        followed = group.create_task(api.follow(f"/runs/{run_id}/logs"))
        finished = group.create_task(api.finished(run_id))
    assert finished.result()["phase"] == "Succeeded"
    wanted = [f"{n} {'x' * (n % 200)}" for n in range(TALKED)]
    for lines in (followed.result().lines, (await api.log_lines(run_id)).lines):
        assert len(lines) == TALKERS * TALKED
        for name in names:
            assert [line["text"] for line in lines if line["task"] == name] == wanted
    text = await api.log(run_id)
    assert sorted(text.decode().splitlines()) == sorted(f"[{name}] {line}" for name in names for line in wanted)
    assert len({line["cursor"] for line in followed.result().lines}) == TALKERS * TALKED
    if service.pods == "kubernetes":
        stamps = [line["time"] for line in followed.result().lines if line["task"] == names[0]]
        assert stamps == sorted(stamps)


@pytest.fixture
async def thousand(api: Api) -> str:
    """A run whose task `say` has said `line 0` to `line 999`, and is over."""
    run_id = await api.submit(workflow(python("say", "for n in range(1000): print('line', n)")))
    assert (await api.finished(run_id))["phase"] == "Succeeded"
    return run_id


@pytest.mark.usefixtures("service")
async def test_reading__by_tail_line_limit_grep_and_time__gives_exactly_that(api: Api, thousand: str) -> None:
    lines = [f"line {n}" for n in range(1000)]

    async def read(**params: Any) -> list[str]:
        text = (await api.log(thousand, "say", **params)).decode().splitlines()
        frames = await api.log_lines(thousand, "say", **params)
        assert [line["text"] for line in frames.lines] == text, params
        assert [line["line"] for line in frames.lines] == [int(one.split()[1]) for one in text]
        return text

    assert await read() == lines
    assert await read(tail=3) == lines[-3:]
    assert await read(tail=0) == []
    assert await read(tail=5000) == lines
    assert await read(limit=2) == lines[:2]
    assert await read(tail=10, limit=4) == lines[-10:-6]
    assert await read(from_line=998) == lines[998:]
    assert await read(from_line=10, limit=5) == lines[10:15]
    assert await read(from_line=5000) == []
    assert await read(grep="line 99") == [line for line in lines if "line 99" in line]
    assert await read(grep="line 9", limit=3) == ["line 9", "line 90", "line 91"]
    assert await read(grep="l.ne") == []
    stamped = (await api.log(thousand, "say", timestamps=True, limit=3)).decode().splitlines()
    assert [re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z (line \d)", one)[1] for one in stamped] == lines[:3]  # type: ignore[index]


@pytest.mark.usefixtures("service")
async def test_cursor__from_the_middle__loses_nothing_and_repeats_nothing_in_any_form(api: Api, thousand: str) -> None:
    path = f"/runs/{thousand}/tasks/say/logs"
    lines = [f"line {n}" for n in range(1000)]
    first = await api.log_lines(thousand, "say", limit=333)
    rest = {"cursor": first.cursor}
    assert [line["text"] for line in first.lines] == lines[:333]
    assert (await api.log(thousand, "say", **rest)).decode().splitlines() == lines[333:]
    assert [line["text"] for line in (await api.log_lines(thousand, "say", **rest)).lines] == lines[333:]
    assert [line["text"] for line in (await api.follow(f"{path}?cursor={first.cursor}")).lines] == lines[333:]
    events, last_id = await api.server_sent(f"{path}?cursor={first.cursor}")
    assert ([line["text"] for line in events.lines], events.end) == (lines[333:], "Succeeded")
    events, _ = await api.server_sent(path, **{"Last-Event-ID": str(first.cursor)})
    assert [line["text"] for line in events.lines] == lines[333:]
    over = await api.http.get(path, headers={"Accept": "text/event-stream", "Last-Event-ID": str(last_id)})
    assert over.status_code == 204
    run_first = await api.log_lines(thousand, limit=500)
    assert (await api.log(thousand, cursor=run_first.cursor)).decode().splitlines() == [f"[say] {one}" for one in lines[500:]]
    assert await api.log(thousand, "say", cursor=(await api.log_lines(thousand, "say")).cursor) == b""


class Follower(threading.Thread):
    """Follows a task's log as bytes in a thread of its own, so that tests may go on beside it."""

    def __init__(self, url: str, path: str) -> None:
        super().__init__(name="follower", daemon=True)
        self._url = f"{url}{PREFIX}{path}?follow=true"
        self.digest, self.bytes, self.failure = hashlib.sha256(), 0, ""

    def run(self) -> None:
        """Read to the end."""
        try:
            with httpx.stream("GET", self._url, timeout=60, trust_env=False) as answer:
                for chunk in answer.iter_raw():
                    self.digest.update(chunk)
                    self.bytes += len(chunk)
        except httpx.HTTPError as error:
            self.failure = repr(error)


@pytest.fixture(scope="module")
def long_log(service: ServiceProcess) -> Iterator[tuple[str, Follower]]:
    """A run that writes 40 MB, 1 MB a second, and one who follows it from the start. It goes on while other tests run."""
    script = (
        LINES
        + f"""
held = []
for line in lines({LONG_BYTES}):
    held.append(line)
    if len(held) == {CHUNK_LINES}:
        write_all(b"".join(held))
        held.clear()
        time.sleep(0.1)
write_all(b"".join(held))
"""
    )
    body = {"workflow": workflow(python("long", script))}
    run_id = httpx.post(f"{service.url}{PREFIX}/runs", json=body, timeout=30, trust_env=False).json()["id"]
    follower = Follower(service.url, f"/runs/{run_id}/tasks/long/logs")
    follower.start()
    yield run_id, follower
    follower.join(30)


@pytest.fixture(autouse=True)
def _started_early(request: pytest.FixtureRequest) -> None:
    """The first test on the cluster starts it, whichever that is. Nothing rotates the log of a local pod."""
    if "service" in request.fixturenames and request.getfixturevalue("service").pods == "kubernetes":
        request.getfixturevalue("long_log")


@pytest.mark.parametrize("service", [KUBERNETES], indirect=True, scope="module")
async def test_long_log__40_mb_at_1_mb_a_second__is_whole_live_and_afterwards(
    api: Api, service: ServiceProcess, long_log: tuple[str, Follower]
) -> None:
    run_id, follower = long_log
    run = await api.finished(run_id)
    assert run["phase"] == "Succeeded"
    await asyncio.to_thread(follower.join, 30)
    wanted = _lines(LONG_BYTES)
    assert follower.failure == ""
    assert run["tasks"][0]["attempts"][0]["log"] == {
        "bytes": LONG_BYTES,
        "lines": wanted.count(b"\n"),
        "sealed": True,
        "gaps": 0,
    }
    assert (follower.bytes, follower.digest.hexdigest()) == (LONG_BYTES, hashlib.sha256(wanted).hexdigest())
    assert _sums({"long": await api.log(run_id, "long")}) == _sums({"long": wanted})
    await asyncio.to_thread(wait_no_pods, service.namespaces[0], run_id=run_id)


async def test_restart__of_the_service__gives_the_same_bytes_and_cursors(make_service: MakeService) -> None:
    service = make_service("local")
    names = ("burst", "long-line", "binary", "no-newline", "nothing")
    async with api_of(service.url) as api:
        run_id = await api.submit(workflow(*(python(name, _script(name)) for name in names)))
        await api.finished(run_id)
        cursor = (await api.log_lines(run_id, "burst", limit=1234)).cursor
    service.kill()
    service.start()
    async with api_of(service.url) as api:
        assert _sums({name: await api.log(run_id, name) for name in names}) == _sums({name: WRITTEN[name] for name in names})
        rest = b"".join(WRITTEN["burst"].splitlines(keepends=True)[1234:])
        assert _sums({"rest": await api.log(run_id, "burst", cursor=cursor)}) == _sums({"rest": rest})

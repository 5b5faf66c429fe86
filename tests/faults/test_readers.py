"""Readers of logs and histories: very many at once with one that takes nothing, and one that comes back a hundred times."""

from __future__ import annotations

import asyncio
import random
import resource
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.faults.conftest import MakeService
from tests.support.api import PREFIX, Api, api_of
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.readers import Json, RovingReader, Transport
from tests.support.service import ServiceProcess
from tests.support.waiting import until
from tests.support.workflows import python, shell, workflow

pytestmark = pytest.mark.faults

READERS = 500
#: More than the system takes for a reader that reads nothing.
MANY = NumberedLines(5000, size=1000)
READ_SECONDS = 200.0
#: One that takes nothing is cut after 30 s, and 30 s later the system drops what waits for it.
CUT_AFTER_SECONDS = 30.0
RECEIVE_BUFFER_BYTES = 16_384
#: A reader to whom nothing more is sent while so much more is stored takes nothing any more.
FULL_BYTES = 500_000
#: What the service may hold while they read, as a ratio to what it held when they had come.
MOST_MEMORY = 2.5
_TALK = """
import sys, time
for number in range(COUNT):
    sys.stdout.buffer.write(line(KEY, number, SIZE))
    if number % BATCH == BATCH - 1:
        sys.stdout.buffer.flush()
        time.sleep(PAUSE)
"""

COMES_BACK = 100
#: Lines of ordinary length, and such that come in several pieces.
SHORT, WIDE = NumberedLines(3000, key="s"), NumberedLines(150, size=40_000, key="w")
ITEMS = 40
#: A line that is printed in parts, with pauses between them.
PARTS = 40


def _talker(name: str, lines: NumberedLines, batch: int, pause_seconds: float) -> Json:
    """A task that prints these lines, so many at a time."""
    return python(name, f"BATCH, PAUSE = {batch}, {pause_seconds}\n{lines.script}{_TALK}")


@pytest.fixture
def open_files() -> Iterator[None]:
    """As many open files as this process may have: each reader is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _resident_bytes(service: ServiceProcess) -> int:
    """What the service's process holds in memory."""
    return int(Path(f"/proc/{service.pid}/statm").read_text().split()[1]) * resource.getpagesize()


@dataclass
class Crowd:
    """Readers of one log, each by a websocket of its own."""

    url: str
    wanted: list[str]
    here: int = 0
    over: int = 0
    over_at: float = 0.0  #: of the last one, monotonic

    async def read(self) -> None:
        """Read to the end: each line comes once, in its order."""
        # Without pings of the client's own: five hundred readers in one process may be late to read the answer.
        options: Json = {"compression": None, "proxy": None, "max_size": None, "open_timeout": READ_SECONDS}
        async with connect(self.url, ping_interval=None, **options) as socket:
            self.here += 1
            number = 0
            async for text in socket:
                frame = orjson.loads(text)
                for line in frame.get("lines", ()):
                    assert (line["line"], line["text"]) == (number, self.wanted[number])
                    number += 1
                if frame["type"] == "end":
                    break
        assert number == len(self.wanted)
        self.over, self.over_at = self.over + 1, time.monotonic()


async def _take_nothing(url: str, stored: Callable[[], Awaitable[int]]) -> tuple[int | None, float]:
    """Read nothing for long enough to be cut, then look what was said; and when, monotonic."""
    host, port = url.removeprefix("ws://").partition("/")[0].split(":")
    own = socket.socket()
    own.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    own.connect((host, int(port)))
    async with connect(url, sock=own, compression=None, proxy=None, max_size=None, ping_interval=None) as reader:
        reader.transport.pause_reading()
        await _until_full(f":{own.getsockname()[1]:04X}", stored)
        # The system counts from when nothing was taken, podrun from when nothing more could be sent: some 15 s later.
        await asyncio.sleep(CUT_AFTER_SECONDS + 5)
        told_at = time.monotonic()
        reader.transport.resume_reading()
        with suppress(ConnectionClosed):
            while True:
                await reader.recv()
        return reader.close_code, told_at


async def _until_full(port: str, stored: Callable[[], Awaitable[int]]) -> None:
    """Wait until the service can send nothing more to the client at this port (as `:1F90`), and has more to send."""
    held, since = -1, 0.0
    async with asyncio.timeout(READ_SECONDS):
        while time.monotonic() - since < 3 or await stored() < held + FULL_BYTES:
            now = _sent_and_not_taken(port)
            if now != held:
                held, since = now, time.monotonic()
            await asyncio.sleep(0.5)


def _sent_and_not_taken(port: str) -> int:
    """The bytes that the system holds for the client at this port."""
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return next((int(row[4].partition(":")[0], 16) for row in rows if row[2].endswith(port)), 0)


@pytest.mark.exclusive
@pytest.mark.usefixtures("open_files")
@pytest.mark.timeout(400)
async def test_readers__500_of_a_live_log_and_one_takes_nothing__that_one_is_cut_and_nobody_else_notices(
    make_service: MakeService,
) -> None:
    service = make_service("local")
    async with api_of(service.url) as api:
        run_id = await api.submit(workflow(_talker("talks", MANY, 50, 0.25)))
        await api.task_when(run_id, "talks", phase="Running")
        url = f"ws{service.url.removeprefix('http')}{PREFIX}/runs/{run_id}/tasks/talks/logs"
        crowd = Crowd(url, [MANY.line(number).decode()[:-1] for number in range(MANY.count or 0)])

        async def stored() -> int:
            size: int = (await api.task(run_id, "talks"))["attempts"][0]["log"]["bytes"]
            return size

        async with asyncio.timeout(READ_SECONDS), asyncio.TaskGroup() as group:
            stalled = group.create_task(_take_nothing(url, stored))
            for _ in range(READERS - 1):
                group.create_task(crowd.read())
            await until(lambda: crowd.here == READERS - 1)
            before, most = _resident_bytes(service), 0
            while crowd.over < READERS - 1 or not stalled.done():
                most = max(most, _resident_bytes(service))
                await asyncio.sleep(0.2)
        code, told_at = stalled.result()
        run = await api.finished(run_id)
    assert code == 1013
    assert crowd.over_at < told_at, "they waited for the one that takes nothing"
    assert most < MOST_MEMORY * before, f"{before >> 20} MiB when they had come, {most >> 20} MiB at most"
    assert run["tasks"][0]["attempts"][0]["log"] == {"bytes": len(MANY.text()), "lines": MANY.count, "sealed": True, "gaps": 0}


def _much() -> Json:
    """A run that says much, in many ways, for some 20 s; and some tasks that make its history long."""
    dots = f"i=0; while [ $i -lt {PARTS} ]; do printf .; i=$((i+1)); sleep 0.3; done; echo; printf 'the end'"
    return workflow(
        _talker("short", SHORT, 15, 0.1),
        _talker("wide", WIDE, 1, 0.12),
        shell("dots", dots),
        shell("items", "echo item $PODRUN_TASK; sleep 0.5", foreach=list(range(ITEMS)), max_parallel=2),
    )


@dataclass
class Taken:
    """What one reader took, of the logs of a run or of a task."""

    checks: dict[str, LogCheck] = field(default_factory=lambda: {"short": LogCheck(SHORT), "wide": LogCheck(WIDE)})
    texts: dict[str, str] = field(default_factory=dict)  #: of other tasks
    gaps: int = 0

    def take(self, one: Json) -> None:
        """Take a line or a gap."""
        if one.get("type") == "gap":
            self.gaps += 1
        elif one["task"] in self.checks:
            self.checks[one["task"]].take({"type": "lines", "lines": [one]})
        else:
            text = one["text"] + ("" if one.get("partial") else "\n")
            self.texts[one["task"]] = self.texts.get(one["task"], "") + text

    def assert_whole(self, tasks: tuple[str, ...]) -> None:
        """Each line was taken once, in its order."""
        assert [words for task in tasks for words in self.checks[task].end()] == []
        assert self.gaps == 0


async def _read_all(api: Api, run_id: str, chance: random.Random) -> dict[str, RovingReader]:
    """Read logs and history to their ends, coming back by cursor all the time, and look at what came."""
    task, run, events = Taken(), Taken(), list[Json]()

    def reader(path: str, take: Callable[[Json], None], most: int, transports: tuple[Transport, ...]) -> RovingReader:
        return RovingReader(
            lambda: api.url, f"/runs/{run_id}{path}", take,
            transport=lambda: chance.choice(transports), stops_after=lambda: chance.randint(1, most),
        )  # fmt: skip

    of_logs: tuple[Transport, ...] = ("websocket", "events", "ndjson")
    readers = {
        "task": reader("/tasks/short/logs", task.take, (SHORT.count or 0) // 80, of_logs),
        "run": reader("/logs", run.take, (SHORT.count or 0) // 80, of_logs),
        "events": reader("/events", events.append, 2, ("websocket", "events")),
    }
    async with asyncio.TaskGroup() as group:
        for one in readers.values():
            group.create_task(one.read(READ_SECONDS))
    task.assert_whole(("short",))
    run.assert_whole(("short", "wide"))
    items = {f"items.{number}": f"item items.{number}\n" for number in range(ITEMS)}
    # Read before its container was over, a last line without a line feed is told as a part, which may go on; later as a line.
    assert run.texts.pop("dots").removesuffix("\n") == "." * PARTS + "\nthe end"
    assert run.texts == items
    assert [one["event"] for one in events] == await api.events(run_id)
    return readers


@pytest.mark.timeout(400)
async def test_reader__comes_back_100_times_by_cursor__sees_each_line_once(
    make_service: MakeService, chance: random.Random
) -> None:
    service = make_service("local")
    async with api_of(service.url) as api:
        run_id = await api.submit(_much())
        for _ in ("while it is being written", "afterwards"):
            readers = await _read_all(api, run_id, chance)
            assert {one.end for one in readers.values()} == {"Succeeded"}
            for name, one in readers.items():
                assert one.cuts["own"] >= COMES_BACK, f"{name}: {dict(one.cuts)}"
                assert one.cuts.keys() <= {"own", "end"}, f"{name}: {dict(one.cuts)}"
        assert Counter(task["phase"] for task in (await api.finished(run_id))["tasks"]) == {"Succeeded": ITEMS + 3}

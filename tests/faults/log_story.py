"""Containers that speak in every way while the service is killed, and what is stored of it: a story for several tests."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from tests.support.api import Api, Json, api_of
from tests.support.cluster import kubectl
from tests.support.numbered_log import LogCheck, NumberedLines
from tests.support.service import ServiceProcess
from tests.support.talkers import LiveReader, stored_frames, talker
from tests.support.workflows import python, workflow

KILLS = 4
KILL_SECONDS = (3.0, 8.0)  #: after it was ready again
RUN_SECONDS = 200.0
PODS = 30
#: Of all of them, and of the attempts of one that is tried again.
POD_LINES, POD_RATE = NumberedLines(400), 1_500
ATTEMPTS = 3
TWO_LINES, TWO_SECONDS = 12_000, 50.0  #: on each of two streams
LONG_LINES, LONG_PIECE = NumberedLines(14, size=1_000_000, wide=True), 60_000
INIT_LINES, SIDE_LINES = NumberedLines(300, key="init "), NumberedLines(None, key="side ")
#: A container that lives until somebody deletes it: with pauses of so many seconds between lines.
DELETED = {"deleted-fast": 0.02, "deleted-slow": 0.5, "deleted-unseen": 0.1}

_WRITE_ALL = """
import os, sys, threading, time
def write_all(data, fd=1):
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view):]
"""
#: What a stubborn program prints: a list of pieces, each at once. The same in the container and here.
_PIECES = """
def pieces():
    for number in range(100):
        yield b"same\\n"
        yield b"same\\nsame\\n"
        yield b"%d %%\\r" % number
        yield b"%d %%\\r\\n" % (number + 1)
        yield b"\\n" if number % 3 else b"\\n\\n\\n"
        yield b"\\xff\\xfe\\x00\\x80%c\\n" % (11 + number)
        yield b"half a line, "
        yield b"the other half %d\\n" % number
        yield "\\u00e4\\u20ac\\U0001f600\\n".encode()[: 1 + number % 10]
    yield b"no line feed at the end"
"""
_made: dict[str, Any] = {}
exec(_PIECES, _made)
#: The container runtime makes a carriage return before a line feed disappear.
STUBBORN = b"".join(_made["pieces"]()).replace(b"\r\n", b"\n")


def stream_lines(fd: int) -> NumberedLines:
    """What is printed on one of two streams."""
    return NumberedLines(TWO_LINES, key=f"{fd} ")


def attempt_lines(attempt: int) -> NumberedLines:
    """What an attempt prints."""
    return NumberedLines(200, key=f"{attempt} ")


def _two_streams() -> Json:
    script = f"""{_WRITE_ALL}{stream_lines(1).script}
def talk(fd):
    for number in range(COUNT):
        write_all(line(b"%d " % fd, number, SIZE), fd)
        number % 50 or time.sleep({TWO_SECONDS * 50 / TWO_LINES})
threads = [threading.Thread(target=talk, args=(fd,)) for fd in (1, 2)]
[one.start() for one in threads]
[one.join() for one in threads]
"""
    return python("two-streams", script)


def _long_lines() -> Json:
    script = f"""{_WRITE_ALL}{LONG_LINES.script}
for number in range(COUNT):
    text = line(KEY, number, SIZE, WIDE)
    for start in range(0, len(text), {LONG_PIECE}):
        write_all(text[start : start + {LONG_PIECE}])
        time.sleep(0.2)
"""
    return python("long-lines", script)


def _stubborn() -> Json:
    return python("stubborn", f"{_WRITE_ALL}{_PIECES}\nfor piece in pieces(): write_all(piece); time.sleep(0.05)")


def _retried() -> Json:
    lines = attempt_lines(0)
    script = f"""{_WRITE_ALL}{lines.script}
for number in range(COUNT):
    write_all(line(os.environ["PODRUN_ATTEMPT"].encode() + b" ", number, SIZE))
    time.sleep(0.06)
sys.exit(os.environ["PODRUN_ATTEMPT"] != "{ATTEMPTS}")
"""
    return python("retried", script, retries={"limit": ATTEMPTS - 1, "delay_seconds": 0.2})


def _accompanied() -> Json:
    """A task with an init container and a sidecar, which speak too."""
    init = talker("prepare", INIT_LINES, POD_RATE)
    side = _endless("helper", SIDE_LINES, 0.05)
    return talker("accompanied", POD_LINES, POD_RATE, init_containers=[init], sidecars=[side])


def _endless(name: str, lines: NumberedLines, pause: float, before: str = "") -> Json:
    """It speaks until it is killed."""
    script = f"""{_WRITE_ALL}{lines.script}{before}
import itertools
for number in itertools.count():
    write_all(line(KEY, number, SIZE))
    time.sleep({pause})
"""
    return python(name, script)


def _deleted(name: str, pause: float) -> Json:
    """It does not heed SIGTERM: when its pod is deleted by force, it speaks on until it is killed."""
    return _endless(name, NumberedLines(None), pause, "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)")


@asynccontextmanager
async def witness(attempt: Json, folder: Path) -> AsyncIterator[Path]:
    """Somebody else who follows the log to its end, and the file with what he has seen."""
    seen = folder / f"{attempt['pod']}.seen"
    with seen.open("wb") as out:
        follower = await asyncio.create_subprocess_exec(
            "kubectl", "logs", "-f", "-n", attempt["namespace"], attempt["pod"], stdout=out, stderr=asyncio.subprocess.DEVNULL
        )
        try:
            yield seen
            await asyncio.wait_for(follower.wait(), 60)
        finally:
            if follower.returncode is None:
                follower.kill()
                await follower.wait()


def delete_by_force(attempt: Json) -> None:
    """Take the pod away without asking it."""
    kubectl("delete", "pod", attempt["pod"], "-n", attempt["namespace"], "--force", "--grace-period=0")


class LogName(NamedTuple):
    """Which log of the run."""

    task: str
    attempt: int = 1
    container: str = "main"


@dataclass
class Story:
    """What was done, and what came of it."""

    service: ServiceProcess
    chance: random.Random
    run_id: str = ""
    run: Json = field(default_factory=dict)
    live: dict[LogName, list[Json]] = field(default_factory=lambda: defaultdict(list))  #: lines and gaps as they came
    seen: dict[str, bytes] = field(default_factory=dict)  #: what the witness of a deleted pod has seen
    texts: dict[LogName, bytes] = field(default_factory=dict)  #: what is stored, as bytes
    frames: dict[LogName, list[Json]] = field(default_factory=dict)  #: and as lines and gaps

    def attempts(self, task: str) -> list[Json]:
        """The attempts of a task, in the end."""
        found: Json = next(one for one in self.run["tasks"] if one["name"] == task)
        attempts: list[Json] = found["attempts"]
        return attempts

    def checks(self, name: LogName, lines: NumberedLines) -> list[LogCheck]:
        """The checks of a log, as it is stored and as the live reader got it; each has been given everything but the end."""
        made = []
        for frames in (self.frames[name], self.live[name]):
            check = LogCheck(lines)
            for frame in frames:
                check.take(frame)
            made.append(check)
        return made

    async def go(self) -> None:
        """Everything at once: containers speak, pods are deleted, the service is killed."""
        names = [f"pod-{number}" for number in range(PODS)]
        crowd = [talker(name, POD_LINES, POD_RATE) for name in names]
        odd = [_two_streams(), _long_lines(), _stubborn(), _retried(), _accompanied()]
        deleted = [_deleted(name, pause) for name, pause in DELETED.items()]
        async with api_of(self.service.url, patience_seconds=120) as api:
            self.run_id = await api.submit(workflow(*odd, *deleted, *crowd))
            reader = LiveReader(api, f"/runs/{self.run_id}/logs", self._take, attempt="all", container="*")
            async with asyncio.TaskGroup() as group:
                group.create_task(reader.read(RUN_SECONDS), name="reader")
                group.create_task(self._delete(api), name="deletes")
                group.create_task(self._kill(api), name="kills")
                self.run = await api.finished(self.run_id, RUN_SECONDS)
            await self._read(api)

    def _take(self, frame: Json) -> None:
        for item in frame.get("lines", [frame]):
            self.live[LogName(item["task"], item["attempt"], item["container"])].append(item)

    async def _attempt(self, api: Api, task: str) -> Json:
        """The task's first attempt, once it has spoken for a while."""
        await api.log_when(self.run_id, task, b"%09d " % 6)
        attempt: Json = (await api.task(self.run_id, task))["attempts"][0]
        return attempt

    async def _delete(self, api: Api) -> None:
        """Two pods are deleted while the service looks."""
        for name in ("deleted-fast", "deleted-slow"):
            attempt = await self._attempt(api, name)
            async with witness(attempt, self.service.folder) as seen:
                await asyncio.sleep(1)
                await asyncio.to_thread(delete_by_force, attempt)
                await api.task_when(self.run_id, name, phase="Error")
            self.seen[name] = seen.read_bytes()

    async def _kill(self, api: Api) -> None:
        """The service is killed, again and again. One pod is deleted while it is dead."""
        unseen = await self._attempt(api, "deleted-unseen")
        for number in range(KILLS):
            await asyncio.sleep(self.chance.uniform(*KILL_SECONDS))
            await asyncio.to_thread(self.service.kill)
            if number == 1:
                await asyncio.to_thread(delete_by_force, unseen)
            await asyncio.to_thread(self.service.start)

    async def _read(self, api: Api) -> None:
        containers = {"accompanied": ("main", "prepare", "helper")}
        for task in self.run["tasks"]:
            for attempt in task["attempts"]:
                for container in containers.get(task["name"], ("main",)):
                    name = LogName(task["name"], attempt["attempt"], container)
                    which: Json = {"attempt": name.attempt, "container": container}
                    self.texts[name] = await api.log(self.run_id, name.task, **which)
                    self.frames[name] = [one async for one in stored_frames(api, self.run_id, name.task, **which)]

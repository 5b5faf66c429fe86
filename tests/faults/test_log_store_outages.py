"""The log store refuses writes: logs wait in the database, /readyz says why, and all of it becomes objects afterwards."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from app.logs.store import MARK
from app.logs.tail import SEALED_OBJECT_BYTES
from tests.service.conftest import MakeService
from tests.support.api import Api, api_of
from tests.support.disks import Disk, small_disk
from tests.support.users import users_of
from tests.support.waiting import until
from tests.support.workflows import Json, python, workflow

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DISK_BYTES = 64 * 1024 * 1024
#: Less than what one object takes: it is cut off half written.
HALF_BYTES = 256 * 1024
TALKERS, LINES, LINE_BYTES = 3, 30_000, 200
#: A talker says so many lines at once, and pauses: it talks from before the outage until after it.
AT_ONCE, PAUSE_SECONDS = 200, 0.15
#: So many bytes of each talker come in while the store refuses them.
REFUSED_BYTES = 2_500_000
BURST = 15
READY_SECONDS = 10.0
END_SECONDS = 90.0
#: Lines that no compression makes much smaller; in the task and here the same.
_LINE = f"""
import hashlib
def line(name, number):
    text, word = "", f"{{name}} {{number}}"
    while len(text) < {LINE_BYTES}:
        word = hashlib.sha256(word.encode()).hexdigest()
        text += word
    return f"{{name}} {{number}} {{text[:{LINE_BYTES}]}}\\n".encode()
"""
_made: dict[str, Callable[[str, int], bytes]] = {}
exec(_LINE, _made)


def _talker(name: str) -> Json:
    talk = (
        f"import os, time\nfor first in range(0, {LINES}, {AT_ONCE}):\n"
        f"    data = memoryview(b''.join(line('{name}', n) for n in range(first, first + {AT_ONCE})))\n"
        f"    while data:\n        data = data[os.write(1, data):]\n    time.sleep({PAUSE_SECONDS})\n"
    )
    return python(name, _LINE + talk)


@contextmanager
def _full(disk: Disk) -> Iterator[str]:
    with disk.kept_full():
        yield "No space left on device"


@contextmanager
def _half_full(disk: Disk) -> Iterator[str]:
    disk.fill(HALF_BYTES)
    try:
        yield "No space left on device"
    finally:
        disk.free()


@contextmanager
def _read_only(disk: Disk) -> Iterator[str]:
    disk.set_read_only(is_on=True)
    try:
        yield "Read-only file system"
    finally:
        disk.set_read_only(is_on=False)


@contextmanager
def _not_mounted(disk: Disk) -> Iterator[str]:
    place, elsewhere = disk.folder, disk.folder.with_name("elsewhere")
    elsewhere.mkdir()
    disk.move_to(elsewhere)
    try:
        yield "is its disk mounted?"
        assert not list(place.iterdir()), "nothing is put where it would be hidden"
    finally:
        disk.move_to(place)


OUTAGES: dict[str, Callable[[Disk], AbstractContextManager[str]]] = {
    "full": _full, "room for half an object": _half_full, "read-only": _read_only, "not mounted": _not_mounted,
}  # fmt: skip


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small one, on which the logs are and nothing else."""
    with small_disk(tmp_path / "logs", DISK_BYTES) as made:
        yield made


async def _bytes(api: Api, run_id: str) -> list[int]:
    """How much of each talker's log is stored; the service may be away for a moment."""
    return [task["attempts"][0]["log"]["bytes"] if task["attempts"] else 0 for task in (await api.run(run_id))["tasks"]]


async def _grown(api: Api, run_id: str, by: int, seconds: float = 60.0) -> None:
    """Wait until so much more of each talker's log is stored."""
    before = await _bytes(api, run_id)
    deadline = time.monotonic() + seconds
    while min(now - was for now, was in zip(await _bytes(api, run_id), before, strict=True)) < by:
        assert time.monotonic() < deadline, f"{before}, then {await _bytes(api, run_id)}"
        await asyncio.sleep(0.1)


def _large_rows(database: Path) -> int:
    """Blocks that are kept in the database, though they are large enough for an object."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        query = "SELECT count(*) FROM log_blocks WHERE object_name IS NULL AND end_byte - first_byte >= ?"
        return int(connection.execute(query, (SEALED_OBJECT_BYTES,)).fetchone()[0])


@pytest.mark.parametrize("outage", OUTAGES)
async def test_refused__while_tasks_talk__logs_wait_in_the_database_and_become_objects(
    disk: Disk, make_service: MakeService, tmp_path: Path, chance: random.Random, outage: str
) -> None:
    service = make_service("local", settings={"LOGS_URL": str(disk.folder)})
    names = [f"talks-{number}" for number in range(TALKERS)]
    async with api_of(service.url) as api, users_of([service.url], tmp_path / "marks", chance) as users:
        run_id = await api.submit(workflow(*map(_talker, names)))
        async with users.at_work():
            await users.submit_many(BURST)
            await _grown(api, run_id, 100_000)
            began = time.monotonic()
            with OUTAGES[outage](disk) as words:
                await _grown(api, run_id, REFUSED_BYTES)
                await users.wait_unready(began, END_SECONDS, "logs: the log store is not available: ", words)
                await until(lambda: _large_rows(service.folder / "podrun.db") > 0, END_SECONDS)  # what was refused waits there
            await users.wait_ready(time.monotonic(), READY_SECONDS)
        assert not users.refusals, "runs are taken and told all the same"
        await users.check()
        run = await api.finished(run_id, END_SECONDS)
        assert run["phase"] == "Succeeded"
        for name, task in zip(names, run["tasks"], strict=True):
            said = b"".join(_made["line"](name, number) for number in range(LINES))
            [attempt] = task["attempts"]
            assert attempt["log"] == {"bytes": len(said), "lines": LINES, "sealed": True, "gaps": 0}
            assert (await api.log(run_id, name)) == said, "the log is not what was said"
    assert not _large_rows(service.folder / "podrun.db")
    left = [path for path in disk.folder.rglob(".*") if path.is_file()]
    assert not left, f"half written: {left}"
    assert (disk.folder / MARK).exists()

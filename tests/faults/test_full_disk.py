"""The disk is full that SQLite is on, alone or with all else: nothing acknowledged is lost, and all goes on by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import MakeService
from tests.support.api import api_of
from tests.support.disks import Disk, small_disk
from tests.support.users import users_of
from tests.support.waiting import until

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DISK_BYTES = 64 * 1024 * 1024
BURST = 40
FULL_SECONDS = 12.0
#: SQLite's words.
FULL = "database or disk is full"
#: The last words of a service that could not start.
UNUSABLE = f"the database can't be used: {FULL}"
READY_SECONDS, START_SECONDS = 10.0, 30.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """A small one."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as made:
        yield made


@pytest.mark.parametrize("with_all", [False, True], ids=["database", "database, logs and pods"])
async def test_full__while_runs_are_under_way__nothing_acknowledged_is_lost_and_it_goes_on_by_itself(
    disk: Disk, make_service: MakeService, tmp_path: Path, chance: random.Random, with_all: bool
) -> None:
    others = {"LOGS_URL": str(disk.folder / "logs"), "LOCAL_PODS_DIR": str(disk.folder / "pods")}
    service = make_service(
        "local", database_url=f"sqlite+aiosqlite:///{disk.folder}/podrun.db", settings=others if with_all else {}
    )
    async with users_of([service.url], tmp_path / "marks", chance) as users:
        async with users.at_work():
            await users.submit_many(BURST)
            full = time.monotonic()
            with disk.kept_full():
                await users.wait_unready(full, READY_SECONDS, f"database: it can't be written to: {FULL}")
                if with_all:
                    await users.wait_unready(full, READY_SECONDS, "logs: ", "No space left on device")
                    await users.wait_unready(full, READY_SECONDS, "pods: ", "No space left on device")
                await asyncio.sleep(FULL_SECONDS)
            await users.wait_ready(time.monotonic(), READY_SECONDS)
        assert "The database's disk is full" in users.refusals
        await users.check()


async def test_kill__while_the_disk_is_full__it_starts_when_there_is_room_and_nothing_is_lost(
    disk: Disk, make_service: MakeService, tmp_path: Path, chance: random.Random
) -> None:
    service = make_service("local", database_url=f"sqlite+aiosqlite:///{disk.folder}/podrun.db")
    async with users_of([service.url], tmp_path / "marks", chance) as users:
        await users.submit_many(BURST)
        with disk.kept_full():
            async with api_of(service.url) as api:
                async with asyncio.timeout(READY_SECONDS):
                    while (answer := await api.http.get(f"{service.url}/readyz")).is_success:  # noqa: ASYNC110 - as probes do
                        await asyncio.sleep(0.05)
            assert FULL in answer.text
            service.kill()
            service.start(wait=False)
            await until(lambda: FULL in service.text().rpartition("-- process 2")[2], START_SECONDS)
            if UNUSABLE in service.text():  # else it serves, and says that it can't write
                assert service.wait_ended() == 1
        if service.is_running:
            await asyncio.to_thread(service.wait_ready, START_SECONDS)
        else:
            await asyncio.to_thread(service.start)  # as whatever started it does
        await users.check()

"""The disk is full that SQLite is on, alone or with all else: nothing acknowledged is lost, and all goes on by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import MakeService
from tests.support.disks import Disk, small_disk
from tests.support.users import users_of

pytestmark = [pytest.mark.faults, pytest.mark.timeout(300)]

DISK_BYTES = 64 * 1024 * 1024
BURST = 40
FULL_SECONDS = 12.0
READY_SECONDS = 10.0


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
                await users.wait_unready(full, READY_SECONDS, "database: it can't be written to: database or disk is full")
                if with_all:
                    await users.wait_unready(full, READY_SECONDS, "logs: ", "No space left on device")
                    await users.wait_unready(full, READY_SECONDS, "pods: ", "No space left on device")
                await asyncio.sleep(FULL_SECONDS)
            await users.wait_ready(time.monotonic(), READY_SECONDS)
        assert "The database's disk is full" in users.refusals
        await users.check()

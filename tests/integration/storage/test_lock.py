from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from app.domain.errors import ServiceAlreadyRunning
from app.storage.lock import sole_service


async def test_sole_service__another_holds_it__refused_and_named(tmp_path: Path) -> None:
    database = str(tmp_path / "podrun.db")
    async with sole_service(database):
        with pytest.raises(ServiceAlreadyRunning, match="process"):
            async with sole_service(database, wait_seconds=0.3):
                pass


async def test_sole_service__the_other_goes__this_one_goes_on(tmp_path: Path) -> None:
    database = str(tmp_path / "podrun.db")
    entered = asyncio.Event()

    async def second() -> None:
        async with sole_service(database, wait_seconds=10):
            entered.set()

    async with asyncio.TaskGroup() as group, sole_service(database):
        group.create_task(second())
        await asyncio.sleep(0.15)
        assert not entered.is_set()
    assert entered.is_set()


async def test_sole_service__holder_is_killed__lock_is_free(tmp_path: Path) -> None:
    database = str(tmp_path / "podrun.db")
    script = (
        "import asyncio, sys\nfrom app.storage.lock import sole_service\n"
        "async def main():\n    async with sole_service(sys.argv[1]):\n        print('held', flush=True)\n"
        "        await asyncio.sleep(60)\nasyncio.run(main())"
    )
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, database, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    holder.kill()
    await holder.wait()
    async with sole_service(database, wait_seconds=1):
        pass

"""PostgreSQL is away for a minute: pods go on, logs wait, nobody hangs, and all of it is recorded when it is back."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.faults.postgres_stand import own_postgres
from tests.service.conftest import MakeService
from tests.support.api import api_of
from tests.support.postgres import PostgresServer, Shutdown
from tests.support.users import numbered, users_of
from tests.support.workflows import shell, workflow

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

AWAY_SECONDS = 60.0
#: They talk from before the outage until after it.
TALKERS, LINES, LINE_SECONDS = 3, 300, 0.25
BURST = 40
READY_SECONDS = 10.0
#: From the end of the outage until a run that is submitted then is finished.
RUN_SECONDS = 40.0
#: An answer may take so long while nobody listens at the database's port.
ANSWER_SECONDS = 5.0


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that the test stops."""
    with own_postgres() as made:
        yield made


def _talk(name: str) -> dict[str, object]:
    script = f"i=0; while [ $i -lt {LINES} ]; do echo line $i; i=$((i+1)); sleep {LINE_SECONDS}; done"
    return shell(name, script)


async def test_away__for_a_minute__pods_go_on_and_nothing_is_lost(
    server: PostgresServer, url: str, make_service: MakeService, tmp_path: Path, chance: random.Random
) -> None:
    service = make_service("local", database_url=url)
    async with api_of(service.url) as api, users_of([service.url], tmp_path / "marks", chance) as users:
        talk = await api.submit(workflow(*(_talk(f"talks-{number}") for number in range(TALKERS))))
        async with users.at_work():
            await users.submit_many(BURST)
            await api.log_when(talk, "talks-0", b"line 5\n")
            stopping = time.monotonic()
            await asyncio.to_thread(server.stop, chance.choice([*Shutdown]))
            acknowledged = len(users.acknowledged)
            await users.wait_unready(stopping, READY_SECONDS, "database: it can't be read: Connection refused")
            await users.wait_unready(stopping, AWAY_SECONDS / 2, "executor: this process's lease could not be renewed")
            await asyncio.sleep(stopping + AWAY_SECONDS - time.monotonic())
            assert (await api.http.get(f"/runs/{talk}")).status_code == httpx.codes.SERVICE_UNAVAILABLE
            assert len(users.acknowledged) == acknowledged

            await asyncio.to_thread(server.start)
            back = time.monotonic()
            await users.wait_ready(back, READY_SECONDS)
            await api.finished(await users.submit(), RUN_SECONDS)
            assert time.monotonic() - back < RUN_SECONDS
        assert max(users.longest_seconds.values()) < ANSWER_SECONDS, users.longest_seconds
        assert set(users.refusals) == {"The database can't be used just now"}
        await users.check()
        run = await api.finished(talk)
        assert run["task_phases"] == {"Succeeded": TALKERS}
        for task in run["tasks"]:
            [attempt] = task["attempts"]
            assert attempt["log"]["gaps"] == 0
            assert await api.log(talk, task["name"]) == numbered(LINES)

"""PostgreSQL takes connections and answers nothing, which is worse than being away; and replicas that lose it together."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.executor.lease import LEASE_SECONDS
from app.storage.database import READ_SECONDS, WRITE_SECONDS
from tests.faults.postgres_stand import own_postgres
from tests.service.conftest import MakeService
from tests.support.postgres import PostgresServer, Shutdown
from tests.support.replicas import replicas
from tests.support.users import users_of

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

HANG_SECONDS = 30.0
BURST = 40
READY_SECONDS = 10.0
#: Beyond the database's own limits: the connection that did not answer is given up, and the machine is busy.
SLACK_SECONDS = 6.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL that the tests hold up."""
    with own_postgres() as made:
        yield made


async def test_hang__for_half_a_minute__polls_are_answered_and_nothing_is_lost(
    server: PostgresServer, url: str, make_service: MakeService, tmp_path: Path, chance: random.Random
) -> None:
    service = make_service("local", database_url=url)
    async with users_of([service.url], tmp_path / "marks", chance) as users:
        async with users.at_work():
            await users.submit_many(BURST)
            server.freeze()
            frozen = time.monotonic()
            try:
                await users.wait_unready(frozen, READY_SECONDS, "database: no answer within 3 s")
                await users.wait_unready(frozen, HANG_SECONDS, "executor: this process's lease could not be renewed")
                await asyncio.sleep(frozen + HANG_SECONDS - time.monotonic())
            finally:
                server.thaw()
            await users.wait_ready(time.monotonic(), READY_SECONDS)
        # A submission looks for its key, waits for the batch before its own, and is in one.
        assert users.longest_seconds["GET"] < READ_SECONDS + SLACK_SECONDS
        assert users.longest_seconds["POST"] < READ_SECONDS + 2 * (WRITE_SECONDS + SLACK_SECONDS)
        assert set(users.refusals) <= {"The database can't be used just now", "A request with this key is in progress"}
        await users.check()


@pytest.mark.parametrize("is_frozen", [False, True], ids=["away", "hanging"])
async def test_replicas__lose_the_database_for_longer_than_the_lease__no_run_has_two_owners(
    server: PostgresServer, url: str, tmp_path: Path, chance: random.Random, is_frozen: bool
) -> None:
    with replicas(tmp_path / "services", url) as two:
        async with users_of([one.url for one in two], tmp_path / "marks", chance) as users:
            async with users.at_work():
                await users.submit_many(BURST)
                lost = time.monotonic()
                if is_frozen:
                    server.freeze()
                else:
                    await asyncio.to_thread(server.stop, chance.choice([*Shutdown]))
                try:
                    await users.wait_unready(lost, LEASE_SECONDS + SLACK_SECONDS, "executor: this process's lease")
                    await asyncio.sleep(lost + 1.5 * LEASE_SECONDS - time.monotonic())
                finally:
                    server.thaw()
                    if not is_frozen:
                        await asyncio.to_thread(server.start)
                await users.wait_ready(time.monotonic(), READY_SECONDS)
            await users.check()


async def test_terminate__while_the_database_hangs__the_service_ends_in_time_and_the_next_goes_on(
    server: PostgresServer, url: str, make_service: MakeService, tmp_path: Path, chance: random.Random
) -> None:
    service = make_service("local", database_url=url)
    async with users_of([service.url], tmp_path / "marks", chance) as users:
        await users.submit_many(BURST)
        server.freeze()
        try:
            await asyncio.sleep(chance.uniform(0, LEASE_SECONDS / 2))  # wherever it is by then
            assert await asyncio.to_thread(service.terminate) == 0
        finally:
            server.thaw()
        await asyncio.to_thread(service.start)
        await users.check()

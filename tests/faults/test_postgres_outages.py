"""PostgreSQL restarts, crashes, and has no connection left: what was acknowledged is kept, and all goes on by itself."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from tests.faults.postgres_stand import CUT, execute, limit, own_postgres, take_all_connections
from tests.service.conftest import MakeService
from tests.support.api import api_of
from tests.support.postgres import PostgresServer, Shutdown
from tests.support.service import ServiceProcess
from tests.support.users import users_of

pytestmark = [pytest.mark.faults, pytest.mark.postgres, pytest.mark.timeout(300)]

#: Runs of three tasks that are under way when something happens.
BURST = 30
#: From an outage's end until the service says that it is over.
READY_SECONDS = 10.0
MAX_CONNECTIONS = 30
HELD_SECONDS = 6.0
START_SECONDS = 30.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL with few connections, all of which anybody may have."""
    with own_postgres(max_connections=MAX_CONNECTIONS, superuser_reserved_connections=0) as made:
        yield made


async def test_restart__fast_and_as_a_crash__all_that_was_acknowledged_ends_once(
    server: PostgresServer, url: str, make_service: MakeService, tmp_path: Path, chance: random.Random
) -> None:
    service = make_service("local", database_url=url)
    async with users_of([service.url], tmp_path / "marks", chance) as users:
        async with users.at_work():
            for how in chance.sample([*Shutdown], 2):
                await users.submit_many(BURST)
                stopping = time.monotonic()
                await asyncio.to_thread(server.stop, how)
                await users.wait_unready(stopping, READY_SECONDS, "database: it can't be read: Connection refused")
                await asyncio.to_thread(server.start)
                await users.wait_ready(time.monotonic(), READY_SECONDS)
        assert set(users.refusals) == {"The database can't be used just now"}
        await users.check()


async def test_connections__used_up_by_others__the_service_goes_on_with_those_that_it_has_and_without_any(
    server: PostgresServer, url: str, make_service: MakeService, tmp_path: Path, chance: random.Random
) -> None:
    service = make_service("local", database_url=url)
    async with users_of([service.url], tmp_path / "marks", chance) as users:
        async with users.at_work():
            await users.submit_many(BURST)
            others = await take_all_connections(server)
            held = time.monotonic()
            acknowledged = len(users.acknowledged)
            await asyncio.sleep(HELD_SECONDS)
            assert len(users.acknowledged) > acknowledged
            for other in others:
                await other.close()
            await users.wait_ready(time.monotonic(), READY_SECONDS)

            await execute(server, limit(0), CUT)
            held = time.monotonic()
            await users.wait_unready(held, READY_SECONDS, "database: it can't be read: too many connections for role")
            await asyncio.sleep(HELD_SECONDS)
            await execute(server, limit(-1))
            await users.wait_ready(time.monotonic(), READY_SECONDS)
        await users.check()


@pytest.mark.parametrize("left", [0, 2])
async def test_start__while_few_connections_are_left__ends_with_a_sentence_or_says_in_readyz_that_it_waits(
    server: PostgresServer, url: str, tmp_path: Path, left: int
) -> None:
    service = ServiceProcess(tmp_path / "service", "local", database_url=url)
    await execute(server, limit(left))
    words = 'too many connections for role "podrun"'
    try:
        service.start(wait=False)
        async with asyncio.timeout(START_SECONDS), api_of(service.url) as api:
            while service.is_running:
                with suppress(httpx.TransportError):  # it is not there yet, or has just ended
                    told = (await api.http.get(f"{service.url}/readyz")).json()
                    if told["status"] == "ok" or words in told["detail"]:
                        break
                await asyncio.sleep(0.05)
        if left == 0:
            assert service.wait_ended() == 1
            assert f"the database can't be used: {words}" in service.text()
            assert "Traceback" not in service.text()
        await execute(server, limit(-1))
        if service.is_running:
            await asyncio.to_thread(service.wait_ready, READY_SECONDS)
        else:
            await asyncio.to_thread(service.start)  # as whatever started it does
    finally:
        await asyncio.to_thread(service.close)
    assert not service.faults()

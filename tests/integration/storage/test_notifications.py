"""Wake-ups between replicas, on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from sqlalchemy import text

from app.storage.broker import Broker
from app.storage.database import PostgresDatabase, open_database
from app.storage.notifications import ALIVE_SECONDS, CHANNEL, listen

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize("query", ["", "?ssl=disable&prepared_statement_cache_size=0"])
async def test_listen__another_replica_commits__who_waits_is_woken(postgres_url: str, query: str) -> None:
    broker = Broker()
    async with open_database(postgres_url + query) as database, asyncio.TaskGroup() as group:
        assert isinstance(database, PostgresDatabase)
        listening = group.create_task(listen(database, broker), name="listen")
        with broker.subscribe("runs") as others, broker.subscribe("run:1") as subscription:
            assert await subscription.wait(10), "it wakes everybody once it listens"
            others.clear()
            subscription.clear()
            payload = {"channel": CHANNEL, "payload": "another-replica run:1"}
            await database.write(lambda connection: connection.execute(text("SELECT pg_notify(:channel, :payload)"), payload))
            assert await subscription.wait(10)
            assert not await others.wait(0)
        listening.cancel()


async def test_listen__its_connection_is_cut__it_listens_again_at_once(postgres_url: str) -> None:
    broker = Broker()
    cut = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'")
    async with open_database(postgres_url) as database, asyncio.TaskGroup() as group:
        assert isinstance(database, PostgresDatabase)
        listening = group.create_task(listen(database, broker), name="listen")
        with broker.subscribe("runs") as subscription:
            assert await subscription.wait(10)
            subscription.clear()
            assert await database.read(lambda session: session.scalar(cut))
            assert await subscription.wait(ALIVE_SECONDS / 2), "it wakes everybody once it listens again"
        listening.cancel()


def test_sender__of_a_process_that_was_forked_after_the_import__is_another() -> None:
    """Else replicas that come out of one process would take each other's wake-ups for their own."""
    script = (
        "import os\nfrom app.storage.notifications import sender\n"
        "child = os.fork()\n"
        "if child:\n    os.waitpid(child, 0)\n"
        "print(sender(), flush=True)\n"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60).stdout
    assert len(set(told.split())) == 2

"""Wake-ups between replicas: PostgreSQL's NOTIFY carries the topics that a commit woke. A lost one loses nothing.

Readers that wait also look by themselves after some time, and intents are read from the database every few seconds.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Collection
from contextlib import suppress
from typing import Any

import asyncpg
import structlog

from app.storage.broker import Broker
from app.storage.database import PostgresDatabase

CHANNEL = "podrun"
_IMPORTED = secrets.token_hex(6)
#: PostgreSQL takes payloads of less than 8,000 bytes.
PAYLOAD_LIMIT = 7900
RECONNECT_SECONDS = 2.0
#: What a database's URL may say to SQLAlchemy, not to asyncpg: its dialect takes these out before it connects.
_DIALECT_KEYS = ("async_creator_fn", "prepared_statement_cache_size", "prepared_statement_name_func")
#: How often a quiet connection is asked whether it lives.
ALIVE_SECONDS = 20.0

log = structlog.get_logger(__name__)


def sender() -> str:
    """Of this process: what it notifies itself of, it has heard already. Those that were forked after the import are others."""
    return f"{_IMPORTED}-{os.getpid()}"


def payloads(topics: Collection[str]) -> list[str]:
    """What carries the topics to the other replicas: mostly one."""
    made, payload = [], sender()
    for topic in sorted(topics):
        if len(payload) + len(topic) + 1 > PAYLOAD_LIMIT:
            made.append(payload)
            payload = sender()
        payload += " " + topic
    return [*made, payload] if topics else []


async def listen(database: PostgresDatabase, broker: Broker) -> None:
    """Publish on the broker what other replicas commit, until cancelled. Reconnects; then it wakes everybody."""
    own = sender()

    def received(_connection: object, _pid: int, _channel: str, payload: str) -> None:
        whose, *topics = payload.split(" ")
        if whose != own:
            broker.publish(topics)

    arguments = _connect_arguments(database) | {"timeout": 10, "command_timeout": 10}
    while True:
        try:
            connection: Any = await asyncpg.connect(**arguments)
            cut = asyncio.Event()
            connection.add_termination_listener(lambda _connection, cut=cut: cut.set())
            try:
                await connection.add_listener(CHANNEL, received)
                broker.publish_all()
                while True:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(ALIVE_SECONDS):
                            await cut.wait()
                    await connection.execute("SELECT 1")  # raises where the connection was cut
            finally:
                connection.terminate()
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            log.warning("listening for other replicas failed, trying again", error=type(error).__name__)
            await asyncio.sleep(RECONNECT_SECONDS)


def _connect_arguments(database: PostgresDatabase) -> dict[str, Any]:
    """What the engine would connect with: the URL's query included, such as `?ssl=require`, which asyncpg's own URLs lack."""
    _, arguments = database.engine.dialect.create_connect_args(database.url)
    return {name: value for name, value in arguments.items() if name not in _DIALECT_KEYS}

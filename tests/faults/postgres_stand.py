"""A PostgreSQL of a test's own that it may stop, crash and hold up, and what tests do with it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import asyncpg

from tests.conftest import fresh_database
from tests.support.postgres import PostgresServer
from tests.support.replicas import upgrade

#: The service's user there: limits are not for superusers.
USER = "podrun"
#: Ends all connections of the service.
CUT = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{USER}'"


def limit(connections: int) -> str:
    """Lets the service have so many connections; -1: as many as there are."""
    return f"ALTER ROLE {USER} CONNECTION LIMIT {connections}"


@contextmanager
def own_postgres(**settings: object) -> Iterator[PostgresServer]:
    """A server with these settings, and the service's user."""
    with PostgresServer.started(**settings) as server:
        asyncio.run(execute(server, f"CREATE ROLE {USER} LOGIN"))
        yield server


@contextmanager
def own_database(server: PostgresServer) -> Iterator[str]:
    """The URL of a database with podrun's tables, for the service's user."""
    with fresh_database(server) as made:
        name = made.rpartition("/")[2]
        asyncio.run(execute(server, f'ALTER DATABASE "{name}" OWNER TO {USER}', limit(-1)))
        upgrade(server.url(name, USER))
        yield server.url(name, USER)


async def connect(server: PostgresServer) -> asyncpg.Connection:
    """A connection of a superuser."""
    return await asyncpg.connect(server.url("postgres").replace("+asyncpg", ""), timeout=10)


async def execute(server: PostgresServer, *statements: str) -> None:
    """Execute these as a superuser."""
    connection = await connect(server)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


async def take_all_connections(server: PostgresServer) -> Sequence[asyncpg.Connection]:
    """All connections that nobody has."""
    taken = []
    while True:
        try:
            taken.append(await connect(server))
        except asyncpg.TooManyConnectionsError:
            assert taken
            return taken

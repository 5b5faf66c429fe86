"""The limit: a FastAPI service that does the least of what podrun does, served as podrun is.

`python -m benchmarks.api.bare_service PORT [DATABASE_URL]`. The same event loop, HTTP parser, websocket protocol, collector's
thresholds and silence as podrun's. On SQLite a row is committed as podrun commits: WAL, `synchronous=FULL`, by the
synchronous driver in one writing thread, which is faster than a driver that hops between threads for each statement. On
PostgreSQL by SQLAlchemy's asyncio and asyncpg.
"""

from __future__ import annotations

import asyncio
import gc
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

import orjson
import uvicorn
import uvloop
from fastapi import FastAPI, Header, Response, WebSocket
from pydantic import BaseModel
from sqlalchemy import Column, LargeBinary, MetaData, String, Table, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from uuid_utils import uuid7

from app.limits import raise_open_files_limit

#: As podrun sets it for itself.
GC_THRESHOLD = (10_000, 3, 600)
ROWS = Table("rows", MetaData(), Column("id", String(36), primary_key=True), Column("body", LargeBinary, nullable=False))
#: Of a list's answer.
PAGE = 100
#: Of the table `runs`.
JSON_COLUMNS = ("params", "labels", "task_phases")

Commit = Callable[[dict[str, Any]], Awaitable[None]]


class Submission(BaseModel):
    """What is posted."""

    workflow: dict[str, Any]
    params: dict[str, Any] = {}
    labels: dict[str, str] = {}


@asynccontextmanager
async def open_rows(url: str) -> AsyncIterator[Commit]:
    """A table of that database's own, and how one row of it is committed."""
    if url.startswith("postgresql"):
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(ROWS.metadata.create_all)

        async def commit(row: dict[str, Any]) -> None:
            async with engine.begin() as connection:
                await connection.execute(ROWS.insert(), row)

        yield commit
        await engine.dispose()
    else:
        with ThreadPoolExecutor(1) as writer:
            yield _sqlite_commit(url, writer)


def _sqlite_commit(url: str, writer: ThreadPoolExecutor) -> Commit:
    engine = create_engine(f"sqlite:///{make_url(url).database}", connect_args={"check_same_thread": False})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        for pragma in ("journal_mode=WAL", "synchronous=FULL"):
            connection.execute(f"PRAGMA {pragma}").close()

    ROWS.metadata.create_all(engine)

    def insert(row: dict[str, Any]) -> None:
        with engine.begin() as connection:
            connection.execute(ROWS.insert(), row)

    async def commit(row: dict[str, Any]) -> None:
        await asyncio.get_running_loop().run_in_executor(writer, insert, row)

    return commit


class Waiting:
    """Whom a POST wakes."""

    def __init__(self) -> None:
        self.event = asyncio.Event()

    def trigger(self) -> None:
        """Wake all who wait now."""
        self.event.set()
        self.event = asyncio.Event()


def create_app(url: str | None) -> FastAPI:
    """The service; without a database it takes no rows."""
    waiting = Waiting()
    kept: list[Commit] = []

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        if url is None:
            yield
            return
        async with open_rows(url) as commit:
            kept.append(commit)
            yield

    app = FastAPI(lifespan=lifespan)
    _add_rows(app, kept)
    _add_waiting(app, waiting)

    @app.get("/runs/{run_id}")
    async def get_run(run_id: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
        etag = f'W/"{run_id}.1"'
        if if_none_match == etag:
            return Response(status_code=304, headers={"ETag": etag})
        return Response(orjson.dumps({"id": run_id}), headers={"ETag": etag}, media_type="application/json")

    return app


def _add_rows(app: FastAPI, kept: list[Commit]) -> None:
    readers: dict[str, sqlite3.Connection] = {}

    def read(database: str, sql: str) -> bytes:
        if database not in readers:
            readers[database] = sqlite3.connect(database, check_same_thread=False)
            readers[database].execute("PRAGMA cache_size=-16000").close()
        found = readers[database].execute(sql)
        names = [column[0] for column in found.description]
        rows = found.fetchall()
        items = [dict(zip(names, row, strict=True)) for row in rows[:PAGE]]
        for item in items:
            item.update((name, orjson.loads(item[name])) for name in JSON_COLUMNS)
        return orjson.dumps({"items": items, "looked_at": len(rows)})

    reader = ThreadPoolExecutor(1)

    @app.post("/rows", status_code=201)
    async def post_row(row: Submission) -> Response:
        run_id = str(uuid7())
        await kept[0]({"id": run_id, "body": orjson.dumps(row.workflow)})
        return Response(orjson.dumps({"id": run_id}), 201, media_type="application/json")

    @app.get("/rows")
    async def list_rows(database: str, sql: str) -> Response:
        body = await asyncio.get_running_loop().run_in_executor(reader, read, database, sql)
        return Response(body, media_type="application/json")


def _add_waiting(app: FastAPI, waiting: Waiting) -> None:
    @app.get("/wait")
    async def wait(size: int) -> Response:
        await waiting.event.wait()
        return Response(b" " * size, media_type="application/json")

    @app.websocket("/events")
    async def events(socket: WebSocket, size: int) -> None:
        await socket.accept()
        await waiting.event.wait()
        await socket.send_text("x" * size)
        await socket.close()

    @app.post("/trigger", status_code=202)
    async def trigger() -> Response:
        waiting.trigger()
        return Response(b"{}", 202, media_type="application/json")


def main() -> None:
    """Serve until a signal."""
    gc.set_threshold(*GC_THRESHOLD)
    raise_open_files_limit()
    app = create_app(sys.argv[2] if len(sys.argv) > 2 else None)
    gc.freeze()
    config = uvicorn.Config(
        app,
        port=int(sys.argv[1]),
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        ws_ping_interval=None,
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_keep_alive=75,
    )
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(uvicorn.Server(config).serve())


if __name__ == "__main__":
    main()

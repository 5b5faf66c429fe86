"""A service of the tests' own: real database, writer and HTTP server on a free port, no executor: tests write what it would."""

from __future__ import annotations

import asyncio
import contextlib
import json
from array import array
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from app.api.app import create_api
from app.api.services import Check, Services
from app.api.sockets import HttpProtocol
from app.domain.errors import ExpressionFailed, Fault
from app.domain.events import EventType, RunEvent
from app.domain.logs import LogBlock, LogGap, LogKey
from app.logs.reader import LogReader
from app.logs.store import LogStore
from app.runs.logs import Reader, RunLogs
from app.runs.service import Runs
from app.runs.workflows import StoredWorkflows
from app.settings import Settings
from app.storage.broker import RUNS, Broker, run_topic
from app.storage.database import Database, open_database
from app.storage.logs import LogRows
from app.storage.migrate import upgrade_connection
from app.storage.models import RunRow
from app.storage.runs import (
    INSERT_ATTEMPT,
    RUN_COLUMNS,
    TASK_COLUMNS,
    UPDATE_RUN,
    UPDATE_TASK,
    find_run,
    find_task,
    insert_events,
)
from app.storage.writer import Change, Writer

API = "/api/v1"
HELLO = {
    "name": "hello",
    "tasks": [{"name": "a", "image": "python:3"}, {"name": "b", "image": "python:3", "depends_on": ["a"]}],
}


class FakePods:
    """Pods that refuse a task named `refused`."""

    kind = "local"
    namespaces: Sequence[str] = ("default", "other")

    def refuse(self, document: Mapping[str, Any]) -> list[Fault]:
        """A task of one name, in a document that may be wrong in any other way."""
        tasks = document.get("tasks")
        named = [one.get("name") if isinstance(one, dict) else None for one in tasks] if isinstance(tasks, list) else []
        return [Fault(f"/tasks/{i}/name", "is refused here") for i, name in enumerate(named) if name == "refused"]


class FakeEvaluator:
    """Knows the expressions `params.NAME`; no other has a value."""

    async def evaluate(
        self, sources: Sequence[str], context: Mapping[str, Any], items: Sequence[Any] | None = None
    ) -> list[dict[str, Any] | ExpressionFailed]:
        if items is not None:
            return [(await self.evaluate(sources, {"params": {**context["params"], "item": item}}))[0] for item in items]
        params = context["params"]
        names = {source: source.removeprefix("params.") for source in sources}
        if missing := [source for source, name in names.items() if name not in params]:
            return [ExpressionFailed(f"{missing[0]}: no such key")]
        return [{source: params[name] for source, name in names.items()}]


@dataclass
class FakeAdmission:
    """An executor that only notes what it was given."""

    owner: str | None = None
    admitted: list[tuple[str, int]] = field(default_factory=list)

    def admit(self, run_id: str, epoch: int) -> None:
        self.admitted.append((run_id, epoch))


@dataclass(kw_only=True)
class Service:
    """What a test has in hand."""

    url: str
    http: httpx.AsyncClient
    database: Database
    writer: Writer
    broker: Broker
    log_rows: LogRows
    log_store: LogStore
    stopping: asyncio.Event

    def socket(self, path: str, **options: Any) -> connect:
        options.setdefault("compression", None)
        options.setdefault("proxy", None)
        return connect(f"ws{self.url.removeprefix('http')}{API}{path}", **options)

    async def submit(self, workflow: Any = None, **headers: str) -> dict[str, Any]:
        response = await self.http.post("/runs", json={"workflow": workflow or HELLO}, headers=headers)
        assert response.status_code == 201, response.text
        run: dict[str, Any] = response.json()
        return run

    async def move_run(self, run_id: str, phase: str, *, events: Sequence[RunEvent] | None = None, **columns: Any) -> None:
        """Do what the run's owner would: move it to a phase, with its history."""
        row = await self.database.read(lambda session: find_run(session, run_id))
        assert row is not None
        now = datetime.now(UTC)
        values = {name: getattr(row, name) for name in RUN_COLUMNS} | {"phase": phase} | columns
        if events is None:
            events = [RunEvent(run_id=run_id, time=now, type=EventType.RUN, phase=phase)]
        rows = [(UPDATE_RUN, {"run_id": run_id, **values}), *insert_events(events)]
        await self.writer.commit(Change(rows=rows, topics=[run_topic(run_id), RUNS]))

    async def move_task(self, run_id: str, name: str, phase: str, **columns: Any) -> None:
        row = await self.database.read(lambda session: find_task(session, run_id, name))
        assert row is not None
        values = {column: getattr(row, column) for column in TASK_COLUMNS} | {"phase": phase} | columns
        await self.writer.commit(
            Change(rows=[(UPDATE_TASK, {"b_run_id": run_id, "b_name": name, **values})], topics=[run_topic(run_id)])
        )

    async def add_attempt(self, run_id: str, task: str, attempt: int = 1, **columns: Any) -> None:
        values = {
            "run_id": run_id, "task": task, "attempt": attempt, "phase": "Running", "reason": "", "message": "",
            "exit_code": None, "namespace": "default", "pod": f"pod-{task}-{attempt}", "pod_uid": None, "node": None,
            "is_replacement": False, "created_at": datetime.now(UTC), "started_at": None, "finished_at": None,
            "log_sealed": False, "pod_deleted": False,
        }  # fmt: skip
        await self.writer.commit(Change(rows=[(INSERT_ATTEMPT, values | columns)], topics=[run_topic(run_id)]))

    def talker(self, run_id: str, task: str, attempt: int = 1, container: str = "main") -> Talker:
        return Talker(service=self, key=LogKey(run_id, task, attempt, container))

    async def run_row(self, run_id: str) -> RunRow:
        row = await self.database.read(lambda session: find_run(session, run_id))
        assert row is not None
        return row


@dataclass(kw_only=True)
class Talker:
    """A container's log, written as a collector would."""

    service: Service
    key: LogKey
    epoch: int = 0
    log_id: int = 0
    end_byte: int = 0
    line: int = 0
    in_line: bool = False

    async def say(self, text: bytes, *, seconds: int = 1_700_000_000) -> None:
        if not self.log_id:
            self.log_id = (await self.service.log_rows.open_log(self.key, self.epoch)).log_id
        starts = text.count(b"\n") + (0 if text.endswith(b"\n") else 1) - (1 if self.in_line else 0)
        times = array("q", [seconds * 10**9 + self.line + index for index in range(starts)])
        block = LogBlock(
            first_byte=self.end_byte, text=text, first_line=self.line, times=times, continues=self.in_line,
            continued_time=seconds * 10**9 if self.in_line else 0,
        )  # fmt: skip
        await self.service.log_rows.append_block(self.key, self.log_id, self.epoch, block, None)
        self.end_byte, self.line, self.in_line = block.end_byte, self.line + starts, not text.endswith(b"\n")

    async def gap(self, reason: str) -> None:
        gap = LogGap(at_byte=self.end_byte, from_at=datetime.now(UTC), to_at=None, reason=reason)
        await self.service.log_rows.add_gap(self.key, self.log_id, self.epoch, gap)

    async def seal(self) -> None:
        if not self.log_id:
            self.log_id = (await self.service.log_rows.open_log(self.key, self.epoch)).log_id
        await self.service.log_rows.seal_log(self.key, self.log_id, self.epoch)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the test runner's


@asynccontextmanager
async def running(
    folder: Path,
    *,
    admission: FakeAdmission | None = None,
    checks: Mapping[str, Check] | None = None,
    reader: Reader | None = None,
    database_url: str | None = None,
    page_folder: Path | None = None,
    **settings: Any,
) -> AsyncIterator[Service]:
    """A service that runs as long as the block; stopped as a real one is: first `stopping`, then the server.

    Without `page_folder` its page is not built, whatever there is in the source tree.
    """
    stopping, broker = asyncio.Event(), Broker()
    made = Settings(**settings)
    url = database_url or f"sqlite+aiosqlite:///{folder}/podrun.db"
    log_store = LogStore(str(folder / "logs"))
    async with open_database(url) as database:
        await database.write(upgrade_connection)
        async with Writer(database, broker) as writer:
            log_rows = LogRows(database, writer)
            logs = RunLogs(database, broker, reader or LogReader(log_rows, log_store))

            @asynccontextmanager
            async def services() -> AsyncIterator[Services]:
                yield _services(database, writer, broker, logs, log_store, admission, checks or {})

            app = create_api(made, services, stopping, page_folder=page_folder or folder / "page")
            async with _serving(app, stopping) as address:
                token = {"Authorization": f"Bearer {made.token.get_secret_value()}"} if made.token else {}
                async with httpx.AsyncClient(base_url=address + API, headers=token, timeout=30, trust_env=False) as http:
                    yield Service(
                        url=address, http=http, database=database, writer=writer, broker=broker, log_rows=log_rows,
                        log_store=log_store, stopping=stopping,
                    )  # fmt: skip


def _services(
    database: Database,
    writer: Writer,
    broker: Broker,
    logs: RunLogs,
    log_store: LogStore,
    admission: FakeAdmission | None,
    checks: Mapping[str, Check],
) -> Services:
    pods = FakePods()
    runs = Runs(
        database=database, writer=writer, broker=broker, pods=pods, log_objects=log_store, evaluator=FakeEvaluator(),
        admission=admission,
    )  # fmt: skip
    stored = StoredWorkflows(database=database, writer=writer, pods=pods, evaluator=FakeEvaluator(), instance="test")
    return Services(
        runs=runs, logs=logs, workflows=stored, pods=pods, instance="test", database_kind=database.url.get_backend_name(),
        checks=checks,
    )  # fmt: skip


@asynccontextmanager
async def _serving(app: Any, stopping: asyncio.Event) -> AsyncIterator[str]:
    config = uvicorn.Config(
        app, port=0, http=HttpProtocol, log_level="warning", lifespan="on", ws_ping_interval=None, ws_per_message_deflate=False,
        timeout_graceful_shutdown=10,
    )  # fmt: skip
    server = _Server(config)
    failure: BaseException | None = None
    async with asyncio.TaskGroup() as group:
        serving = group.create_task(server.serve(), name="server")
        while not server.started:
            assert not serving.done(), "the server did not start"
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        except BaseException as error:  # noqa: BLE001  # the server is stopped in its own way all the same
            failure = error
        stopping.set()
        server.should_exit = True
    if failure is not None:
        raise failure


async def read_frames(socket: ClientConnection, count: int) -> list[dict[str, Any]]:
    """The next frames that are no pings."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            frame = json.loads(await socket.recv())
            if frame["type"] != "ping":
                found.append(frame)
    return found

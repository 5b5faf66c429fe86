"""The composition root: settings in, a service out. One exit stack opens everything, and closes it in the other order.

    database ─▶ writer ─▶ logs ─▶ pods ─▶ launcher ─▶ executor ─▶ use cases ─▶ scheduler ─▶ API

Closing: the API's streams end first, then the actors let go of their runs, then what they used is closed. Pods go on running.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
import uvicorn
import uvloop
from fastapi import FastAPI
from uuid_utils import uuid4, uuid7

from app import failpoints
from app.api.app import create_api
from app.api.page import NOT_BUILT, is_built
from app.api.services import Services
from app.api.sockets import HttpProtocol, WebSocketProtocol, drop_silent_clients
from app.domain.errors import AddressUnusable, DatabaseUnreachable
from app.executor.executor import Executor
from app.executor.launcher import Launcher
from app.executor.lease import Lease
from app.executor.run_actor import Environment
from app.executor.scheduler import Scheduler
from app.executor.slots import Slots
from app.expressions.evaluator import Evaluator
from app.failpoints import Action
from app.limits import raise_open_files_limit
from app.logs.collector import LogCollector
from app.logs.reader import LogReader
from app.logs.store import LogStore
from app.pods.local.backend import LocalBackend
from app.runs.logs import RunLogs
from app.runs.service import Runs
from app.runs.shared_index import SharedIndex
from app.runs.workflows import StoredWorkflows
from app.settings import PodsKind, Settings
from app.storage import migrate
from app.storage.broker import Broker
from app.storage.database import Database, PostgresDatabase, open_database
from app.storage.errors import DatabaseUnavailable
from app.storage.executors import ensure_instance
from app.storage.lock import sole_service
from app.storage.logs import LogRows
from app.storage.notifications import listen
from app.storage.sessions import end_stuck_sessions
from app.storage.writer import Writer

if TYPE_CHECKING:
    from app.pods.kubernetes.backend import KubernetesBackend

#: Streams that do not end by themselves when told to stop are cut after this.
SHUTDOWN_SECONDS = 5
#: An idle connection is kept for longer than clients and proxies in front keep theirs (5 to 60 s): were it closed here first,
#: a request just sent on it would fail, and a POST may not be sent again.
KEEP_ALIVE_SECONDS = 75
#: Long lists of small objects live long here; the default of 700 would walk them all the time. Each walk holds the event loop:
#: 10,000 new objects take 2 ms, the 40,000 of the next generation 10 to 15 ms, all there are 0.3 ms for every thousand.
GC_THRESHOLD = (10_000, 3, 600)

log = structlog.get_logger(__name__)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Services]:
    """Open everything that the settings name.

    Raises:
        PodrunError: the database does not fit this code, or another service has it.
        ValueError: a setting names something that does not exist.
    """
    async with _open_stores(settings) as stores, Evaluator() as evaluator:
        database, writer, broker, instance = stores.database, stores.writer, stores.broker, stores.instance
        backend = await _make_backend(settings, instance)
        async with _open_executor(settings, stores, backend, evaluator) as executor:
            runs = Runs(
                database=database,
                writer=writer,
                broker=broker,
                pods=backend,
                log_objects=stores.log_store,
                evaluator=evaluator,
                admission=executor,
            )
            # What it makes is run by this executor, so it comes after it, and goes before it.
            async with Scheduler(database=database, writer=writer, broker=broker, submitter=runs.submitter, pods=backend):
                yield Services(
                    runs=runs,
                    logs=RunLogs(database, broker, LogReader(SharedIndex(stores.log_rows), stores.log_store)),
                    workflows=StoredWorkflows(
                        database=database, writer=writer, pods=backend, evaluator=evaluator, instance=instance
                    ),
                    pods=backend,
                    instance=instance,
                    database_kind="sqlite" if settings.is_sqlite else "postgresql",
                    checks={"pods": backend.check, "logs": stores.log_store.check, "executor": executor.check},
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stores:
    """Where all is kept that lasts, open."""

    database: Database
    writer: Writer
    broker: Broker
    log_rows: LogRows
    log_store: LogStore
    instance: str  #: the database's own id


@asynccontextmanager
async def _open_stores(settings: Settings) -> AsyncIterator[_Stores]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(_open_database(settings))
        broker = Broker()
        writer = await stack.enter_async_context(Writer(database, broker))
        if isinstance(database, PostgresDatabase):
            await stack.enter_async_context(_background(listen(database, broker), "listen"))
            await stack.enter_async_context(_background(end_stuck_sessions(database), "sessions"))
        failpoints.before(Action.NAME_INSTANCE)
        instance = await database.write(lambda connection: ensure_instance(connection, str(uuid4())))
        failpoints.after(Action.NAME_INSTANCE)
        log_rows, log_store = LogRows(database, writer), LogStore(settings.logs_url)
        if trouble := await log_store.check():
            log.warning("the log store can't be used", logs_url=settings.logs_url, trouble=trouble)
        yield _Stores(
            database=database, writer=writer, broker=broker, log_rows=log_rows, log_store=log_store, instance=instance
        )


@asynccontextmanager
async def _open_executor(
    settings: Settings, stores: _Stores, backend: KubernetesBackend | LocalBackend, evaluator: Evaluator
) -> AsyncIterator[Executor]:
    """The executor and what it alone uses, the backend's watches among them."""
    lease = Lease(str(uuid7()), stores.writer)
    launcher = Launcher(backend, lease.guard, create_qps=settings.pod_create_qps, create_burst=settings.pod_create_burst)
    environment = Environment(
        database=stores.database,
        writer=stores.writer,
        backend=backend,
        launcher=launcher,
        slots=Slots(settings.max_parallel_pods),
        collector=LogCollector(backend, stores.log_rows, stores.log_store),
        evaluator=evaluator,
        broker=stores.broker,
        instance=stores.instance,
        namespaces=backend.namespaces,
    )
    executor = Executor(lease, environment, stores.broker, is_alone=settings.is_sqlite)
    backend.listen(executor)
    async with backend, launcher, executor:
        yield executor


@asynccontextmanager
async def _open_database(settings: Settings) -> AsyncIterator[Database]:
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(settings.database_url))
        if settings.is_sqlite:
            await stack.enter_async_context(sole_service(str(database.url.database)))
            failpoints.before(Action.MIGRATE)
            await database.write(migrate.upgrade_connection)
            failpoints.after(Action.MIGRATE)
        else:
            try:
                await database.write(migrate.check)
            except DatabaseUnavailable as error:
                url = database.url.render_as_string(hide_password=True)
                raise DatabaseUnreachable(url, str(error)) from error
        yield database


async def _make_backend(settings: Settings, instance: str) -> KubernetesBackend | LocalBackend:
    if settings.pods_kind() is PodsKind.LOCAL:
        return LocalBackend(Path(settings.local_pods_dir), instance, settings.namespaces or ("default",))
    from app.pods.kubernetes.backend import KubernetesBackend  # noqa: PLC0415 - it costs most of a second and 70 MB

    return await KubernetesBackend.open(instance=instance, namespaces=settings.namespaces)


@asynccontextmanager
async def _background(coroutine: Any, name: str) -> AsyncIterator[None]:
    """Run the coroutine beside the block, and end it with the block."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(coroutine, name=name)
        try:
            yield
        finally:
            running.cancel()


def create_app(settings: Settings) -> FastAPI:
    """The service as an ASGI app, for a server of the caller's own; its lifespan opens and closes everything."""
    return create_api(settings, lambda: open_services(settings), asyncio.Event())


class _Server(uvicorn.Server):
    """uvicorn, which tells our streams to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, stopping: asyncio.Event, *, catch_signals: bool) -> None:
        super().__init__(config)
        self._stopping, self._catch_signals = stopping, catch_signals
        self.was_interrupted = False

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop on SIGTERM and SIGINT, once; uvicorn would raise the signal again after that, and so never end with 0."""
        if not self._catch_signals:
            yield
            return
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signum, self.stop, signum)
        try:
            yield
        finally:
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(signum)

    def stop(self, signum: int = signal.SIGTERM) -> None:
        """Stop: streams end first, a second SIGINT cuts them. In the event loop's thread."""
        self.was_interrupted = self.was_interrupted or signum == signal.SIGINT
        self._stopping.set()
        self.handle_exit(signum, None)


def _make_server(settings: Settings, services: Services, *, catch_signals: bool) -> _Server:
    stopping = asyncio.Event()

    @asynccontextmanager
    async def opened() -> AsyncIterator[Services]:
        yield services

    config = uvicorn.Config(
        create_api(settings, opened, stopping),
        http=HttpProtocol,
        ws=WebSocketProtocol,
        ws_per_message_deflate=False,
        ws_max_size=65_536,
        ws_ping_interval=None,  # the streams have pings and a limit of their own: a slow reader is not cut as a dead one
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="on",
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
    return _Server(config, stopping, catch_signals=catch_signals)


def configure_logging() -> None:
    """One line of logfmt an event, on standard error."""
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def listening_socket(settings: Settings) -> socket.socket:
    """The socket that the settings name. Raises AddressUnusable."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server((settings.host, settings.port), family=family, backlog=2048)
    except OSError as error:
        raise AddressUnusable(settings.host, settings.port, error.strerror or str(error)) from error
    drop_silent_clients(listening)
    return listening


def url_of(listening: socket.socket) -> str:
    """The address by which the service is called on this machine."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Pods go on running.

    Raises:
        PodrunError, ValueError, OSError: it could not start; the message says why.
        KeyboardInterrupt: it was stopped by SIGINT.
    """
    configure_logging()
    gc.set_threshold(*GC_THRESHOLD)
    raise_open_files_limit()
    for name in Settings.unknown_variables():
        log.warning("this variable is no setting of podrun's, is it misspelt?", variable=name)
    with listening_socket(settings) as listening, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if runner.run(_serve(settings, listening)):
            raise KeyboardInterrupt


async def _serve(settings: Settings, listening: socket.socket) -> bool:
    """Whether SIGINT ended it. The services are opened first, so that what is wrong with them is told as it is."""
    async with open_services(settings) as services:
        gc.freeze()
        kind = settings.pods_kind()
        where = "processes of this machine" if kind is PodsKind.LOCAL else "the cluster"
        print(f"podrun serves {url_of(listening)}; pods: {kind} ({where})", file=sys.stderr, flush=True)  # noqa: T201 - for people
        if not is_built():
            print(NOT_BUILT, file=sys.stderr, flush=True)  # noqa: T201 - as above
        server = _make_server(settings, services, catch_signals=True)
        await server.serve(sockets=[listening])
        return server.was_interrupted


@asynccontextmanager
async def running_service(settings: Settings) -> AsyncIterator[str]:
    """A service in this process and event loop, for as long as the block runs; gives its URL. Signals are the caller's.

    Raises:
        PodrunError, ValueError, OSError: it could not start; the message says why.
    """
    raise_open_files_limit()
    with listening_socket(settings) as listening:
        async with open_services(settings) as services, asyncio.TaskGroup() as group:
            server = _make_server(settings, services, catch_signals=False)
            serving = group.create_task(server.serve(sockets=[listening]), name="server")
            try:
                yield url_of(listening)
            finally:
                server.stop()
                await asyncio.wait([serving])  # before the group, which would cancel it

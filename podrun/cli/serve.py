"""`serve`, `run` and `db upgrade`: the only commands that need the server's packages, which are imported when one is called."""

# ruff: noqa: PLC0415 (so that everything else works without them)

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from podrun.cli.documents import UnreadableDocument, read_document
from podrun.cli.escape import plain
from podrun.cli.output import note
from podrun.cli.params import LabelsOption, ParamsOption, read_pairs, read_params
from podrun.cli.runtime import Code, OutputFormat, OutputOption, TimeoutOption, complain, first_error
from podrun.cli.submitting import FileArgument, follow_run
from podrun.client import AsyncClient
from podrun.errors import ClientError

if TYPE_CHECKING:
    from app.settings import Settings

_CANNOT_SERVE = 1

DatabaseOption = Annotated[
    str | None, typer.Option("--database-url", metavar="URL", help="PODRUN_DATABASE_URL: SQLite or PostgreSQL.")
]
PodsOption = Annotated[
    str | None, typer.Option("--pods", metavar="KIND", help="PODRUN_PODS: kubernetes, local, or auto (the default).")
]


def serve(
    database_url: DatabaseOption = None,
    logs_url: Annotated[
        str | None, typer.Option("--logs-url", metavar="URL", help="PODRUN_LOGS_URL: a folder or bucket.")
    ] = None,
    pods: PodsOption = None,
    namespaces: Annotated[
        str | None, typer.Option("--namespaces", metavar="NAMES", help="PODRUN_NAMESPACES: where pods may run, with commas.")
    ] = None,
    local_pods_dir: Annotated[
        str | None, typer.Option("--local-pods-dir", metavar="FOLDER", help="PODRUN_LOCAL_PODS_DIR: local pods' files.")
    ] = None,
    max_parallel_pods: Annotated[
        int | None,
        typer.Option("--max-parallel-pods", metavar="NUMBER", help="PODRUN_MAX_PARALLEL_PODS: of the whole service."),
    ] = None,
    pod_create_qps: Annotated[
        float | None, typer.Option("--pod-create-qps", metavar="NUMBER", help="PODRUN_POD_CREATE_QPS: pods created per second.")
    ] = None,
    pod_create_burst: Annotated[
        int | None,
        typer.Option("--pod-create-burst", metavar="NUMBER", help="PODRUN_POD_CREATE_BURST: before that holds back."),
    ] = None,
    host: Annotated[str | None, typer.Option("--host", help="PODRUN_HOST: the address to listen on.")] = None,
    port: Annotated[int | None, typer.Option("--port", help="PODRUN_PORT: 0 takes a free one.")] = None,
    allowed_hosts: Annotated[
        str | None, typer.Option("--allowed-hosts", metavar="NAMES", help="PODRUN_ALLOWED_HOSTS: names it may be called by.")
    ] = None,
    token: Annotated[
        str | None,
        typer.Option("--token", help="PODRUN_TOKEN: better set there, where other users of the machine can't read it."),
    ] = None,
) -> None:
    """Run the service. A flag goes before its variable in the environment."""
    given = {name: value for name, value in locals().items() if value is not None}
    with _server_packages():
        from app.main import serve as serve_app
    settings = _settings(**given)
    with _refusals(_CANNOT_SERVE):
        serve_app(settings)


def run(
    file: FileArgument,
    param: ParamsOption = None,
    label: LabelsOption = None,
    pods: PodsOption = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep database and logs, and say where they are.")] = False,
    timeout: TimeoutOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Run a workflow without a service elsewhere: a service of its own, the run and its logs, in one process.

    Ctrl-C cancels the run and waits for it to end; a second one leaves at once.
    """
    with _server_packages():
        _only_warnings()
    folder = Path(tempfile.mkdtemp(prefix="podrun-"))
    given: dict[str, Any] = {} if pods is None else {"pods": pods}
    try:
        settings = _settings(
            **given,
            database_url=f"sqlite+aiosqlite:///{folder / 'podrun.db'}",
            logs_url=str(folder / "logs"),
            local_pods_dir=str(folder / "pods"),
            host="127.0.0.1",
            port=0,
            allowed_hosts="127.0.0.1",
            # Loopback is open to every user of the machine, and this service starts processes.
            token=secrets.token_urlsafe(32),
        )
        with _refusals(Code.UNREACHABLE):
            code = _run_once(settings, file, param, label, timeout, as_json=output is OutputFormat.JSON)
    finally:
        if keep:
            note(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    raise typer.Exit(code)


def db_upgrade(database_url: DatabaseOption = None) -> None:
    """Bring the database to the schema of this version. Safe to call again."""
    given: dict[str, Any] = {} if database_url is None else {"database_url": database_url}
    with _server_packages():
        from app.storage.migrate import upgrade
    # The address to listen on is of no account here, and must not be refused.
    settings = _settings(**given, check_pods=False, host="127.0.0.1")
    with _refusals(_CANNOT_SERVE):
        upgrade(settings.database_url)


def _run_once(
    settings: Settings,
    file: str,
    params: list[str] | None,
    labels: list[str] | None,
    timeout_seconds: float | None,
    *,
    as_json: bool,
) -> int:
    from app.main import running_service

    document = None
    try:
        written = read_pairs("-p", params)
        document = read_document(file)
        submission = Submission(document.content, read_params(written, document.value()), read_pairs("--label", labels))
        service, token = running_service(settings), settings.token.get_secret_value() if settings.token else None
        return asyncio.run(run_in(service, token, submission, timeout_seconds, as_json=as_json))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return Code.INTERRUPTED
    except SystemExit:
        # How uvicorn says that the service could not start; the service's log says why. Its 3 would read as "cancelled".
        return Code.UNREACHABLE
    except (ClientError, UnreadableDocument) as exc:
        return complain(exc, document)


@dataclass(frozen=True, slots=True)
class Submission:
    """What to run."""

    content: bytes  #: the workflow's JSON
    params: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)


async def run_in(
    service: AbstractAsyncContextManager[str],
    token: str | None,
    submission: Submission,
    timeout_seconds: float | None,
    *,
    as_json: bool,
) -> int:
    """Run one workflow in a service that lives as long, and return the exit code.

    Args:
        service: Gives the service's address, and ends it.
        token: The service's token.
        submission: The workflow, and what goes with it.
        timeout_seconds: When to cancel the run; None: never.
        as_json: Print JSON lines.
    """
    failure: ClientError | None = None
    async with service as url, AsyncClient(url, token=token) as client:
        try:
            with first_error():
                code = await _run_to_its_end(client, submission, timeout_seconds, as_json=as_json)
        except ClientError as exc:
            # Raised through the service it would cut the service short instead of letting it close.
            failure = exc
    if failure is not None:
        raise failure
    return code


async def _run_to_its_end(client: AsyncClient, submission: Submission, timeout_seconds: float | None, *, as_json: bool) -> int:
    run = await client.submit(submission.content, params=submission.params, labels=submission.labels)
    run_id = run["id"]
    async with asyncio.TaskGroup() as group:
        stop = _Stop(client, run_id, group)
        with stop.on_signals(timeout_seconds):
            code = await follow_run(client, run_id, as_json=as_json, answerable=False)
    return code if stop.code is None else stop.code


class _Stop:
    """What ends a run early: the first signal, or the timeout, cancels it and lets it end; a second signal leaves."""

    def __init__(self, client: AsyncClient, run_id: str, group: asyncio.TaskGroup) -> None:
        self._client, self._run_id, self._group = client, run_id, group
        self._follower = asyncio.current_task()
        self.code: Code | None = None  #: the exit code, once the run was ended early

    @contextlib.contextmanager
    def on_signals(self, timeout_seconds: float | None) -> Iterator[None]:
        """Take Ctrl-C, SIGTERM and the timeout."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self._signalled, Code.INTERRUPTED)
        loop.add_signal_handler(signal.SIGTERM, self._signalled, Code.TERMINATED)
        timer = None if timeout_seconds is None else loop.call_later(timeout_seconds, self._timed_out, timeout_seconds)
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            loop.remove_signal_handler(signal.SIGINT)
            loop.remove_signal_handler(signal.SIGTERM)

    def _signalled(self, code: Code) -> None:
        if self.code is None:
            note("cancelling the run; once more to leave at once")
            self._end(code, "interrupted")
        elif self._follower is not None:
            self._follower.cancel()

    def _timed_out(self, seconds: float) -> None:
        if self.code is None:
            note(f"not finished after {seconds:g} s: cancelling the run")
            self._end(Code.TIMEOUT, f"podrun run --timeout {seconds:g}")

    def _end(self, code: Code, reason: str) -> None:
        self.code = code
        self._group.create_task(self._cancel(reason), name="cancel")

    async def _cancel(self, reason: str) -> None:
        await self._client.cancel(self._run_id, reason=reason)


def _settings(*, check_pods: bool = True, **given: Any) -> Settings:
    """Make the settings out of flags and environment.

    Raises:
        typer.Exit: They are not valid; every fault has been printed.
    """
    with _server_packages():
        from pydantic import ValidationError

        from app.settings import Settings
    try:
        settings = Settings(**given)
        if check_pods:
            settings.pods_kind()
    except ValidationError as exc:
        for error in exc.errors(include_url=False, include_input=False, include_context=False):
            name = "".join(f"PODRUN_{part}: " for part in error["loc"]).upper()
            note(name + plain(error["msg"].removeprefix("Value error, ")))
        raise typer.Exit(Code.USAGE) from exc
    except ValueError as exc:
        note(plain(str(exc)))
        raise typer.Exit(Code.USAGE) from exc
    return settings


def _only_warnings() -> None:
    """Keep the log of a service in this process off standard output, which has the run's, and short."""
    import structlog

    from app.main import configure_logging

    configure_logging()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))


@contextlib.contextmanager
def _server_packages() -> Iterator[None]:
    """Import them. A missing one becomes a sentence that says what to install.

    What is imported stays, so that looking for garbage meanwhile would be a fifth of the time until the service is ready.
    """
    gc.disable()
    try:
        yield
    except ModuleNotFoundError as exc:
        note(f"this needs the server's packages ({exc.name} is missing): pip install 'podrun[server]'")
        raise typer.Exit(Code.USAGE) from exc
    finally:
        gc.enable()


@contextlib.contextmanager
def _refusals(code: int) -> Iterator[None]:
    """Turn what keeps a service from starting into a sentence: its own refusals, the database's, the system's."""
    from sqlalchemy.exc import SQLAlchemyError

    from app.domain.errors import PodrunError

    try:
        yield
    except SQLAlchemyError as exc:
        note(f"the database can't be used: {plain(str(getattr(exc, 'orig', None) or exc))}")
        raise typer.Exit(code) from exc
    except (PodrunError, OSError, ValueError, RuntimeError) as exc:
        note(plain(str(exc)))
        raise typer.Exit(code) from exc

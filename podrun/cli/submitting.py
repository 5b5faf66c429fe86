"""`submit` and `wait`, and what they share with `run`: following a run to its end."""

from __future__ import annotations

import asyncio
import sys
import uuid
from contextlib import aclosing
from typing import Annotated

import typer

from podrun.cli.documents import read_document, split_version, stored_name
from podrun.cli.escape import plain
from podrun.cli.loglines import LinePrinter
from podrun.cli.output import note, print_document, print_item, print_line
from podrun.cli.params import LabelsOption, ParamsOption, read_pairs, read_params
from podrun.cli.progress import print_transitions, watch
from podrun.cli.report import report
from podrun.cli.runtime import (
    Code,
    OutputFormat,
    OutputOption,
    ServerOption,
    Session,
    TimeoutOption,
    code_of,
    complain,
    execute,
    first_error,
    worst,
)
from podrun.client import AsyncClient
from podrun.errors import ClientError
from podrun.types import Run

FileArgument = Annotated[str, typer.Argument(metavar="FILE", help="The workflow, JSON or YAML; - is standard input.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until the run is finished, and exit with its outcome.")]
FollowOption = Annotated[bool, typer.Option("--follow", help="Print the run's logs as they come, and exit with its outcome.")]


def submit(
    workflow: Annotated[
        str,
        typer.Argument(
            metavar="FILE|NAME[@VERSION]",
            help="The workflow. What is -, ends in .json, .yaml or .yml, has a / in it or is there as a file is a FILE (see "
            "`run`); anything else is the name of a stored workflow.",
        ),
    ],
    param: ParamsOption = None,
    label: LabelsOption = None,
    wait: WaitOption = False,
    follow: FollowOption = False,
    timeout: TimeoutOption = None,
    idempotency_key: Annotated[
        str | None,
        typer.Option(
            "--idempotency-key", metavar="KEY", help="The same key with the same request gives the same run, for 24 hours."
        ),
    ] = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Submit a workflow and print its run's id."""
    key = idempotency_key if idempotency_key is not None else str(uuid.uuid4())
    session = Session(server=server, timeout_seconds=timeout, idempotency_key=key)
    as_json = output is OutputFormat.JSON

    async def work(client: AsyncClient) -> int:
        run = await _submitted(client, session, workflow, param, label)
        if not (wait or follow):
            print_document(run) if as_json else print_line(plain(run["id"]))
            return Code.SUCCEEDED
        if not as_json:
            note(f"run {plain(run['id'])} submitted{_where(client, run)}")
        return await (follow_run if follow else wait_for_run)(client, run["id"], as_json=as_json)

    execute(session, work)


async def _submitted(
    client: AsyncClient, session: Session, workflow: str, param: list[str] | None, label: list[str] | None
) -> Run:
    """The run that is there now; the session knows it, and the document if it was a file's."""
    labels, written = read_pairs("--label", label), read_pairs("-p", param)
    sent: bytes | str
    if name := stored_name(workflow):
        sent = name
        declared = await _stored_document(client, name) if written else None
    else:
        session.document = read_document(workflow)
        sent = session.document.content
        declared = session.document.value()
    params = read_params(written, declared)
    run = await client.submit(sent, params=params, labels=labels, idempotency_key=session.idempotency_key)
    session.runs.append(run["id"])
    return run


def _where(client: AsyncClient, run: Run) -> str:
    """Where a person looks at the run: a CI job's log then leads to its page. Nothing where the server names none."""
    page = run.get("links", {}).get("page")
    return f": {plain(client.server + page)}" if page else ""


def wait(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")],
    timeout: TimeoutOption = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Wait until runs are finished, and exit with the worst outcome of all."""
    run_ids = list(dict.fromkeys(runs))
    session = Session(server=server, timeout_seconds=timeout, runs=run_ids)
    as_json = output is OutputFormat.JSON

    async def work(client: AsyncClient) -> int:
        if len(run_ids) == 1:
            return await wait_for_run(client, run_ids[0], as_json=as_json)
        return await _wait_for_runs(client, run_ids, as_json=as_json)

    execute(session, work)


async def _stored_document(client: AsyncClient, name: str) -> object:
    bare, version = split_version(name)
    return (await client.get_workflow(bare, version=version)).get("document")


async def wait_for_run(client: AsyncClient, run_id: str, *, as_json: bool, since: str | None = None) -> int:
    """Wait for one run, showing how it goes on (of what was before `since` nothing), and say how it ended."""
    if as_json:
        run = await client.wait(run_id)
        print_document(run)
    else:
        run = await watch(client, run_id, since=since)
        await report(client, run, out=sys.stdout, with_logs=True)
    return code_of(run.get("phase"))


async def follow_run(
    client: AsyncClient,
    run_id: str,
    *,
    as_json: bool,
    cursor: str | None = None,
    since: str | None = None,
    answerable: bool = True,
) -> int:
    """Print a run's logs to their end, troubles on standard error beside them, and say how it ended.

    Lines up to `cursor` and troubles before the time `since` are left out. `answerable`: see `print_transitions`.
    """
    printer = LinePrinter(prefix=True, as_json=as_json)

    async def follow_logs() -> None:
        async with aclosing(client.logs(run_id, follow=True, cursor=cursor)) as items:
            async for item in items:
                printer.take(item)

    with first_error():
        async with asyncio.TaskGroup() as streams:
            streams.create_task(follow_logs(), name="logs")
            if not as_json:
                # A task that can't start says nothing in the log: its reason must be seen all the same.
                troubles = print_transitions(
                    client, run_id, out=sys.stderr, only_troubles=True, since=since, answerable=answerable
                )
                streams.create_task(troubles, name="events")
    run = await client.wait(run_id)
    if as_json:
        print_item({"type": "run", **run})
    else:
        await report(client, run, out=sys.stderr, with_logs=False)
    return code_of(run.get("phase"))


async def _wait_for_runs(client: AsyncClient, run_ids: list[str], *, as_json: bool) -> int:
    codes: dict[str, int] = {}
    ended: dict[str, Run] = {}
    # More connections than the pool has would make the polls wait for each other.
    places = asyncio.Semaphore(50)

    async def wait_for(run_id: str) -> None:
        try:
            async with places:
                run = await client.wait(run_id)
            if not as_json:
                await report(client, run, out=sys.stdout, with_logs=True)
        except ClientError as exc:
            # One wrong id must not hide how the others end.
            codes[run_id] = complain(exc)
        else:
            ended[run_id] = run
            codes[run_id] = code_of(run.get("phase"))

    async with asyncio.TaskGroup() as waiters:
        for run_id in run_ids:
            waiters.create_task(wait_for(run_id), name=f"wait {run_id}")
    if as_json:
        print_document({"items": [ended[run_id] for run_id in run_ids if run_id in ended]})
    troubles = [code for code in codes.values() if code in {Code.USAGE, Code.UNREACHABLE}]
    return max(troubles) if troubles else worst(codes.values())

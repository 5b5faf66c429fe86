"""`logs` and `events`."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated

import typer

from podrun.cli.loglines import LinePrinter
from podrun.cli.output import print_item, print_line
from podrun.cli.progress import event_line
from podrun.cli.runtime import (
    Code,
    OutputFormat,
    OutputOption,
    RunArgument,
    ServerOption,
    Session,
    TimeoutOption,
    code_of,
    execute,
)
from podrun.client import AsyncClient
from podrun.types import LogItem

FollowOption = Annotated[bool, typer.Option("-f", "--follow", help="Go on to the end, and exit with the outcome.")]


def logs(
    run: RunArgument,
    task: Annotated[str | None, typer.Argument(metavar="[TASK]", help="One task; all tasks by default.")] = None,
    follow: FollowOption = False,
    attempt: Annotated[
        str | None, typer.Option("--attempt", metavar="NUMBER", help="An attempt, or all; the last by default.")
    ] = None,
    container: Annotated[
        str | None,
        typer.Option(
            "--container",
            metavar="NAME",
            help="A container (also of init containers and sidecars), or * for all; main by default.",
        ),
    ] = None,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="LINES", help="Only this many lines from the end.")
    ] = None,
    grep: Annotated[str | None, typer.Option("--grep", metavar="TEXT", help="Only lines that hold this text.")] = None,
    timestamps: Annotated[bool, typer.Option("--timestamps", help="Print each line's time before it.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The bytes as they were written, escape sequences and all.")] = False,
    timeout: TimeoutOption = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Print the log of a run or of one of its tasks. Of all escape sequences in it only colours are let through."""
    if raw and (output is OutputFormat.JSON or timestamps or grep):
        raise typer.BadParameter("--raw prints bytes: it goes with neither -o json nor --timestamps nor --grep")
    session = Session(server=server, timeout_seconds=timeout, runs=[run] if follow else [])

    async def work(client: AsyncClient) -> int:
        if raw:
            return await _print_bytes(client, run, task, follow=follow, attempt=attempt, container=container, tail=tail)
        many = task is None or container == "*"
        printer = LinePrinter(prefix=many, timestamps=timestamps, as_json=output is OutputFormat.JSON, flush=follow)
        items = client.logs(run, task, follow=follow, attempt=attempt, container=container, tail=tail, grep=grep)
        return await _print_lines(printer, items)

    execute(session, work)


async def _print_lines(printer: LinePrinter, items: AsyncGenerator[LogItem, None]) -> int:
    """Print a log; gives the exit code for the phase that its end names."""
    code = Code.SUCCEEDED
    async with aclosing(items):
        async for item in items:
            printer.take(item)
            if item.get("type") == "end":
                code = code_of(item.get("phase"))
    printer.close()
    return code


async def _print_bytes(
    client: AsyncClient,
    run: str,
    task: str | None,
    *,
    follow: bool,
    attempt: str | None,
    container: str | None,
    tail: int | None,
) -> int:
    pieces = client.log_bytes(run, task, follow=follow, attempt=attempt, container=container, tail=tail)
    async with aclosing(pieces):
        async for piece in pieces:
            sys.stdout.buffer.write(piece)
            if follow:
                sys.stdout.buffer.flush()
    sys.stdout.buffer.flush()
    if not follow:
        return Code.SUCCEEDED
    phase = (await client.wait(run)).get("phase") if task is None else (await client.get_task(run, task)).get("phase")
    return code_of(phase)


def events(
    run: RunArgument,
    follow: FollowOption = False,
    tail: Annotated[
        int | None, typer.Option("--tail", min=0, metavar="ENTRIES", help="Only this many entries from the end.")
    ] = None,
    timeout: TimeoutOption = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Print a run's history: each change of a phase, and what the cluster said of its pods."""
    session = Session(server=server, timeout_seconds=timeout, runs=[run] if follow else [])

    async def work(client: AsyncClient) -> int:
        code = Code.SUCCEEDED
        async with aclosing(client.events(run, follow=follow, tail=tail)) as history:
            async for event in history:
                if event.get("type") == "end":
                    code = code_of(event.get("phase"))
                elif output is OutputFormat.JSON:
                    print_item(event)
                else:
                    print_line(event_line(event))
        return code

    execute(session, work)

"""`retry`, `suspend`, `resume`, `approve` and `reject`: what a person asks of a run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Annotated

import typer

from podrun.cli.escape import plain
from podrun.cli.output import note, paint, print_document, print_line
from podrun.cli.runs import RunArguments, for_each
from podrun.cli.runtime import Code, OutputFormat, OutputOption, RunArgument, ServerOption, Session, TimeoutOption, execute
from podrun.cli.submitting import FollowOption, WaitOption, follow_run, wait_for_run
from podrun.client import AsyncClient
from podrun.types import Run

TaskArgument = Annotated[str, typer.Argument(metavar="TASK", help="The task that waits for approval.")]
CommentOption = Annotated[str | None, typer.Option("--comment", metavar="TEXT", help="A sentence that the run will keep.")]


def retry(
    run: RunArgument,
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[TASK...]",
            help="Tasks to run once more, with what is downstream: names (of `foreach` tasks all items), or items such as "
            "work.3. By default what failed.",
        ),
    ] = None,
    wait: WaitOption = False,
    follow: FollowOption = False,
    timeout: TimeoutOption = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Run what failed of a finished run once more, with what is downstream of it, in the same run, as new attempts."""
    session = Session(server=server, timeout_seconds=timeout)
    as_json = output is OutputFormat.JSON

    async def work(client: AsyncClient) -> int:
        cursor = await _last_cursor(client, run) if follow else None
        found = await client.retry(run, tasks or None)
        if not (wait or follow):
            print_document(found) if as_json else print_line(f"run {plain(found.get('id'))} is retried")
            return Code.SUCCEEDED
        session.runs.append(run)
        if not as_json:
            note(f"run {plain(run)} is retried")
        since = found.get("retried_at")
        if follow:
            return await follow_run(client, run, as_json=as_json, cursor=cursor, since=since)
        return await wait_for_run(client, run, as_json=as_json, since=since)

    execute(session, work)


async def _last_cursor(client: AsyncClient, run_id: str) -> str | None:
    """Where the log of a run ends now; None: there is none."""
    cursor = None
    async with aclosing(client.logs(run_id, tail=1)) as items:
        async for item in items:
            cursor = item.get("cursor") or cursor
    return cursor


def suspend(runs: RunArguments, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Let nothing new of runs start until they are resumed. What runs goes on."""
    _ask_each(runs, server, output, "is suspended", lambda client, run_id: client.suspend(run_id))


def resume(runs: RunArguments, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Let suspended runs go on."""
    _ask_each(runs, server, output, "is resumed", lambda client, run_id: client.resume(run_id))


def approve(
    run: RunArgument,
    task: TaskArgument,
    comment: CommentOption = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Say yes to a task that waits for approval: it succeeds, and the run goes on."""
    _answer(server, output, f"{plain(task)} is approved", lambda client: client.approve(run, task, comment=comment))


def reject(
    run: RunArgument,
    task: TaskArgument,
    comment: CommentOption = None,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Say no to a task that waits for approval: it fails."""
    _answer(server, output, f"{plain(task)} is rejected", lambda client: client.reject(run, task, comment=comment))


def _answer(server: str | None, output: OutputFormat, said: str, ask: Callable[[AsyncClient], Awaitable[object]]) -> None:
    async def work(client: AsyncClient) -> int:
        answer = await ask(client)
        print_document(answer) if output is OutputFormat.JSON else print_line(said)
        return Code.SUCCEEDED

    execute(Session(server=server), work)


def _ask_each(
    runs: list[str],
    server: str | None,
    output: OutputFormat,
    done: str,
    ask: Callable[[AsyncClient, str], Awaitable[Run]],
) -> None:
    async def work(client: AsyncClient) -> int:
        answers: list[Run] = []

        async def ask_one(run_id: str) -> None:
            run = await ask(client, run_id)
            answers.append(run)
            if output is OutputFormat.TEXT:
                print_line(f"run {plain(run.get('id'))} {done} ({paint(plain(run.get('phase')))})")

        code = await for_each(runs, ask_one)
        if output is OutputFormat.JSON:
            print_document(answers[0] if len(answers) == 1 else {"items": answers})
        return code

    execute(Session(server=server), work)

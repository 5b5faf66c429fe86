"""`list`, `get`, `cancel` and `delete`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

import typer

from podrun.cli.escape import plain
from podrun.cli.output import duration, paint, print_columns, print_document, print_line, why
from podrun.cli.runtime import Code, OutputFormat, OutputOption, RunArgument, ServerOption, Session, complain, execute
from podrun.client import AsyncClient
from podrun.errors import ProblemError
from podrun.types import Run, Task

RunArguments = Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")]


def list_runs(
    phase: Annotated[list[str] | None, typer.Option("--phase", help="Only runs in this phase; may be repeated.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", help="Only runs of the workflow of this name.")] = None,
    label_selector: Annotated[
        str | None, typer.Option("-l", "--label-selector", metavar="SELECTOR", help="As kubectl's: team=a,tier!=b.")
    ] = None,
    created_after: Annotated[str | None, typer.Option("--created-after", metavar="TIME", help="RFC 3339.")] = None,
    created_before: Annotated[str | None, typer.Option("--created-before", metavar="TIME", help="RFC 3339.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, help="How many at most.")] = 50,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """List runs, newest first."""

    async def work(client: AsyncClient) -> int:
        found = client.list_runs(
            phases=phase or (),
            workflow=workflow,
            label_selector=label_selector,
            created_after=created_after,
            created_before=created_before,
            limit=limit,
        )
        runs = [run async for run in found]
        if output is OutputFormat.JSON:
            print_document({"items": runs})
        else:
            print_columns([("RUN", "WORKFLOW", "PHASE", "CREATED", "TIME", "WHY"), *map(_run_row, runs)], phase_column=2)
        return Code.SUCCEEDED

    execute(Session(server=server), work)


def get(run: RunArgument, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Show a run and its tasks."""

    async def work(client: AsyncClient) -> int:
        found = await client.get_run(run)
        tasks = [task async for task in client.list_tasks(run)]
        if output is OutputFormat.JSON:
            print_document({**found, "tasks": tasks})
            return Code.SUCCEEDED
        print_line(f"run       {plain(found.get('id'))}")
        print_line(f"workflow  {plain(found.get('workflow'))}")
        print_line(f"phase     {paint(plain(found.get('phase')))}" + ("" if found.get("is_finished") else " (not finished)"))
        print_line(f"created   {plain(found.get('created_at'))}")
        print_line(f"time      {duration(found.get('started_at'), found.get('finished_at'))}".rstrip())
        if reason := why(found):
            print_line(f"why       {reason}")
        print_line("")
        print_columns([("TASK", "PHASE", "ATTEMPT", "EXIT", "TIME", "POD", "WHY"), *map(_task_row, tasks)], phase_column=1)
        return Code.SUCCEEDED

    execute(Session(server=server), work)


def cancel(
    runs: RunArguments,
    reason: Annotated[str | None, typer.Option("--reason", help="A sentence that the run will keep.")] = None,
    force: Annotated[bool, typer.Option("--force", help="End at once, without the tasks that would run on exit.")] = False,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Cancel runs: their pods are deleted. Cancelling again, or a finished run, changes nothing."""

    async def work(client: AsyncClient) -> int:
        cancelled: list[Run] = []

        async def cancel_one(run_id: str) -> None:
            run = await client.cancel(run_id, reason=reason, force=force)
            cancelled.append(run)
            if output is OutputFormat.TEXT:
                print_line(f"run {plain(run.get('id'))} {paint(plain(run.get('phase')))}")

        code = await _for_each(runs, cancel_one)
        if output is OutputFormat.JSON:
            print_document(cancelled[0] if len(cancelled) == 1 else {"items": cancelled})
        return code

    execute(Session(server=server), work)


def delete(runs: RunArguments, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Delete finished runs, with their history and logs."""

    async def work(client: AsyncClient) -> int:
        deleted: list[str] = []

        async def delete_one(run_id: str) -> None:
            await client.delete(run_id)
            deleted.append(run_id)
            if output is OutputFormat.TEXT:
                print_line(f"run {plain(run_id)} deleted")

        code = await _for_each(runs, delete_one)
        if output is OutputFormat.JSON:
            print_document({"deleted": deleted})
        return code

    execute(Session(server=server), work)


async def _for_each(runs: Iterable[str], act: Callable[[str], Awaitable[None]]) -> Code:
    """Do the same to each run: one that is refused is complained of, and does not keep the others from theirs."""
    code = Code.SUCCEEDED
    for run_id in dict.fromkeys(runs):
        try:
            await act(run_id)
        except ProblemError as exc:
            code = max(code, complain(exc))
    return code


def _run_row(run: Run) -> tuple[str, ...]:
    return (
        plain(run.get("id")),
        plain(run.get("workflow")),
        plain(run.get("phase")),
        plain(run.get("created_at")),
        duration(run.get("started_at"), run.get("finished_at")),
        why(run),
    )


def _task_row(task: Task) -> tuple[str, ...]:
    attempts = task.get("attempts") or []
    last = attempts[-1] if attempts else {}
    exit_code = last.get("exit_code")
    return (
        plain(task.get("name")),
        plain(task.get("phase")),
        str(last.get("attempt", "")),
        "" if exit_code is None else str(exit_code),
        duration(task.get("started_at"), task.get("finished_at")),
        plain(last.get("pod")),
        why(task),
    )

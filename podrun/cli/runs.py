"""`list`, `cancel` and `delete`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Annotated

import typer

from podrun.cli.escape import plain
from podrun.cli.output import duration, paint, print_columns, print_document, print_line, why
from podrun.cli.runtime import Code, OutputFormat, OutputOption, ServerOption, Session, complain, execute
from podrun.client import AsyncClient
from podrun.errors import ProblemError
from podrun.types import Run

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
            rows = [("RUN", "WORKFLOW", "PHASE", "CREATED", "SCHEDULED", "TIME", "WHY"), *map(_run_row, runs)]
            if not any(run.get("scheduled_at") for run in runs):
                rows = [(*row[:4], *row[5:]) for row in rows]
            print_columns(rows, phase_column=2)
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

        code = await for_each(runs, cancel_one)
        if output is OutputFormat.JSON:
            print_document(cancelled[0] if len(cancelled) == 1 else {"items": cancelled})
        return code

    execute(Session(server=server), work)


def delete(runs: RunArguments, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Delete finished runs, with their history and logs."""
    delete_each("run", runs, server, output, lambda client, run_id: client.delete(run_id))


def delete_each(
    what: str,
    names: Iterable[str],
    server: str | None,
    output: OutputFormat,
    delete_one: Callable[[AsyncClient, str], Awaitable[None]],
) -> None:
    """Delete several of what the word names; those that were are told, one by one or, as JSON, together."""

    async def work(client: AsyncClient) -> int:
        deleted: list[str] = []

        async def act(name: str) -> None:
            await delete_one(client, name)
            deleted.append(name)
            if output is OutputFormat.TEXT:
                print_line(f"{what} {plain(name)} deleted")

        code = await for_each(names, act)
        if output is OutputFormat.JSON:
            print_document({"deleted": deleted})
        return code

    execute(Session(server=server), work)


async def for_each(names: Iterable[str], act: Callable[[str], Awaitable[None]]) -> Code:
    """Do the same to each of several: one that is refused is complained of, and does not keep the others from theirs."""
    code = Code.SUCCEEDED
    for name in dict.fromkeys(names):
        try:
            await act(name)
        except ProblemError as exc:
            code = max(code, complain(exc))
    return code


def workflow_of(run: Run) -> str:
    """Which workflow a run is of, with its version if it is a stored one."""
    version = run.get("workflow_version")
    return plain(run.get("workflow")) + (f"@{version}" if version is not None else "")


def _run_row(run: Run) -> tuple[str, ...]:
    suspended = "suspended" if run.get("suspended") and not run.get("is_finished") else ""
    return (
        plain(run.get("id")),
        workflow_of(run),
        plain(run.get("phase")),
        plain(run.get("created_at")),
        plain(run.get("scheduled_at")),
        duration(run.get("started_at"), run.get("finished_at")),
        ", ".join(part for part in (suspended, why(run)) if part),
    )

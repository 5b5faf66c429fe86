"""`workflows`: those that are stored under their names, with their versions and schedules."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Annotated, Any

import typer

from podrun.cli.documents import UnreadableDocument, read_document, split_version
from podrun.cli.escape import plain
from podrun.cli.output import print_columns, print_document, print_line
from podrun.cli.runs import delete_each, for_each
from podrun.cli.runtime import Code, OutputFormat, OutputOption, ServerOption, Session, complain, execute
from podrun.client import AsyncClient
from podrun.errors import ProblemError
from podrun.types import StoredSchedule, StoredWorkflow

app = typer.Typer(name="workflows", help="Stored workflows, their versions and schedules.", no_args_is_help=True)

FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help="Workflows, JSON or YAML; - is standard input.")]
NamesArgument = Annotated[list[str], typer.Argument(metavar="NAME...", help="Names of stored workflows.")]


@app.callback()
def _workflows() -> None:
    """Stored workflows, their versions and schedules."""


@app.command()
def put(files: FilesArgument, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Store workflows under their names; one that differs from what is stored becomes a new version."""
    session = Session(server=server, root="")

    async def work(client: AsyncClient) -> int:
        code: int = Code.SUCCEEDED
        stored: list[StoredWorkflow] = []
        for file in files:
            document = None
            try:
                document = read_document(file)
                answer = await client.put_workflow(document.content)
            except (ProblemError, UnreadableDocument) as exc:
                # One that is refused must not keep the others from theirs.
                code = max(code, complain(exc, document, root=""))
                continue
            stored.append(answer)
            if output is OutputFormat.TEXT:
                print_line(f"workflow {plain(answer.get('name'))} is stored: version {answer.get('version')}")
        if output is OutputFormat.JSON:
            print_document(stored[0] if len(files) == 1 and stored else {"items": stored})
        return code

    execute(session, work)


@app.command("list")
def list_workflows(server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """List the stored workflows, with their schedules."""

    async def work(client: AsyncClient) -> int:
        found = [workflow async for workflow in client.list_workflows()]
        if output is OutputFormat.JSON:
            print_document({"items": found})
        else:
            heading = ("NAME", "VERSION", "SCHEDULE", "NEXT", "LAST RUN", "UPDATED")
            print_columns([heading, *map(_row, found)])
        return Code.SUCCEEDED

    execute(Session(server=server), work)


@app.command()
def get(
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="A stored workflow, or an earlier version of it.")],
    document: Annotated[bool, typer.Option("--document", help="Print its document alone, as JSON.")] = False,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Show a stored workflow: its params, its schedule, and what came of that."""

    async def work(client: AsyncClient) -> int:
        bare, version = split_version(name)
        found = await client.get_workflow(bare, version=version)
        if document:
            # As it was put, for files and pipes: the order of its keys stays.
            print_document(found.get("document"))
        elif output is OutputFormat.JSON:
            print_document(found)
        else:
            for line in _about(found):
                print_line(line)
        return Code.SUCCEEDED

    execute(Session(server=server), work)


@app.command()
def versions(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A stored workflow.")],
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """List the versions of a stored workflow."""

    async def work(client: AsyncClient) -> int:
        found = [version async for version in client.list_versions(name)]
        if output is OutputFormat.JSON:
            print_document({"items": found})
        else:
            rows = [(str(item.get("version", "")), plain(item.get("created_at"))) for item in found]
            print_columns([("VERSION", "CREATED"), *rows])
        return Code.SUCCEEDED

    execute(Session(server=server), work)


@app.command()
def delete(names: NamesArgument, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Delete stored workflows with their schedules. Their runs stay."""
    delete_each("workflow", names, server, output, lambda client, name: client.delete_workflow(name))


@app.command()
def pause(names: NamesArgument, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Let schedules start no more runs until they are unpaused. Submitting by name still works."""
    _change_each(names, server, output, "is paused", lambda client, name: client.pause_workflow(name))


@app.command()
def unpause(names: NamesArgument, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Let paused schedules go on."""
    _change_each(names, server, output, "is unpaused", lambda client, name: client.unpause_workflow(name))


def _change_each(
    names: list[str],
    server: str | None,
    output: OutputFormat,
    done: str,
    change: Callable[[AsyncClient, str], Awaitable[StoredWorkflow]],
) -> None:
    async def work(client: AsyncClient) -> int:
        changed: list[StoredWorkflow] = []

        async def change_one(name: str) -> None:
            workflow = await change(client, name)
            changed.append(workflow)
            if output is OutputFormat.TEXT:
                following = plain((workflow.get("schedule") or {}).get("next_at"))
                print_line(f"workflow {plain(name)} {done}" + (f", next run {following}" if following else ""))

        code = await for_each(names, change_one)
        if output is OutputFormat.JSON:
            print_document(changed[0] if len(changed) == 1 else {"items": changed})
        return code

    execute(Session(server=server), work)


def _row(workflow: StoredWorkflow) -> tuple[str, ...]:
    schedule = workflow.get("schedule") or StoredSchedule()
    return (
        plain(workflow.get("name")),
        str(workflow.get("version", "")),
        _timing(schedule),
        "paused" if workflow.get("paused") and schedule else plain(schedule.get("next_at")),
        plain(schedule.get("last_run_id")),
        plain(workflow.get("updated_at")),
    )


def _timing(schedule: StoredSchedule) -> str:
    """When a schedule's times come, in a few words; empty: there is none."""
    if schedule.get("cron"):
        return plain(f"{schedule['cron']} {schedule.get('timezone') or 'UTC'}")
    seconds = schedule.get("every_seconds")
    return f"every {seconds:g} s" if seconds else ""


def _about(stored: StoredWorkflow) -> Iterator[str]:
    document, schedule = stored.get("document") or {}, stored.get("schedule") or StoredSchedule()
    rows = [
        ("workflow", f"{plain(stored.get('name'))}@{stored.get('version', '')}"),
        ("about", plain(stored.get("description"))),
        ("tasks", str(len(document.get("tasks") or ()) + len(document.get("on_exit") or ()))),
        ("updated", plain(stored.get("updated_at"))),
        ("schedule", _timing(schedule) + (" (paused)" if stored.get("paused") else "")),
        ("next", plain(schedule.get("next_at"))),
        ("last", f"{plain(schedule.get('last_at'))} {plain(schedule.get('last_run_id'))}"),
        ("left out", f"{plain(schedule.get('last_skipped_at'))} {plain(schedule.get('last_skipped_reason'))}"),
    ]
    yield from (f"{name:<9} {text.strip()}" for name, text in rows if text.strip())
    for name, param in (stored.get("params") or {}).items():
        yield f"param     {plain(name)}: {_param(param)}"


def _param(param: Mapping[str, Any]) -> str:
    default = json.dumps(param.get("default"), ensure_ascii=False)
    parts = [str(param.get("type")), "required" if param.get("required") else f"default {default}"]
    if param.get("enum"):
        parts.append("one of " + ", ".join(json.dumps(value, ensure_ascii=False) for value in param["enum"]))
    if param.get("description"):
        parts.append(str(param["description"]))
    return plain(", ".join(parts))

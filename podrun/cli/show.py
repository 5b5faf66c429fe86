"""`get`: a run, its tasks with fan-outs folded, what they handed on, and what waits for a person."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Annotated

import typer

from podrun.cli.escape import plain
from podrun.cli.output import duration, paint, print_columns, print_document, print_line, why
from podrun.cli.progress import approval_hint
from podrun.cli.runs import workflow_of
from podrun.cli.runtime import Code, OutputFormat, OutputOption, RunArgument, ServerOption, Session, execute
from podrun.client import AsyncClient
from podrun.types import Run, Task

#: A fan-out of more items is folded into one line.
MOST_ITEMS = 10
#: So many of its failed items are shown all the same.
MOST_FAILED = 5
MOST_OUTPUT_CHARACTERS = 200
MOST_ITEM_CHARACTERS = 40
_FAILED = ("Failed", "Error")
#: Which of its items' phases stands for a fan-out: while something goes on that, then the worst.
_LOUDEST = ("Running", "Pending", "Failed", "Error", "Cancelled", "Omitted", "Succeeded", "Skipped")

_Row = tuple[str, ...]


def get(
    run: RunArgument,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show each item of a fan-out, also where there are more than {MOST_ITEMS}.")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Show a run and its tasks, what they handed on, and how to answer those that wait for approval."""

    async def work(client: AsyncClient) -> int:
        found = await client.get_run(run)
        tasks = [task async for task in client.list_tasks(run)]
        if output is OutputFormat.JSON:
            print_document({**found, "tasks": tasks})
            return Code.SUCCEEDED
        for line in _about(found):
            print_line(line)
        print_line("")
        rows = [("TASK", "PHASE", "ITEM", "ATTEMPT", "EXIT", "TIME", "POD", "WHY"), *_task_rows(tasks, fold=not show_all)]
        if not any(row[2] for row in rows[1:]):
            rows = [(*row[:2], *row[3:]) for row in rows]
        print_columns(rows, phase_column=1)
        for line in (*_outputs(tasks, fold=not show_all), *_approvals(found, tasks)):
            print_line(line)
        return Code.SUCCEEDED

    execute(Session(server=server), work)


def _about(run: Run) -> Iterator[str]:
    ending = "" if run.get("is_finished") else " (suspended)" if run.get("suspended") else " (not finished)"
    rows = [
        ("run", plain(run.get("id"))),
        ("workflow", workflow_of(run)),
        ("params", plain(json.dumps(run.get("params"), ensure_ascii=False)) if run.get("params") else ""),
        ("labels", plain(", ".join(f"{name}={value}" for name, value in (run.get("labels") or {}).items()))),
        ("phase", paint(plain(run.get("phase"))) + ending),
        ("scheduled", plain(run.get("scheduled_at"))),
        ("created", plain(run.get("created_at"))),
        ("retried", plain(run.get("retried_at"))),
        ("time", duration(run.get("started_at"), run.get("finished_at"))),
        ("why", why(run)),
    ]
    return (f"{name:<9} {text}" for name, text in rows if text)


def _task_rows(tasks: Sequence[Task], *, fold: bool) -> Iterator[_Row]:
    for name, group in _fan_outs(tasks):
        if name is None or not fold or len(group) <= MOST_ITEMS:
            yield from map(_task_row, group)
            continue
        yield _folded_row(group)
        failed = [task for task in group if task.get("phase") in _FAILED]
        yield from map(_task_row, failed[:MOST_FAILED])


def _fan_outs(tasks: Sequence[Task]) -> Iterator[tuple[str | None, list[Task]]]:
    """Tasks in their order, in groups: the items of one `foreach` task behind its name, all others behind None."""
    for name, group in groupby(tasks, key=lambda task: (task.get("foreach") or {}).get("task")):
        yield name, list(group)


def _folded_row(items: Sequence[Task]) -> _Row:
    counts = Counter(item.get("phase", "") for item in items)
    loudest = next((phase for phase in _LOUDEST if counts[phase]), "")
    told = ", ".join(f"{count} {plain(phase)}" for phase, count in counts.most_common())
    starts = [time for item in items if (time := item.get("started_at"))]
    ends = [time for item in items if (time := item.get("finished_at"))]
    is_over = len(ends) >= len(starts) and loudest not in {"Running", "Pending"}
    time = duration(min(starts, default=None), max(ends, default=None) if is_over else None)
    name = f"{plain(items[0].get('name'))}...{plain(items[-1].get('name'))}"
    return (name, plain(loudest), "", "", "", time, "", told)


def _task_row(task: Task) -> _Row:
    attempts = task.get("attempts") or []
    last = attempts[-1] if attempts else {}
    exit_code, foreach = last.get("exit_code"), task.get("foreach")
    return (
        plain(task.get("name")),
        plain(task.get("phase")),
        "" if foreach is None else _short(foreach.get("item"), MOST_ITEM_CHARACTERS),
        str(last.get("attempt", "")),
        "" if exit_code is None else str(exit_code),
        duration(task.get("started_at"), task.get("finished_at")),
        plain(last.get("pod")),
        why(task),
    )


def _outputs(tasks: Sequence[Task], *, fold: bool) -> Iterator[str]:
    """What tasks handed on; a folded fan-out's first and last."""
    lines: list[str] = []
    for name, group in _fan_outs(tasks):
        found = [task for task in group if task.get("outputs")]
        if name is not None and fold and len(group) > MOST_ITEMS and len(found) > 2:
            lines += [_output_line(found[0]), f"  ... {len(found) - 2} more of {plain(name)}", _output_line(found[-1])]
        else:
            lines += map(_output_line, found)
    if lines:
        yield from ("", "outputs")
        yield from lines


def _output_line(task: Task) -> str:
    return f"  {plain(task.get('name'))}  {_short(task.get('outputs'), MOST_OUTPUT_CHARACTERS)}"


def _short(value: object, most: int) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return plain(text if len(text) <= most else text[:most] + "...")


def _approvals(run: Run, tasks: Sequence[Task]) -> Iterator[str]:
    waiting = [task for task in tasks if task.get("phase") == "Running" and task.get("reason") == "WaitingForApproval"]
    if waiting:
        yield from ("", "waiting for approval")
    for task in waiting:
        yield f"  {plain(task.get('name'))}: {plain(task.get('message'))}".rstrip(": ")
        yield "  " + approval_hint(run["id"], task.get("name"))

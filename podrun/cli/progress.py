"""Shows a run while it is waited for: a live table of its tasks on a terminal, else a line for each transition."""

from __future__ import annotations

import sys
from contextlib import aclosing
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from podrun.cli.escape import plain
from podrun.cli.output import duration, paint, print_line, why
from podrun.client import AsyncClient
from podrun.types import Event, Run, Task

#: A run with more tasks is shown by counts and by what is active or failed.
MOST_TASKS = 200
_INTERESTING = ("Running", "Failed", "Error")
_STYLES = {"Succeeded": "green", "Failed": "red", "Error": "red", "Running": "cyan", "Cancelled": "yellow", "Omitted": "yellow"}
_SHOWN_EVENTS = frozenset(
    {
        "RunPhase", "TaskPhase", "CancelRequested", "RetryRequested", "SuspendRequested", "ResumeRequested", "Approved",
        "Rejected", "Note",
    }
)  # fmt: skip


async def watch(client: AsyncClient, run_id: str, *, since: str | None = None) -> Run:
    """Show a run until it is finished, and return it; of its history what is not before `since`."""
    if sys.stdout.isatty():
        return await _watch_live(client, run_id, Console())
    await print_transitions(client, run_id, out=sys.stdout, since=since)
    return await client.wait(run_id)


async def print_transitions(
    client: AsyncClient,
    run_id: str,
    *,
    out: TextIO,
    only_troubles: bool = False,
    since: str | None = None,
    answerable: bool = True,
) -> None:
    """Print a line for each phase change of a run until its end.

    Args:
        client: The service.
        run_id: The run.
        out: Where to.
        only_troubles: Only what has a reason to tell.
        since: Nothing that was before this time, as the service writes it.
        answerable: Whether others can reach the service, to approve what waits for that.
    """
    async with aclosing(client.events(run_id, follow=True)) as events:
        async for event in events:
            if event.get("type") not in _SHOWN_EVENTS or (since and event.get("time", since) < since):
                continue
            if not only_troubles or (event.get("task") and event.get("reason")):
                print_line(event_line(event, out=out), out=out)
            if event.get("reason") == "WaitingForApproval":
                print_line(approval_hint(run_id, event.get("task"), answerable=answerable), out=out)


def approval_hint(run_id: str, task: str | None, *, answerable: bool = True) -> str:
    """How to answer a task that waits for approval."""
    if not answerable:
        return "  nobody can answer in `podrun run`: `podrun serve` and `podrun submit`, or give the approval a timeout_seconds"
    place = f"{plain(run_id)} {plain(task)}"
    return f"  podrun approve {place}   or   podrun reject {place}"


def event_line(event: Event, *, out: TextIO | None = None) -> str:
    """An event as one line of safe text."""
    task, attempt = plain(event.get("task")), event.get("attempt")
    subject = (f"{task}#{attempt}" if attempt else task) if task else "run"
    phase = plain(event.get("phase"))
    kind = "" if event.get("type") in {"RunPhase", "TaskPhase", "AttemptPhase"} else plain(event.get("type"))
    parts = (plain(event.get("time")), subject, kind, paint(phase, out=out) if phase else "", why(event))
    return "  ".join(part for part in parts if part)


async def _watch_live(client: AsyncClient, run_id: str, console: Console) -> Run:
    run = await client.get_run(run_id)
    few = sum(run.get("task_phases", {}).values()) <= MOST_TASKS
    view = RunView(run, console)
    with Live(view, console=console, refresh_per_second=4):
        async with aclosing(client.watch_run(run_id, include_tasks=few, interval_seconds=0.5)) as changes:
            async for run in changes:
                if few:
                    tasks = run.get("tasks", [])
                else:
                    tasks = [task async for task in client.list_tasks(run_id, phases=_INTERESTING, limit=MOST_TASKS)]
                view.show(run, tasks)
    return run


class RunView:
    """The live picture of a run. It is drawn by a thread of `Live`, which also moves the clocks on."""

    def __init__(self, run: Run, console: Console) -> None:
        self._console = console
        self._shown: tuple[Run, list[Task]] = (run, [])

    def show(self, run: Run, tasks: list[Task]) -> None:
        """Set what is drawn next."""
        self._shown = (run, tasks)

    def __rich__(self) -> RenderableType:
        run, tasks = self._shown
        room = max(self._console.height - 4, 3)
        shown = tasks
        if len(tasks) > room:
            shown = [task for task in tasks if task.get("phase") in _INTERESTING][:room]
        table = Table(box=None, pad_edge=False, show_header=bool(shown))
        for heading in ("TASK", "PHASE", "ATTEMPT", "TIME"):
            table.add_column(heading, no_wrap=True)
        table.add_column("WHY", overflow="ellipsis", no_wrap=True)
        for task in shown:
            table.add_row(*_row(task))
        return Group(_heading(run), table)


def _heading(run: Run) -> Text:
    """Run, phase, counts. Text, not markup: brackets in a name mean nothing."""
    counts = ", ".join(f"{count} {plain(phase)}" for phase, count in run.get("task_phases", {}).items() if count)
    text = Text(f"{plain(run.get('id'))}  ", no_wrap=True)
    text.append(plain(run.get("phase")), _STYLES.get(run.get("phase", ""), ""))
    text.append("  ".join(("", duration(run.get("started_at"), run.get("finished_at")), counts, why(run))))
    return text


def _row(task: Task) -> list[Text]:
    attempts = task.get("attempts") or []
    phase = task.get("phase", "")
    return [
        Text(plain(task.get("name"))),
        Text(plain(phase), _STYLES.get(phase, "")),
        Text(str(attempts[-1].get("attempt", "")) if attempts else ""),
        Text(duration(task.get("started_at"), task.get("finished_at"))),
        Text(why(task)),
    ]

"""Tells how a run ended: its phase and, of each failed task, why, and the last lines of its log."""

from __future__ import annotations

from contextlib import aclosing
from typing import TextIO

from podrun.cli.escape import RESET, plain, safe_line
from podrun.cli.output import duration, note, paint, print_line, why
from podrun.client import AsyncClient
from podrun.errors import ClientError
from podrun.types import Run, Task

MOST_TASKS = 20
LOG_LINES = 10
#: What is shown of one line: a failed task's last line may be megabytes.
_LINE_CHARACTERS = 2000


async def report(client: AsyncClient, run: Run, *, out: TextIO, with_logs: bool) -> None:
    """Print how a finished run ended."""
    run_id = run["id"]
    if run.get("phase") in {"Failed", "Error"}:
        tasks = [task async for task in client.list_tasks(run_id, phases=("Failed", "Error"), limit=MOST_TASKS + 1)]
        for task in tasks[:MOST_TASKS]:
            await _report_task(client, run_id, task, out, with_logs=with_logs)
        if len(tasks) > MOST_TASKS:
            counts = run.get("task_phases", {})
            more = counts.get("Failed", 0) + counts.get("Error", 0) - MOST_TASKS
            print_line(f"... and {max(more, 1)} more failed tasks: podrun get {plain(run_id)}", out=out)
    took = duration(run.get("started_at") or run.get("created_at"), run.get("finished_at"))
    phase = paint(plain(run.get("phase")), out=out)
    print_line(": ".join(part for part in (f"run {plain(run_id)} {phase}", why(run)) if part) + f" ({took})", out=out)


async def _report_task(client: AsyncClient, run_id: str, task: Task, out: TextIO, *, with_logs: bool) -> None:
    attempts = task.get("attempts") or []
    exit_code = attempts[-1].get("exit_code") if attempts else None
    parts = [f"task {plain(task.get('name'))} {paint(plain(task.get('phase')), out=out)}", why(task)]
    code = f" (exit code {exit_code})" if exit_code is not None else ""
    print_line(": ".join(part for part in parts if part) + code, out=out)
    if not with_logs or not attempts:
        return
    try:
        async with aclosing(client.logs(run_id, task["name"], tail=LOG_LINES)) as items:
            async for item in items:
                if item.get("type") == "line":
                    text = safe_line(item.get("text", "")[:_LINE_CHARACTERS])
                    print_line(f"  | {text}{RESET if chr(27) in text else ''}", out=out)
    except ClientError as exc:
        note(f"  its log can't be read: {plain(str(exc))}")

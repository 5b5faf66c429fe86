"""The `podrun` command. One module for each group of commands; `runtime` has what they share."""

from __future__ import annotations

import io
import sys
import traceback
from importlib.metadata import version
from typing import Annotated

import typer

from podrun.cli import intents, lint, reading, runs, serve, show, submitting, workflows
from podrun.cli.runtime import Code

app = typer.Typer(
    name="podrun",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("serve")(serve.serve)
app.command("run")(serve.run)
app.command("submit")(submitting.submit)
app.command("wait")(submitting.wait)
app.command("list")(runs.list_runs)
app.command("get")(show.get)
app.command("logs")(reading.logs)
app.command("events")(reading.events)
app.command("cancel")(runs.cancel)
app.command("retry")(intents.retry)
app.command("suspend")(intents.suspend)
app.command("resume")(intents.resume)
app.command("approve")(intents.approve)
app.command("reject")(intents.reject)
app.command("delete")(runs.delete)
app.add_typer(workflows.app)
app.command("lint")(lint.lint)

db = typer.Typer(name="db", help="The service's database.", no_args_is_help=True)
db.command("upgrade")(serve.db_upgrade)
app.add_typer(db)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(version("podrun"))
        raise typer.Exit


@app.callback()
def _podrun(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print podrun's version, and exit.")
    ] = False,
) -> None:
    """Runs workflows of pods: submit them, follow them, read their logs; or serve them."""


@db.callback()
def _db() -> None:
    """The service's database."""


def main() -> None:
    """Run the command line. The entry point of `podrun`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A log may hold characters that this terminal's encoding lacks: that must not end the command.
            stream.reconfigure(errors="backslashreplace")
    try:
        app()
    except Exception:  # noqa: BLE001 (whatever it is, it must not look like a failed run)
        traceback.print_exc()
        sys.exit(Code.BUG)

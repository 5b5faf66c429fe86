"""Prints the reference of the command line as Markdown: `python -m podrun.cli.reference > docs/generated/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from podrun.cli import app
from podrun.cli.runtime import Code

_CODES = {
    Code.SUCCEEDED: "succeeded",
    Code.FAILED: "the run ended Failed or in Error",
    Code.USAGE: "bad usage, or refused: a workflow that is not valid, a request that can't be met now",
    Code.CANCELLED: "the run was cancelled",
    Code.TIMEOUT: "`--timeout`",
    Code.UNREACHABLE: "the server can't be reached, or refused us",
    Code.INTERRUPTED: "Ctrl-C",
}


def reference() -> str:
    """The whole reference."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Command line"
    yield ""
    yield "<!-- Made by `python -m podrun.cli.reference`; do not edit. -->"
    yield ""
    root: Any = typer.main.get_command(app)
    for name, command in root.commands.items():
        if hasattr(command, "commands"):
            for inner, below in command.commands.items():
                yield from _command(f"podrun {name} {inner}", below)
        else:
            yield from _command(f"podrun {name}", command)
    yield from ("## Exit codes", "", "| code | meaning |", "| --- | --- |")
    yield from (f"| {code.value} | {meaning} |" for code, meaning in _CODES.items())
    yield ""
    yield "1, 3 and 4 only where it waits: `run`, `wait`, `submit` and `retry` with `--wait` or `--follow`, `logs -f`,"
    yield "`events -f`. Of several runs the worst: 1 before 3 before 0. The token is read from `PODRUN_TOKEN`."


def _command(name: str, command: Any) -> Iterator[str]:
    arguments = [part for part in command.params if part.param_type_name == "argument"]
    options = [part for part in command.params if part.param_type_name == "option"]
    usage = " ".join([name, *(part.metavar or str(part.name).upper() for part in arguments)])
    yield f"## `{name}`"
    yield ""
    yield "    " + usage + (" [OPTIONS]" if options else "")
    yield ""
    yield (command.help or "").strip()
    yield ""
    if arguments or options:
        yield "| | |"
        yield "| --- | --- |"
    for part in arguments:
        yield _row(part.metavar or str(part.name).upper(), part)
    for part in options:
        yield _row(", ".join(part.opts) + (f" {part.metavar}" if part.metavar else ""), part)
    yield ""


def _row(name: str, part: Any) -> str:
    said = (part.help or "").strip()
    if part.envvar:
        said += f" Or `{part.envvar}`."
    if part.param_type_name == "option" and part.default not in {None, False, ""}:
        said += f" Default: {getattr(part.default, 'value', part.default)}."
    elif isinstance(part.show_default, str):
        said += f" Default: {part.show_default}."
    cells = [f"`{name}`", said]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


if __name__ == "__main__":
    typer.echo(reference(), nl=False)

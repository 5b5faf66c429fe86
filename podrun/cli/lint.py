"""`lint`: checks workflows, by the service or, where the server's packages are installed, without one."""

# ruff: noqa: PLC0415 (the server's packages may not be there)

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from podrun.cli.documents import Document, UnreadableDocument, read_document
from podrun.cli.output import note, print_document, print_line
from podrun.cli.runtime import Code, OutputFormat, OutputOption, ServerOption, Session, complain, execute, print_faults
from podrun.client import AsyncClient
from podrun.errors import ProblemError

FilesArgument = Annotated[list[str], typer.Argument(metavar="FILE...", help="Workflows, JSON or YAML; - is standard input.")]


@dataclass(slots=True)
class _Checked:
    """What was found out about one file."""

    name: str
    faults: list[tuple[str, str, int | None]] = field(default_factory=list)  #: pointer, detail, line
    pods: Any = None
    pods_left_out: int = 0  #: there were too many
    unreadable: UnreadableDocument | None = None

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.faults and self.unreadable is None

    def as_json(self) -> dict[str, Any]:
        """What `-o json` says of it."""
        errors = [{"pointer": pointer, "detail": detail, "line": line} for pointer, detail, line in self.faults]
        if self.unreadable is not None and not errors:
            errors = [{"pointer": "", "detail": self.unreadable.detail, "line": None}]
        pods = {} if self.pods is None else {"pods": self.pods, "pods_left_out": self.pods_left_out}
        return {"valid": self.is_valid, "errors": errors, **pods}


def lint(
    files: FilesArgument,
    pods: Annotated[
        bool, typer.Option("--pods", help="Also print the pods that they would make, which only the service knows.")
    ] = False,
    server: ServerOption = None,
    output: OutputOption = OutputFormat.TEXT,
) -> None:
    """Check workflows and print all that is wrong with them.

    It is asked of the service if --server or PODRUN_SERVER is given, with --pods, or if this machine can't check by itself.
    """

    async def work(client: AsyncClient) -> int:
        checked = [await _check(client, file, ask=bool(server) or pods, pods=pods) for file in files]
        if output is OutputFormat.TEXT:
            for one in checked:
                _tell(one)
        elif len(checked) == 1:
            print_document(checked[0].as_json())
        else:
            items = [{"file": one.name, **one.as_json()} for one in checked]
            print_document({"valid": all(one.is_valid for one in checked), "items": items})
        return Code.SUCCEEDED if all(one.is_valid for one in checked) else Code.USAGE

    execute(Session(server=server), work)


async def _check(client: AsyncClient, file: str, *, ask: bool, pods: bool) -> _Checked:
    try:
        document = read_document(file)
    except UnreadableDocument as exc:
        return _Checked(exc.name, [(fault.pointer, fault.detail, fault.line) for fault in exc.faults], unreadable=exc)
    checked = _Checked(document.name)
    faults = None if ask else _faults_here(document)
    if faults is None:
        faults, answer = await _faults_there(client, document, pods=pods)
        checked.pods, checked.pods_left_out = answer.get("pods"), answer.get("pods_left_out") or 0
    checked.faults = [(pointer, detail, document.line_of(pointer)) for pointer, detail in faults]
    return checked


def _tell(checked: _Checked) -> None:
    if checked.unreadable is not None:
        complain(checked.unreadable)
    elif checked.faults:
        print_faults(checked.name, checked.faults)
        note(f"{checked.name}: {len(checked.faults)} fault{'s' if len(checked.faults) > 1 else ''}")
    elif checked.pods is None:
        print_line(f"{checked.name}: valid")
    else:
        more = f"; {checked.pods_left_out} more pods are left out" if checked.pods_left_out else ""
        note(f"{checked.name}: valid{more}")
        print_document(checked.pods)


def _faults_here(document: Document) -> list[tuple[str, str]] | None:
    """What is wrong with a workflow; None: the packages to tell are not installed."""
    try:
        from app.domain.errors import InvalidWorkflow
        from app.domain.workflow.parsing import parse_workflow
    except ModuleNotFoundError:
        return None
    try:
        parse_workflow(json.loads(document.content))
    except InvalidWorkflow as exc:
        return [(fault.pointer, fault.detail) for fault in exc.faults]
    return []


async def _faults_there(client: AsyncClient, document: Document, *, pods: bool) -> tuple[list[tuple[str, str]], dict[str, Any]]:
    try:
        answer = await client.validate(document.content, pods=pods)
    except ProblemError as exc:
        if not exc.errors:
            raise
        return [(fault["pointer"], fault["detail"]) for fault in exc.errors], {}
    return [], answer

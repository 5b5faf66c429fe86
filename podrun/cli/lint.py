"""`lint`: checks a workflow, by the service or, where the server's packages are installed, without one."""

# ruff: noqa: PLC0415 (the server's packages may not be there)

from __future__ import annotations

import json

from podrun.cli.documents import Document, read_document
from podrun.cli.output import note, print_document, print_line
from podrun.cli.runtime import Code, OutputFormat, OutputOption, ServerOption, Session, execute, print_faults
from podrun.cli.submitting import FileArgument
from podrun.client import AsyncClient
from podrun.errors import ProblemError


def lint(file: FileArgument, server: ServerOption = None, output: OutputOption = OutputFormat.TEXT) -> None:
    """Check a workflow and print all that is wrong with it.

    It is asked of the service if --server or PODRUN_SERVER is given, or if this machine can't check it by itself.
    """
    session = Session(server=server)
    as_json = output is OutputFormat.JSON

    async def work(client: AsyncClient) -> int:
        document = session.document = read_document(file)
        faults = None if server else _faults_here(document)
        if faults is None:
            faults = await _faults_there(client, document)
        found = [(pointer, detail, document.line_of(pointer)) for pointer, detail in faults]
        if as_json:
            errors = [{"pointer": pointer, "detail": detail, "line": line} for pointer, detail, line in found]
            print_document({"valid": not found, "errors": errors})
        elif found:
            print_faults(document.name, found)
            note(f"{document.name}: {len(found)} fault{'s' if len(found) > 1 else ''}")
        else:
            print_line(f"{document.name}: valid")
        return Code.USAGE if found else Code.SUCCEEDED

    execute(session, work)


def _faults_here(document: Document) -> list[tuple[str, str]] | None:
    """What is wrong with a workflow; None: the packages to tell are not installed."""
    try:
        from app.domain.errors import InvalidWorkflow
        from app.domain.workflow import parse_workflow
    except ModuleNotFoundError:
        return None
    try:
        parse_workflow(json.loads(document.content))
    except InvalidWorkflow as exc:
        return [(fault.pointer, fault.detail) for fault in exc.faults]
    return []


async def _faults_there(client: AsyncClient, document: Document) -> list[tuple[str, str]]:
    try:
        await client.validate(document.content)
    except ProblemError as exc:
        if not exc.errors:
            raise
        return [(fault["pointer"], fault["detail"]) for fault in exc.errors]
    return []

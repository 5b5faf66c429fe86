"""`StoredWorkflows`: everything that users do with stored workflows. One use case is one transaction, or one snapshot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row
from sqlmodel import Session

from app.domain.errors import Fault, InvalidWorkflow, NotFound, PreconditionFailed
from app.domain.json_text import parse_json
from app.domain.pointers import in_document_order, shown
from app.domain.suggestions import CloseNames
from app.domain.workflow.nodes import Workflow
from app.failpoints import Action
from app.runs.cursors import name_cursor, read_name_cursor, read_version_cursor
from app.runs.documents import read_workflow
from app.runs.ports import Pods
from app.runs.preview import ItemEvaluator, preview_pods
from app.runs.readers import read_apart
from app.runs.schedules import ScheduleUnusable, next_time, read_schedule, schedule_json, timing_of
from app.runs.views import View, encode
from app.runs.workflow_views import document_view, version_view, workflow_etag, workflow_view
from app.storage.broker import SCHEDULES
from app.storage.database import Database, database_now
from app.storage.workflows import (
    StoredVersion,
    delete_versions,
    find_body,
    find_version,
    find_workflow,
    insert_version,
    list_versions,
    list_workflow_names,
    list_workflows,
    lock_workflow,
    reserve_workflow,
    update_workflow,
)
from app.storage.writer import Change, Writer

#: Paths below `/workflows` that mean something else.
RESERVED_NAMES = ("schema", "validate")

#: Whether a workflow with this entity tag may be changed; None: there is none.
Precondition = Callable[[str | None], bool]


def no_precondition(_etag: str | None) -> bool:
    """Whatever it is now."""
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowAnswer:
    """A stored workflow as it was at one moment."""

    body: bytes  #: its JSON
    etag: str
    is_new: bool = False  #: it was not there before


class StoredWorkflows:
    """The use cases of stored workflows, for all callers of this process."""

    def __init__(self, *, database: Database, writer: Writer, pods: Pods, evaluator: ItemEvaluator, instance: str) -> None:
        """`instance`: this installation's name, which pods have as a label."""
        self._database, self._writer, self._pods = database, writer, pods
        self._evaluator, self._instance = evaluator, instance

    async def validate(self, body: bytes, *, with_pods: bool = False) -> View:
        """What is to be said of a workflow that is valid, and the pods that it would make.

        Raises MalformedDocument, InvalidWorkflow; with pods EvaluatorUnavailable.
        """
        workflow = await read_apart(partial(read_workflow, body, self._pods), len(body))
        view: View = {"valid": True, "name": workflow.name, "tasks": len(workflow.nodes)}
        if with_pods:
            namespaces = self._pods.namespaces
            preview = await preview_pods(workflow, self._evaluator, namespaces=namespaces, instance=self._instance)
            view |= {"pods": preview.pods, "pods_left_out": preview.left_out}
        return view

    async def put(self, name: str, body: bytes, allows: Precondition = no_precondition) -> WorkflowAnswer:
        """Store a document under its name: a new version, unless it is the newest one already, byte for byte.

        Raises MalformedDocument, InvalidWorkflow, PreconditionFailed.
        """
        workflow = await read_apart(partial(_read, name, body, self._pods), len(body))
        call = partial(_put, workflow=workflow, body=body, allows=allows)
        answer: WorkflowAnswer = await self._writer.commit(_change(call))
        return answer

    async def get(self, name: str, version: int | None = None) -> WorkflowAnswer:
        """A stored workflow with its newest document, or that of one version. Raises NotFound."""

        def read(session: Session) -> WorkflowAnswer | None:
            row, stored = find_workflow(session, name), find_version(session, name, version)
            if row is None or stored is None:
                return None
            body = encode(document_view(row, stored.version, stored.body, is_pinned=version is not None))
            return WorkflowAnswer(body=body, etag=workflow_etag(stored.version))

        found = await self._database.read(read)
        if found is None:
            raise await self._not_found(name, version)
        return found

    async def list(self, *, cursor: str | None, limit: int) -> tuple[Sequence[View], str | None]:
        """A page of stored workflows, by name, and the cursor of the next one. Raises InvalidCursor."""
        after = read_name_cursor(cursor)
        rows = await self._database.read(lambda session: list_workflows(session, after=after, limit=limit + 1))
        page = rows[:limit]
        return [workflow_view(row) for row in page], name_cursor(page[-1].name) if len(rows) > limit else None

    async def list_versions(self, name: str, *, cursor: str | None, limit: int) -> tuple[Sequence[View], str | None]:
        """A page of a workflow's versions, newest first, and the cursor of the next one. Raises NotFound, InvalidCursor."""
        before = read_version_cursor(cursor)

        def read(session: Session) -> Sequence[tuple[int, datetime]] | None:
            if find_workflow(session, name) is None:
                return None
            return list_versions(session, name, before=before, limit=limit + 1)

        found = await self._database.read(read)
        if found is None:
            raise await self._not_found(name)
        page = found[:limit]
        return [version_view(name, *version) for version in page], str(page[-1][0]) if len(found) > limit else None

    async def delete(self, name: str, allows: Precondition = no_precondition) -> None:
        """Delete a stored workflow with its versions; its runs stay. Raises NotFound, PreconditionFailed."""
        call = partial(_delete, name=name, allows=allows)
        if not await self._writer.commit(_change(call)):
            raise await self._not_found(name)

    async def set_paused(self, name: str, *, paused: bool) -> WorkflowAnswer:
        """Hold the schedule, or let it go on from now; what was missed is not made up for. Raises NotFound."""
        call = partial(_set_paused, name=name, paused=paused)
        answer: WorkflowAnswer | None = await self._writer.commit(_change(call))
        if answer is None:
            raise await self._not_found(name)
        return answer

    async def _not_found(self, name: str, version: int | None = None) -> NotFound:
        names = await self._database.read(list_workflow_names)
        if name in names:
            return NotFound("version", f"{name}@{version}")
        return NotFound("workflow", name, meant=CloseNames(names).find(name))


def _change(call: Callable[[Connection], Any]) -> Change:
    return Change(call=call, topics=(SCHEDULES,), actions=(Action.STORE_WORKFLOW,))


def _read(name: str, body: bytes, pods: Pods) -> Workflow:
    """The document that is to be stored under the name, or InvalidWorkflow with all that is wrong."""
    try:
        workflow = read_workflow(body, pods)
    except InvalidWorkflow as error:
        document = parse_json(body)
        written = document.get("name") if isinstance(document, dict) else None
        faults = [*error.faults, *(_name_faults(name, written) if isinstance(written, str) else ())]
        raise InvalidWorkflow(in_document_order(document, faults)) from error
    if faults := [*_name_faults(name, workflow.name), *_schedule_faults(workflow)]:
        raise InvalidWorkflow(faults)
    return workflow


def _name_faults(name: str, written: str) -> list[Fault]:
    if written != name:
        return [Fault("/name", f"must be {shown(name)}, as in the path, not {shown(written)}")]
    if name in RESERVED_NAMES:
        return [Fault("/name", f"{shown(name)} is no name for a stored workflow: that path means something else")]
    return []


def _schedule_faults(workflow: Workflow) -> list[Fault]:
    """What a schedule needs that a posted workflow does not."""
    if workflow.schedule is None:
        return []
    faults = []
    if required := [name for name, param in workflow.params.items() if param.is_required]:
        what = f"the param {required[0]} has" if len(required) == 1 else f"the params {', '.join(required)} have"
        faults.append(Fault("/schedule", f"{what} no default, and a schedule gives no values"))
    now = datetime.now(UTC)
    try:
        if next_time(workflow.schedule, anchor=now, after=now) is None:
            faults.append(Fault("/schedule", "never comes: it has no time in the next fifty years"))
    except ScheduleUnusable as error:
        faults.append(Fault("/schedule", str(error)))
    return faults


def _put(connection: Connection, *, workflow: Workflow, body: bytes, allows: Precondition) -> WorkflowAnswer:
    name, now = workflow.name, database_now(connection)
    row = reserve_workflow(connection, name, now)
    exists = row.deleted_at is None
    if exists and find_body(connection, name, row.version) == body:  # also when it is sent again after a lost answer
        return _answer(row, body)
    etag = workflow_etag(row.version) if exists else None
    if not allows(etag):
        raise PreconditionFailed("workflow", name, etag)
    version = row.version + 1
    insert_version(connection, StoredVersion(name, version, body, now))
    values: dict[str, Any] = {"version": version, "description": workflow.description, "updated_at": now}
    if not exists:
        values |= {**_BLANK, "deleted_at": None, "created_at": now}
    values |= _schedule_columns(row if exists else None, workflow, now)
    update_workflow(connection, name, values)
    return _answer(_locked(connection, name), body, is_new=not exists)


#: A workflow of a name that was used before begins anew, but for its versions' numbers.
_BLANK: Mapping[str, Any] = {
    "paused": False, "last_fire_at": None, "last_run_id": None, "last_skipped_at": None, "last_skipped_reason": None,
}  # fmt: skip


def _schedule_columns(row: Row[Any] | None, workflow: Workflow, now: datetime) -> dict[str, Any]:
    """A schedule whose times are the same goes on: its anchor stays, and what is due stays due."""
    if workflow.schedule is None:
        return {"schedule": None, "anchor_at": None, "next_fire_at": None}
    schedule = schedule_json(workflow.schedule)
    is_paused = row is not None and row.paused
    if row is not None and row.anchor_at is not None and timing_of(row.schedule) == timing_of(schedule):
        if is_paused or row.next_fire_at is not None:
            return {"schedule": schedule}
        return {"schedule": schedule, "next_fire_at": next_time(workflow.schedule, anchor=row.anchor_at, after=now)}
    following = None if is_paused else next_time(workflow.schedule, anchor=now, after=now)
    return {"schedule": schedule, "anchor_at": now, "next_fire_at": following}


def _delete(connection: Connection, *, name: str, allows: Precondition) -> bool:
    row = lock_workflow(connection, name)
    if row is None or row.deleted_at is not None:
        return False
    etag = workflow_etag(row.version)
    if not allows(etag):
        raise PreconditionFailed("workflow", name, etag)
    now = database_now(connection)
    columns = {"schedule": None, "anchor_at": None, "next_fire_at": None, "deleted_at": now, "updated_at": now}
    update_workflow(connection, name, columns)
    delete_versions(connection, name)
    return True


def _set_paused(connection: Connection, *, name: str, paused: bool) -> WorkflowAnswer | None:
    row = lock_workflow(connection, name)
    if row is None or row.deleted_at is not None:
        return None
    if row.paused != paused:
        now = database_now(connection)
        following = None if paused else _next_of(row, now)
        update_workflow(connection, name, {"paused": paused, "next_fire_at": following, "updated_at": now})
        row = _locked(connection, name)
    return _answer(row, find_body(connection, name, row.version) or b"null")


def _next_of(row: Row[Any], now: datetime) -> datetime | None:
    if row.schedule is None or row.anchor_at is None:
        return None
    try:
        return next_time(read_schedule(row.schedule), anchor=row.anchor_at, after=now)
    except ScheduleUnusable:
        return now  # the scheduler will say what is wrong with it


def _locked(connection: Connection, name: str) -> Row[Any]:
    row = lock_workflow(connection, name)
    assert row is not None  # noqa: S101 - it was locked a moment ago
    return row


def _answer(row: Any, body: bytes, *, is_new: bool = False) -> WorkflowAnswer:
    return WorkflowAnswer(body=encode(document_view(row, row.version, body)), etag=workflow_etag(row.version), is_new=is_new)

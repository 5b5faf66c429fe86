"""Submitting: a valid body becomes a run with its tasks, committed as one transaction, at most once per idempotency key."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import uuid_utils
from sqlalchemy import Connection, Executable
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session

from app.domain.errors import Fault, IdempotencyKeyBusy, IdempotencyKeyReused, IdempotentRunDeleted, InvalidParameter
from app.domain.events import EventType, RunEvent
from app.domain.json_text import parse_json
from app.domain.phases import Phase, RunPhase
from app.domain.suggestions import CloseNames
from app.domain.workflow.nodes import Workflow
from app.domain.workflow.parsed import keep_parsed
from app.failpoints import Action
from app.runs.documents import StoredName, Submission, read_submission, stored_name
from app.runs.ports import Admission, Evaluator, Pods
from app.runs.readers import read_apart
from app.runs.rendering import Rendered, render_run
from app.storage.broker import INTENTS, RUNS, SUBMITTED, run_topic
from app.storage.database import Database
from app.storage.groups import enter
from app.storage.idempotency import find_key, forget_keys, remember_key
from app.storage.models import IdempotencyKeyRow, RunRow
from app.storage.runs import INSERT_DOCUMENT, INSERT_RUN, INSERT_TASK, find_run, insert_events, task_row
from app.storage.workflows import StoredVersion, find_version, list_workflow_names
from app.storage.writer import Change, Writer

#: The rows of more tasks are made in a thread.
INLINE_TASKS = 200
FORGET_EVERY_SECONDS = 3600.0
_KEY = re.compile(r'"(?P<quoted>[\x20-\x21\x23-\x7e]{1,255})"|(?P<bare>[\x20\x21\x23-\x7e][\x20-\x7e]{0,254})')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Row = tuple[Executable, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run that a submission made, now or, where `replayed`, before."""

    run: RunRow
    replayed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A run as it will be committed: its `rows` and `call` in one Change, which wakes its `topics`."""

    run: RunRow
    rows: Sequence[_Row]
    topics: Sequence[str]

    def call(self, connection: Connection) -> None:
        """What is done behind the rows, in their transaction: it joins its concurrency group."""
        enter(connection, self.run.id, self.run.created_at)


@dataclass(frozen=True, slots=True)
class _Key:
    """A key as one request uses it."""

    caller: str
    key: str
    body_hash: str
    now: datetime


def read_idempotency_key(header: str | None) -> str | None:
    """The key in an `Idempotency-Key` header, quoted or bare. Raises InvalidParameter.

    Source: https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/
    """
    if header is None:
        return None
    match = _KEY.fullmatch(header.strip())
    if match is None:
        raise InvalidParameter("Idempotency-Key", "must be 1 to 255 printable ASCII characters, quoted or bare")
    return match["quoted"] or match["bare"]


class Submitter:
    """Takes submissions. Owns the keys that are in progress in this process; across replicas the primary key decides."""

    def __init__(
        self, database: Database, writer: Writer, pods: Pods, evaluator: Evaluator, admission: Admission | None
    ) -> None:
        self._database, self._writer, self._pods = database, writer, pods
        self._evaluator, self._admission = evaluator, admission
        self._in_progress: set[tuple[str, str]] = set()
        self._forget_at = 0.0

    async def submit(self, body: bytes, *, key: str | None, caller: str) -> Submitted:
        """Submit the body of a `POST /runs`. `caller` says whose key it is (a hash of the token).

        Raises:
            MalformedDocument, InvalidBody: it is refused.
            EvaluatorUnavailable: it has expressions, and they can't be evaluated just now.
            IdempotencyKeyReused, IdempotencyKeyBusy, IdempotentRunDeleted: the key says no.
        """
        if key is None:
            return Submitted(await self._create(body), replayed=False)
        # One moment for all: a key that is too old to be found must be old enough to be replaced.
        wanted = _Key(caller, key, hashlib.sha256(body).hexdigest(), datetime.now(UTC))
        with self._hold(wanted):
            if found := await self._find(wanted):
                return found
            try:
                return Submitted(await self._create(body, wanted), replayed=False)
            except IntegrityError:
                # Another replica was first, or a request that was cancelled after it had been queued.
                if found := await self._find(wanted):
                    return found
                raise

    @contextmanager
    def _hold(self, wanted: _Key) -> Iterator[None]:
        """Hold the key until the request ends, however it ends: what it left in the database decides from then on."""
        held = (wanted.caller, wanted.key)
        if held in self._in_progress:
            raise IdempotencyKeyBusy(wanted.key)
        self._in_progress.add(held)
        try:
            yield
        finally:
            self._in_progress.discard(held)

    async def _find(self, wanted: _Key) -> Submitted | None:
        def read(session: Session) -> tuple[IdempotencyKeyRow | None, RunRow | None]:
            row = find_key(session, wanted.caller, wanted.key, wanted.now)
            return row, find_run(session, row.run_id) if row else None

        row, run = await self._database.read(read)
        if row is None:
            return None
        if row.body_hash != wanted.body_hash:
            raise IdempotencyKeyReused(wanted.key)
        if run is None:
            raise IdempotentRunDeleted(wanted.key, row.run_id)
        return Submitted(run, replayed=True)

    async def prepare(
        self,
        submission: Submission,
        *,
        workflow_version: int | None = None,
        scheduled_at: datetime | None = None,
        schedule_of: str | None = None,
    ) -> PreparedRun:
        """Make the run of a submission; nothing is written. Once it is committed, call `admit`.

        `workflow_version`: of the stored workflow that it runs. `scheduled_at`, `schedule_of`: the time and the stored workflow
        whose schedule made it.

        Raises:
            InvalidBody: an expression in the workflow's labels or group has no value, or not a good one.
            EvaluatorUnavailable: they can't be evaluated just now.
        """
        rendered = await render_run(submission, self._evaluator)
        owner = self._admission.owner if self._admission else None
        run = _new_run(submission, rendered, owner, self._pods.namespaces[0])
        run.workflow_version, run.scheduled_at, run.schedule_of = workflow_version, scheduled_at, schedule_of
        count = _count_tasks(submission.workflow)
        run.task_phases = {Phase.PENDING.value: count}
        make = partial(_run_rows, run, submission)
        rows = await asyncio.to_thread(make) if count > INLINE_TASKS else make()
        topics = [RUNS, run_topic(run.id)]
        topics += [] if owner else [SUBMITTED]
        topics += [INTENTS] if run.group_key else []  # it may have asked others to cancel
        keep_parsed(submission.document, submission.workflow)
        return PreparedRun(run=run, rows=rows, topics=topics)

    def admit(self, prepared: PreparedRun) -> None:
        """The run is committed: this process's executor takes it at once, if it was prepared for it."""
        if self._admission is not None and prepared.run.owner is not None:
            self._admission.admit(prepared.run.id, prepared.run.epoch)

    async def _create(self, body: bytes, key: _Key | None = None) -> RunRow:
        submission, version = await self._read(body)
        prepared = await self.prepare(submission, workflow_version=version)
        begun_at = time.monotonic()
        forgets = key is not None and begun_at >= self._forget_at

        def call(connection: Connection) -> None:
            if key is not None:
                _remember(key, prepared.run.id, forgets, connection)
            prepared.call(connection)

        await self._writer.commit(Change(rows=prepared.rows, topics=prepared.topics, call=call, actions=(Action.SUBMIT_RUN,)))
        if forgets:
            self._forget_at = begun_at + FORGET_EVERY_SECONDS
        self.admit(prepared)
        return prepared.run

    async def _read(self, body: bytes) -> tuple[Submission, int | None]:
        """What is asked for, and the version of the stored workflow that it names."""
        request = await read_apart(partial(parse_json, body), len(body))
        stored: bytes | Fault | None = None
        version: int | None = None
        if (name := stored_name(request)) is not None:
            row = await self._find_stored(name)
            stored, version = (row, None) if isinstance(row, Fault) else (row.body, row.version)
        size = len(body) + (len(stored) if isinstance(stored, bytes) else 0)
        return await read_apart(partial(read_submission, body, request, self._pods, stored), size), version

    async def _find_stored(self, wanted: StoredName) -> StoredVersion | Fault:
        def read(session: Session) -> StoredVersion | Fault:
            if found := find_version(session, wanted.name, wanted.version):
                return found
            if wanted.version is not None and find_version(session, wanted.name, None):
                return Fault("/workflow", f'the stored workflow "{wanted.name}" has no version {wanted.version}')
            meant = CloseNames(list_workflow_names(session)).find(wanted.name)
            hint = f', did you mean "{meant}"?' if meant else ""
            return Fault("/workflow", f'there is no stored workflow "{wanted.name}"{hint}')

        return await self._database.read(read)


def _remember(key: _Key, run_id: str, forgets: bool, connection: Connection) -> None:
    row = IdempotencyKeyRow(
        caller=key.caller, key=key.key, body_hash=key.body_hash, run_id=run_id, created_at=key.now
    )  # fmt: skip
    remember_key(connection, row)
    if forgets:
        forget_keys(connection, key.now)


def _new_run(submission: Submission, rendered: Rendered, owner: str | None, default_namespace: str) -> RunRow:
    run_id = uuid_utils.uuid7()
    workflow, created_at = submission.workflow, _EPOCH + timedelta(milliseconds=run_id.int >> 80)
    is_grouped = workflow.concurrency is not None and rendered.group is not None
    return RunRow(
        id=str(run_id),
        workflow=workflow.name,
        phase=RunPhase.PENDING.value,
        params=dict(submission.params),
        labels=rendered.labels,
        created_at=created_at,
        group_key=f"{workflow.namespace or default_namespace}/{rendered.group}" if is_grouped else None,
        group_policy=workflow.concurrency.policy.value if workflow.concurrency else None,
        owner=owner,
        epoch=1 if owner else 0,
    )


def _count_tasks(workflow: Workflow) -> int:
    return sum(len(node.foreach.items) if node.foreach and node.foreach.items else 1 for node in workflow.nodes)


def _task_rows(run_id: str, workflow: Workflow) -> Iterator[_Row]:
    """A row for each task: for each item, where a fan-out's items are known and there are any."""
    for node in workflow.nodes:
        items = node.foreach.items if node.foreach else None
        if not items:
            yield INSERT_TASK, task_row(run_id, node.name, node.position, node.depends_on)
            continue
        for index, item in enumerate(items):
            row = task_row(
                run_id, f"{node.name}.{index}", node.position, node.depends_on,
                foreach_task=node.name, foreach_index=index, item=item,
            )  # fmt: skip
            yield INSERT_TASK, row


def _run_rows(run: RunRow, submission: Submission) -> Sequence[_Row]:
    created = RunEvent(run_id=run.id, time=run.created_at, type=EventType.RUN, phase=RunPhase.PENDING.value)
    return [
        (INSERT_RUN, run.model_dump()),
        (INSERT_DOCUMENT, {"run_id": run.id, "body": submission.document}),
        *_task_rows(run.id, submission.workflow),
        *insert_events([created]),
    ]

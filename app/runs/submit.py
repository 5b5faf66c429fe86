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

from app.domain.errors import IdempotencyKeyBusy, IdempotencyKeyReused, IdempotentRunDeleted, InvalidParameter
from app.domain.events import EventType, RunEvent
from app.domain.phases import Phase, RunPhase
from app.runs.documents import Submission, read_submission
from app.runs.ports import Admission, Pods
from app.storage.broker import RUNS, SUBMITTED, run_topic
from app.storage.database import Database
from app.storage.idempotency import find_key, forget_keys, remember_key
from app.storage.models import IdempotencyKeyRow, RunRow
from app.storage.runs import INSERT_DOCUMENT, INSERT_RUN, INSERT_TASK, find_run, insert_events
from app.storage.writer import Change, Writer

#: Larger bodies are read in a thread: the event loop has others to serve.
INLINE_BYTES = 64 * 1024
FORGET_EVERY_SECONDS = 3600.0
_KEY = re.compile(r'"(?P<quoted>[\x20-\x21\x23-\x7e]{1,255})"|(?P<bare>[\x20\x21\x23-\x7e][\x20-\x7e]{0,254})')
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_Row = tuple[Executable, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Submitted:
    """The run that a submission made, now or, where `replayed`, before."""

    run: RunRow
    replayed: bool


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

    def __init__(self, database: Database, writer: Writer, pods: Pods, admission: Admission | None) -> None:
        self._database, self._writer, self._pods, self._admission = database, writer, pods, admission
        self._in_progress: set[tuple[str, str]] = set()
        self._forget_at = 0.0

    async def submit(self, body: bytes, *, key: str | None, caller: str) -> Submitted:
        """Submit the body of a `POST /runs`. `caller` says whose key it is (a hash of the token).

        Raises:
            MalformedDocument, InvalidBody: it is refused.
            IdempotencyKeyReused, IdempotencyKeyBusy, IdempotentRunDeleted: the key says no.
        """
        if key is None:
            return Submitted(await self._create(await self._read(body)), replayed=False)
        # One moment for all: a key that is too old to be found must be old enough to be replaced.
        wanted = _Key(caller, key, hashlib.sha256(body).hexdigest(), datetime.now(UTC))
        with self._hold(wanted):
            if found := await self._find(wanted):
                return found
            submission = await self._read(body)
            try:
                return Submitted(await self._create(submission, wanted), replayed=False)
            except IntegrityError:
                # Another replica was first, or a request that was cancelled after it had been queued.
                if found := await self._find(wanted):
                    return found
                raise

    async def _read(self, body: bytes) -> Submission:
        if len(body) > INLINE_BYTES:
            return await asyncio.to_thread(read_submission, body, self._pods)
        return read_submission(body, self._pods)

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

    async def _create(self, submission: Submission, key: _Key | None = None) -> RunRow:
        owner = self._admission.owner if self._admission else None
        run = _new_run(submission, owner)
        topics = [RUNS, run_topic(run.id), *(() if owner else (SUBMITTED,))]
        begun_at = time.monotonic()
        forgets = key is not None and begun_at >= self._forget_at
        call = partial(_remember, key, run.id, forgets) if key else None
        await self._writer.commit(Change(rows=_run_rows(run, submission), topics=topics, call=call))
        if forgets:
            self._forget_at = begun_at + FORGET_EVERY_SECONDS
        if self._admission is not None and owner is not None:
            self._admission.admit(run.id, run.epoch)
        return run


def _remember(key: _Key, run_id: str, forgets: bool, connection: Connection) -> None:
    row = IdempotencyKeyRow(
        caller=key.caller, key=key.key, body_hash=key.body_hash, run_id=run_id, created_at=key.now
    )  # fmt: skip
    remember_key(connection, row)
    if forgets:
        forget_keys(connection, key.now)


def _new_run(submission: Submission, owner: str | None) -> RunRow:
    run_id = uuid_utils.uuid7()
    return RunRow(
        id=str(run_id),
        workflow=submission.workflow.name,
        phase=RunPhase.PENDING.value,
        params={},
        labels=submission.labels,
        task_phases={Phase.PENDING.value: len(submission.workflow.tasks)},
        created_at=_EPOCH + timedelta(milliseconds=run_id.int >> 80),
        owner=owner,
        epoch=1 if owner else 0,
    )


def _run_rows(run: RunRow, submission: Submission) -> Sequence[_Row]:
    pending = Phase.PENDING.value
    created = RunEvent(run_id=run.id, time=run.created_at, type=EventType.RUN, phase=RunPhase.PENDING.value)
    # Each row names every column that is not null: Core statements know no defaults of the models.
    tasks = [
        (
            INSERT_TASK,
            {
                "run_id": run.id, "name": item.name, "position": position, "foreach_task": None, "foreach_index": None,
                "depends_on": list(item.depends_on), "phase": pending, "reason": "", "message": "", "outputs": None,
                "started_at": None, "finished_at": None, "retry_at": None,
            },
        )
        for position, item in enumerate(submission.workflow.tasks)
    ]  # fmt: skip
    return [
        (INSERT_RUN, run.model_dump()),
        (INSERT_DOCUMENT, {"run_id": run.id, "body": submission.document}),
        *tasks,
        *insert_events([created]),
    ]

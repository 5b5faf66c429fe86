"""The group-committing writer: every write of the service, in batches, one transaction and one fsync each.

    commit(change, urgent) ─┐
    commit(change, urgent) ─┼─▶ batch ─▶ fence (epochs) ─▶ executemany per statement ─▶ COMMIT ─▶ answers, wake-ups
    commit(change) ─────────┘

An urgent change (a new attempt, an answer to a user) is committed at once, with what it goes on from; the rest waits for
company, `LAZY_SECONDS` at most, and goes with the first batch after that. While a batch is being committed, the next one
gathers. When a batch fails, its changes are tried one by one, so that what breaks a constraint is undone alone; in an outage
they all fail, and their owners try again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from sqlalchemy import Connection, Executable, Insert, bindparam, select, text

from app import failpoints
from app.domain.errors import OwnershipLost
from app.failpoints import Action
from app.storage.broker import Broker
from app.storage.errors import is_deadlock, is_outage
from app.storage.models import EventRow, RunRow, table_of
from app.storage.notifications import CHANNEL, payloads
from app.storage.statements import Parameters, execute_rows, query

LAZY_SECONDS = 0.010
#: Changes that may wait for the writer; whoever commits one more waits first.
QUEUE_LIMIT = 4096
#: One batch holds at most this many changes, so that an urgent one does not stand behind thousands.
BATCH_LIMIT = 512
#: A change that stood in a deadlock alone is tried so often: the other one has gone on meanwhile.
DEADLOCK_TRIES = 5
#: A service that stops waits so long for a database that does not answer: what is not committed is done by the next one.
CLOSING_SECONDS = 3.0
#: Fences that are remembered as broken: by then their owner has been told, and has taken a new epoch.
BROKEN_LIMIT = 4096

Fence = tuple[str, int]
#: Orders history across writers of one PostgreSQL: held from the insert to the commit, so that ids are visible in order.
_HISTORY_LOCK = text("SELECT pg_advisory_xact_lock(7031)")
_NOTIFY = text("SELECT pg_notify(:channel, :payload)")
_NOTIFY_AND_LOCK = text("SELECT pg_advisory_xact_lock(7031), pg_notify(:channel, :payload)")
INSERT_EVENT = table_of(EventRow).insert()
_RUNS = table_of(RunRow)
_EPOCHS = select(_RUNS.c.id, _RUNS.c.epoch).where(_RUNS.c.id.in_(bindparam("ids", expanding=True)))
_EPOCH = select(_RUNS.c.id, _RUNS.c.epoch).where(_RUNS.c.id == bindparam("id"))
_LOCKED_EPOCHS = _EPOCHS.order_by(_RUNS.c.id).with_for_update()
_LOCKED_EPOCH = _EPOCH.with_for_update()


@dataclass(slots=True, kw_only=True)
class Change:
    """One part of a batch, done as a whole or not at all.

    `rows` are statements with their parameters; the same statement object in several changes becomes one executemany, so
    keep statements as constants. `call` runs after the rows, in the database's thread: no await, no shared values.
    `fence` is a run and the epoch under which it is written; an older epoch raises OwnershipLost.
    `actions` are what is done by it, for failpoints.
    `is_step`: it goes on from earlier changes under its fence. When one fails, those that follow fail with the same error.
    """

    rows: Sequence[tuple[Executable, Parameters]] = ()
    call: Callable[[Connection], Any] | None = None
    fence: Fence | None = None
    topics: Iterable[str] = ()
    actions: Sequence[Action] = ()
    is_step: bool = False


@dataclass(slots=True)
class _Waiting:
    change: Change
    is_urgent: bool
    due_at: float  #: of the event loop's clock
    done: asyncio.Future[Any] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """Owns all writing. An async context manager: leaving it commits what waits, as far as the database answers, then stops."""

    def __init__(self, database: Any, broker: Broker) -> None:
        self._database, self._broker = database, broker
        self._queue: list[_Waiting] = []
        self._room = asyncio.Event()
        self._room.set()
        self._arrived, self._urgent = asyncio.Event(), asyncio.Event()
        self._closing = False
        self._broken: dict[Fence, Exception] = {}  # fences under which a step has failed, the newest last
        self._group = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None
        self.commits = 0  #: transactions so far
        self.changes = 0  #: changes so far
        self.trouble: Exception | None = None  #: why nothing can be written just now

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        self._running = self._group.create_task(self._run(), name="writer")
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self._closing = True
        self._arrived.set()
        self._urgent.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=CLOSING_SECONDS)
            self._running.cancel()
        await self._group.__aexit__(None, None, None)
        for waiting in self._queue:  # nobody may wait for ever
            waiting.done.cancel()

    async def commit(self, change: Change, *, urgent: bool = True) -> Any:
        """Commit the change; returns what `call` returned, once it is durable.

        Cancelling the waiter does not undo the change. Raises OwnershipLost, and the database's own errors (SQLAlchemyError).
        """
        await self.wait_for_room()
        return await self.post(change, urgent=urgent)

    def post(self, change: Change, *, urgent: bool = True) -> asyncio.Future[Any]:
        """Queue the change and return at once; the future is `commit`'s outcome. Changes are committed in the order they come.

        Whoever posts much calls `wait_for_room` in between.
        """
        if self._closing:
            raise RuntimeError("the writer is closed")
        waiting = _Waiting(change, urgent, asyncio.get_running_loop().time() + LAZY_SECONDS)
        self._queue.append(waiting)
        self._arrived.set()
        if urgent:
            self._urgent.set()
        return waiting.done

    async def wait_for_room(self) -> None:
        """Wait while more changes are queued than the writer should hold."""
        while len(self._queue) >= QUEUE_LIMIT and not self._closing:
            self._room.clear()
            await self._room.wait()

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            if self._queue and not self._urgent.is_set():
                try:
                    async with asyncio.timeout_at(self._queue[0].due_at):
                        await self._urgent.wait()
                except TimeoutError:
                    pass
            batch = self._take_batch()
            if not self._queue and not self._closing:
                self._arrived.clear()
            self._room.set()
            if batch:
                await self._commit(batch)
            elif self._closing:
                return

    def _take_batch(self) -> list[_Waiting]:
        """What is to be committed next, in the order in which it came."""
        queue, is_due = self._queue, True
        if self._urgent.is_set() and not self._closing:
            is_due = queue[0].due_at <= asyncio.get_running_loop().time()
        taken = queue[:BATCH_LIMIT] if is_due else _urgent_ones(queue)[:BATCH_LIMIT]
        if len(taken) == len(queue):
            self._queue = []
        else:
            left = set(map(id, taken))
            self._queue = [waiting for waiting in queue if id(waiting) not in left]
        if not self._closing and not any(waiting.is_urgent for waiting in self._queue):
            self._urgent.clear()
        return taken

    async def _commit(self, batch: list[_Waiting], tries: int = 1) -> None:
        batch = [waiting for waiting in batch if not self._is_broken(waiting)]
        if not batch:
            return
        self.commits += 1
        self.changes += len(batch)
        actions = [action for waiting in batch for action in waiting.change.actions]
        failpoints.before(*actions)
        try:
            outcomes = await self._database.write(lambda connection: _apply(connection, [w.change for w in batch]))
        except Exception as error:  # noqa: BLE001 - each waiter gets what its own change ended with
            self.trouble = error if is_outage(error) else self.trouble
            if is_deadlock(error) and tries < DEADLOCK_TRIES:
                for waiting in batch:
                    await self._commit([waiting], tries + 1)
            elif len(batch) == 1 or is_outage(error):
                for waiting in batch:
                    self._fail(waiting, error)
            else:
                for waiting in batch:
                    await self._commit([waiting])
            return
        except asyncio.CancelledError:  # nobody may wait for ever
            for waiting in batch:
                waiting.done.cancel()
            raise
        self.trouble = None
        failpoints.after(*actions)
        topics: set[str] = set()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if not isinstance(outcome, OwnershipLost):
                topics.update(waiting.change.topics)
            _resolve(waiting, outcome)
        self._broker.publish(topics)

    def _fail(self, waiting: _Waiting, error: Exception) -> None:
        fence = waiting.change.fence
        if waiting.change.is_step and fence is not None:
            self._broken[fence] = error
            while len(self._broken) > BROKEN_LIMIT:
                del self._broken[next(iter(self._broken))]
        _resolve(waiting, error)

    def _is_broken(self, waiting: _Waiting) -> bool:
        """Whether a step before this one has failed; then it has, too."""
        change = waiting.change
        error = self._broken.get(change.fence) if change.is_step and change.fence is not None else None
        if error is not None:
            _resolve(waiting, error)
        return error is not None


def _urgent_ones(queue: Sequence[_Waiting]) -> list[_Waiting]:
    """Those that are urgent, and what they go on from, in their order.

    A step goes on from the steps under its fence, what else has a fence from all that is under it. What is recorded of a
    run's logs is no step: it can wait.
    """
    last_step: dict[Fence | None, int] = {}
    last_other: dict[Fence | None, int] = {}
    for number, waiting in enumerate(queue):
        if waiting.is_urgent and waiting.change.fence is not None:
            (last_step if waiting.change.is_step else last_other)[waiting.change.fence] = number
    return [
        waiting
        for number, waiting in enumerate(queue)
        if waiting.is_urgent
        or (waiting.change.is_step and number < last_step.get(waiting.change.fence, 0))
        or number < last_other.get(waiting.change.fence, 0)
    ]


def _resolve(waiting: _Waiting, outcome: Any) -> None:
    if waiting.done.done():  # its waiter was cancelled
        return
    if isinstance(outcome, BaseException):
        waiting.done.set_exception(outcome)
    else:
        waiting.done.set_result(outcome)


def _apply(connection: Connection, changes: Sequence[Change]) -> list[Any]:
    """Write the changes in one transaction; one outcome each, OwnershipLost for those under an old epoch."""
    stale = _stale_fences(connection, changes)
    kept = [change for change in changes if change.fence not in stale]
    inserts: dict[Executable, list[Parameters]] = {}
    others: dict[Executable, list[Parameters]] = {}
    for change in kept:
        for statement, parameters in change.rows:
            (inserts if isinstance(statement, Insert) else others).setdefault(statement, []).append(parameters)
    history = inserts.pop(INSERT_EVENT, None)
    for statement, rows in (*inserts.items(), *others.items()):  # a row that a later change updates must be there
        execute_rows(connection, statement, rows)
    outcomes: list[Any] = []
    for change in changes:
        if change.fence and change.fence in stale:
            outcomes.append(OwnershipLost(change.fence[0]))
        else:
            outcomes.append(change.call(connection) if change.call else None)
    if connection.dialect.name == "postgresql":
        _announce(connection, {topic for change in kept for topic in change.topics}, orders_history=bool(history))
    if history:  # last: on PostgreSQL its lock is held from before it to the commit
        execute_rows(connection, INSERT_EVENT, history)
    return outcomes


def _announce(connection: Connection, topics: Collection[str], *, orders_history: bool) -> None:
    """Tell the other replicas, once it is committed, and take the history's lock: each alone would cost a round trip."""
    messages = payloads(topics)
    if orders_history and not messages:
        connection.execute(_HISTORY_LOCK)
    for number, payload in enumerate(messages):
        statement = _NOTIFY_AND_LOCK if orders_history and number == 0 else _NOTIFY
        query(connection, statement, {"channel": CHANNEL, "payload": payload})


def _stale_fences(connection: Connection, changes: Sequence[Change]) -> set[Fence]:
    fences = {change.fence for change in changes if change.fence}
    if not fences:
        return set()
    run_ids = sorted({run_id for run_id, _ in fences})
    is_locked = connection.dialect.name == "postgresql"
    if len(run_ids) == 1:
        rows = query(connection, _LOCKED_EPOCH if is_locked else _EPOCH, {"id": run_ids[0]})
    else:
        rows = connection.execute(_LOCKED_EPOCHS if is_locked else _EPOCHS, {"ids": run_ids})
    epochs = {row.id: row.epoch for row in rows}
    return {fence for fence in fences if epochs.get(fence[0]) != fence[1]}

"""One run's actor: a coroutine with one inbox, the only writer of the run's phases.

    inbox: pods observed, answers of the launcher, sealed logs, intents, timers
      └▶ plan (pure) ─▶ decisions ─▶ recorded (one Change) ─▶ done: pods created and deleted, logs followed

A message is a call of the plan, waiting for its turn. Whatever goes wrong here ends this actor alone; the executor starts
another one from what is stored, and loses nothing: nothing is done before it is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from app.domain import plan
from app.domain.decisions import Decisions, Pair
from app.domain.errors import PodDeferred, PodRefused
from app.domain.events import EventType
from app.domain.logs import LogKey
from app.domain.phases import RunPhase
from app.domain.pods import MAIN, AttemptKey, PodEvent, PodObservation, PodRef
from app.domain.recovery import reconcile, recover
from app.domain.run_state import RunState
from app.executor.clock import Clock
from app.executor.launcher import Launcher
from app.executor.records import change_of, restore
from app.executor.slots import Slots
from app.logs.collector import LogCollector
from app.pods.manifest import build_pod
from app.pods.port import PodBackend
from app.storage.database import Database
from app.storage.runs import StoredRun, list_pod_events, load_run
from app.storage.writer import Writer

#: Documents over this size are parsed in a thread: the event loop is everybody's.
LARGE_DOCUMENT_BYTES = 65_536

#: A stray pod whose deletion was not taken is tried again after so long.
STRAY_SECONDS = 5.0

log = structlog.get_logger(__name__)

Message = Callable[[RunState, Decisions], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What all actors of an executor share."""

    database: Database
    writer: Writer
    backend: PodBackend
    launcher: Launcher
    slots: Slots
    collector: LogCollector
    clock: Clock
    instance: str
    default_namespace: str


class RunActor:
    """Moves one run on, from where it is to its end. Make it, `run` it once; `post` may be called at any time."""

    def __init__(self, run_id: str, epoch: int, environment: Environment) -> None:
        self.run_id, self.epoch = run_id, epoch
        self._env = environment
        self._inbox: list[Message] = []
        self._woken = asyncio.Event()
        self._failure: BaseException | None = None
        self._is_closed = False
        self._syncing: asyncio.Task[None] | None = None
        self._held = 0  # slots
        self._ended: dict[AttemptKey, asyncio.Event] = {}
        self._collectors: dict[AttemptKey, asyncio.Task[None]] = {}
        self._abandoned: dict[AttemptKey, asyncio.Event] = {}
        self._said: dict[str, int] = {}  # events of pods by their uid: how often they were counted when last recorded
        self._remarked: set[str] = set()
        self._labels: dict[str, str] = {}

    def fail(self, error: BaseException) -> None:
        """End the actor with this error."""
        self._failure = self._failure or error
        self._woken.set()

    def post(self, message: Message) -> None:
        """Put a message into the inbox."""
        self._inbox.append(message)
        self._woken.set()

    def pod_observed(self, observation: PodObservation) -> None:
        """A pod of this run is as observed."""
        self.post(lambda state, out: plan.pod_observed(state, observation, out))

    def pod_event(self, key: AttemptKey, event: PodEvent) -> None:
        """A component said something of a pod of this run; told once for each count."""
        identity = event.event_uid or f"{event.pod}/{event.reason}/{event.message}"
        if self._said.get(identity, 0) < event.count:
            self._said[identity] = event.count
            self.post(lambda state, out: plan.pod_event(state, key, event, out))

    def cancel(self, reason: str, *, force: bool) -> None:
        """A user wants the run cancelled."""
        self.post(lambda state, out: plan.cancel_requested(state, reason, out, force=force))

    async def run(self) -> None:
        """Move the run on until it is finished.

        Raises:
            OwnershipLost: another executor has it (alone or in a group, as all that goes wrong).
            RunGone: it is not there any more.
        """
        stored = await self._env.database.read(lambda session: load_run(session, self.run_id))
        state = await self._restore(stored)
        async with asyncio.TaskGroup() as group:
            try:
                await self._begin(state, stored, group)
                while not state.is_finished:
                    await self._wait(state)
                    out = Decisions(self._env.clock.now())
                    messages, self._inbox = self._inbox, []
                    for message in messages:
                        message(state, out)
                    plan.fire_timers(state, out)
                    await self._close_step(state, out, group)
                await asyncio.sleep(0)  # the last step's outcome is told in the loop's next turn
                if self._failure is not None:
                    raise self._failure
            finally:
                self._is_closed = True  # what the launcher still has of this actor is not done any more
                if self._syncing is not None:
                    self._syncing.cancel()
                self._env.slots.release(self._held)
                self._env.slots.forget(self.run_id)
                for collector in list(self._collectors.values()):
                    collector.cancel()

    async def _restore(self, stored: StoredRun) -> RunState:
        self._labels = dict(stored.run.labels)
        make = partial(restore, stored, self._env.default_namespace)
        return await asyncio.to_thread(make) if len(stored.document) > LARGE_DOCUMENT_BYTES else make()

    async def _begin(self, state: RunState, stored: StoredRun, group: asyncio.TaskGroup) -> None:
        out = Decisions(self._env.clock.now())
        if state.phase is RunPhase.PENDING:
            plan.start(state, out)
        else:
            recover(state)
            self._held = state.live_attempts
            self._env.slots.occupy(self._held)
            if state.unsettled:
                self._said = await self._env.database.read(lambda session: list_pod_events(session, self.run_id))
                self._syncing = group.create_task(self._await_sync(state), name=f"sync {self.run_id}")
        if stored.run.cancel_requested_at is not None:
            plan.cancel_requested(state, stored.run.cancel_reason, out, force=stored.run.cancel_force)
        await self._close_step(state, out, group)

    async def _await_sync(self, state: RunState) -> None:
        """Once the watch has listed all pods, compare."""
        namespaces = {a.namespace for task in state.tasks.values() for a in task.attempts if not a.is_settled}
        for namespace in sorted(namespaces):
            await self._env.backend.wait_synced(namespace)
        self.post(lambda state, out: reconcile(state, self._env.backend.find_pod, out))

    async def _wait(self, state: RunState) -> None:
        """Until there is a message, or a timer is due."""
        if not self._inbox and self._failure is None:
            self._woken.clear()
            at = state.next_timer_at()
            try:
                async with asyncio.timeout(None if at is None else max((at - self._env.clock.now()).total_seconds(), 0)):
                    await self._woken.wait()
            except TimeoutError:
                pass
        if self._failure is not None:
            raise self._failure

    async def _close_step(self, state: RunState, out: Decisions, group: asyncio.TaskGroup) -> None:
        released = out.released_slots
        self._give_back(released)
        if plan.step(state, self._take_slot, out):
            self._env.slots.wait(self.run_id, lambda: self.post(_nothing))
        else:
            self._env.slots.forget(self.run_id)  # what was kept for it is of use to others
        self._give_back(out.released_slots - released)
        for pair in out.collects:
            self._collect(state, pair, group)
        for task, attempt in out.ended_logs:
            self._ended[state.key(task, attempt)].set()
        for task, attempt in out.abandoned_logs:
            self._abandoned[state.key(task, attempt)].set()
        if out.is_empty and not (out.creates or out.deletes or out.strays):
            return
        manifests = [self._manifest(state, pair, out) for pair in out.creates]
        recorded = self._env.writer.post(change_of(state, out, self.epoch), urgent=out.is_urgent)
        recorded.add_done_callback(lambda future: self._recorded(future, state, out, manifests))
        if out.is_urgent:
            await asyncio.wait([recorded])
        else:
            await self._env.writer.wait_for_room()

    def _recorded(self, future: asyncio.Future[Any], state: RunState, out: Decisions, manifests: list[dict[str, Any]]) -> None:
        """Record, then act: the step is in the database, so do what it decided."""
        if future.cancelled():
            return
        error = future.exception()
        if error is not None or self._failure is not None:
            self.fail(error or RuntimeError("an earlier step of this actor failed"))
            return
        for pair, manifest in zip(out.creates, manifests, strict=True):
            self._create(state, pair, manifest)
        for pair in out.deletes:
            self._delete(state, pair)
        for ref in out.strays:
            self._delete_stray(ref)

    def _take_slot(self) -> bool:
        taken = self._env.slots.take(self.run_id)
        self._held += taken
        return taken

    def _give_back(self, count: int) -> None:
        self._held -= count
        self._env.slots.release(count)

    def _manifest(self, state: RunState, pair: Pair, out: Decisions) -> dict[str, Any]:
        task, attempt = pair
        manifest = build_pod(
            task.spec,
            key=state.key(task, attempt),
            workflow=state.workflow.name,
            run_labels=self._labels,
            namespace=attempt.namespace,
            instance=self._env.instance,
        )
        for remark in self._env.backend.remarks(manifest):
            if remark not in self._remarked:
                self._remarked.add(remark)
                out.say(state, EventType.NOTE, task, attempt, message=remark)
        return manifest

    def _create(self, state: RunState, pair: Pair, manifest: dict[str, Any]) -> None:
        task, attempt = pair
        key = state.key(task, attempt)

        def answer(what: PodObservation | PodRefused | PodDeferred) -> None:
            if isinstance(what, PodRefused):
                self.post(lambda state, out: plan.pod_refused(state, key, what.reason, what.message, out))
            elif isinstance(what, PodDeferred):
                after = what.retry_after_seconds
                self.post(lambda state, out: plan.pod_deferred(state, key, what.reason, what.message, after, out))
            else:
                self.pod_observed(what)

        self._env.launcher.create(self.run_id, manifest, lambda: not self._is_closed and not attempt.phase.is_over, answer)

    def _delete(self, state: RunState, pair: Pair) -> None:
        task, attempt = pair
        key = state.key(task, attempt)
        ref = PodRef(attempt.namespace, attempt.pod, attempt.uid or "")

        def answer(deferred: PodDeferred | None) -> None:
            if deferred is None:
                self.post(lambda state, out: plan.delete_answered(state, key, out))
            else:
                self.post(lambda state, out: plan.delete_deferred(state, key, out))

        self._env.launcher.delete(self.run_id, ref, answer, lambda: not self._is_closed)

    def _delete_stray(self, ref: PodRef) -> None:
        def answer(deferred: PodDeferred | None) -> None:
            if deferred is not None and not self._is_closed:
                loop = asyncio.get_running_loop()
                loop.call_later(STRAY_SECONDS, self.post, lambda _state, out: out.strays.append(ref))

        self._env.launcher.delete(self.run_id, ref, answer, lambda: not self._is_closed)

    def _collect(self, state: RunState, pair: Pair, group: asyncio.TaskGroup) -> None:
        task, attempt = pair
        key = state.key(task, attempt)
        ref = PodRef(attempt.namespace, attempt.pod, attempt.uid or "")
        ended = self._ended[key] = asyncio.Event()
        self._abandoned[key] = asyncio.Event()
        if attempt.main_ended:
            ended.set()
        self._collectors[key] = group.create_task(self._follow(key, ref, ended), name=f"log {ref.name}")

    async def _follow(self, key: AttemptKey, ref: PodRef, ended: asyncio.Event) -> None:
        """Collect main's log to its end, however that comes, and say so."""
        log_key = LogKey(key.run_id, key.task, key.attempt, MAIN)
        try:
            await self._env.collector.collect(log_key, self.epoch, ref, ended, abandoned=self._abandoned[key])
            self.post(lambda state, out: plan.log_sealed(state, key, out))
        except Exception as error:  # noqa: BLE001 - it fails the actor, which is told from here
            self.fail(error)
        finally:
            del self._collectors[key]


def _nothing(_state: RunState, _out: Decisions) -> None:
    """A slot is kept for this run: the step takes it."""

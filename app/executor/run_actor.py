"""One run's actor: a coroutine with one inbox, the only writer of the run's phases.

    inbox: pods observed, answers of the launcher, sealed logs, intents, timers
      └▶ plan (pure) ─▶ decisions ─▶ recorded (one Change) ─▶ done: pods created and deleted, logs followed

A message is a call of the plan, waiting for its turn. Whatever goes wrong here ends this actor alone; the executor starts
another one from what is stored, and loses nothing: nothing is done before it is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from app.domain.errors import PodDeferred, PodRefused
from app.domain.events import EventType
from app.domain.phases import RunPhase
from app.domain.plan import plan, requests
from app.domain.plan.attempt_flow import spec_of
from app.domain.plan.decisions import Decisions, Pair
from app.domain.plan.evaluation import Evaluation
from app.domain.plan.recovery import reconcile, recover
from app.domain.plan.run_state import RunState
from app.domain.plan.verdict import judge
from app.domain.pods import AttemptKey, PodEvent, PodObservation, PodRef
from app.executor import messages
from app.executor.clock import Clock
from app.executor.evaluations import find_answer
from app.executor.launcher import Launcher
from app.executor.log_follower import LogFollower
from app.executor.records import change_of, let_go, newest_time, restore
from app.executor.slots import Slots
from app.executor.told_events import ToldEvents
from app.expressions.evaluator import Evaluator
from app.failpoints import Action
from app.logs.collector import LogCollector
from app.pods.manifest import build_pod
from app.pods.port import PodBackend
from app.storage.broker import Broker
from app.storage.database import Database
from app.storage.groups import group_topic, take_turn, waits_for
from app.storage.intents import Request
from app.storage.runs import StoredRun, load_run
from app.storage.writer import Change, Writer

#: Documents over this size are parsed in a thread: the event loop is everybody's.
LARGE_DOCUMENT_BYTES = 65_536
#: So is what touches all tasks of a run of more than this many.
LARGE_RUN_TASKS = 500
#: How often is looked whether it is the run's turn, when nobody says so.
LOOK_SECONDS = 5.0
#: Of messages by which nothing begins: what happens to a pod on its way is one step and one commit, not five.
LAZY_SECONDS = 0.01
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
    evaluator: Evaluator
    broker: Broker
    instance: str
    namespaces: Sequence[str]  #: where pods may run; the first is the default


class RunActor:
    """Moves one run on, from where it is to its end. Make it, `run` it once; `post` may be called at any time."""

    def __init__(self, run_id: str, epoch: int, environment: Environment) -> None:
        self.run_id, self.epoch = run_id, epoch
        self._env = environment
        self._inbox: list[Message] = []
        self._woken = asyncio.Event()
        self._waking: asyncio.TimerHandle | None = None  # for messages that wait for company
        self._failure: BaseException | None = None
        self._is_closed = False
        self._is_heavy = self._makes_tasks = False  # of what is in the inbox
        self._held = 0  # slots
        self._logs = LogFollower(environment.collector, epoch, self.post, self.fail)
        self._others: set[asyncio.Task[None]] = set()  # evaluations, and waiting for the group's turn
        self._heeded: set[int] = set()  # requests of users that are in the inbox or done
        self._told_events = ToldEvents()
        self._remarked: set[str] = set()
        self._labels: dict[str, str] = {}
        self._group_key: str | None = None

    @property
    def _is_acting(self) -> bool:
        """Whether what it has decided is still to be done: not once it has failed, such as by losing its run."""
        return not self._is_closed and self._failure is None

    def fail(self, error: BaseException) -> None:
        """End the actor with this error. What the launcher still has of it is not done any more."""
        self._failure = self._failure or error
        self._woken.set()

    def post(self, message: Message, *, is_heavy: bool = False, makes_tasks: bool = False, can_wait: bool = False) -> None:
        """Put a message into the inbox.

        A heavy one may touch all tasks of the run, one that makes tasks ever so many. One that can wait, since nothing begins
        by it, waits for company: LAZY_SECONDS at most.
        """
        self._inbox.append(message)
        self._is_heavy, self._makes_tasks = self._is_heavy or is_heavy, self._makes_tasks or makes_tasks
        if not can_wait:
            self._woken.set()
        elif self._waking is None and not self._woken.is_set():
            self._waking = asyncio.get_running_loop().call_later(LAZY_SECONDS, self._woken.set)

    def pod_observed(self, observation: PodObservation) -> None:
        """A pod of this run is as observed."""
        is_over = judge(observation).phase.is_over  # with its task may end all that wait for it
        self.post(lambda state, out: plan.pod_observed(state, observation, out), is_heavy=is_over, can_wait=not is_over)

    def pod_event(self, key: AttemptKey, event: PodEvent) -> None:
        """A component said something of a pod of this run; told once for each count."""
        if self._told_events.take(key, event):
            self._post_event(key, event)

    def _post_event(self, key: AttemptKey, event: PodEvent) -> None:
        self.post(lambda state, out: plan.pod_event(state, key, event, out), can_wait=True)

    def cancel(self, reason: str, *, force: bool) -> None:
        """A user wants the run cancelled."""
        self.post(lambda state, out: requests.cancel(state, reason, out, force=force), is_heavy=True)

    def heed(self, request: Request) -> None:
        """A user asks something of the run. The same request may come again."""
        if request.id not in self._heeded:
            self._heeded.add(request.id)
            self.post(lambda state, out: messages.heed(state, request, out), is_heavy=True)

    async def run(self) -> None:
        """Move the run on until it is finished.

        Raises:
            OwnershipLost: another executor has it (alone or in a group, as all that goes wrong).
            RunGone: it is not there any more.
        """
        stored = await self._env.database.read(lambda session: load_run(session, self.run_id))
        for key, event in self._told_events.restore(stored.pod_events):
            self._post_event(key, event)
        state = await self._restore(stored)
        if any(node.needs_values or node.list_expressions for node in state.workflow.nodes):
            self._env.evaluator.prepare()
        async with asyncio.TaskGroup() as group:
            try:
                await self._begin(state, stored, group)
                del stored
                while not state.is_finished:
                    await self._wait(state)
                    await self._step(state, group)
                await asyncio.sleep(0)  # the last step's outcome is told in the loop's next turn
                if self._failure is not None:
                    raise self._failure
            finally:
                self._is_closed = True  # nothing that the launcher still has of this actor is done any more
                self._env.slots.release(self._held)
                self._env.slots.forget(self.run_id)
                self._logs.cancel()
                for background in self._others:
                    background.cancel()
        if len(state.tasks) > LARGE_RUN_TASKS:
            await asyncio.to_thread(let_go, state)

    async def _restore(self, stored: StoredRun) -> RunState:
        self._labels = dict(stored.run.labels)
        self._group_key = stored.run.group_key
        has_begun = stored.run.phase != RunPhase.PENDING.value

        def make() -> tuple[RunState, Clock]:
            clock = Clock(stored.run.clock if has_begun else None, not_before=newest_time(stored))
            return restore(stored, self._env.namespaces), clock

        is_large = len(stored.document) > LARGE_DOCUMENT_BYTES or len(stored.tasks) > LARGE_RUN_TASKS
        state, self._clock = await asyncio.to_thread(make) if is_large else make()
        return state

    async def _begin(self, state: RunState, stored: StoredRun, group: asyncio.TaskGroup) -> None:
        if state.phase is not RunPhase.PENDING:
            self._inbox.insert(0, recover)  # before what was observed while the run was loaded
            self._is_heavy = True
            self._held = state.live_attempts
            self._env.slots.occupy(self._held)
            if state.unsettled:
                self._spawn(group, self._await_sync(state), f"sync {self.run_id}")
        for request in stored.intents:
            self.heed(request)
        if stored.run.cancel_requested_at is not None:
            self.cancel(stored.run.cancel_reason, force=stored.run.cancel_force)
        if self._group_key is None:
            self.post(messages.start, is_heavy=True)
        await self._step(state, group)
        if self._group_key is not None and state.phase is RunPhase.PENDING:
            self._spawn(group, self._await_turn(self._group_key), f"turn {self.run_id}")

    def _spawn(self, group: asyncio.TaskGroup, coroutine: Coroutine[Any, Any, None], name: str) -> None:
        """Run something beside the actor that ends with it."""
        background = group.create_task(coroutine, name=name)
        self._others.add(background)
        background.add_done_callback(self._others.discard)

    async def _await_turn(self, group_key: str) -> None:
        """Begin the run once no other run of its concurrency group is under way."""
        with self._env.broker.subscribe(group_topic(group_key)) as subscription:
            while True:
                subscription.clear()
                holder: str | None = await self._env.database.read(partial(waits_for, run_id=self.run_id))
                if holder is None:  # as it seems: to be sure, the group is locked
                    turn = partial(take_turn, run_id=self.run_id)
                    change = Change(call=turn, fence=(self.run_id, self.epoch), actions=(Action.TAKE_TURN,))
                    holder = await self._env.writer.commit(change)
                if holder is None:
                    break
                self.post(messages.wait_for_turn)
                await subscription.wait(LOOK_SECONDS)
        self.post(messages.start, is_heavy=True)

    async def _await_sync(self, state: RunState) -> None:
        """Once the watch has listed all pods, compare."""
        namespaces = {a.namespace for task in state.tasks.values() for a in task.attempts if not a.is_settled}
        for namespace in sorted(namespaces):
            await self._env.backend.wait_synced(namespace)
        backend = self._env.backend
        pods = [pod for namespace in sorted(namespaces) for pod in backend.list_pods(namespace, self.run_id)]
        self.post(lambda state, out: reconcile(state, backend.find_pod, out, pods), is_heavy=True)

    async def _wait(self, state: RunState) -> None:
        """Until there is a message, or a timer is due."""
        if not self._woken.is_set() and self._failure is None:
            at = state.next_timer_at()
            try:
                async with asyncio.timeout(None if at is None else max((at - self._clock.now()).total_seconds(), 0)):
                    await self._woken.wait()
            except TimeoutError:
                pass
        if self._failure is not None:
            raise self._failure

    async def _step(self, state: RunState, group: asyncio.TaskGroup) -> None:
        """Do what is in the inbox and what is due, and record what follows. What is large is done in a thread."""
        out = Decisions(self._clock.now(), self._env.backend.sees)
        inbox, self._inbox = self._inbox, []
        self._woken.clear()
        if self._waking is not None:
            self._waking.cancel()
            self._waking = None
        is_heavy = self._makes_tasks or (self._is_heavy and len(state.tasks) > LARGE_RUN_TASKS)
        self._is_heavy = self._makes_tasks = False

        def work() -> None:
            for message in inbox:
                message(state, out)
            plan.fire_timers(state, out)
            plan.stop_waiting(state, out)

        if is_heavy or _has_heavy_timer(state, out):
            await asyncio.to_thread(work)
        else:
            work()
        await self._close_step(state, out, group)

    async def _close_step(self, state: RunState, out: Decisions, group: asyncio.TaskGroup) -> None:
        released = out.released_slots
        self._give_back(released)
        if plan.step(state, self._take_slot, out):
            self._env.slots.wait(self.run_id, lambda: self.post(messages.nothing))
        else:
            self._env.slots.forget(self.run_id)  # what was kept for it is of use to others
        self._give_back(out.released_slots - released)
        if out.goes_on:
            self.post(messages.nothing)
        self._logs.follow(state, out, group)
        if out.is_empty and not out.acts:
            return
        manifests = [self._manifest(state, pair, out) for pair in out.creates]
        change = await self._change(state, out)
        recorded = self._env.writer.post(change, urgent=out.is_urgent)
        recorded.add_done_callback(lambda future: self._recorded(future, state, out, manifests, group))
        if out.is_urgent:
            await asyncio.wait([recorded])
        else:
            await self._env.writer.wait_for_room()

    async def _change(self, state: RunState, out: Decisions) -> Change:
        if len(out.tasks) + len(out.new_tasks) > LARGE_RUN_TASKS:
            change = await asyncio.to_thread(change_of, state, out, self.epoch, self._clock.kept)
        else:
            change = change_of(state, out, self.epoch, self._clock.kept)
        if state.is_finished and self._group_key is not None:  # the next run of the group has its turn
            change.topics = (*change.topics, group_topic(self._group_key))
        return change

    def _recorded(
        self,
        future: asyncio.Future[Any],
        state: RunState,
        out: Decisions,
        manifests: list[dict[str, Any]],
        group: asyncio.TaskGroup,
    ) -> None:
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
        if not self._is_closed:
            for asked in out.evaluations:
                self._spawn(group, self._evaluate(state, asked), f"expressions of {asked.node.name}")

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
            spec_of(task),
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
                self.post(lambda state, out: plan.pod_refused(state, key, what.reason, what.message, out), is_heavy=True)
            elif isinstance(what, PodDeferred):
                after = what.retry_after_seconds
                self.post(lambda state, out: plan.pod_deferred(state, key, what.reason, what.message, after, out))
            else:
                self.pod_observed(what)

        self._env.launcher.create(self.run_id, manifest, lambda: self._is_acting and not attempt.phase.is_over, answer)

    def _delete(self, state: RunState, pair: Pair) -> None:
        task, attempt = pair
        key = state.key(task, attempt)
        ref = PodRef(attempt.namespace, attempt.pod, attempt.uid or "")

        def answer(deferred: PodDeferred | None) -> None:
            if deferred is None:
                self.post(lambda state, out: plan.delete_answered(state, key, out), can_wait=True)
            else:
                after = deferred.retry_after_seconds
                self.post(lambda state, out: plan.delete_deferred(state, key, after, out))

        self._env.launcher.delete(self.run_id, ref, answer, lambda: self._is_acting)

    def _delete_stray(self, ref: PodRef) -> None:
        def answer(deferred: PodDeferred | None) -> None:
            if deferred is not None and not self._is_closed:
                loop = asyncio.get_running_loop()
                loop.call_later(STRAY_SECONDS, self.post, lambda _state, out: out.strays.append(ref))

        self._env.launcher.delete(self.run_id, ref, answer, lambda: self._is_acting)

    async def _evaluate(self, state: RunState, asked: Evaluation) -> None:
        """Have expressions evaluated, and bring what came of them."""
        try:
            answer = await find_answer(self._env.evaluator, state, asked)
            self.post(answer, is_heavy=True, makes_tasks=not asked.tasks)
        except Exception as error:  # noqa: BLE001 - it fails the actor, which is told from here
            self.fail(error)


def _has_heavy_timer(state: RunState, out: Decisions) -> bool:
    """Whether the run's own timeout is due, which ends all tasks of a large run."""
    at = state.next_timer_at()
    return len(state.tasks) > LARGE_RUN_TASKS and at is not None and at <= out.now

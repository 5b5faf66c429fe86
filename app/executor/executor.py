"""The executor: claims runs, starts an actor for each, and brings to it what the backend sees and what users ask.

It implements `runs.Admission` (a run that is posted here starts here, without another look into the database) and
`pods.PodListener`. One task group holds everything: leaving it stops the actors and lets go of their
runs, while the pods go on.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import Any, Self

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.cancelling import stop_if_cancelled
from app.domain.errors import OwnershipLost, RunGone
from app.domain.pods import PodEvent, PodObservation
from app.executor.failure import end_run_as_error
from app.executor.late_pods import LatePods
from app.executor.lease import Lease
from app.executor.run_actor import Environment, RunActor
from app.failpoints import Action
from app.storage.broker import INTENTS, SUBMITTED, Broker
from app.storage.errors import describe_outage, is_outage
from app.storage.executors import (
    Claim,
    claim_runs,
    find_epochs,
    list_intents,
    list_owned,
    release_runs,
    renew_claim,
    seconds_until_claimable,
)
from app.storage.intents import list_requests
from app.storage.writer import Change

#: Intents and unowned runs are looked for this often even when nobody says that there are any.
LOOK_SECONDS = 5.0
#: A dead executor's runs are looked for when its lease runs out, and this often where somebody just holds them locked.
SHORTEST_LOOK_SECONDS = 0.25
CLAIM_LIMIT = 200
#: An actor that fails so often, each time for a reason of its own, ends its run as Error.
FAILURE_LIMIT = 3
#: An actor that ran for so long before it failed starts with a clean sheet.
HEALTHY_SECONDS = 60.0
RELEASE_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Executor:
    """An async context manager. `owner` is its id while it takes runs."""

    def __init__(self, lease: Lease, environment: Environment, broker: Broker, *, is_alone: bool) -> None:
        """`is_alone`: no other service shares the database (SQLite), so a start takes all runs at once."""
        self._lease, self._env, self._broker = lease, environment, broker
        self._is_alone = is_alone
        self._actors: dict[str, RunActor] = {}
        self._newer: dict[str, Claim] = {}  # claims of runs whose actor is to end first
        self._late_pods = LatePods(environment.database, environment.backend, environment.launcher)
        self._group = asyncio.TaskGroup()
        self._started: list[asyncio.Task[None]] = []
        self._is_open = False

    @property
    def owner(self) -> str | None:
        """See runs.Admission: this executor's id while it takes runs, else None."""
        return self._lease.executor_id if self._is_open and self._lease.is_held else None

    @property
    def active_runs(self) -> int:
        """How many runs have an actor here."""
        return len(self._actors)

    async def check(self) -> str | None:
        """None when runs are moved on here, else a sentence that says what is wrong. For /readyz."""
        return None if self.owner is not None else "this process's lease could not be renewed: it starts no pods"

    async def __aenter__(self) -> Self:
        await self._lease.renew()
        await self._group.__aenter__()
        self._is_open = True
        keeping = self._lease.keep(self._compare)
        for name, coroutine in (("lease", keeping), ("claims", self._claim()), ("intents", self._heed())):
            self._started.append(self._group.create_task(coroutine, name=name))
        return self

    async def __aexit__(self, *exc_info: Any) -> None:
        self._is_open = False
        for started in self._started:
            started.cancel()
        await self._group.__aexit__(None, None, None)
        call = partial(release_runs, executor_id=self._lease.executor_id)
        release = Change(call=call, topics=(SUBMITTED,), actions=(Action.RELEASE_RUNS,))  # others take the runs up at once
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await self._env.writer.commit(release)
        except (SQLAlchemyError, OSError, TimeoutError) as error:  # the lease runs out by itself
            log.warning("the runs could not be let go of", error=describe_outage(error))

    def admit(self, run_id: str, epoch: int) -> None:
        """See runs.Admission: start the run that was just committed as this executor's."""
        if self._is_open:
            self._start(Claim(run_id, epoch))

    def pod_observed(self, observation: PodObservation) -> None:
        """See PodListener. Pods of unfinished runs that are not ours are not touched: only a run's owner judges its pods."""
        actor = self._actors.get(observation.key.run_id)
        if actor is not None:
            actor.pod_observed(observation)
        else:
            self._late_pods.observed(observation)

    def pod_event(self, event: PodEvent) -> None:
        """See PodListener."""
        pod = self._env.backend.find_pod(event.namespace, event.pod)
        actor = self._actors.get(pod.key.run_id) if pod is not None else None
        if pod is not None and actor is not None:
            actor.pod_event(pod.key, event)

    def _start(self, claim: Claim) -> None:
        """See that the run has an actor of this epoch."""
        running = self._actors.get(claim.run_id)
        if running is None:
            actor = self._actors[claim.run_id] = RunActor(claim.run_id, claim.epoch, self._env)
            self._started.append(self._group.create_task(self._supervise(claim, actor), name=f"run {claim.run_id}"))
            if len(self._started) > 2 * len(self._actors) + 100:
                self._started = [one for one in self._started if not one.done()]
        elif running.epoch < claim.epoch:  # it was lost and came back, and the actor has not noticed
            self._newer[claim.run_id] = claim
            running.fail(OwnershipLost(claim.run_id))

    async def _supervise(self, claim: Claim, actor: RunActor) -> None:
        """Run the actor, and another one when it fails: what is wrong with a run harms that run alone."""
        failures = tries = 0
        try:
            while True:
                began = time.monotonic()
                cause = await _outcome_of(actor)
                newer = self._newer.pop(claim.run_id, None)  # it may have been retried while its actor ended
                if newer is None and cause is None:
                    return
                if isinstance(cause, RunGone) or (isinstance(cause, OwnershipLost) and newer is None):
                    log.info("a run is not ours any more", run=claim.run_id, why=type(cause).__name__)
                    return
                if newer is None and cause is not None:
                    if time.monotonic() - began > HEALTHY_SECONDS:
                        failures = tries = 0
                    tries += 1
                    failures += not is_outage(cause)
                    if is_outage(cause):  # no fault of ours, and it is every run's: a line each
                        log.warning("a run waits for the database", run=claim.run_id, error=describe_outage(cause))
                    else:
                        log.error("an actor failed", run=claim.run_id, failures=failures, exc_info=cause)
                    if failures >= FAILURE_LIMIT and await self._give_up(claim, cause):
                        return
                    await asyncio.sleep(min(0.5 * 2**tries, 15))
                    newer = await self._renew(claim)
                if newer is None:
                    log.info("a run is not ours any more", run=claim.run_id)
                    return
                claim = newer
                actor = self._actors[claim.run_id] = RunActor(claim.run_id, claim.epoch, self._env)
        finally:
            del self._actors[claim.run_id]

    async def _renew(self, claim: Claim) -> Claim | None:
        """The run under a new epoch, so that nothing of the actor that failed is done any more. None: it is not ours."""
        call = partial(renew_claim, claim=claim, executor_id=self._lease.executor_id)
        renew = Change(call=call, actions=(Action.RENEW_CLAIM,))
        while True:
            try:
                newer: Claim | None = await self._env.writer.commit(renew)
            except (SQLAlchemyError, OSError) as error:
                log.warning("a run could not be taken up again", run=claim.run_id, error=describe_outage(error))
                await asyncio.sleep(LOOK_SECONDS)
            else:
                return newer

    async def _give_up(self, claim: Claim, cause: BaseException) -> bool:
        """End the run as Error. False: that failed too, so the run is tried again."""
        try:
            await end_run_as_error(self._env, claim, cause)
        except OwnershipLost:
            log.info("a run is not ours any more", run=claim.run_id)
        except Exception:
            log.exception("a run could not be ended as Error", run=claim.run_id)
            return False
        return True

    async def _claim(self) -> None:
        """Take up runs that nobody owns, and those of executors that died; at a start on SQLite all of them."""
        take_all = self._is_alone
        with self._broker.subscribe(SUBMITTED) as submitted:
            while True:
                submitted.clear()
                seconds = LOOK_SECONDS
                try:
                    # Who is taken for dead claims nothing: others would take it away again at once.
                    while self._lease.is_held and (claims := await self._claim_some(take_all=take_all)):
                        for claim in claims:
                            self._start(claim)
                    await self._compare()
                    if self._lease.is_held:
                        take_all = False
                        seconds = await self._seconds_until_claimable()
                    await self._late_pods.look()
                except (SQLAlchemyError, OSError) as error:
                    log.warning("runs could not be claimed", error=describe_outage(error))
                await submitted.wait(max(seconds, SHORTEST_LOOK_SECONDS))

    async def _seconds_until_claimable(self) -> float:
        if self._is_alone:
            return LOOK_SECONDS
        until = partial(seconds_until_claimable, executor_id=self._lease.executor_id)
        return min(await self._env.database.read(until), LOOK_SECONDS)

    async def _compare(self) -> None:
        """Level, not edge: whatever was lost on the way here, a run that is ours has an actor, and no other run has one."""
        actors = dict(self._actors)
        owned = await self._env.database.read(lambda session: list_owned(session, self._lease.executor_id))
        for claim in owned:
            self._start(claim)
        doubtful = actors.keys() - {claim.run_id for claim in owned}
        epochs = await self._env.database.read(lambda session: find_epochs(session, doubtful)) if doubtful else {}
        for run_id in doubtful:
            if epochs.get(run_id) != actors[run_id].epoch:  # else it has just finished, or was never anybody's
                actors[run_id].fail(OwnershipLost(run_id))

    async def _claim_some(self, *, take_all: bool) -> list[Claim]:
        call = partial(claim_runs, executor_id=self._lease.executor_id, limit=CLAIM_LIMIT, take_all=take_all)
        claims: list[Claim] = await self._env.writer.commit(Change(call=call, actions=(Action.CLAIM_RUNS,)))
        return claims

    async def _heed(self) -> None:
        """Bring intents to the actors: at once when told, and by looking, for a word that was lost."""
        with self._broker.subscribe(INTENTS) as intents:
            while True:
                intents.clear()
                try:
                    for intent in await self._env.database.read(partial(list_intents, executor_id=self._lease.executor_id)):
                        actor = self._actors.get(intent.run_id)
                        if actor is not None:
                            actor.cancel(intent.cancel_reason, force=intent.cancel_force)
                    for request in await self._env.database.read(partial(list_requests, executor_id=self._lease.executor_id)):
                        actor = self._actors.get(request.run_id)
                        if actor is not None:
                            actor.heed(request)
                except (SQLAlchemyError, OSError) as error:
                    log.warning("intents could not be read", error=describe_outage(error))
                await intents.wait(LOOK_SECONDS)


async def _outcome_of(actor: RunActor) -> BaseException | None:
    """Run the actor: None when its run is finished, else what ended it."""
    try:
        await actor.run()
    except Exception as error:  # noqa: BLE001 - the supervisor judges it
        stop_if_cancelled()
        return _cause(error)
    return None


def _cause(error: BaseException) -> BaseException:
    """What went wrong first, out of its groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

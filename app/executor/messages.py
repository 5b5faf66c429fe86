"""Messages to a run's actor that are more than one call of the plan: its start, its group's turn, what users ask of it."""

from __future__ import annotations

from app.domain.phases import RunPhase
from app.domain.plan import approvals, plan, requests
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import RunState
from app.storage.intents import IntentKind, Request


def start(state: RunState, out: Decisions) -> None:
    """It is the run's turn."""
    if state.phase is RunPhase.PENDING:  # it may have been cancelled while it waited
        plan.start(state, out)


def wait_for_turn(state: RunState, out: Decisions) -> None:
    """It is the turn of another run of its concurrency group."""
    if state.phase is RunPhase.PENDING:
        requests.wait_for_group(state, out)


def heed(state: RunState, request: Request, out: Decisions) -> None:
    """Do what a user asked for; it is done with this step."""
    out.done_requests.append(request.id)
    if request.kind is IntentKind.RETRY:
        requests.retry(state, request.details.get("tasks"), out)
    elif request.kind in (IntentKind.SUSPEND, IntentKind.RESUME):
        requests.suspend(state, out, suspended=request.kind is IntentKind.SUSPEND)
    else:
        comment = str(request.details.get("comment") or "")
        approvals.answer(state, request.task or "", comment, out, approved=request.kind is IntentKind.APPROVE)


def nothing(_state: RunState, _out: Decisions) -> None:
    """A slot is kept for this run, or there is more to do: the step sees to it."""

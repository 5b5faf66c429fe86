"""Going on after a restart, where the pods went their own way meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.phases import Phase, RunPhase
from app.domain.plan import plan
from app.domain.plan.attempt_state import AttemptState
from app.domain.plan.decisions import Decisions
from app.domain.plan.recovery import reconcile, recover
from app.domain.plan.run_state import RunState
from app.domain.pods import AttemptKey, ContainerObservation, ContainerPhase, PodObservation
from app.domain.workflow.parsing import parse_workflow
from app.executor.records import restore
from tests.unit.domain.plan.cluster_model import Model, Outcome

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _run_of(attempt: AttemptState, phase: RunPhase = RunPhase.RUNNING) -> RunState:
    """A run of one task, `a`, with this attempt; nobody has taken it up yet."""
    workflow = parse_workflow({"name": "w", "tasks": [{"name": "a", "image": "x"}]})
    state = RunState(run_id="r", workflow=workflow, created_at=NOW, namespaces=("default",), phase=phase, started_at=NOW)
    state.cancel_reason = "" if phase is RunPhase.CANCELLING else None
    state.tasks["a"].attempts.append(attempt)
    state.tasks["a"].phase = attempt.phase
    return state


@pytest.mark.parametrize("log_begun", [True, False])
def test_reconcile__pod_of_an_attempt_cancelled_while_pending_is_gone__a_log_that_was_begun_is_sealed(log_begun: bool) -> None:
    attempt = AttemptState(
        number=1, namespace="default", pod="a-1", created_at=NOW, phase=Phase.CANCELLED, uid="u", finished_at=NOW,
        begun_logs={"main"} if log_begun else set(),
    )  # fmt: skip
    state = _run_of(attempt, RunPhase.CANCELLING)
    out = Decisions(NOW)
    recover(state, out)
    reconcile(state, lambda _namespace, _name: None, out)
    assert [log[1] for log in out.collects] == ([attempt] if log_begun else [])
    assert attempt.log_sealed is not log_begun
    assert [pair[1] for pair in out.deletes] == ([] if log_begun else [attempt])  # nobody saw how it went
    plan.delete_answered(state, AttemptKey("r", "a", 1), out)
    assert attempt.is_settled is not log_begun


def test_recover__main_was_seen_to_have_ended_before__the_run_waits_for_it_no_more() -> None:
    ended = AttemptState(
        number=1, namespace="default", pod="a-1", created_at=NOW, phase=Phase.CANCELLED, uid="u", finished_at=NOW,
        main_ended=True,
    )  # fmt: skip
    state = _run_of(ended, RunPhase.CANCELLING)
    recover(state, Decisions(NOW))
    assert state.terminating == 0


def test_reconcile__another_pod_has_the_name__it_is_a_stray_and_the_attempts_own_is_gone() -> None:
    attempt = AttemptState(
        number=1, namespace="default", pod="a-1", created_at=NOW, phase=Phase.RUNNING, uid="own", started_at=NOW
    )
    state = _run_of(attempt)
    twin = PodObservation(key=AttemptKey("r", "a", 1), namespace="default", name="a-1", uid="twin", phase="Running")
    out = Decisions(NOW)
    recover(state, out)
    reconcile(state, lambda _namespace, _name: twin, out)
    assert [ref.uid for ref in out.strays] == ["twin"]
    assert (state.tasks["a"].phase, state.tasks["a"].reason) == (Phase.ERROR, "PodLost")


def test_reconcile__a_pod_of_another_attempt_has_the_name__the_attempts_own_is_created() -> None:
    attempt = AttemptState(number=1, namespace="default", pod="a-1", created_at=NOW)
    state = _run_of(attempt)
    other = PodObservation(key=AttemptKey("r", "a", 7), namespace="default", name="a-1", uid="other", phase="Running")
    out = Decisions(NOW)
    recover(state, out)
    reconcile(state, lambda _namespace, _name: other, out)
    assert [ref.uid for ref in out.strays] == ["other"]
    assert [pair[1] for pair in out.creates] == [attempt]


def test_reconcile__a_pod_of_its_labels_has_another_name__it_is_a_stray() -> None:
    attempt = AttemptState(
        number=1, namespace="default", pod="a-1", created_at=NOW, phase=Phase.RUNNING, uid="own", started_at=NOW
    )
    state = _run_of(attempt)
    main = ContainerObservation(name="main", phase=ContainerPhase.RUNNING, started_at=NOW)
    own = PodObservation(
        key=AttemptKey("r", "a", 1), namespace="default", name="a-1", uid="own", phase="Running", containers=(main,)
    )
    out = Decisions(NOW)
    recover(state, out)
    reconcile(state, lambda _namespace, _name: own, out, [replace(own, name="copy", uid="copied"), own])
    assert [ref.uid for ref in out.strays] == ["copied"]
    assert state.tasks["a"].phase is Phase.RUNNING


def test_restore__namespace_is_not_allowed_any_more__what_runs_there_goes_on() -> None:
    document = {"name": "w", "tasks": [{"name": "a", "image": "x", "namespace": "${{ 'default' }}"}]}
    model = Model(document, lambda _key: Outcome(), lambda _count: 0)
    while not model.state.tasks["a"].attempts:
        assert model.happen()
    restored = restore(model.store.stored_run(document), ("other",))
    assert restored.tasks["a"].spec is not None

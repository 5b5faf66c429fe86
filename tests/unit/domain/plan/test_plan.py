"""The plan, case by case: what the laws in test_plan_laws do not pin down."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.domain.phases import Phase, RunPhase
from app.domain.plan import plan, requests
from app.domain.plan.decisions import Decisions
from app.domain.plan.run_state import RunState
from app.domain.pods import AttemptKey, ContainerObservation, ContainerPhase, PodEvent, PodObservation
from app.domain.workflow.parsing import parse_workflow
from tests.unit.domain.plan.cluster_model import START, ModelPod, Outcome

KEY = AttemptKey("run", "a", 1)


class Run:
    """A run whose steps the test takes one by one."""

    def __init__(self, *tasks: dict[str, Any], slots: int = 100, **workflow: Any) -> None:
        filled = [{"image": "busybox:1"} | task for task in tasks]
        self.state = RunState(
            run_id="run",
            workflow=parse_workflow({"name": "w", "tasks": filled, **workflow}),
            created_at=START,
            namespaces=("default",),
        )
        self.now, self.slots = START, slots
        self.pods: dict[AttemptKey, ModelPod] = {}
        self.do(plan.start)

    def do(self, function: Any, *args: Any, **kwargs: Any) -> Decisions:
        out = Decisions(self.now)
        function(self.state, *args, out, **kwargs)
        plan.step(self.state, lambda: self.state.live_attempts < self.slots, out)
        return out

    def observe(self, key: AttemptKey, step: int, outcome: Outcome | None = None, **values: Any) -> Decisions:
        attempt = self.state.tasks[key.task].attempts[key.attempt - 1]
        pod = self.pods.setdefault(key, ModelPod(key, attempt.namespace, attempt.pod, f"uid-{key}", outcome or Outcome()))
        pod.step = step
        for name, value in values.items():
            setattr(pod, name, value)
        return self.do(plan.pod_observed, pod.observation())

    def pass_time(self, seconds: float) -> Decisions:
        self.now += timedelta(seconds=seconds)
        return self.do(plan.fire_timers)

    def __getitem__(self, name: str) -> Any:
        return self.state.tasks[name]


def keys(pairs: list[Any]) -> list[tuple[str, int]]:
    return [(task.name, attempt.number) for task, attempt, *_ in pairs]


def test_cancel__creation_deferred_by_a_quota__is_finished_at_once() -> None:
    run = Run({"name": "a"})
    run.do(plan.pod_deferred, KEY, "QuotaExceeded", "exceeded quota", None)
    assert run["a"].reason == "QuotaExceeded"
    run.do(requests.cancel, "", force=False)
    assert run.state.is_finished


def test_cancel__creation_under_way_when_it_is_deferred_by_a_quota__is_finished_then() -> None:
    run = Run({"name": "a"})
    run.do(requests.cancel, "", force=False)
    assert not run.state.is_finished
    run.do(plan.pod_deferred, KEY, "QuotaExceeded", "exceeded quota", None)
    assert run.state.is_finished


def test_start__ready_tasks__begin_in_document_order_as_far_as_slots_go() -> None:
    run = Run({"name": "b"}, {"name": "a"}, {"name": "c"}, slots=2)
    assert list(run.state.tasks) == ["b", "a", "c"]
    assert [run[name].live is not None for name in "bac"] == [True, True, False]
    assert run["c"].reason == "WaitingForSlot"


def test_pod_observed__outcome_and_next_attempt__one_step() -> None:
    run = Run({"name": "a"}, {"name": "b", "depends_on": ["a"]})
    run.observe(KEY, 1)
    out = run.observe(KEY, 2)
    assert run["a"].phase is Phase.SUCCEEDED
    assert keys(out.creates) == [("b", 1)]
    assert out.is_urgent


def test_pod_observed__again__changes_nothing() -> None:
    run = Run({"name": "a"}, {"name": "b", "depends_on": ["a"]})
    run.observe(KEY, 1)
    assert run.observe(KEY, 1).is_empty


def test_pod_observed__ended__deleted_only_after_its_log_is_sealed() -> None:
    run = Run({"name": "a"})
    assert keys(run.observe(KEY, 1).collects) == [("a", 1)]
    out = run.observe(KEY, 2)
    assert keys(out.ended_logs) == [("a", 1)]
    assert not out.deletes
    assert run.state.phase is RunPhase.SUCCEEDED
    assert not run.state.is_finished
    assert keys(run.do(plan.log_sealed, KEY, "main").deletes) == [("a", 1)]
    run.do(plan.delete_answered, KEY)
    assert run.state.is_finished


def test_pod_observed__another_pod_of_that_name__deleted_and_not_judged() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1)
    attempt = run["a"].attempts[0]
    stray = ModelPod(KEY, attempt.namespace, attempt.pod, "another", Outcome(exit_code=1), step=2).observation()
    out = run.do(plan.pod_observed, stray)
    assert [ref.uid for ref in out.strays] == ["another"]
    assert run["a"].phase is Phase.RUNNING


def test_pod_observed__deleted_behind_our_back__pod_lost() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1)
    run.observe(KEY, 2, deleting=True)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "PodLost")


def test_pod_observed__lost_before_main_started__replaced_three_times_without_counting() -> None:
    run = Run({"name": "a", "retries": {"limit": 0}})
    for number in (1, 2, 3):
        out = run.observe(AttemptKey("run", "a", number), 2, Outcome(lost="Evicted"))
        assert keys(out.creates) == [("a", number + 1)]
        assert run["a"].attempts[number].is_replacement
    run.observe(AttemptKey("run", "a", 4), 2, Outcome(lost="Evicted"))
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "Evicted")


def test_retry__exit_code_not_listed__no_other_attempt() -> None:
    run = Run({"name": "a", "retries": {"limit": 2, "exit_codes": [75]}})
    run.observe(KEY, 2, Outcome(exit_code=1))
    assert run["a"].phase is Phase.FAILED


def test_retry__delay__next_attempt_when_it_is_over() -> None:
    run = Run({"name": "a", "retries": {"limit": 1, "delay_seconds": 10, "jitter": False}})
    run.observe(KEY, 2, Outcome(exit_code=1))
    assert (run["a"].phase, run["a"].reason) == (Phase.PENDING, "WaitingForRetry")
    assert not run.pass_time(9.9).creates
    assert keys(run.pass_time(0.1).creates) == [("a", 2)]


def test_retry__jitter__between_half_of_the_delay_and_all_of_it() -> None:
    run = Run({"name": "a", "retries": {"limit": 1, "delay_seconds": 10}})
    run.observe(KEY, 2, Outcome(exit_code=1))
    assert 5 <= (run["a"].retry_at - run.now).total_seconds() <= 10


def test_timeout__attempt_runs_too_long__failed_and_its_pod_deleted_at_once() -> None:
    run = Run({"name": "a", "timeout_seconds": 60})
    run.observe(KEY, 1)
    assert not run.pass_time(59).deletes
    out = run.pass_time(1)
    assert (run["a"].phase, run["a"].reason) == (Phase.FAILED, "DeadlineExceeded")
    assert keys(out.deletes) == [("a", 1)]
    assert not run.state.is_finished


def test_pending_timeout__kubernetes_last_word_is_the_reason() -> None:
    run = Run({"name": "a", "pending_timeout_seconds": 30})
    run.do(plan.pod_deferred, KEY, "QuotaExceeded", "exceeded quota: pods=1", None)
    run.pass_time(30)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "QuotaExceeded")
    assert "exceeded quota: pods=1" in run["a"].message


def test_pod_deferred__tried_again_with_back_off_and_retry_after() -> None:
    run = Run({"name": "a"})
    run.do(plan.pod_deferred, KEY, "TooManyRequests", "slow down", 7.0)
    assert run["a"].reason == "TooManyRequests"
    assert not run.pass_time(6.9).creates
    assert keys(run.pass_time(0.2).creates) == [("a", 1)]


def test_pod_deferred__its_pod_was_seen_by_then__the_pod_says_why_it_waits() -> None:
    run = Run({"name": "a"}, {"name": "b"})
    run.observe(KEY, 0)
    run.observe(AttemptKey("run", "b", 1), 1)
    before = [(run[name].phase, run[name].reason) for name in "ab"]
    for name in "ab":
        out = run.do(plan.pod_deferred, AttemptKey("run", name, 1), "Timeout", "the API server did not answer in time", None)
        assert out.is_empty
        assert run[name].attempts[0].reason == run[name].reason
    assert [(run[name].phase, run[name].reason) for name in "ab"] == before == [(Phase.PENDING, ""), (Phase.RUNNING, "")]
    assert not run.pass_time(60).creates


def test_delete_deferred__tried_again_with_back_off_and_retry_after() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 2)
    assert keys(run.do(plan.log_sealed, KEY, "main").deletes) == [("a", 1)]
    run.do(plan.delete_deferred, KEY, 7.0)
    assert not run.pass_time(6.9).deletes
    assert keys(run.pass_time(0.2).deletes) == [("a", 1)]
    run.do(plan.delete_deferred, KEY, None)
    assert keys(run.pass_time(2).deletes) == [("a", 1)]


def test_pod_refused__error_in_the_api_servers_words() -> None:
    run = Run({"name": "a"})
    run.do(plan.pod_refused, KEY, "Forbidden", "pods is forbidden")
    assert (run["a"].phase, run["a"].reason, run["a"].message) == (Phase.ERROR, "Forbidden", "pods is forbidden")
    assert run.state.phase is RunPhase.ERROR
    assert run.state.is_finished


def test_run_timeout__running_failed_the_rest_omitted() -> None:
    run = Run({"name": "a"}, {"name": "b", "depends_on": ["a"]}, timeout_seconds=10)
    run.observe(KEY, 1)
    out = run.pass_time(10)
    assert (run["a"].phase, run["a"].reason) == (Phase.FAILED, "DeadlineExceeded")
    assert run["b"].phase is Phase.OMITTED
    assert (run.state.phase, run.state.reason) == (RunPhase.FAILED, "DeadlineExceeded")
    assert keys(out.deletes) == [("a", 1)]


def test_cancel__pods_are_deleted_and_the_run_waits_for_them() -> None:
    run = Run({"name": "a"}, {"name": "b", "depends_on": ["a"]})
    run.observe(KEY, 1)
    out = run.do(requests.cancel, "not needed", force=False)
    assert run.state.phase is RunPhase.CANCELLING
    assert {run[name].phase for name in "ab"} == {Phase.CANCELLED}
    assert keys(out.deletes) == [("a", 1)]
    run.observe(KEY, 2, deleting=True)
    assert (run.state.phase, run.state.message) == (RunPhase.CANCELLED, "not needed")
    assert not run.state.is_finished


def test_cancel__pod_does_not_go__left_and_named() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1)
    run.do(requests.cancel, "", force=False)
    out = run.pass_time(90)
    assert run.state.phase is RunPhase.CANCELLED
    assert run["a"].attempts[0].pod in run.state.message
    assert keys(out.abandoned_logs) == [("a", 1)]


def test_cancel__while_the_pods_creation_is_unanswered__waits_for_the_answer() -> None:
    run = Run({"name": "a"})
    run.do(requests.cancel, "", force=False)
    assert run.state.phase is RunPhase.CANCELLING
    out = run.observe(KEY, 0)
    assert keys(out.deletes) == [("a", 1)]


def test_fail_fast__nothing_new_starts_and_waiting_retries_are_dropped() -> None:
    run = Run(
        {"name": "retried", "retries": {"limit": 1, "delay_seconds": 60}},
        {"name": "bad"},
        {"name": "running"},
        {"name": "waiting"},
        fail_fast=True,
        slots=3,
    )
    run.slots = 0
    run.observe(AttemptKey("run", "running", 1), 1)
    run.observe(AttemptKey("run", "retried", 1), 2, Outcome(exit_code=1))
    run.observe(AttemptKey("run", "bad", 1), 2, Outcome(exit_code=1))
    assert (run["waiting"].phase, run["waiting"].reason) == (Phase.OMITTED, "FailFast")
    assert run["retried"].phase is Phase.FAILED
    assert run["running"].phase is Phase.RUNNING
    run.observe(AttemptKey("run", "running", 1), 2)
    assert run.state.phase is RunPhase.FAILED


def test_allow_failure__task_stays_failed_and_the_run_succeeds() -> None:
    run = Run({"name": "a", "allow_failure": True})
    run.observe(KEY, 2, Outcome(exit_code=1))
    assert run["a"].phase is Phase.FAILED
    assert run.state.phase is RunPhase.SUCCEEDED


def test_outcome__a_task_in_error_and_one_failed__failed_wins() -> None:
    run = Run({"name": "a"}, {"name": "b"})
    run.do(plan.pod_refused, KEY, "Forbidden", "no")
    run.observe(AttemptKey("run", "b", 1), 2, Outcome(exit_code=1))
    assert (run.state.phase, run.state.reason) == (RunPhase.FAILED, "TaskFailed")


def test_max_parallel_tasks__never_more_at_once() -> None:
    run = Run(*({"name": f"t{number}"} for number in range(5)), max_parallel_tasks=2)
    assert run.state.live_attempts == 2
    run.observe(AttemptKey("run", "t0", 1), 2)
    assert run.state.live_attempts == 2
    assert run["t2"].live is not None


def test_chain_without_pods__ten_thousand__ends_in_one_step() -> None:
    tasks: list[dict[str, Any]] = [{"name": "t0", "image": None}]
    tasks += [{"name": f"t{number}", "image": None, "depends_on": [f"t{number - 1}"]} for number in range(1, 10_000)]
    run = Run(*tasks)
    assert run.state.phase is RunPhase.SUCCEEDED
    assert run.state.is_finished


@pytest.mark.parametrize(("reason", "expected"), [("FailedMount", "FailedMount"), ("Scheduled", "")])
def test_pod_event__pod_says_nothing_itself__the_event_is_the_reason(reason: str, expected: str) -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 0)
    event = PodEvent(namespace="default", pod="p", uid="u", type="Warning", reason=reason, message="words", last_at=START)
    out = run.do(plan.pod_event, KEY, event)
    assert [(said.type, said.reason) for said in out.events if said.type == "PodEvent"] == [("PodEvent", reason)]
    assert run["a"].reason == expected
    run.observe(KEY, 0)
    assert run["a"].reason == expected


def test_node_lost__pod_under_deletion_does_not_go__error() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1, deleting=True)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(60)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "NodeLost")


def test_node_lost__seen_under_deletion_again_and_again__left_behind_once() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1, deleting=True)
    run.observe(KEY, 1, deleting=True)
    out = run.pass_time(60)
    assert len(run.state.left_behind) == 1
    assert [event.reason for event in out.events if event.type == "Note"] == ["NodeLost"]


def test_node_lost__after_a_restart__a_sidecars_log_is_given_up() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 2)
    attempt = run["a"].attempts[0]
    attempt.pod_deleted = True  # its deletion was answered before the restart
    sidecar = ContainerObservation(name="s", phase=ContainerPhase.RUNNING, started_at=START, is_init=True, is_sidecar=True)
    run.pods[KEY].deleting = True
    seen = run.pods[KEY].observation()
    run.do(plan.pod_observed, replace(seen, containers=(sidecar, *seen.containers)))
    run.do(plan.log_sealed, KEY, "main")
    assert not run.state.is_finished
    assert [log[2] for log in run.pass_time(60).abandoned_logs] == ["s"]
    run.do(plan.log_sealed, KEY, "s")
    assert run.state.is_finished


@pytest.mark.parametrize("begun", [False, True])
def test_pod_observed__of_another_name__is_never_the_attempts_own(begun: bool) -> None:
    run = Run({"name": "a"})
    if begun:
        run.observe(KEY, 1)
    copy = PodObservation(key=KEY, namespace="default", name="a-copy", uid="copy", phase="Running")
    out = run.do(plan.pod_observed, copy)
    assert [ref.uid for ref in out.strays] == ["copy"]
    assert [(event.reason, "a-copy" in event.message) for event in out.events] == [("StrayPod", True)]
    assert run["a"].attempts[0].uid != "copy"


def test_pod_observed__stray__is_told_and_deleted_once() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1)
    stray = replace(run.pods[KEY].observation(), uid="another")
    assert run.do(plan.pod_observed, stray).strays
    out = run.do(plan.pod_observed, replace(stray, deletion_at=START))
    assert (out.strays, out.events) == ([], [])


def test_pod_observed__vanished_without_a_deletion__is_deleted_all_the_same() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1)
    run.observe(KEY, 1, exists=False)  # somebody took its labels away, perhaps: the watch sees no more than that
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "PodLost")
    assert keys(run.do(plan.log_sealed, KEY, "main").deletes) == [("a", 1)]
    assert not run.state.is_finished
    run.do(plan.delete_answered, KEY)
    assert run.state.is_finished


def test_pod_observed__gone_after_it_was_seen_under_deletion__needs_no_other_delete() -> None:
    run = Run({"name": "a"})
    run.observe(KEY, 1)
    run.observe(KEY, 1, exists=False, deleting=True)
    assert not run.do(plan.log_sealed, KEY, "main").deletes
    assert run.state.is_finished


def test_pod_observed__of_an_attempt_that_is_not_ours__deleted() -> None:
    run = Run({"name": "a"})
    stray = PodObservation(key=AttemptKey("run", "a", 7), namespace="default", name="x", uid="u")
    assert [ref.uid for ref in run.do(plan.pod_observed, stray).strays] == ["u"]


def test_pod_observed__comes_after_its_attempt_was_settled__deleted() -> None:
    run = Run({"name": "a"})
    run.do(plan.pod_refused, KEY, "Forbidden", "no")
    assert run["a"].attempts[0].is_settled
    out = run.observe(KEY, 0)
    assert [ref.uid for ref in out.strays] == [f"uid-{KEY}"]

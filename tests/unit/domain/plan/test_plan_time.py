"""Timeouts, back-off and approvals in virtual time: while the service runs, across its restarts, and while it is away."""

from __future__ import annotations

from datetime import timedelta

import pytest

from app.domain.phases import Phase, RunPhase
from tests.unit.domain.plan.cluster_model import START, Outcome
from tests.unit.domain.plan.timeline import Timeline, timeline

MINUTE, HOUR = 60.0, 3600.0
NO_NODE = "0/3 nodes are available: 3 Insufficient cpu."


def unschedulable(**keys: object) -> Timeline:
    """A run whose one pod no node takes."""
    made = timeline({"name": "a", **keys})
    made.show("a", unschedulable=NO_NODE)
    return made


@pytest.mark.parametrize("restarts", [False, True])
def test_pending__no_node_for_an_hour_and_then_there_is_one__the_task_runs(restarts: bool) -> None:
    run = unschedulable(pending_timeout_seconds=2 * HOUR)
    for _ in range(6):
        run.pass_time(10 * MINUTE)
        assert (run["a"].phase, run["a"].reason, run["a"].message) == (Phase.PENDING, "Unschedulable", NO_NODE)
        if restarts:
            run.restart()
    run.move("a", after=10)
    assert (run["a"].phase, run["a"].reason) == (Phase.RUNNING, "")
    run.pass_time(3 * HOUR)  # the pending timeout, which is over then, has nothing to say any more
    run.move("a")
    assert (run.state.phase, len(run["a"].attempts)) == (RunPhase.SUCCEEDED, 1)
    assert sum(run.created.values()) == 1


@pytest.mark.parametrize("restarts", [False, True])
def test_pending__no_node_until_the_timeout__ends_then_with_the_schedulers_words(restarts: bool) -> None:
    run = unschedulable(pending_timeout_seconds=HOUR)
    run.pass_time(HOUR / 2)
    if restarts:
        run.be_away(20 * MINUTE)
    run.pass_time(HOUR - run.passed - 1)
    assert run["a"].phase is Phase.PENDING
    run.pass_time(1)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "Unschedulable")
    assert NO_NODE in run["a"].message


def test_pending__timeout_comes_while_the_service_is_away__ends_when_it_is_back() -> None:
    run = unschedulable(pending_timeout_seconds=HOUR)
    run.be_away(2 * HOUR)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "Unschedulable")


def test_pending__main_starts_while_the_service_is_away_for_longer_than_the_timeout__goes_on() -> None:
    run = timeline({"name": "a", "pending_timeout_seconds": 10 * MINUTE})
    run.be_away(HOUR, lambda: run.move("a"))
    assert run["a"].phase is Phase.RUNNING
    run.move("a")
    assert run.state.phase is RunPhase.SUCCEEDED


def test_pending__service_dies_before_it_could_create_the_pod__its_absence_does_not_count() -> None:
    run = timeline({"name": "first"}, {"name": "a", "depends_on": ["first"], "pending_timeout_seconds": 10 * MINUTE})
    run.move("first")
    run.die_at("first")
    assert "a" not in {pod.key.task for pod in run.pods.values()}
    run.be_away(HOUR)
    assert run["a"].phase is Phase.PENDING
    made_at = run.passed
    for _ in range(2):  # it is kept over the next restart, too
        run.pass_time(4 * MINUTE)
        run.restart()
        assert run["a"].phase is Phase.PENDING
    run.pass_time(made_at + 10 * MINUTE - run.passed)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "PendingTimeout")


def test_pending__quota_exceeded_before_and_after_a_restart__counts_from_the_first_try() -> None:
    run = timeline({"name": "a", "pending_timeout_seconds": 10 * MINUTE}, script=lambda _key: Outcome(deferred="QuotaExceeded"))
    assert run["a"].reason == "QuotaExceeded"
    run.be_away(5 * MINUTE)
    assert run["a"].phase is Phase.PENDING
    run.pass_time(5 * MINUTE)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "QuotaExceeded")


@pytest.mark.parametrize("restart_after", [None, 1 * MINUTE, 9 * MINUTE])
def test_timeout__of_an_attempt__ends_it_in_time_whether_there_was_a_restart_or_not(restart_after: float | None) -> None:
    run = timeline({"name": "a", "timeout_seconds": 10 * MINUTE})
    run.move("a", after=30.5)
    if restart_after is not None:
        run.pass_time(restart_after)
        run.restart()
    run.pass_time(30.5 + 10 * MINUTE - run.passed - 1)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(1)
    assert (run["a"].phase, run["a"].reason) == (Phase.FAILED, "DeadlineExceeded")


def test_timeout__main_ends_well_in_time_while_the_service_is_away__succeeded() -> None:
    run = timeline({"name": "a", "timeout_seconds": 10 * MINUTE})
    run.move("a")
    run.be_away(HOUR, lambda: run.move("a"))
    assert (run["a"].phase, run.state.phase) == (Phase.SUCCEEDED, RunPhase.SUCCEEDED)


def test_timeout__comes_while_the_service_is_away_and_main_still_runs__ends_when_it_is_back() -> None:
    run = timeline({"name": "a", "timeout_seconds": 10 * MINUTE})
    run.move("a")
    run.be_away(HOUR)
    assert (run["a"].phase, run["a"].reason) == (Phase.FAILED, "DeadlineExceeded")


def test_timeout__main_starts_while_the_service_is_away__counts_from_its_start() -> None:
    run = timeline({"name": "a", "timeout_seconds": 10 * MINUTE})
    run.be_away(8 * MINUTE, lambda: run.move("a"))
    run.pass_time(6 * MINUTE - 1)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(2)
    assert (run["a"].phase, run["a"].reason) == (Phase.FAILED, "DeadlineExceeded")


def test_timeout__start_told_in_whole_seconds__never_comes_too_early() -> None:
    run = timeline({"name": "a", "timeout_seconds": 1})
    run.now += timedelta(seconds=10.9)
    run.move("a")
    run.show("a", started_at=START + timedelta(seconds=10))
    run.pass_time(0.95)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(0.06)
    assert run["a"].phase is Phase.FAILED


@pytest.mark.parametrize("restarts", [False, True])
def test_run_timeout__cuts_what_runs_in_time_whether_there_was_a_restart_or_not(restarts: bool) -> None:
    run = timeline({"name": "a"}, {"name": "b", "depends_on": ["a"]}, timeout_seconds=HOUR)
    run.move("a")
    if restarts:
        run.be_away(HOUR / 2)
    run.pass_time(HOUR - run.passed - 1)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(1)
    assert (run["a"].phase, run["b"].phase) == (Phase.FAILED, Phase.OMITTED)
    assert (run.state.reason, run.state.phase) == ("DeadlineExceeded", RunPhase.FAILED)


def test_run_timeout__comes_while_the_service_is_away__what_ended_before_has_its_outcome() -> None:
    run = timeline({"name": "a"}, {"name": "b"}, {"name": "c", "depends_on": ["a"]}, timeout_seconds=HOUR)
    run.move("a")
    run.move("b")
    run.be_away(3 * HOUR, lambda: run.move("a"))
    assert [run[name].phase for name in "abc"] == [Phase.SUCCEEDED, Phase.FAILED, Phase.OMITTED]
    assert (run.state.reason, run.state.phase) == ("DeadlineExceeded", RunPhase.FAILED)


def test_run_timeout__last_task_ends_while_the_service_is_away__succeeded() -> None:
    run = timeline({"name": "a"}, timeout_seconds=HOUR)
    run.move("a")
    run.be_away(3 * HOUR, lambda: run.move("a"))
    assert run.state.phase is RunPhase.SUCCEEDED


def test_run_timeout__comes_while_the_service_is_away__nothing_begins_that_would_end_at_once() -> None:
    run = timeline({"name": "a"}, {"name": "b", "retries": 1}, timeout_seconds=HOUR, script=lambda _key: Outcome(exit_code=1))
    run.move("a")
    run.move("b")
    run.move("b")
    run.be_away(3 * HOUR)
    assert [run[name].phase for name in "ab"] == [Phase.FAILED, Phase.OMITTED]
    assert len(run["b"].attempts) == 1


@pytest.mark.parametrize("restarts", [False, True])
@pytest.mark.parametrize(("on_timeout", "phase"), [("fail", Phase.FAILED), ("skip", Phase.SKIPPED)])
def test_approval_timeout__nobody_answers__ends_in_time(on_timeout: str, phase: Phase, restarts: bool) -> None:
    approval = {"timeout_seconds": HOUR, "on_timeout": on_timeout}
    run = timeline({"name": "a", "image": None, "approval": approval})
    run.pass_time(HOUR / 4)
    if restarts:
        run.be_away(HOUR / 2)
    run.pass_time(HOUR - run.passed - 1)
    assert (run["a"].phase, run["a"].reason) == (Phase.RUNNING, "WaitingForApproval")
    run.pass_time(1)
    assert (run["a"].phase, run["a"].reason) == (phase, "ApprovalTimeout")


RETRIES = {"limit": 4, "delay_seconds": MINUTE, "factor": 2, "max_delay_seconds": 5 * MINUTE, "jitter": False}


@pytest.mark.parametrize("restarts", [False, True])
def test_back_off__of_minutes__each_attempt_comes_in_time_whether_there_was_a_restart_or_not(restarts: bool) -> None:
    run = timeline({"name": "a", "retries": RETRIES}, script=lambda _key: Outcome(exit_code=1))
    for number, delay in enumerate((MINUTE, 2 * MINUTE, 4 * MINUTE, 5 * MINUTE), start=1):
        run.move("a", number, after=1)
        run.move("a", number, after=30)
        ended, retry_at = run.passed, run["a"].retry_at
        assert (run["a"].phase, run["a"].reason, retry_at) == (
            Phase.PENDING, "WaitingForRetry", START + timedelta(seconds=ended + delay),
        )  # fmt: skip
        run.pass_time(delay / 2)
        if restarts:
            run.be_away(delay / 4)
            assert run["a"].retry_at == retry_at
        run.pass_time(ended + delay - run.passed - 0.001)
        assert len(run["a"].attempts) == number
        run.pass_time(0.001)
        assert len(run["a"].attempts) == number + 1
    run.move("a", 5)
    run.move("a", 5)
    assert (run["a"].phase, run.state.phase) == (Phase.FAILED, RunPhase.FAILED)


def test_back_off__attempt_fails_while_the_service_is_away__counts_from_its_end() -> None:
    run = timeline({"name": "a", "retries": RETRIES}, script=lambda _key: Outcome(exit_code=1))
    run.move("a")
    run.be_away(80, lambda: run.move("a"))  # it was over 40 s ago
    assert len(run["a"].attempts) == 1
    run.pass_time(19)
    assert len(run["a"].attempts) == 1
    run.pass_time(2)
    assert len(run["a"].attempts) == 2


def test_back_off__is_over_while_the_service_is_away__the_next_attempt_comes_at_once() -> None:
    run = timeline({"name": "a", "retries": RETRIES}, script=lambda _key: Outcome(exit_code=1))
    run.move("a")
    run.move("a")
    run.be_away(HOUR)
    assert (len(run["a"].attempts), run.attempt("a", 2).created_at) == (2, run.now)


GRACE = 30


def on_a_dead_node(**keys: object) -> Timeline:
    """A run whose pod runs, on a node that does not answer any more: the cluster has just begun to delete it."""
    run = timeline({"name": "a", **keys})
    run.move("a")
    run.pass_time(HOUR)
    run.show("a", deleting=True, grace_seconds=GRACE)
    return run


def test_node_lost__pod_does_not_go__an_error_after_its_grace_period_and_a_minute() -> None:
    run = on_a_dead_node()
    for _ in range(3):  # the same again and again changes nothing
        run.pass_time(20)
        run.show("a")
    run.pass_time(GRACE + MINUTE - 60 - 0.1)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(0.1)
    assert (run["a"].phase, run["a"].reason, run.state.phase) == (Phase.ERROR, "NodeLost", RunPhase.ERROR)


def test_node_lost__retries_are_left__another_attempt_in_another_pod_and_the_old_one_is_let_go_when_it_is_back() -> None:
    run = on_a_dead_node(retries={"limit": 1, "delay_seconds": 0, "jitter": False})
    run.pass_time(GRACE + MINUTE)
    assert [attempt.phase for attempt in run["a"].attempts] == [Phase.ERROR, Phase.PENDING]
    run.move("a", 2)
    run.pass_time(HOUR)
    run.move("a", 1)  # the node is back: main was killed, and the pod goes
    run.move("a", 1)
    assert run["a"].phase is Phase.RUNNING
    run.move("a", 2)
    assert (run.state.phase, run.state.is_finished) == (RunPhase.SUCCEEDED, True)
    assert max(run.created.values()) == 1


def test_node_lost__node_comes_back_before_that__the_pods_own_end_counts() -> None:
    run = on_a_dead_node()
    run.pass_time(GRACE + MINUTE - 1)
    run.move("a")
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "PodLost")
    run.pass_time(HOUR)
    assert not run.state.left_behind


@pytest.mark.parametrize("away", [1.0, HOUR])
def test_node_lost__service_was_away__has_as_long_again_to_go(away: float) -> None:
    run = on_a_dead_node()
    run.pass_time(GRACE)
    run.be_away(away)
    run.pass_time(GRACE + MINUTE - 1)
    assert run["a"].phase is Phase.RUNNING
    run.pass_time(1)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "NodeLost")


def test_node_lost__of_a_cancelled_run__is_left_and_named_after_a_restart_too() -> None:
    run = timeline({"name": "a", "pod": {"terminationGracePeriodSeconds": 600}})
    run.move("a")
    run.pod("a").grace_seconds = 600
    run.cancel()
    run.settle()
    run.pass_time(300)
    run.restart()
    run.pass_time(600 + MINUTE - 1)
    assert run.state.phase is RunPhase.CANCELLING
    run.pass_time(1)
    assert (run.state.phase, run.state.is_finished) == (RunPhase.CANCELLED, True)
    assert run.attempt("a").pod in run.state.message


@pytest.mark.parametrize("ahead", [-HOUR, -3.0, 3.0, HOUR])
def test_times__node_whose_clock_is_wrong__are_within_what_can_be(ahead: float) -> None:
    skew = timedelta(seconds=ahead)
    run = timeline({"name": "a", "timeout_seconds": 10 * MINUTE}, {"name": "b", "depends_on": ["a"]})
    run.pass_time(2)
    run.pod("a").step, run.pod("a").started_at = 1, run.now + skew
    run.show("a")
    run.pass_time(10 * MINUTE - 4)
    assert run["a"].phase is Phase.RUNNING  # whatever the node's clock says
    run.pod("a").step, run.pod("a").finished_at = 2, run.now + skew
    run.show("a")
    attempt, task = run.attempt("a"), run["a"]
    assert attempt.started_at is not None
    assert attempt.finished_at is not None
    assert attempt.created_at <= attempt.started_at <= START + timedelta(seconds=2)
    assert attempt.told_started_at == START + timedelta(seconds=2) + skew
    assert run.now - timedelta(seconds=3) <= attempt.finished_at <= run.now
    assert (task.started_at, task.finished_at) == (attempt.started_at, run.now)
    assert run.attempt("b").created_at == run.now


def test_unseen__pods_end_in_time_meanwhile__no_timeout_ends_them() -> None:
    run = timeline(
        {"name": "a", "timeout_seconds": MINUTE}, {"name": "b", "pending_timeout_seconds": MINUTE}, timeout_seconds=2 * MINUTE
    )
    run.move("a")
    run.is_seen = False
    for name, steps in (("a", 1), ("b", 2)):  # they go on, and nobody sees it
        for _ in range(steps):
            run.move_pod(run.pod(name).key)
    run.pass_time(HOUR)
    assert (run["a"].phase, run["b"].phase) == (Phase.RUNNING, Phase.PENDING)
    run.is_seen = True
    run.show("a")
    run.show("b")
    assert (run.state.phase, run["a"].phase, run["b"].phase) == (RunPhase.SUCCEEDED, Phase.SUCCEEDED, Phase.SUCCEEDED)


def test_unseen__a_pod_runs_on__is_ended_once_it_is_seen() -> None:
    run = timeline({"name": "a", "timeout_seconds": MINUTE})
    run.move("a")
    run.is_seen = False
    run.pass_time(HOUR)
    assert run["a"].phase is Phase.RUNNING
    run.is_seen = True
    run.pass_time(1)
    assert (run["a"].phase, run["a"].reason) == (Phase.FAILED, "DeadlineExceeded")


def test_unseen__no_pod_could_be_made__the_pending_timeout_ends_it() -> None:
    run = timeline({"name": "a", "pending_timeout_seconds": MINUTE}, script=lambda _key: Outcome(deferred="ConnectionError"))
    run.is_seen = False
    run.pass_time(MINUTE)
    assert (run["a"].phase, run["a"].reason) == (Phase.ERROR, "ConnectionError")


def test_unseen__a_pod_under_deletion__has_its_time_to_go_once_it_is_seen() -> None:
    run = timeline({"name": "a"})
    run.move("a")
    run.cancel()
    run.settle()
    run.is_seen = False
    run.pass_time(HOUR)
    run.is_seen = True
    run.pass_time(1)
    run.move("a")
    assert (run.state.phase, run.state.is_finished, run.state.left_behind) == (RunPhase.CANCELLED, True, [])

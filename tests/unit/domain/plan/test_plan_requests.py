"""The plan and what users ask of a run, case by case: approvals, suspend, retry."""

from __future__ import annotations

from typing import Any

from app.domain.phases import Phase, RunPhase
from app.domain.plan import approvals, plan, requests, task_flow
from app.domain.plan.decisions import Decisions
from app.domain.pods import AttemptKey
from tests.unit.domain.plan.cluster_model import START, Model, Outcome
from tests.unit.domain.plan.test_plan_language import NO_POD, Language

APPROVAL: dict[str, Any] = {**NO_POD, "approval": {"message": "deploy?", "timeout_seconds": 60, "on_timeout": "skip"}}


def test_approval__approved__what_follows_runs() -> None:
    run = Language({"name": "gate", **APPROVAL}, {"name": "deploy", "depends_on": ["gate"]})
    assert (run["gate"].phase, run["gate"].reason, run["gate"].message) == (
        Phase.RUNNING,
        task_flow.WAITING_FOR_APPROVAL,
        "deploy?",
    )
    run.do(approvals.answer, "gate", "fine", approved=True)
    assert (run["gate"].phase, run["gate"].message) == (Phase.SUCCEEDED, "fine")
    assert run["deploy"].live is not None


def test_approval__rejected_or_nobody_came__failed_or_skipped() -> None:
    run = Language({"name": "gate", **APPROVAL}, {"name": "deploy", "depends_on": ["gate"]})
    run.do(approvals.answer, "gate", "", approved=False)
    assert (run["gate"].phase, run["gate"].reason) == (Phase.FAILED, "Rejected")
    run = Language({"name": "gate", **APPROVAL}, {"name": "deploy", "depends_on": ["gate"]})
    run.pass_time(61)
    assert (run["gate"].phase, run["gate"].reason, run["deploy"].phase) == (Phase.SKIPPED, "ApprovalTimeout", Phase.SKIPPED)
    run.do(approvals.answer, "gate", "too late", approved=True)
    assert run["gate"].phase is Phase.SKIPPED


def test_approval__on_exit_without_a_timeout__ends_with_the_tasks_own() -> None:
    run = Language({"name": "a"}, on_exit=[{"name": "gate", "approval": {"message": "seen?"}}])
    run.end("a")
    assert run["gate"].phase is Phase.RUNNING
    run.pass_time(599)
    assert run["gate"].phase is Phase.RUNNING
    run.pass_time(2)
    assert (run["gate"].phase, run.state.reason) == (Phase.FAILED, "OnExitFailed")


def test_suspend__nothing_new_starts__until_resumed() -> None:
    run = Language({"name": "a"}, {"name": "b", "depends_on": ["a"]})
    run.do(requests.suspend, suspended=True)
    run.end("a")
    assert run["b"].attempts == []
    run.do(requests.suspend, suspended=False)
    assert run["b"].live is not None


def test_suspend__approvals_and_tasks_without_a_pod__wait_too() -> None:
    run = Language(
        {"name": "a"},
        {"name": "gate", "depends_on": ["a"], **APPROVAL},
        {"name": "join", "depends_on": ["a"], **NO_POD},
        {"name": "last", "depends_on": ["join"]},
    )
    run.do(requests.suspend, suspended=True)
    run.end("a")
    run.pass_time(100)
    assert run.phases() == {"a": "Succeeded", "gate": "Pending", "join": "Pending", "last": "Pending"}
    run.do(requests.suspend, suspended=False)
    assert (run["gate"].phase, run["join"].phase) == (Phase.RUNNING, Phase.SUCCEEDED)
    assert run["last"].live is not None
    run.pass_time(59)
    assert run["gate"].phase is Phase.RUNNING


def finished_with_failure() -> Language:
    run = Language(
        {"name": "a"},
        {"name": "work", "depends_on": ["a"], "foreach": [0, 1], "retries": {"limit": 1, "delay_seconds": 1}},
        {"name": "after", "depends_on": ["work"]},
        {"name": "other"},
        on_exit=[{"name": "clean", "image": "busybox:1"}],
    )
    for name in ("a", "other", "work.0", "work.1"):
        run.end(name, Outcome(exit_code=1 if name == "work.1" else 0))
    run.pass_time(2)
    run.fail("work.1")
    run.end("clean")
    assert (run.state.phase, run.state.is_finished) == (RunPhase.FAILED, True)
    return run


def retry(run: Language, names: list[str] | None = None) -> None:
    run.do(requests.retry, names)
    run.do(plan.start)


def test_retry__failed_tasks_and_what_is_downstream__as_new_attempts() -> None:
    run = finished_with_failure()
    started_at = run.state.started_at
    retry(run)
    assert run.phases() == {
        "a": "Succeeded", "work.0": "Succeeded", "work.1": "Pending", "after": "Pending", "other": "Succeeded",
        "clean": "Pending",
    }  # fmt: skip
    assert run.state.started_at == started_at == START
    assert [attempt.number for attempt in run["work.1"].attempts] == [1, 2, 3]
    run.fail("work.1")  # it has its whole retries again
    assert run["work.1"].phase is Phase.PENDING
    run.pass_time(2)
    run.end("work.1")
    run.end("after")
    assert len(run["clean"].attempts) == 2
    run.end("clean")
    assert (run.state.phase, run.state.is_finished) == (RunPhase.SUCCEEDED, True)


def test_retry__of_a_task_by_name__also_where_it_succeeded() -> None:
    run = finished_with_failure()
    retry(run, ["work.0"])
    assert (run["work.0"].phase, run["work.1"].phase, run["after"].phase) == (Phase.PENDING, Phase.FAILED, Phase.PENDING)
    run.end("work.0")
    assert run["after"].phase is Phase.OMITTED


def test_retry__list_of_a_fan_out_is_another_one__new_items_and_old_attempts() -> None:
    run = Language(
        {"name": "list"},
        {"name": "work", "depends_on": ["list"], "foreach": "${{ lists.range(tasks.list.outputs.n) }}"},
    )
    run.end("list", Outcome(outputs='{"n": 2}'))
    run.end("work.0")
    run.fail("work.1")
    retry(run, ["list"])
    assert run.phases() == {"list": "Pending", "work": "Pending"}
    run.end("list", Outcome(outputs='{"n": 1}'))
    assert run.phases() == {"list": "Succeeded", "work.0": "Pending"}
    assert [attempt.number for attempt in run["work.0"].attempts] == [1, 2]


def test_retry__cancelled_run_but_for_a_task__stays_cancelled() -> None:
    run = Language({"name": "a"}, {"name": "b", "depends_on": ["a"]}, on_exit=[{"name": "tell", **NO_POD}])
    run.do(requests.cancel, "oops", force=False)
    run.observe(AttemptKey("run", "a", 1), 2, deleting=True)
    run.do(plan.log_sealed, AttemptKey("run", "a", 1), "main")
    run.do(plan.delete_answered, AttemptKey("run", "a", 1))
    retry(run, ["b"])
    assert run.phases() == {"a": "Cancelled", "b": "Omitted", "tell": "Succeeded"}
    assert run.state.phase is RunPhase.CANCELLED


def test_retry__cancelled_run__is_no_longer_cancelled() -> None:
    run = Language({"name": "a"})
    run.do(requests.cancel, "oops", force=False)
    run.observe(AttemptKey("run", "a", 1), 2, deleting=True)
    run.do(plan.log_sealed, AttemptKey("run", "a", 1), "main")
    run.do(plan.delete_answered, AttemptKey("run", "a", 1))
    assert (run.state.phase, run.state.is_finished) == (RunPhase.CANCELLED, True)
    retry(run)
    run.end("a")
    assert run.state.phase is RunPhase.SUCCEEDED


def test_retry__fan_out_that_was_never_laid_out__keeps_its_one_task() -> None:
    run = Model(LISTED, lambda key: Outcome(exit_code=int(key.attempt == 1), outputs='{"n": 2}'), lambda _count: 0)
    run_to_end(run)
    assert {name: task.phase for name, task in run.state.tasks.items()} == {"list": Phase.FAILED, "work": Phase.OMITTED}
    run.retry()
    run.crash()
    run_to_end(run)
    assert set(run.store.tasks) == {"list", "work.0", "work.1"}


LISTED: dict[str, Any] = {
    "name": "demo",
    "tasks": [
        {"name": "list", "image": "busybox:1"},
        {
            "name": "work", "image": "busybox:1", "depends_on": ["list"], "max_parallel": "${{ tasks.list.outputs.n - 1 }}",
            "foreach": "${{ lists.range(tasks.list.outputs.n) }}",
        },
    ],
}  # fmt: skip


def run_to_end(run: Model) -> None:
    while not run.state.is_finished:
        assert run.happen()


def test_retry__of_all_items__they_run_by_the_limit_that_was_evaluated_before() -> None:
    def script(key: AttemptKey) -> Outcome:
        return Outcome(exit_code=int(key.task != "list" and key.attempt == 1), outputs='{"n": 2}')

    run = Model(LISTED, script, lambda _count: 0)
    run_to_end(run)
    run.retry()
    assert run.state.live_attempts == 1
    run.crash()
    assert run.state.live_attempts == 1
    run_to_end(run)
    assert run.state.phase is RunPhase.SUCCEEDED


def test_wait_for_group__told_again_at_each_turn_of_others__says_so_once() -> None:
    state = Language({"name": "a"}).state
    state.phase = RunPhase.PENDING
    first, again = Decisions(START), Decisions(START)
    requests.wait_for_group(state, first)
    requests.wait_for_group(state, again)
    assert [event.reason for event in first.events] == ["WaitingForGroup"]
    assert again.is_empty


def test_cancel__forced_but_not_done_before_a_crash__is_done_after_it() -> None:
    document = {"name": "demo", "tasks": [NO_POD | {"name": "a", "approval": {}}]}
    document["on_exit"] = [{"name": "clean", "image": "busybox:1"}]
    run = Model(document, lambda _key: Outcome(), lambda _count: 0)
    run.cancel()
    assert run.state.tasks["clean"].live is not None
    run.store.run["cancel_force"] = True
    run.crash()
    assert run.state.tasks["clean"].phase is Phase.CANCELLED
    run_to_end(run)
    assert run.state.phase is RunPhase.CANCELLED

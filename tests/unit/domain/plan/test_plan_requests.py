"""The plan and what users ask of a run, case by case: approvals, suspend, retry."""

from __future__ import annotations

from typing import Any

from app.domain.phases import Phase, RunPhase
from app.domain.plan import approvals, plan, requests
from app.domain.pods import AttemptKey
from tests.unit.domain.plan.cluster_model import START, Outcome
from tests.unit.domain.plan.test_plan_language import NO_POD, Language

APPROVAL: dict[str, Any] = {**NO_POD, "approval": {"message": "deploy?", "timeout_seconds": 60, "on_timeout": "skip"}}


def test_approval__approved__what_follows_runs() -> None:
    run = Language({"name": "gate", **APPROVAL}, {"name": "deploy", "depends_on": ["gate"]})
    assert (run["gate"].phase, run["gate"].reason, run["gate"].message) == (Phase.RUNNING, approvals.WAITING, "deploy?")
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

"""The checker finds nothing wrong with a real story, and each kind of error in a copy of it that has one on purpose.

Here: histories, outcomes, runs. Logs are in test_checker_logs.py, pods in test_checker_pods.py.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta
from itertools import combinations_with_replacement
from pathlib import Path

import pytest

from app.domain.phases import Phase
from app.domain.workflow.trigger_rules import TriggerRule
from tests.faults.checker import Allowed, check, find_violations
from tests.faults.checker.outcomes import fate
from tests.faults.checker.rows import read_sqlite
from tests.faults.checker_story import LINES, ToldStory, works
from tests.faults.tampering import Tamper, Tampered, is_caught
from tests.support.api import api_of
from tests.support.replicas import replicas
from tests.unit.domain.plan import plan_oracle

pytestmark = pytest.mark.faults


def test_check__a_story_on_local_pods__all_rules_hold(local_story: ToldStory) -> None:
    assert local_story.story.violations == []
    assert local_story.story.evidence.audit is None


def test_check__called_with_what_was_answered__all_rules_hold(local_story: ToldStory) -> None:
    story = local_story.story
    runs = [story.works, story.fails, story.cancelled, story.talks]
    printed = {(story.talks, "talks", 1): LINES}
    check(local_story.service, runs=runs, keys={"talks": story.talks, "works": story.works}, printed=printed)


@pytest.mark.postgres
async def test_check__of_two_replicas_on_postgresql__asks_both(postgres_url: str, tmp_path: Path) -> None:
    with replicas(tmp_path, postgres_url) as services:
        async with api_of(services[0].url) as one, api_of(services[1].url) as other:
            runs = [await api.submit(works()) for api in (one, other)]
            for run_id in runs:
                assert (await one.finished(run_id))["phase"] == "Succeeded"
        check(*services, runs=runs)
        with pytest.raises(AssertionError, match="was acknowledged, and is not there"):
            check(*services, runs=[*runs, "gone"])


@pytest.mark.parametrize("rule", TriggerRule)
def test_fate__of_any_phases_upstream__is_that_of_the_plans_oracle(rule: TriggerRule) -> None:
    ways = [(*some,) for count in (1, 2, 3) for some in combinations_with_replacement(Phase, count)]
    over = [phases for phases in ways if all(phase.is_over for phase in phases)]
    assert {phases: fate(rule.value, [phase.value for phase in phases]) for phases in over} == {
        phases: plan_oracle.rule_fate(rule.value, list(phases)) for phases in over
    }


# -- histories


def _illegal(t: Tampered) -> None:
    t.event("cancelled", type="TaskPhase", task="slow", phase="Running")["phase"] = "Skipped"
    t.retell()


def _twice(t: Tampered) -> None:
    t.insert_event(t.event("cancelled", type="TaskPhase", task="slow", phase="Running"))
    t.retell()


def _over_twice(t: Tampered) -> None:
    t.insert_event(t.event("works", type="AttemptPhase", task="first", phase="Succeeded"))
    t.retell()


def _run_twice(t: Tampered) -> None:
    t.insert_event(t.event("works", type="RunPhase", phase="Running"))
    t.retell()


def _behind_end(t: Tampered) -> None:
    end = t.event("works", type="RunFinished")
    t.insert_event(end, type="Note", message="by the way")
    t.retell()


def _behind_outcome(t: Tampered) -> None:
    end = t.event("works", type="RunPhase", phase="Succeeded")
    t.insert_event(end, type="AttemptPhase", task="first", attempt=2, phase="Pending")
    t.retell()


def _back_in_time(t: Tampered) -> None:
    t.event("works", type="RunPhase", phase="Succeeded")["time"] -= timedelta(minutes=1)
    t.retell()


def _last_word(t: Tampered) -> None:
    t.remove("run_events", t.event("cancelled", type="AttemptPhase", task="slow", phase="Cancelled"))
    t.retell()


def _lost_attempt(t: Tampered) -> None:
    t.remove("attempts", t.attempt("works", "again", 2))
    t.retell()


def _version(t: Tampered) -> None:
    t.run("works")["version"] = 3
    t.retell()


def _not_in_answer(t: Tampered) -> None:
    del t.answers.events[t.story.works][3]


def _twice_in_walk(t: Tampered) -> None:
    t.answers.all_events.insert(5, t.answers.all_events[4])


HISTORIES: dict[str, tuple[Tamper, tuple[str, ...]]] = {
    "an illegal transition": (_illegal, ("it can't go from Skipped to Cancelled",)),
    "a transition that is told twice": (_twice, ("it was Running already",)),
    "an attempt that is over twice": (_over_twice, ("it was Succeeded already",)),
    "a run that begins twice": (_run_twice, ("the run was Running already",)),
    "an entry behind the end": (_behind_end, ("it comes behind the end",)),
    "an attempt behind the outcome": (_behind_outcome, ("it comes behind the run's outcome", "attempt 2 of first, which")),
    "a time that goes back": (_back_in_time, ("is before",)),
    "a last word that was never told": (_last_word, ("is Cancelled, its history says Running",)),
    "a version that did not grow": (_version, ("changes were recorded",)),
    "an attempt that was lost": (_lost_attempt, ("which is not there", "is of no attempt", "its last attempt Failed")),
    "an entry that the API leaves out": (_not_in_answer, ("the history of run",)),
    "an entry that a walk by cursor meets twice": (_twice_in_walk, ("the history of all runs",)),
}  # fmt: skip


@pytest.mark.parametrize("name", HISTORIES)
def test_check__a_history_with_an_error__is_caught(local_story: ToldStory, name: str) -> None:
    is_caught(local_story.story, *HISTORIES[name])


# -- outcomes


def _wrong_outcome(t: Tampered) -> None:
    t.run("works")["phase"] = "Failed"
    for kind in ("RunPhase", "RunFinished"):
        t.event("works", type=kind, phase="Succeeded")["phase"] = "Failed"
    t.retell()


def _failure_forgiven(t: Tampered) -> None:
    next(task for task in t.answers.documents[t.story.works]["tasks"] if task["name"] == "may-fail").pop("allow_failure")


def _rule(task: str, rule: str) -> Tamper:
    def tamper(t: Tampered) -> None:
        next(one for one in t.answers.documents[t.story.works]["tasks"] if one["name"] == task)["trigger_rule"] = rule

    return tamper


def _skipped_unasked(t: Tampered) -> None:
    next(task for task in t.answers.documents[t.story.works]["tasks"] if task["name"] == "unasked").pop("when")


def _lost_task(t: Tampered) -> None:
    t.remove("task_runs", t.task("works", "unasked"))
    t.run("works")["task_phases"]["Skipped"] -= 1
    t.retell()


def _too_early(t: Tampered) -> None:
    t.attempt("works", "again", 1)["created_at"] = t.task("works", "first")["finished_at"] - timedelta(milliseconds=1)
    t.retell()


def _early_exit(t: Tampered) -> None:
    t.attempt("works", "leave")["created_at"] = t.task("works", "mends")["finished_at"] - timedelta(milliseconds=1)
    t.retell()


def _one_too_many(t: Tampered) -> None:
    t.attempt("works", "again", 1)["phase"] = "Succeeded"
    t.event("works", type="AttemptPhase", task="again", attempt=1, phase="Failed")["phase"] = "Succeeded"
    t.retell()


def _without_attempt(t: Tampered) -> None:
    t.remove("attempts", t.attempt("works", "mends"))
    t.tables["run_events"] = [
        row for row in t.tables["run_events"]
        if not (row["run_id"] == t.story.works and row["task"] == "mends" and row["attempt"])
    ]  # fmt: skip
    t.retell()


def _cancelled_unasked(t: Tampered) -> None:
    for row in (t.run("cancelled"), t.event("cancelled", type="RunPhase", phase="Cancelled")):
        row["phase"] = "Succeeded"
    t.event("cancelled", type="RunFinished")["phase"] = "Succeeded"
    t.retell()


OUTCOMES: dict[str, tuple[Tamper, tuple[str, ...]]] = {
    "a wrong outcome": (_wrong_outcome, ("is Failed, and must be Succeeded",)),
    "a failure that nobody forgave": (_failure_forgiven, ("is Succeeded, and must be Failed",)),
    "a task that ran against its rule": (_rule("mends", "all_success"), ("it must be Omitted", "its rule let it not run")),
    "a task that did not run against its rule": (_rule("never", "all_done"), ("is Skipped, and nothing says so",)),
    "a task that was skipped for nothing": (_skipped_unasked, ("is Skipped, and nothing says so",)),
    "a task that is not there": (_lost_task, ("there is no task unasked",)),
    "a task that began too early": (_too_early, ("what it waits for was over",)),
    "an exit that began too early": (_early_exit, ("what it waits for was over",)),
    "an attempt behind one that succeeded": (_one_too_many, ("attempt 1 is Succeeded, and another one followed",)),
    "a task that succeeded without a pod": (_without_attempt, ("is Succeeded without an attempt", "is of no attempt")),
    "a cancelled run that succeeded": (_cancelled_unasked, ("must be Cancelled", "can't go from Cancelling to Succeeded")),
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_check__an_outcome_with_an_error__is_caught(local_story: ToldStory, name: str) -> None:
    is_caught(local_story.story, *OUTCOMES[name])


# -- runs


def _counts(t: Tampered) -> None:
    t.run("works")["task_phases"]["Succeeded"] += 1
    t.retell()


def _api_differs(t: Tampered) -> None:
    t.answers.runs[t.story.works]["message"] = "something else"


def _api_task_differs(t: Tampered) -> None:
    t.answers.runs[t.story.works]["tasks"][0]["attempts"][0]["node"] = "elsewhere"


def _finished_unsealed(t: Tampered) -> None:
    t.attempt("works", "first")["log_sealed"] = False


def _finished_undeleted(t: Tampered) -> None:
    t.attempt("works", "first")["pod_deleted"] = False


def _never_finished(t: Tampered) -> None:
    t.run("works").update(is_finished=False, owner=t.living)
    t.remove("run_events", t.event("works", type="RunFinished"))
    t.retell()


def _times(t: Tampered) -> None:
    attempt = t.attempt("works", "first")
    attempt["started_at"], attempt["created_at"] = attempt["created_at"], attempt["started_at"] + timedelta(seconds=1)
    t.retell()


def _intent(t: Tampered) -> None:
    t.tables["run_intents"].append({"id": 1, "run_id": t.story.works, "kind": "suspend", "task": None, "details": {}})


def _two_runs_of_one_key(t: Tampered) -> None:
    t.tables["idempotency_keys"].append({**t.find("idempotency_keys", key="works"), "run_id": t.story.fails})


def _other_run_of_key(t: Tampered) -> None:
    t.allowed = Allowed(keys={"works": t.story.fails})


def _second_run(t: Tampered) -> None:
    t.allowed = Allowed(runs=[t.story.works, t.story.fails, t.story.cancelled])


def _lost_run(t: Tampered) -> None:
    t.allowed = Allowed(runs=[run["id"] for run in t.tables["runs"]] + ["gone"])


def _half_deleted(t: Tampered) -> None:
    t.remove("runs", t.run("works"))
    t.answers.listed.remove(t.story.works)


def _listed_twice(t: Tampered) -> None:
    t.answers.listed.append(t.answers.listed[0])


RUNS: dict[str, tuple[Tamper, tuple[str, ...]]] = {
    "wrong counts": (_counts, ("task_phases are",)),
    "a run that is another over the API": (_api_differs, ("message is 'something else' over the API",)),
    "an attempt that is another over the API": (_api_task_differs, ("node is 'elsewhere' over the API",)),
    "a run that is finished too early, for its logs": (_finished_unsealed, ("first is not sealed",)),
    "a run that is finished too early, for its pods": (_finished_undeleted, ("the delete of attempt 1 of first was not",)),
    "a run that is never finished": (_never_finished, ("nothing of it is left to be done", "is stuck")),
    "a run that is stuck": (lambda t: t.leave_open(t.living), ("is stuck: it is Running and not finished",)),
    "a run whose owner is dead": (lambda t: t.leave_open("nobody"), ("its owner nobody does not live",)),
    "times in no order": (_times, ("its times are in no order",)),
    "an intent that was forgotten": (_intent, ("its intent to suspend is still there",)),
    "two runs of one key": (_two_runs_of_one_key, ("the idempotency key works has 2 runs",)),
    "another run than was answered": (_other_run_of_key, ("was answered",)),
    "a run that nobody was told of": (_second_run, ("nobody was told of it",)),
    "a run that was acknowledged and lost": (_lost_run, ("run gone was acknowledged, and is not there",)),
    "a run that was deleted in part": (_half_deleted, ("which is not there",)),
    "a run that is listed twice": (_listed_twice, ("lists the runs",)),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNS)
def test_check__a_run_with_an_error__is_caught(local_story: ToldStory, name: str) -> None:
    is_caught(local_story.story, *RUNS[name])


def test_check__times_that_go_back_where_the_test_moved_the_clock__are_allowed(local_story: ToldStory) -> None:
    tampered = Tampered(local_story.story)
    event = tampered.event("works", type="RunPhase", phase="Running")
    event["time"] += timedelta(seconds=1)
    tampered.retell()
    assert tampered.violations()
    tampered.allowed = Allowed(clock_moved=True)
    assert tampered.violations() == []


def test_check__a_row_changed_in_the_database__is_caught(local_story: ToldStory, tmp_path: Path) -> None:
    path = tmp_path / "copy.db"
    with closing(sqlite3.connect(local_story.service.folder / "podrun.db")) as real, closing(sqlite3.connect(path)) as copied:
        real.backup(copied)
        copied.execute("UPDATE task_runs SET phase = 'Failed' WHERE name = 'gate'")
        copied.commit()
    tampered = Tampered(local_story.story)
    tampered.evidence.tables = read_sqlite(path)
    words = ("its history says Succeeded", "task_phases are", "must be Failed", "over the API", "without an attempt")
    violations = find_violations(tampered.evidence)
    assert violations
    assert all(any(word in one for word in words) for one in violations), violations

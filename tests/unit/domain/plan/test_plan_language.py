"""The plan and the workflow language, case by case: conditions, fan-outs, outputs, `on_exit`."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.phases import Phase, RunPhase
from app.domain.plan import plan, requests
from app.domain.plan.decisions import Decisions
from app.domain.plan.expression_flow import lists_evaluated, tasks_evaluated
from app.domain.plan.run_state import TaskState
from app.domain.plan.task_flow import Outcome as TaskOutcome
from app.domain.plan.task_flow import end_task
from app.domain.pods import AttemptKey
from tests.unit.domain.plan.cluster_model import Model, Outcome, evaluate, prepare_all
from tests.unit.domain.plan.test_plan import Run


class Language(Run):
    """A run whose expressions are evaluated as soon as they are asked for."""

    def do(self, function: Any, *args: Any, **kwargs: Any) -> Decisions:
        out = super().do(function, *args, **kwargs)
        for asked in out.evaluations:
            values = evaluate(asked)
            if asked.tasks:
                prepared = prepare_all(self.state, asked, values)
                super().do(lambda state, out, asked=asked, made=prepared: tasks_evaluated(state, asked, made, out))
            else:
                self.do(lambda state, out, asked=asked, value=values[0]: lists_evaluated(state, asked.node, value, out))
        return out

    def end(self, name: str, outcome: Outcome | None = None) -> None:
        """Let the task's newest attempt run and end, its log sealed and its pod gone."""
        number = len(self[name].attempts)
        key = AttemptKey("run", name, number)
        self.observe(key, 1, outcome)
        out = self.observe(key, 2)
        if out.collects or self[name].attempts[-1].collecting:
            self.do(plan.log_sealed, key, "main")
        self.do(plan.delete_answered, key)

    def fail(self, name: str) -> None:
        """Let the task fail."""
        self.end(name, Outcome(exit_code=1))

    def phases(self) -> dict[str, str]:
        tasks: list[TaskState] = sorted(self.state.tasks.values(), key=lambda task: task.place)
        return {task.name: task.phase.value for task in tasks}


NO_POD: dict[str, Any] = {"image": None}


def test_when__false__skipped_and_what_follows_too() -> None:
    run = Language({"name": "a", "when": False}, {"name": "b", "depends_on": ["a"]})
    assert run.phases() == {"a": "Skipped", "b": "Skipped"}
    assert (run["a"].reason, run["b"].reason) == ("WhenFalse", "UpstreamSkipped")
    assert run.state.phase is RunPhase.SUCCEEDED


def test_when__asks_for_outputs__of_an_upstream_task() -> None:
    tasks = [
        {"name": "a", "outputs": {"go": {}}},
        {"name": "b", "depends_on": ["a"], "when": "${{ tasks.a.outputs.go }}", "command": ["${{ tasks.a.outputs.go }}!"]},
    ]
    run = Language(*tasks)
    run.end("a", Outcome(outputs='{"go": true}'))
    assert run["b"].spec.command == ("true!",)
    run = Language(*tasks)
    run.end("a", Outcome(outputs='{"go": false}'))
    assert (run["b"].phase, run["b"].reason) == (Phase.SKIPPED, "WhenFalse")


@pytest.mark.parametrize("crash", [False, True])
def test_max_parallel__an_expression_beside_a_list_that_is_known__holds(*, crash: bool) -> None:
    task = {"name": "work", "image": "busybox:1", "foreach": [0, 1, 2], "max_parallel": "${{ params.n }}"}
    document = {"name": "demo", "params": {"n": 1}, "tasks": [task]}
    run = Model(document, lambda _key: Outcome(), lambda _count: 0, params={"n": 1})
    assert run.state.live_attempts == 0
    while not run.state.is_finished:
        assert run.happen()
        if crash:
            run.crash()
        assert run.state.live_attempts <= 1
    assert run.state.task_phases[Phase.SUCCEEDED] == 3


def test_max_parallel__an_expression_that_fails__fails_each_item() -> None:
    task = {"name": "work", "foreach": [0, 1], "max_parallel": "${{ params.n }}"}
    document = {"name": "demo", "params": {"n": 0}, "tasks": [task]}
    run = Model(document, lambda _key: Outcome(), lambda _count: 0, params={"n": 0})
    while not run.state.is_finished:
        assert run.happen()
    assert {task.reason for task in run.state.tasks.values()} == {"ExpressionError"}


def test_expression__without_a_value__fails_its_task_alone_and_is_not_retried() -> None:
    run = Language(
        {"name": "a"},
        {"name": "b", "depends_on": ["a"], "command": ["${{ tasks.a.outputs.nope }}"], "retries": 3},
        {"name": "c", "depends_on": ["a"]},
    )
    run.end("a")
    assert (run["b"].phase, run["b"].reason, run["b"].attempts) == (Phase.FAILED, "ExpressionError", [])
    assert "nope" in run["b"].message
    run.end("c")
    assert run.state.phase is RunPhase.FAILED


def test_expression__makes_a_task_that_is_refused__says_where_and_why() -> None:
    run = Language({"name": "a"}, {"name": "b", "depends_on": ["a"], "resources": {"limits": {"cpu": "${{ tasks.a.phase }}"}}})
    run.end("a")
    assert run["b"].reason == "ExpressionError"
    assert "resources/limits/cpu" in run["b"].message
    assert "Succeeded" in run["b"].message


def test_namespace__from_an_expression__must_be_one_of_those_allowed() -> None:
    run = Language(
        {"name": "a", "outputs": {"ns": {}}}, {"name": "b", "depends_on": ["a"], "namespace": "${{ tasks.a.outputs.ns }}"}
    )
    run.end("a", Outcome(outputs='{"ns": "kube-system"}'))
    assert run["b"].reason == "ExpressionError"
    assert "kube-system" in run["b"].message


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "MissingOutputs"),
        ('{"y": 1}', "MissingOutputs"),
        ("[1]", "InvalidOutputs"),
        ("hello", "InvalidOutputs"),
        ("x" * 4096, "OutputsTooLarge"),
        ("7" * 4096, "OutputsTooLarge"),
        ("7" * 4095, "InvalidOutputs"),
        (f"[{'7,' * 2047}7]", "OutputsTooLarge"),
        ('{"x": "' + "é" * 2044 + '"', "OutputsTooLarge"),
        ('{"x": "\\u0000"}', "InvalidOutputs"),
    ],
)
def test_outputs__not_what_they_must_be__the_task_fails(written: str, reason: str) -> None:
    run = Language({"name": "a", "outputs": {"x": {}, "z": {"required": False}}})
    run.end("a", Outcome(outputs=written))
    assert (run["a"].phase, run["a"].reason, run["a"].outputs) == (Phase.FAILED, reason, None)
    assert run["a"].attempts[0].exit_code == 0


@pytest.mark.parametrize("written", [f'{{"{"k" * 4000}": 1}}', f'{{"{"k" * 4000}": "\\u0000"}}', f'"{"k" * 4000}"', "8" * 4000])
def test_outputs__long_and_wrong__the_message_repeats_little_of_it(written: str) -> None:
    run = Language({"name": "a", "outputs": {"x": {}}})
    run.end("a", Outcome(outputs=written))
    assert run["a"].phase is Phase.FAILED
    assert len(run["a"].message) < 250


def test_outputs__of_a_failed_container__not_read() -> None:
    run = Language({"name": "a", "outputs": {"x": {}}})
    run.end("a", Outcome(exit_code=1, outputs='{"x": 1}'))
    assert (run["a"].reason, run["a"].outputs) == ("Error", None)


def test_foreach__list_from_an_upstream_task__its_items_stand_in_its_place() -> None:
    run = Language(
        {"name": "list"},
        {
            "name": "work",
            "depends_on": ["list"],
            "foreach": "${{ lists.range(tasks.list.outputs.n) }}",
            "command": ["${{ item }}"],
        },
        {"name": "merge", "depends_on": ["work"], "command": ["${{ tasks.work.outputs.size }}", "${{ tasks.work.phase }}"]},
    )
    assert run.phases() == {"list": "Pending", "work": "Pending", "merge": "Pending"}
    run.end("list", Outcome(outputs='{"n": 3}'))
    assert [run[f"work.{index}"].spec.command for index in range(3)] == [("0",), ("1",), ("2",)]
    for name, size in (("work.2", '{"size": 7}'), ("work.0", '{"size": 5}'), ("work.1", "")):
        run.end(name, Outcome(outputs=size))
    assert run["merge"].spec.command == ("[5,null,7]", "Succeeded")
    run.end("merge")
    assert run.state.is_finished
    assert run.state.phase is RunPhase.SUCCEEDED


FAN_OUT_OVER_OUTPUTS: list[dict[str, Any]] = [
    {"name": "list", "outputs": {"n": {}}},
    {
        "name": "work",
        "depends_on": ["list"],
        "foreach": "${{ lists.range(tasks.list.outputs.n) }}",
        "command": ["${{ item }}", "${{ tasks.list.outputs.words }}"],
    },
]


def test_foreach__values_that_all_items_have__are_recorded_once_and_known_after_a_restart() -> None:
    outcome = Outcome(outputs='{"n": 3, "words": ["a", "b"]}')
    model = Model(
        {"name": "w", "tasks": [{"image": "busybox:1"} | task for task in FAN_OUT_OVER_OUTPUTS]},
        lambda _key: outcome,
        lambda _count: 0,
    )
    while "work.2" not in model.state.tasks or not model.state.tasks["work.2"].attempts:
        assert model.happen()
    words = "tasks.list.outputs.words"
    assert [words in (row["values"] or ()) for name, row in sorted(model.store.tasks.items())] == [False, True, False, False]
    model.crash()
    assert [model.state.tasks[f"work.{index}"].spec.command for index in range(3)] == [
        (str(index), '["a","b"]') for index in range(3)
    ]


def test_expressions__give_too_much_in_all__the_tasks_beyond_it_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.domain.plan.expression_flow.MAX_VALUES_BYTES", 130)
    run = Language(*FAN_OUT_OVER_OUTPUTS)
    run.end("list", Outcome(outputs='{"n": 3, "words": ["a", "b"]}'))
    assert [run[f"work.{index}"].reason for index in range(3)] == ["", "", "ExpressionError"]
    assert "MiB in all" in run["work.2"].message


@pytest.mark.parametrize(("count", "reason"), [(10_000, "ExpressionError"), (-1, "ExpressionError")])
def test_foreach__list_that_can_not_be__the_task_fails(count: int, reason: str) -> None:
    run = Language(
        {"name": "list"}, {"name": "work", "depends_on": ["list"], "foreach": "${{ lists.range(tasks.list.outputs.n) }}"}
    )
    run.end("list", Outcome(outputs=f'{{"n": {count}}}'))
    assert (run["work"].phase, run["work"].reason) == (Phase.FAILED, reason)


def test_foreach__no_items__skipped_for_good() -> None:
    run = Language({"name": "work", "foreach": []}, {"name": "after", "depends_on": ["work"], "trigger_rule": "none_failed"})
    assert (run["work"].phase, run["work"].reason) == (Phase.SKIPPED, "NoItems")
    assert run["after"].live is not None


def test_max_parallel__of_items__the_next_one_when_one_has_ended() -> None:
    run = Language({"name": "work", "foreach": [0, 1, 2, 3], "max_parallel": 2}, {"name": "other"})
    assert [name for name in run.state.tasks if run[name].live] == ["work.0", "work.1", "other"]
    run.end("work.1")
    assert run["work.2"].live is not None
    assert run["work.3"].live is None
    run.fail("work.0")
    assert run["work.3"].live is not None


def test_max_parallel__as_an_expression__holds_after_the_list_is_known() -> None:
    run = Language({"name": "work", "foreach": "${{ lists.range(4) }}", "max_parallel": "${{ 1 + 1 }}"})
    assert sum(task.live is not None for task in run.state.tasks.values()) == 2


def test_trigger_rule__one_failed__runs_beside_what_is_omitted() -> None:
    run = Language(
        {"name": "a"},
        {"name": "next", "depends_on": ["a"]},
        {"name": "tell", "depends_on": ["a"], "trigger_rule": "one_failed"},
    )
    run.fail("a")
    assert (run["next"].phase, run["tell"].live is not None) == (Phase.OMITTED, True)
    run.end("tell")
    assert run.state.phase is RunPhase.FAILED


def test_trigger_rule__all_failed_with_a_success__skipped_with_the_counts() -> None:
    run = Language({"name": "a"}, {"name": "b"}, {"name": "c", "depends_on": ["a", "b"], "trigger_rule": "all_failed"})
    run.end("a")
    run.fail("b")
    assert (run["c"].phase, run["c"].reason) == (Phase.SKIPPED, "TriggerRule")
    assert "1 succeeded, 1 failed, 0 skipped" in run["c"].message


def test_fail_fast__tasks_for_failures__still_run() -> None:
    run = Language(
        {"name": "a"},
        {"name": "b", "retries": {"limit": 3, "delay_seconds": 60}},
        {"name": "c"},
        {"name": "gate", **NO_POD, "approval": {"message": "go on?"}},
        {"name": "next", "depends_on": ["c"]},
        {"name": "tell", "depends_on": ["a"], "trigger_rule": "one_failed"},
        fail_fast=True,
        on_exit=[{"name": "clean", "image": "busybox:1"}],
    )
    run.fail("b")
    run.fail("a")
    assert run.phases() | {"tell": "", "clean": ""} == {
        "a": "Failed", "b": "Failed", "c": "Pending", "gate": "Omitted", "next": "Omitted", "tell": "", "clean": "",
    }  # fmt: skip
    run.end("c")
    run.end("tell")
    run.end("clean")
    assert run.state.is_finished
    assert run.state.phase is RunPhase.FAILED


ON_EXIT = [
    {"name": "clean", "image": "busybox:1", "command": ["${{ run.phase }}", "${{ tasks.a.phase }}"]},
    {"name": "told", "image": "busybox:1", "depends_on": ["clean"], "trigger_rule": "always"},
]


def test_on_exit__after_success_and_after_failure__sees_what_the_run_will_be() -> None:
    for end, seen in ((Language.end, ("Succeeded", "Succeeded")), (Language.fail, ("Failed", "Failed"))):
        run = Language({"name": "a"}, on_exit=ON_EXIT)
        assert run["clean"].attempts == []
        end(run, "a")
        assert run["clean"].spec.command == seen
        run.end("clean")
        run.end("told")
        assert run.state.phase.value == seen[0]
        assert run.state.is_finished


def test_on_exit__fails__fails_a_run_that_had_succeeded() -> None:
    run = Language({"name": "a"}, on_exit=ON_EXIT)
    run.end("a")
    run.fail("clean")
    run.end("told")
    assert (run.state.phase, run.state.reason) == (RunPhase.FAILED, "OnExitFailed")


def test_on_exit__cancelled_run__waits_until_its_containers_have_ended() -> None:
    run = Language({"name": "a"}, {"name": "b", "depends_on": ["a"]}, on_exit=ON_EXIT)
    run.observe(AttemptKey("run", "a", 1), 1)
    run.do(requests.cancel, "enough", force=False)
    assert run.phases() == {"a": "Cancelled", "b": "Cancelled", "clean": "Pending", "told": "Pending"}
    assert run["clean"].attempts == []
    run.observe(AttemptKey("run", "a", 1), 2, deleting=True)
    assert run["clean"].spec.command == ("Cancelled", "Cancelled")
    run.do(plan.log_sealed, AttemptKey("run", "a", 1), "main")
    run.do(plan.delete_answered, AttemptKey("run", "a", 1))
    run.end("clean")
    assert run.state.phase is RunPhase.CANCELLING
    run.end("told")
    assert run.state.phase is RunPhase.CANCELLED
    assert run.state.is_finished


def test_on_exit__forced_cancel__cut_too_also_later() -> None:
    run = Language({"name": "a"}, on_exit=ON_EXIT)
    run.end("a")
    run.observe(AttemptKey("run", "clean", 1), 1)
    run.do(requests.cancel, "", force=False)
    assert run["clean"].phase is Phase.RUNNING
    run.do(requests.cancel, "", force=True)
    assert (run["clean"].phase, run["told"].phase) == (Phase.CANCELLED, Phase.CANCELLED)


def test_on_exit__run_timed_out__runs_after_it_and_has_a_timeout_of_its_own() -> None:
    run = Language({"name": "a"}, {"name": "b", "depends_on": ["a"]}, on_exit=ON_EXIT, timeout_seconds=10)
    run.observe(AttemptKey("run", "a", 1), 1)
    run.pass_time(11)
    assert (run["a"].phase, run["b"].phase) == (Phase.FAILED, Phase.OMITTED)
    run.observe(AttemptKey("run", "a", 1), 2, deleting=True)
    assert run["clean"].spec.command[0] == "Failed"
    run.observe(AttemptKey("run", "clean", 1), 1)
    run.pass_time(599)
    assert run["clean"].phase is Phase.RUNNING
    run.pass_time(2)
    assert (run["clean"].phase, run["clean"].reason) == (Phase.FAILED, "DeadlineExceeded")


def test_fan_out__many_tasks_name_it__it_is_walked_once_for_all_of_them() -> None:
    tasks: list[dict[str, Any]] = [{"name": "work", "foreach": [0, 1, 2]}]
    tasks += [{"name": f"t{n}", "depends_on": ["work"], "args": ["${{ tasks.work.outputs.x[0] }}"]} for n in range(3)]
    run = Run(*tasks)
    for name in ("work.0", "work.1"):
        run.do(end_task, run[name], TaskOutcome(Phase.SUCCEEDED))
    out = run.do(end_task, run["work.2"], TaskOutcome(Phase.SUCCEEDED))
    assert len({id(asked.context["tasks"]["work"]) for asked in out.evaluations}) == 1


def test_fan_out__many_tasks_wait_for_it_and_it_fails__the_failed_item_is_looked_for_once() -> None:
    run = Run({"name": "work", "foreach": [0, 1, 2]}, *({"name": f"t{n}", "depends_on": ["work"]} for n in range(3)))
    members = run.state.nodes["work"].members = Counted(run.state.nodes["work"].members)
    for name, phase in (("work.0", Phase.SUCCEEDED), ("work.1", Phase.FAILED), ("work.2", Phase.SUCCEEDED)):
        run.do(end_task, run[name], TaskOutcome(phase))
    assert {run[f"t{n}"].message for n in range(3)} == {"upstream work.1 is Failed"}
    assert members.walks == 1


class Counted(list):  # type: ignore[type-arg]
    """Counts how often it is walked through."""

    walks = 0

    def __iter__(self) -> Any:
        self.walks += 1
        return super().__iter__()

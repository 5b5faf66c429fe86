"""The keys of the workflow language beyond pods: what is wrong with them, and the nodes that they make."""

from typing import Any

import pytest

from app.domain.errors import Fault, InvalidWorkflow
from app.domain.workflow.nodes import Concurrency, ConcurrencyPolicy, Node, Overlap, Schedule, Workflow
from app.domain.workflow.parsing import parse_workflow
from app.domain.workflow.trigger_rules import TriggerRule

Json = dict[str, Any]


def document(*tasks: Json, **keys: Any) -> Json:
    return {"name": "w", "tasks": list(tasks), **keys}


def faults(*tasks: Json, **keys: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_workflow(document(*tasks, **keys))
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


def nodes(*tasks: Json, **keys: Any) -> tuple[Node, ...]:
    return parse_workflow(document(*tasks, **keys)).nodes


def run_level(**keys: Any) -> Workflow:
    return parse_workflow(document({"name": "a"}, **keys))


@pytest.mark.parametrize(
    ("task", "pointer", "detail"),
    [
        ({"trigger_rule": "all_sucess"}, "/trigger_rule", 'no trigger rule "all_sucess": did you mean "all_success"?'),
        ({"trigger_rule": "ALL-DONE"}, "/trigger_rule", 'did you mean "all_done"?'),
        ({"trigger_rule": "never"}, "/trigger_rule", 'must be "all_success", "all_done"'),
        ({"trigger_rule": 5}, "/trigger_rule", "must be a string, not 5"),
        ({"trigger_rule": "${{ params.x }}"}, "/trigger_rule", "no expression may stand here"),
        ({"when": "true"}, "/when", 'one ${{ }} that gives a boolean, not "true": write true'),
        ({"when": 1}, "/when", "must be true, false or one ${{ }}"),
        ({"when": "${{ true }} "}, "/when", "must be exactly one expression, with nothing around it"),
        ({"when": "${{ true"}, "/when", "does not end"),
        ({"foreach": 5}, "/foreach", "must be a list, an object of lists, or one ${{ }} that gives a list, not 5"),
        ({"foreach": "a"}, "/foreach", 'not "a"'),
        ({"foreach": {}}, "/foreach", "must have at least one list"),
        ({"foreach": {"a-b": []}}, "/foreach/a-b", '"a-b" is no name for an expression'),
        ({"foreach": {"a": [1], "b": 2}}, "/foreach/b", "must be a list, or one ${{ }} that gives a list, not 2"),
        ({"foreach": {"a": "x${{ [1] }}"}}, "/foreach/a", "must be exactly one expression"),
        ({"foreach": [0] * 10_001}, "/foreach", "must have at most 10,000 items, not 10,001"),
        ({"foreach": {"a": [0] * 101, "b": [0] * 100}}, "/foreach", "must have at most 10,000 items, not 10,100"),
        ({"foreach": [{"a": 2**63}]}, "/foreach/0/a", "must be between -2^63 and 2^63-1"),
        ({"name": "a" * 58, "foreach": []}, "/name", "has 58 characters; a task with foreach may have 57"),
        ({"max_parallel": 2}, "/max_parallel", '"max_parallel" goes with "foreach"'),
        ({"foreach": [], "max_parallel": 0}, "/max_parallel", "must be at least 1, not 0"),
        ({"foreach": [], "max_parallel": "${{ 1 }}0"}, "/max_parallel", "must be a whole number, not"),
        ({"image": "x", "outputs": []}, "/outputs", "must be an object, not a list"),
        ({"image": "x", "outputs": {"a": {"require": 1}}}, "/outputs/a/require", 'did you mean "required"?'),
        ({"image": "x", "outputs": {"a": {"required": "${{ true }}"}}}, "/outputs/a/required", "no expression may stand"),
        ({"outputs": {"a": {}}}, "/outputs", '"outputs" is for a pod'),
        ({"approval": "please"}, "/approval", 'must be an object, not "please"'),
        ({"approval": {"on_timeout": "ok"}}, "/approval/on_timeout", 'must be "fail" or "skip", not "ok"'),
        ({"approval": {"timeout": 5}}, "/approval/timeout", 'did you mean "timeout_seconds"?'),
        ({"approval": {}, "image": "x"}, "/approval", 'must not stand beside "image"'),
        ({"approval": {}, "args": ["x"]}, "/args", '"args" is for a pod, and a task that waits for approval has none'),
        ({"name": "${{ params.x }}"}, "/name", "no expression may stand here"),
        ({"depends_on": ["${{ params.x }}"]}, "/depends_on/0", "no expression may stand here"),
    ],
)
def test_parse_workflow__wrong_key_of_a_task__says_what_would_be_right(task, pointer, detail):
    found = faults({"name": "a", **task})
    assert {at for at, _ in found} == {f"/tasks/0{pointer}"}
    assert any(detail in told for _, told in found), found


@pytest.mark.parametrize(
    ("keys", "pointer", "detail"),
    [
        ({"concurrency": {}}, "/concurrency", 'the key "group" is required'),
        ({"concurrency": {"group": ""}}, "/concurrency/group", "must have at least 1 character"),
        ({"concurrency": {"group": "g", "policy": "wait"}}, "/concurrency/policy", 'must be "queue" or "cancel_running"'),
        ({"concurrency": {"group": "g", "polcy": "q"}}, "/concurrency/polcy", 'did you mean "policy"?'),
        ({"concurrency": {"group": "g", "policy": "${{ params.x }}"}}, "/concurrency/policy", "no expression may stand here"),
        ({"concurrency": {"group": "${{ params.x }}"}}, "/concurrency/group", 'there is no param "x"'),
        ({"concurrency": {"group": "${{ run.id }}"}}, "/concurrency/group", "only params can"),
        ({"labels": {"a": "${{ tasks.a.phase }}"}}, "/labels/a", "only params can"),
        ({"labels": {"a": "${{ params"}}, "/labels/a", "does not end"),
        ({"labels": {"${{ 1 }}": "x"}}, "/labels/${{ 1 }}", "no expression may stand in a key"),
        ({"timeout_seconds": "${{ 5 }}"}, "/timeout_seconds", "no expression may stand here"),
        ({"schedule": {}}, "/schedule", 'must have one of "every_seconds" or "cron"'),
        ({"schedule": {"every_seconds": 5, "cron": "* * * * *"}}, "/schedule/cron", 'must not stand beside "every_seconds"'),
        ({"schedule": {"every_seconds": 0.5}}, "/schedule/every_seconds", "must be at least 1, not 0.5"),
        ({"schedule": {"every_seconds": 5, "timezone": "UTC"}}, "/schedule/timezone", '"timezone" goes with "cron"'),
        ({"schedule": {"cron": "@daily"}}, "/schedule/cron", 'write "0 0 * * *"'),
        ({"schedule": {"cron": "* * * *"}}, "/schedule/cron", "five fields"),
        ({"schedule": {"cron": "0 * * * * *"}}, "/schedule/cron", "five fields"),
        ({"schedule": {"cron": "60 * * * *"}}, "/schedule/cron", "bad minute"),
        ({"schedule": {"cron": "0 0 30 2 *"}}, "/schedule/cron", "bad day-of-month"),
        (
            {"schedule": {"cron": "0 0 * * *", "timezone": "Europe/Belin"}},
            "/schedule/timezone",
            'did you mean "Europe/Berlin"?',
        ),
        ({"schedule": {"cron": "0 0 * * *", "timezone": "../etc"}}, "/schedule/timezone", "no time zone"),
        ({"schedule": {"cron": "0 0 * * *", "timezone": ""}}, "/schedule/timezone", "no time zone"),
        ({"schedule": {"cron": "0 0 * * *", "overlap": "skip"}}, "/schedule/overlap", '"allow", "forbid" or "replace"'),
        ({"params": {"a-b": 1}}, "/params/a-b", "is no name for an expression"),
        ({"on_exit": {}}, "/on_exit", "must be a list, not an object"),
        ({"on_exit": ["x"]}, "/on_exit/0", 'must be an object, not "x"'),
        ({"on_exit": [{"name": "a"}]}, "/on_exit/0/name", '"a" is the name of tasks/0 already'),
        ({"on_exit": [{"name": "z", "depends_on": ["a"]}]}, "/on_exit/0/depends_on/0", '"a" is no task of on_exit'),
        ({"on_exit": [{"name": "z", "foo": 1}]}, "/on_exit/0/foo", 'unknown key "foo"'),
    ],
)
def test_parse_workflow__wrong_key_of_the_workflow__says_what_would_be_right(keys, pointer, detail):
    found = faults({"name": "a"}, **keys)
    assert {at for at, _ in found} == {pointer}
    assert any(detail in told for _, told in found), found


def test_parse_workflow__a_task_that_waits_for_one_of_on_exit__is_refused():
    found = faults({"name": "a", "depends_on": ["z"]}, on_exit=[{"name": "z"}])
    assert found == [
        ("/tasks/0/depends_on/0", '"z" is a task of on_exit, which runs when all others are over: nothing else can wait for it')
    ]


def test_parse_workflow__a_cycle_in_on_exit__is_told_at_each_dependency():
    found = faults({"name": "a"}, on_exit=[{"name": "x", "depends_on": ["y"]}, {"name": "y", "depends_on": ["x"]}])
    assert [at for at, _ in found] == ["/on_exit/0/depends_on/0", "/on_exit/1/depends_on/0"]


def test_parse_workflow__too_many_tasks_with_items__are_refused():
    found = faults({"name": "a", "foreach": [0] * 9_999}, {"name": "b"}, on_exit=[{"name": "c"}])
    assert found == [("/tasks", "must have at most 10,000 tasks in all, with the items of foreach and on_exit, not 10,001")]
    assert len(nodes({"name": "a", "foreach": [0] * 9_998}, {"name": "b"}, on_exit=[{"name": "c"}])) == 3


def test_node__plan_keys__are_read():
    first, second = nodes(
        {"name": "a", "image": "x", "outputs": {"n": {}, "m": {"required": False}, "o": None}},
        {"name": "b", "depends_on": ["a"], "trigger_rule": "one_failed", "when": False, "foreach": [1, 2], "max_parallel": 2},
    )
    assert first.outputs == {"n": True, "m": False, "o": True}
    assert (second.depends_on, second.trigger_rule, second.when) == (("a",), TriggerRule.ONE_FAILED, False)
    assert second.foreach is not None
    assert (second.foreach.items, second.max_parallel) == ((1, 2), 2)


def test_node__foreach_of_named_lists__has_every_combination_the_last_fastest():
    (node,) = nodes({"name": "a", "foreach": {"os": ["linux", "mac"], "n": [1, 2]}})
    assert node.foreach is not None
    assert node.foreach.items == (
        {"os": "linux", "n": 1}, {"os": "linux", "n": 2}, {"os": "mac", "n": 1}, {"os": "mac", "n": 2}
    )  # fmt: skip


def test_node__of_on_exit__comes_last_and_has_a_timeout():
    found = nodes(
        {"name": "a"},
        on_exit=[
            {"name": "x"},
            {"name": "y", "timeout_seconds": 5, "depends_on": ["x"]},
            {"name": "z", "timeout_seconds": None},
        ],
    )
    assert [(node.name, node.position, node.is_exit) for node in found] == [
        ("a", 0, False), ("x", 1, True), ("y", 2, True), ("z", 3, True)
    ]  # fmt: skip
    assert [node.spec and node.spec.timeout_seconds for node in found] == [None, 600, 5, 600]


def test_node__of_on_exit__has_the_timeout_of_the_defaults():
    found = nodes({"name": "a"}, on_exit=[{"name": "x"}], task_defaults={"timeout_seconds": 7})
    assert [node.spec and node.spec.timeout_seconds for node in found] == [7, 7]


def test_workflow__run_level_keys__are_read():
    workflow = run_level(
        concurrency={"group": "deploy", "policy": "cancel_running"},
        schedule={"cron": "30 2 * * MON-FRI", "timezone": "Europe/Berlin", "overlap": "replace", "catchup": True},
        params={"x": 1},
        description="a text with ${{ in it",
    )
    assert workflow.concurrency == Concurrency(group="deploy", policy=ConcurrencyPolicy.CANCEL_RUNNING)
    assert workflow.schedule == Schedule(
        cron="30 2 * * MON-FRI", timezone="Europe/Berlin", overlap=Overlap.REPLACE, catchup=True
    )
    assert list(workflow.params) == ["x"]
    assert run_level(schedule={"every_seconds": 60}).schedule == Schedule(every_seconds=60)


def test_workflow__labels_with_expressions__are_kept_as_written():
    workflow = run_level(
        labels={"a": "${{ params.x }}", "b": "c"}, concurrency={"group": "g-${{ params.x }}"}, params={"x": "y"}
    )
    assert workflow.labels == {"a": "${{ params.x }}", "b": "c"}
    assert workflow.concurrency is not None
    assert workflow.concurrency.group == "g-${{ params.x }}"


def test_task_defaults__approval__is_of_tasks_without_image():
    first, second = nodes({"name": "a"}, {"name": "b", "image": "x"}, task_defaults={"approval": {"message": "ok?"}})
    assert first.spec is not None
    assert first.spec.approval is not None
    assert second.spec is not None
    assert second.spec.approval is None


def test_task_defaults__image_and_approval_together__are_told_once():
    found = faults({"name": "a"}, {"name": "b"}, task_defaults={"image": "x", "approval": {}})
    assert found == [("/task_defaults/approval", 'must not stand beside "image": a task that waits for approval has no pod')]


def test_task_with_approval__pod_keys_of_the_defaults__are_left_out():
    (node,) = nodes({"name": "a", "approval": {}}, task_defaults={"image": "x", "args": ["y"], "namespace": "jobs"})
    assert node.spec is not None
    assert (node.spec.image, node.spec.args, node.spec.namespace) == (None, None, None)


def test_task_defaults__max_parallel__is_of_tasks_with_foreach():
    first, second = nodes({"name": "a"}, {"name": "b", "foreach": [1]}, task_defaults={"max_parallel": 3})
    assert (first.max_parallel, second.max_parallel) == (None, 3)


def test_task_defaults__a_fault_in_them__is_told_once():
    tasks = [{"name": f"t{index}", "image": "x"} for index in range(5)]
    found = faults(*tasks, task_defaults={"env": {"A": 1}, "resources": {"limits": {"cpu": "x"}}, "when": "yes"})
    assert [at for at, _ in found] == [
        "/task_defaults/env/A", "/task_defaults/resources/limits/cpu", "/task_defaults/when"
    ]  # fmt: skip


def test_task_defaults__what_is_wrong_only_together__is_told_where_it_is_written():
    mount = {"volume_mounts": [{"name": "data", "mountPath": "/data"}]}
    volume = {"volumes": [{"name": "data", "emptyDir": {}}]}
    assert len(nodes({"name": "a", "image": "x", **mount}, task_defaults=volume)) == 1
    assert [at for at, _ in faults({"name": "a", "image": "x", **mount})] == ["/tasks/0/volume_mounts/0/name"]
    found = faults({"name": "a", "image": "x"}, {"name": "b", "image": "x", **volume}, task_defaults=mount)
    assert [at for at, _ in found] == ["/task_defaults/volume_mounts/0/name"]


def test_task_defaults__large_annotations_of_both__are_told_together():
    half = "x" * 200_000
    found = faults({"name": "a", "image": "x", "annotations": {"a": half}}, task_defaults={"annotations": {"b": half}})
    assert len(found) == 1
    assert "262144 bytes in all" in found[0][1]


def test_parse_workflow__nulls_that_take_defaults_away__are_checked_by_their_key():
    found = faults({"name": "a", "image": "x", "env": {"A=B": None}})
    assert [at for at, _ in found] == ["/tasks/0/env/A=B"]


def test_parse_workflow__faults_of_all_kinds__come_in_document_order():
    with pytest.raises(InvalidWorkflow) as caught:
        parse_workflow(
            {
                "name": "w",
                "params": {"p": None},
                "on_exit": [{"name": "z", "depends_on": ["a"], "image": "A"}],
                "task_defaults": {"env": {"A": "${{ params.q }}"}},
                "tasks": [{"image": "x", "name": "a", "when": "${{ tasks.b.phase == 'x' }}"}, {"name": "b"}],
                "schedule": {},
            }
        )
    assert [fault.pointer for fault in caught.value.faults] == [
        "/params/p", "/on_exit/0/depends_on/0", "/on_exit/0/image", "/task_defaults/env/A", "/tasks/0/when", "/schedule"
    ]  # fmt: skip
    assert Fault("/task_defaults/env/A", 'there is no param "q": there is p') in caught.value.faults

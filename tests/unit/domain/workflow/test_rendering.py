"""From values to tasks, items and limits."""

from typing import Any

import pytest

from app.domain.errors import ExpressionFailed, InvalidWorkflow
from app.domain.workflow.document import Task
from app.domain.workflow.nodes import Node
from app.domain.workflow.parsing import expand_foreach, max_parallel_of, parse_workflow, render_task

Json = dict[str, Any]
PARAMS = {"x": {"type": "string"}}
SOURCE = "params.x"


def node_of(**task: Any) -> Node:
    defaults = task.pop("defaults", {})
    document = {"name": "w", "params": PARAMS, "task_defaults": defaults, "tasks": [{"name": "a", "image": "i", **task}]}
    return parse_workflow(document).nodes[0]


def rendered(value: Any, **task: Any) -> Task:
    return render_task(node_of(**task), {SOURCE: value}, ["default"])


def refused(value: Any, **task: Any) -> str:
    with pytest.raises(ExpressionFailed) as caught:
        rendered(value, **task)
    return str(caught.value)


def test_render_task__a_node_without_expressions__is_its_spec():
    node = node_of(args=["a"])
    assert render_task(node, {}, []) is node.spec


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("timeout_seconds", 5),
        ("allow_failure", True),
        ("tolerations", [{"operator": "Exists"}]),
        ("resources", {"limits": {"cpu": 2}}),
        ("env", {"A": "1"}),
        ("env", [{"name": "A", "value": "1"}]),
    ],
)
def test_render_task__an_expression_alone__keeps_its_type(key, value):
    assert getattr(rendered(value, **{key: "${{ params.x }}"}), key) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (5, "5"), (5.0, "5"), (2.5, "2.5"), (True, "true"), (None, "null"), (["a"], '["a"]'), ({"a": 1}, '{"a":1}')],
)
def test_render_task__where_text_is_wanted__a_value_becomes_compact_json(value, text):
    one = "${{ params.x }}"
    task = rendered(value, args=[one, f"<{one}>"], env={"A": one}, annotations={"b": one}, command=["echo", one])
    assert (task.args, task.env, task.annotations) == ((text, f"<{text}>"), {"A": text}, {"b": text})
    assert task.command == ("echo", text)


def test_render_task__where_kubernetes_wants_text__a_value_becomes_text():
    one = "${{ params.x }}"
    task = rendered(
        5,
        env=[{"name": "A", "value": one}],
        init_containers=[{"name": "first", "image": "i", "args": ["a", one]}],
        pod={"hostname": one, "terminationGracePeriodSeconds": one},
        namespace="default",
    )
    assert task.env == [{"name": "A", "value": "5"}]
    assert task.init_containers[0]["args"] == ["a", "5"]
    assert task.pod == {"hostname": "5", "terminationGracePeriodSeconds": 5}


def test_render_task__where_text_is_wanted_under_a_key_of_digits__a_value_becomes_text():
    assert rendered(5, pod={"nodeSelector": {"007": "${{ params.x }}"}}).pod == {"nodeSelector": {"007": "5"}}


def test_render_task__a_resource_amount__may_be_a_number_or_text():
    assert rendered(2, resources={"limits": {"cpu": "${{ params.x }}"}}).resources == {"limits": {"cpu": 2}}
    assert rendered("500m", resources={"limits": {"cpu": "${{ params.x }}"}}).resources == {"limits": {"cpu": "500m"}}


def test_render_task__more_text_than_any_pod_takes__is_refused():
    text = "x" * 64 * 1024
    assert len(rendered(text, args=["${{ params.x }}" * 60]).args[0]) == 60 * len(text)
    assert "its expressions put more than 4 MiB into the task" in refused(text, args=["${{ params.x }}" * 65])
    assert "put more than 4 MiB" in refused(text, env={"B": "<${{ params.x }}>" * 40}, args=["${{ params.x }}"] * 25)


def test_render_task__null_for_an_optional_key__is_as_if_it_were_left_out():
    assert rendered(None, timeout_seconds="${{ params.x }}").timeout_seconds is None
    assert rendered(None, working_dir="${{ params.x }}").working_dir is None


def test_render_task__retries__are_a_number_or_an_object():
    assert rendered(3, retries="${{ params.x }}").retries.limit == 3
    assert rendered(3, retries={"limit": "${{ params.x }}", "factor": 1}).retries.limit == 3
    assert rendered({"limit": 2, "factor": 1}, retries="${{ params.x }}").retries.factor == 1


@pytest.mark.parametrize(
    ("value", "task", "message"),
    [
        ("A", {"image": "${{ params.x }}"}, 'image: "A" is not an image reference'),
        ("5", {"timeout_seconds": "${{ params.x }}"}, 'timeout_seconds: must be a number, not "5"'),
        (-1, {"retries": "${{ params.x }}"}, "retries: must be between 0 and 1000, not -1"),
        ("x y", {"labels": {"a": "${{ params.x }}"}}, 'labels/a: "x y" is not a label value'),
        (
            "other",
            {"namespace": "${{ params.x }}"},
            'namespace: pods must not run in namespace "other" here, only in "default"',
        ),
        ({"PODRUN_X": "1"}, {"env": "${{ params.x }}"}, "env/PODRUN_X: "),
        ("b", {"volume_mounts": [{"name": "${{ params.x }}", "mountPath": "/d"}]}, "volume_mounts/0/name: "),
        ([{"name": "a"}], {"tolerations": "${{ params.x }}"}, 'tolerations/0/name: unknown key "name"'),
        (None, {"image": "${{ params.x }}", "args": ["x"]}, 'args: "args" is for a pod'),
        ([{"secret": "s"}], {"secrets": "${{ params.x }}"}, 'secrets/0: must have "env" (with "key") or "mount_path"'),
        ([{"secret": "s", "env": "A"}], {"secrets": "${{ params.x }}"}, 'secrets/0: the key "key" is required'),
    ],
)
def test_render_task__what_may_not_be__fails_as_at_submit(value, task, message):
    assert message in refused(value, **task)


def test_render_task__many_faults__are_told_a_few_of():
    message = refused({f"PODRUN_{index}": "x" for index in range(10)}, env="${{ params.x }}")
    assert message.count("podrun sets those itself") == 3
    assert message.endswith("; and 7 more")


@pytest.mark.parametrize(
    ("default", "own"),
    [("${{ params.x }}", {"B": "own"}), ({"A": "default", "B": "default"}, "${{ params.x }}")],
)
def test_render_task__objects_that_only_values_make__still_merge_by_key(default, own):
    value = {"A": "default", "B": "default"} if isinstance(default, str) else {"B": "own"}
    task = rendered(value, env=own, defaults={"env": default})
    assert task.env == {"A": "default", "B": "own"}


def test_render_task__a_list_in_place_of_an_object__replaces_the_default():
    task = rendered([{"name": "B", "value": "own"}], env="${{ params.x }}", defaults={"env": {"A": "default"}})
    assert task.env == [{"name": "B", "value": "own"}]


def fan_out(foreach: Any, **task: Any) -> Node:
    return node_of(foreach=foreach, args=["${{ item }}"], **task)


def test_expand_foreach__lists_that_are_known__need_no_values():
    node = fan_out({"a": [1, 2], "b": ["x"]})
    assert node.foreach is not None
    assert expand_foreach(node.foreach, {}) == [{"a": 1, "b": "x"}, {"a": 2, "b": "x"}]


@pytest.mark.parametrize(
    ("foreach", "value", "items"),
    [
        ("${{ params.x }}", [3, 1], [3, 1]),
        ("${{ params.x }}", [], []),
        ({"a": "${{ params.x }}", "b": [1, 2]}, ["x", "y"], [{"a": a, "b": b} for a in "xy" for b in (1, 2)]),
        (["a", "${{ params.x }}", {"c": "<${{ params.x }}>"}], 5, ["a", 5, {"c": "<5>"}]),
    ],
)
def test_expand_foreach__lists_of_expressions__give_the_items_in_order(foreach, value, items):
    node = fan_out(foreach)
    assert node.foreach is not None
    assert node.foreach.items is None
    assert expand_foreach(node.foreach, {SOURCE: value}) == items


@pytest.mark.parametrize(
    ("foreach", "value", "message"),
    [
        ("${{ params.x }}", "abc", 'foreach: must be a list, not "abc"'),
        ("${{ params.x }}", {"a": [1]}, "foreach: must be a list, not an object"),
        ({"a": "${{ params.x }}"}, 5, "foreach/a: must be a list, not 5"),
        ("${{ params.x }}", [0] * 10_001, "must have at most 10,000 items, not 10,001"),
        ({"a": "${{ params.x }}", "b": [0] * 200}, [0] * 51, "must have at most 10,000 items, not 10,200"),
        ({"a": "${{ params.x }}", "b": [0] * 20}, ["x" * 1024 * 1024], "its items may have 16 MiB in all"),
        (["${{ params.x }}"] * 20, "x" * 1024 * 1024, "its items may have 16 MiB in all"),
    ],
)
def test_expand_foreach__what_is_no_list_or_too_long__fails(foreach, value, message):
    node = fan_out(foreach)
    assert node.foreach is not None
    with pytest.raises(ExpressionFailed, match=message):
        expand_foreach(node.foreach, {SOURCE: value})


def test_max_parallel_of__a_number_or_an_expression__gives_the_limit():
    assert max_parallel_of(fan_out([1]), {}) is None
    assert max_parallel_of(fan_out([1], max_parallel=3), {}) == 3
    assert max_parallel_of(fan_out([1], max_parallel="${{ params.x }}"), {SOURCE: 2}) == 2


@pytest.mark.parametrize("value", [0, -1, 2.5, "2", True, []])
def test_max_parallel_of__no_whole_number_from_1__fails(value):
    with pytest.raises(ExpressionFailed, match="max_parallel: must be a whole number"):
        max_parallel_of(fan_out([1], max_parallel="${{ params.x }}"), {SOURCE: value})


@pytest.mark.parametrize(
    ("written", "bad"),
    [
        ({"image": "$"}, "UP/x"),
        ({"image": "$"}, "reg.io/UP/x"),
        ({"image": "$"}, "a b"),
        ({"image": "$"}, ""),
        ({"working_dir": "$"}, "relative"),
        ({"service_account_name": "$"}, "Not_A_Name"),
        ({"priority_class_name": "$"}, "Not_A_Name"),
        ({"namespace": "$"}, "Not_A_Name"),
        ({"image_pull_policy": "$"}, "Sometimes"),
        ({"image_pull_secrets": [{"name": "$"}]}, "Not_A_Name"),
        ({"secrets": [{"secret": "$", "key": "k", "env": "A"}]}, "Not_A_Name"),
        ({"secrets": [{"secret": "s", "key": "$", "env": "A"}]}, "no key"),
        ({"secrets": [{"secret": "s", "key": "k", "env": "$"}]}, "A=B"),
        ({"secrets": [{"secret": "s", "mount_path": "$"}]}, "relative"),
        ({"secrets": [{"secret": "s", "mount_path": "/a", "items": [{"key": "k", "path": "$"}]}]}, "../up"),
        ({"volumes": [{"name": "$", "emptyDir": {}}]}, "Not_A_Name"),
        ({"volumes": [{"name": "v", "emptyDir": {}}], "volume_mounts": [{"name": "v", "mountPath": "$"}]}, ""),
        ({"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "$"}}]}, "many"),
        ({"init_containers": [{"name": "$", "image": "i"}]}, "Not_A_Name"),
        ({"init_containers": [{"name": "n", "image": "$"}]}, "UP/x"),
        ({"sidecars": [{"name": "n", "image": "$"}]}, "a b"),
        ({"resources": {"limits": {"cpu": "$"}}}, "many"),
        ({"resources": {"requests": {"memory": "$"}}}, -1),
        ({"labels": {"a": "$"}}, "-a-"),
        ({"node_selector": {"a": "$"}}, "-a-"),
        ({"tolerations": [{"key": "a", "operator": "$"}]}, "Sometimes"),
        ({"env_from": [{"configMapRef": {"name": "$"}}]}, "Not_A_Name"),
        ({"env": [{"name": "$", "value": "1"}]}, "A=B"),
        ({"security_context": {"runAsUser": "$"}}, -1),
        ({"pod": {"hostNetwork": "$"}}, "yes"),
        ({"pod": {"containers": [{"name": "main", "image": "$"}]}}, "a b"),
        ({"retries": "$"}, -1),
        ({"retries": "$"}, "many"),
        ({"retries": {"limit": "$"}}, 1.5),
        ({"retries": {"limit": 1, "delay_seconds": "$"}}, -1),
        ({"retries": {"limit": 1, "on": ["$"]}}, "Sometimes"),
        ({"retries": {"limit": 1, "exit_codes": ["$"]}}, 0),
        ({"timeout_seconds": "$"}, 0),
        ({"timeout_seconds": "$"}, "1h"),
        ({"pending_timeout_seconds": "$"}, -5),
        ({"allow_failure": "$"}, "yes"),
        ({"approval": {"timeout_seconds": "$"}, "image": None}, 0),
        ({"approval": {"on_timeout": "$"}, "image": None}, "ask"),
    ],
)
def test_render_task__a_bad_value__is_refused_as_at_submit(written, bad):
    def with_value(node: Any, value: Any) -> Any:
        if isinstance(node, dict):
            return {key: with_value(item, value) for key, item in node.items()}
        if isinstance(node, list):
            return [with_value(item, value) for item in node]
        return value if node == "$" else node

    with pytest.raises(InvalidWorkflow) as at_submit:
        node_of(**with_value(written, bad))
    told = refused(bad, **with_value(written, "${{ params.x }}"))
    for fault in at_submit.value.faults:
        assert f"{fault.pointer.removeprefix('/tasks/0/')}: {fault.detail}" in told

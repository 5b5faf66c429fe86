"""Expressions in a workflow document: what is refused when it is posted, what must wait, and the nodes that they make."""

import time
from typing import Any

import pytest

from app.domain.errors import InvalidWorkflow
from app.domain.workflow.nodes import Node
from app.domain.workflow.parsing import check_namespaces, parse_workflow

Json = dict[str, Any]


def faults(*tasks: Json, **keys: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_workflow({"name": "w", "tasks": list(tasks), **keys})
    return [(fault.pointer, fault.detail) for fault in caught.value.faults]


def nodes(*tasks: Json, **keys: Any) -> tuple[Node, ...]:
    return parse_workflow({"name": "w", "tasks": list(tasks), **keys}).nodes


def pod(name: str, **keys: Any) -> Json:
    return {"name": name, "image": "x", **keys}


@pytest.mark.parametrize(
    ("task", "pointer", "detail"),
    [
        ({"args": ["${{ params.y }}"]}, "/args/0", 'there is no param "y": there is count'),
        ({"args": ["a", "${{ params.cuont }}"]}, "/args/1", 'there is no param "cuont": did you mean "count"?'),
        ({"args": ["${{ 1 + }}"]}, "/args/0", "column"),
        ({"args": ["${{ }}"]}, "/args/0", "the expression is empty"),
        ({"args": ["${{ params.count"]}, "/args/0", "does not end"),
        ({"args": ["${{ item }}"]}, "/args/0", "`item` is there only in a task with foreach"),
        ({"args": ["${{ tasks.b.phase }}"]}, "/args/0", 'task "b" is not upstream'),
        ({"args": ["${{ tasks.a.phase }}"]}, "/args/0", 'task "a" is not upstream'),
        ({"args": ["${{ tasks.bb.phase }}"]}, "/args/0", 'there is no task "bb"'),
        ({"args": ["${{ tasks.up.fase }}"], "depends_on": ["up"]}, "/args/0", 'has no "fase"'),
        ({"args": ["${{ tasks }}"]}, "/args/0", "`tasks` must be followed by the literal name of a task"),
        ({"args": ["${{ run.name }}"]}, "/args/0", "`run` has no"),
        ({"when": "${{ item > 1 }}"}, "/when", "`item` is there only in a task with foreach"),
        ({"foreach": "${{ item }}"}, "/foreach", "`item` is one of what these lists give"),
        ({"foreach": {"a": "${{ tasks.b.outputs.x }}"}}, "/foreach/a", 'task "b" is not upstream'),
        ({"foreach": [1], "max_parallel": "${{ item }}"}, "/max_parallel", "`item` is one of what these lists give"),
        ({"env": {"${{ params.count }}": "x"}}, "/env/${{ params.count }}", "no expression may stand in a key"),
        ({"retries": {"limit": "${{ params.cont }}"}}, "/retries/limit", 'did you mean "count"?'),
        ({"pod": {"hostname": "${{ params.cont }}"}}, "/pod/hostname", 'did you mean "count"?'),
    ],
)
def test_parse_workflow__a_wrong_expression__is_told_where_it_stands(task, pointer, detail):
    found = faults({"name": "up"}, pod("a", **task), pod("b"), params={"count": 1})
    assert [at for at, _ in found] == [f"/tasks/1{pointer}"]
    assert detail in found[0][1]


def test_parse_workflow__all_that_is_wrong_with_expressions__is_told_at_once():
    found = faults(pod("a", args=["${{ params.y + tasks.b.phase }} ${{ ( }}"], command=["${{ params.z"]), pod("b"))
    assert [at for at, _ in found] == ["/tasks/0/args/0"] * 3 + ["/tasks/0/command/0"]
    assert 'there is no param "y"' in found[0][1]


def test_parse_workflow__tasks_upstream_but_not_directly__may_be_named():
    found = nodes(pod("a"), pod("b", depends_on=["a"]), pod("c", depends_on=["b"], args=["${{ tasks.a.outputs.x }}"]))
    assert found[2].expressions == ("tasks.a.outputs.x",)


def test_parse_workflow__on_exit__may_name_all_tasks_and_those_it_waits_for():
    on_exit = [pod("x", args=["${{ tasks.a.phase }}"]), pod("y", depends_on=["x"], when="${{ tasks.x.phase == run.phase }}")]
    assert len(nodes(pod("a"), on_exit=on_exit)) == 3
    found = faults(pod("a", args=["${{ tasks.x.phase }}"]), on_exit=[pod("x", args=["${{ tasks.y.phase }}"]), pod("y")])
    assert [at for at, _ in found] == ["/tasks/0/args/0", "/on_exit/0/args/0"]


@pytest.mark.parametrize(
    "keys",
    [
        {"timeout_seconds": "${{ params.n }}"},
        {"pending_timeout_seconds": "${{ params.n }}"},
        {"allow_failure": "${{ params.n > 1 }}"},
        {"retries": "${{ params.n }}"},
        {"retries": {"limit": "${{ params.n }}", "on": ["${{ params.s }}"], "exit_codes": ["${{ params.n }}"]}},
        {"image": "${{ params.s }}:latest"},
        {"image_pull_policy": "${{ params.s }}"},
        {"namespace": "${{ params.s }}"},
        {"env": "${{ params.o }}"},
        {"env": [{"name": "${{ params.s }}", "value": "${{ params.n }}"}]},
        {"env": ["${{ params.o }}"]},
        {"command": "${{ params.l }}"},
        {"resources": {"limits": {"cpu": "${{ params.n }}"}, "requests": {"cpu": 5}}},
        {"resources": {"limits": "${{ params.o }}"}},
        {"secrets": [{"secret": "${{ params.s }}", "key": "k", "env": "${{ params.s }}"}, {"secret": "b", "mount_path": "/x"}]},
        {
            "secrets": [
                {"secret": "a", "key": "k", "env": "${{ params.s }}"},
                {"secret": "b", "key": "k", "env": "${{ params.s }}"},
            ]
        },
        {"tolerations": [{"key": "a", "operator": "Exists", "effect": "${{ params.s }}", "tolerationSeconds": 5}]},
        {"tolerations": "${{ params.l }}"},
        {"volumes": [{"name": "${{ params.s }}", "emptyDir": {}}], "volume_mounts": [{"name": "data", "mountPath": "/d"}]},
        {"volumes": [{"name": "d", "emptyDir": {}}], "volume_mounts": [{"name": "${{ params.s }}", "mountPath": "/d"}]},
        {"volume_mounts": "${{ params.l }}"},
        {"init_containers": [{"name": "${{ params.s }}", "image": "${{ params.s }}"}, {"name": "b", "image": "x"}]},
        {"sidecars": ["${{ params.o }}"]},
        {"pod": {"terminationGracePeriodSeconds": "${{ params.n }}"}},
        {"pod": "${{ params.o }}"},
        {"security_context": {"runAsUser": "${{ params.n }}"}},
        {"node_selector": "${{ params.o }}", "labels": {"a": "x ${{ params.s }}"}},
        {"foreach": [1], "max_parallel": "${{ params.n }}"},
        {"foreach": ["a", "${{ params.s }}"]},
    ],
)
def test_parse_workflow__what_only_values_can_tell__is_not_refused(keys):
    params = {"n": 1, "s": "x", "l": [], "o": {"type": "object", "default": {}}}
    (node,) = nodes({"name": "a", "image": "x", **keys}, params=params)
    assert node.expressions or node.list_expressions


@pytest.mark.parametrize(
    ("keys", "pointer", "detail"),
    [
        ({"imag": "${{ params.s }}"}, "/imag", "unknown key"),
        ({"env": {"PODRUN_X": "${{ params.s }}"}}, "/env/PODRUN_X", "podrun sets those itself"),
        ({"env": {"A": 1, "B": "${{ params.s }}"}}, "/env/A", "must be a string, not 1"),
        ({"env": [{"name": "A", "valeu": "${{ params.s }}"}]}, "/env/0/valeu", "unknown key"),
        ({"env": [{"value": "${{ params.s }}"}]}, "/env/0", 'the key "name" is required'),
        ({"labels": {"-": "${{ params.s }}"}}, "/labels/-", "is not a label key"),
        ({"secrets": [{"secret": "${{ params.s }}"}]}, "/secrets/0", 'must have "env"'),
        ({"secrets": [{"env": "${{ params.s }}"}]}, "/secrets/0", 'the key "secret" is required'),
        ({"tolerations": [{"key": "${{ params.s }}", "operator": "Exits"}]}, "/tolerations/0/operator", "must be"),
        ({"timeout_seconds": "${{ params.s }}0"}, "/timeout_seconds", "must be a number, not"),
        ({"retries": {"limt": "${{ params.s }}"}}, "/retries/limt", "unknown key"),
    ],
)
def test_parse_workflow__what_is_wrong_whatever_the_values__is_refused(keys, pointer, detail):
    found = faults({"name": "a", "image": "x", **keys}, params={"s": "x"})
    assert any(at == f"/tasks/0{pointer}" and detail in told for at, told in found), found


def test_parse_workflow__pod_keys_with_expressions_of_a_task_without_image__are_refused():
    found = faults({"name": "a", "args": ["${{ params.s }}"]}, params={"s": "x"})
    assert found == [("/tasks/0/args", '"args" is for a pod, and a task without image has none: give it an image')]


def test_task_defaults__expressions_in_them__are_checked_for_each_task_that_has_them():
    defaults = {"env": {"UP": "${{ tasks.a.phase }}"}, "image": "x"}
    found = faults(
        {"name": "a", "env": {"UP": "none"}}, {"name": "b", "depends_on": ["a"]}, {"name": "c"}, {"name": "d"},
        task_defaults=defaults,
    )  # fmt: skip
    assert len(found) == 1
    assert found[0][0] == "/task_defaults/env/UP"
    assert found[0][1].endswith('(in the task "c", and maybe more)')
    assert len(nodes({"name": "a", "env": None}, {"name": "b", "depends_on": ["a"]}, task_defaults=defaults)) == 2


def test_task_defaults__an_expression_that_no_task_has__is_checked_all_the_same():
    found = faults(pod("a", args=[]), task_defaults={"args": ["${{ params.x }}", "${{ ( }}"], "depends_on": []})
    assert [at for at, _ in found] == ["/task_defaults/args/0", "/task_defaults/args/1", "/task_defaults/depends_on"]


def test_task_defaults__item_in_them__is_for_tasks_with_foreach():
    defaults = {"image": "x", "args": ["${{ item }}"]}
    assert len(nodes({"name": "a", "foreach": [1]}, task_defaults=defaults)) == 1
    found = faults({"name": "a", "foreach": [1]}, {"name": "b"}, task_defaults=defaults)
    assert [at for at, _ in found] == ["/task_defaults/args/0"]
    assert 'in the task "b"' in found[0][1]


def test_node__with_expressions__is_written_and_names_each_source_once():
    (node,) = nodes(
        pod("a", args=["${{ params.x }}", "${{params.x}} and ${{ run.id }}"], when="${{ params.x > 1 }}", allow_failure=True),
        params={"x": 1},
        task_defaults={"env": {"A": "${{ run.workflow }}"}},
    )
    assert node.spec is None
    assert set(node.expressions) == {"params.x", "run.id", "run.workflow"}
    assert len(node.expressions) == 3
    assert node.when == "params.x > 1"
    assert node.written["allow_failure"] is True
    assert node.written["env"] == {"A": "${{ run.workflow }}"}
    assert "when" not in node.written


def test_node__whose_condition_alone_is_an_expression__is_complete():
    (node,) = nodes(pod("a", when="${{ params.x > 1 }}", foreach="${{ [1] }}", max_parallel="${{ 2 }}"), params={"x": 1})
    assert node.spec is not None
    assert node.needs_values
    assert node.foreach is not None
    assert (node.foreach.items, node.foreach.expressions, node.max_parallel) == (None, ("[1]",), "2")
    assert node.list_expressions == ("[1]", "2")


def test_node__that_takes_the_expressions_of_the_defaults_away__is_complete():
    (node,) = nodes(pod("a", env={"A": None, "B": "b"}), task_defaults={"env": {"A": "${{ run.id }}"}})
    assert node.spec is not None
    assert node.spec.env == {"B": "b"}


def test_check_namespaces__expressions__are_left_for_later():
    document = {"tasks": [{"namespace": "${{ params.x }}"}], "on_exit": [{"namespace": "other"}]}
    assert [fault.pointer for fault in check_namespaces(document, ["jobs"])] == ["/on_exit/0/namespace"]


@pytest.mark.parametrize(
    ("count", "make", "sources"),
    [
        (10_000, lambda _: {"args": ["${{ params.x }}"]}, 1),
        (3_000, lambda index: {"args": [f"${{{{ tasks.t{index // 2}.outputs.x }}}}"]} if index else {}, 1_500),
        (3_000, lambda index: {"args": [f"${{{{ tasks.t{(index + 1) % 3_000}.outputs.x + params.x{index} }}}}"]}, 3_000),
    ],
)
def test_parse_workflow__thousands_of_tasks_with_expressions__cost_time_in_proportion(count, make, sources):
    tasks = [pod(f"t{index}", depends_on=[f"t{index - 1}"] if index else [], **make(index)) for index in range(count)]
    started = time.process_time()
    try:
        parse_workflow({"name": "w", "params": {"x": 1}, "tasks": tasks})
    except InvalidWorkflow as error:
        assert len(error.faults) == 2 * count - 1  # noqa: PT017  # only the last one's task is upstream of somebody
    seconds = time.process_time() - started
    assert seconds < 5 * (count * 1e-4 + sources * 2e-4), "measured a fifth of it; a busy machine takes a multiple"


@pytest.mark.parametrize(
    ("keys", "pointer", "detail"),
    [
        ({"when": "${{ 1 }}"}, "/when", "must give true or false, not an int"),
        ({"when": "${{ params.s == 'a' ? 'a' : 'b' }}"}, "/when", "must give true or false, not a string"),
        ({"foreach": "${{ 'a' }}"}, "/foreach", "must give a list, not a string"),
        ({"foreach": "${{ {'a': [1]} }}"}, "/foreach", "must give a list, not a map"),
        ({"foreach": {"a": "${{ string(params.s) }}"}}, "/foreach/a", "must give a list, not a string"),
        ({"foreach": [1], "max_parallel": "${{ 'x' }}"}, "/max_parallel", "must give a whole number, not a string"),
        (
            {"foreach": [1], "max_parallel": "${{ -1 }}"},
            "/max_parallel",
            "must be a whole number between 1 and 1,000,000, not -1",
        ),
        (
            {"foreach": {"alpha": [1, 2]}, "args": ["${{ item.alhpa }}"]},
            "/args/0",
            'there is no list in foreach named "alhpa": did you mean "alpha"?',
        ),
    ],
)
def test_parse_workflow__an_expression_that_gives_the_wrong_thing__is_refused(keys, pointer, detail):
    assert faults(pod("a", **keys), params={"s": "text"}) == [(f"/tasks/0{pointer}", detail)]


@pytest.mark.parametrize(
    "keys",
    [
        {"when": "${{ params.s == 'text' }}"},
        {"when": "${{ params.b }}"},
        {"foreach": "${{ params.l }}", "max_parallel": "${{ params.i }}"},
        {"foreach": [["${{ params.i + 1 }}", "${{ 'a' }}"], "${{ 1 }}"]},
        {"foreach": "${{ params.l.map(x, x) }}", "max_parallel": "${{ null }}"},
        {"foreach": {"a": [1]}, "args": ["${{ item.a }}${{ has(item.b) ? item.b : '' }}${{ item }}"]},
    ],
)
def test_parse_workflow__an_expression_that_may_give_the_right_thing__is_taken(keys):
    nodes(pod("a", **keys), params={"s": "text", "b": True, "l": [1], "i": 2})


def test_parse_workflow__expressions_together_too_long__the_first_beyond_is_told_of_and_none_is_checked():
    def wrong(index: int) -> str:
        return f"${{{{ no{index} /*{'x' * 3_900} }}}}"

    text = [f"${{{{ '{index:04}{'x' * 3_900}' }}}}" for index in range(300)]
    first = (1024 * 1024) // (3_900 + 6)
    tasks = [pod("a", args=text), pod("b", args=[wrong(1), text[0], wrong(2), wrong(1)])]
    detail = "the workflow's expressions may have at most 1 MiB in all; from this one on they were not checked"
    assert faults(*tasks) == [(f"/tasks/0/args/{first}", detail)]

"""The workflow builder: the same JSON as a hand-written file, and clear errors for what can't be one."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from podrun import Expression, Workflow, item
from podrun.builder import TASK_KEYS, WORKFLOW_KEYS, Task
from podrun.cli.documents import read_document

HAND_WRITTEN = """
name: shards
params: {count: {type: integer, default: 3}, day: {}}
labels: {day: "${{ params.day }}"}
timeout_seconds: 60
task_defaults: {image: "python:3"}
tasks:
- {name: plan, args: ["--day=${{ params.day }}"], outputs: {list-of: {required: true}}}
- name: work
  depends_on: [plan]
  foreach: "${{ tasks.plan.outputs['list-of'] }}"
  env: {ITEM: "${{ item.name }}", FIRST: "${{ item[0] }}"}
  retries: 2
- {name: check, depends_on: [plan, work], when: "${{ tasks.work.exit_code == [0, 0] }}", image: null}
on_exit:
- {name: tell, when: '${{ run.phase != "Succeeded" }}'}
- {name: last, depends_on: [tell]}
"""


def build() -> Workflow:
    params = {"count": {"type": "integer", "default": 3}, "day": {}}
    with Workflow("shards", params=params, timeout_seconds=60, task_defaults={"image": "python:3"}) as w:
        w2 = Workflow("unused", params=params)
        assert str(w2.params["day"]) == str(w.params["day"])
        plan = w.task("plan", args=[f"--day={w.params['day']}"], outputs={"list-of": {"required": True}})
        env = {"ITEM": item["name"], "FIRST": item[0]}
        work = w.task("work", foreach=plan.outputs["list-of"], env=env, retries=2)
        check = w.task("check", when=work.exit_code == [0, 0], image=None)
        plan >> work
        [plan, work] >> check
        tell = w.on_exit("tell", when=w.run["phase"] != "Succeeded")
        last = w.on_exit("last")
        tell >> last
    return w


def test_workflow__to_dict__as_written_by_hand(tmp_path: Path) -> None:
    file = tmp_path / "shards.yaml"
    file.write_text(HAND_WRITTEN)
    by_hand = read_document(str(file)).value()
    del by_hand["labels"]
    assert build().to_dict() == by_hand
    assert json.loads(build().to_json()) == by_hand


def test_keys__service_s_schema__the_same() -> None:
    from app.domain.workflow.parsing import workflow_json_schema

    schema = workflow_json_schema()
    task = schema["$defs"]["Task"]["properties"]
    assert set(TASK_KEYS) | {"name"} == set(task)
    assert set(WORKFLOW_KEYS) | {"name", "tasks", "on_exit"} == set(schema["properties"])


@pytest.mark.parametrize(
    "arrange", ["a >> b >> c", "c << b << a", "a >> [b]; [b] >> c", "[c] << b; b << [a]", "a >> b; b >> c; a >> b"]
)
def test_arrows__any_way_of_writing__the_same_graph(arrange: str) -> None:
    w = Workflow("x")
    a, b, c = (w.task(name) for name in "abc")
    exec(arrange, {"a": a, "b": b, "c": c})
    assert [task.upstream for task in (a, b, c)] == [(), ("a",), ("b",)]


def test_arrows__lists__chain() -> None:
    w = Workflow("x")
    a, b, c, d = (w.task(name) for name in "abcd")
    a >> [b, c] >> d
    assert [task.upstream for task in w.tasks] == [(), ("a",), ("a",), ("b", "c")]


def test_task__depends_on__names_and_tasks() -> None:
    w = Workflow("x")
    a = w.task("a")
    b = w.task("b", depends_on=[a, "later"])
    assert b.to_dict() == {"name": "b", "depends_on": ["a", "later"]}
    assert w.task("c", depends_on=[]).to_dict() == {"name": "c", "depends_on": []}


def wrong(name: str) -> Any:
    w, other = Workflow("x", params={"day": ""}), Workflow("y")
    a, b, end = w.task("a"), other.task("b"), w.on_exit("end")
    return {
        "unknown key": lambda: w.task("t", dependsOn=["a"]),  # type: ignore[call-arg]
        "unknown key of the workflow": lambda: Workflow("x", timeout=3),  # type: ignore[call-arg]
        "unknown default": lambda: Workflow("x", task_defaults={"imgae": "x"}),
        "tasks": lambda: Workflow("x", tasks=[]),  # type: ignore[call-arg]
        "name twice": lambda: w.task("a"),
        "name twice in on_exit": lambda: w.on_exit("a"),
        "name no text": lambda: w.task(3),  # type: ignore[arg-type]
        "another workflow's": lambda: a >> b,
        "no task": lambda: a >> "b",  # type: ignore[type-var]
        "no task in a list": lambda: [a, 3] >> end,
        "no task before": lambda: "a" << a,  # type: ignore[operator]
        "itself": lambda: a >> a,
        "itself by name": lambda: w.task("t", depends_on=["t"]),
        "task before on_exit": lambda: a >> end,
        "on_exit before task": lambda: end >> a,
        "depends_on": lambda: w.task("t", depends_on=[3]),  # type: ignore[list-item]
        "param": lambda: w.params["dya"],
        "no JSON": lambda: w.task("t", env={"A": {1, 2}}).to_dict(),
        "key no text": lambda: w.task("t", env={1: "x"}).to_dict(),  # type: ignore[dict-item]
    }[name]


@pytest.mark.parametrize(
    ("name", "error", "part"),
    [
        ("unknown key", TypeError, "did you mean 'depends_on'?"),
        ("unknown key of the workflow", TypeError, "did you mean 'timeout_seconds'?"),
        ("unknown default", TypeError, "task_defaults: there is no key 'imgae', did you mean 'image'?"),
        ("tasks", TypeError, r"filled by Workflow\.task\(...\)"),
        ("name twice", ValueError, "workflow 'x' has a task 'a' already"),
        ("name twice in on_exit", ValueError, "workflow 'x' has a task 'a' already"),
        ("name no text", TypeError, "a task's name is text, not 3"),
        ("another workflow's", ValueError, "task 'b' of workflow 'y' can't wait for task 'a' of workflow 'x'"),
        ("no task", TypeError, "<Task 'a'> >> 'b': tasks and lists of tasks"),
        ("no task in a list", TypeError, r"\[<Task 'a'>, 3\] >> <Task 'end'>"),
        ("no task before", TypeError, "'a' << <Task 'a'>"),
        ("itself", ValueError, "can't wait for itself"),
        ("itself by name", ValueError, "can't wait for itself"),
        ("task before on_exit", ValueError, "it waits for others of on_exit only"),
        ("on_exit before task", ValueError, "tasks of on_exit run after all others"),
        ("depends_on", TypeError, "depends_on holds names and tasks, not 3"),
        ("param", KeyError, "declares no param 'dya', did you mean 'day'?"),
        ("no JSON", TypeError, r"task 't': env\.A is set"),
        ("key no text", TypeError, "the key 1 must be text"),
    ],
)
def test_builder__wrong_use__a_clear_error(name: str, error: type[Exception], part: str) -> None:
    with pytest.raises(error, match=part):
        wrong(name)()


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (item, "item"),
        (item["a"]["b c"][2], "item.a['b c'][2]"),
        (item["it's"], 'item["it\'s"]'),
        (item["for"], "item['for']"),
        (item["n"] >= 3, "item.n >= 3"),
        (item["n"] < Expression("params.x + 1"), "item.n < (params.x + 1)"),
        (Expression("params.x + 1")["y"] == 'say "hä"', '(params.x + 1).y == "say \\"hä\\""'),
        ((item > 1) == True, "(item > 1) == true"),  # noqa: E712  # the operator is what is tested
        (item <= None, "item <= null"),
    ],
)  # fmt: skip
def test_expression__built__its_cel(expression: Expression, text: str) -> None:
    assert str(expression) == f"{expression}" == f"${{{{ {text} }}}}"


def test_expression__names_with_hyphens__by_index() -> None:
    w = Workflow("x")
    a = w.task("a-b")
    assert str(a.outputs["x"]) == "${{ tasks['a-b'].outputs.x }}"
    assert str(a.phase) == "${{ tasks['a-b'].phase }}"
    assert a.exit_code.source == "tasks['a-b'].exit_code"


@pytest.mark.parametrize(
    "use",
    [
        lambda: bool(item == 3),
        lambda: list(item),
        lambda: Expression(" "),
        lambda: Expression(f"{item} > 1"),
        lambda: item == {1},
    ],
)
def test_expression__what_only_a_run_can_do__refused(use: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        use()


@pytest.mark.parametrize(
    ("keys", "place"),
    [
        ({"args": ["a", "b\ud800"]}, "task 't': args[1]"),
        ({"env": {"A": {"B": "\udfff"}}}, "task 't': env.A.B"),
        ({"env": {"\ud800": "a"}}, "task 't': env"),
        ({"args": [Expression("'\ud800'")]}, "task 't': args[0]"),
    ],
)
def test_to_dict__half_of_a_surrogate_pair__is_told_with_its_place(keys: Any, place: str) -> None:
    workflow = Workflow("w")
    workflow.task("t", **keys)
    with pytest.raises(ValueError, match="surrogate") as caught:
        workflow.to_dict()
    assert str(caught.value).startswith(f"{place}: ")
    str(caught.value).encode()


def test_builder__types__are_public() -> None:
    assert inspect.get_annotations(Workflow.task, eval_str=True)["return"] is Task


def test_builder__imported__nothing_of_the_server() -> None:
    program = "import sys; from podrun import Workflow; print('app' in sys.modules or 'pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "False"

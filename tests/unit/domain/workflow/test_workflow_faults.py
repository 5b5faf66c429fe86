"""What is wrong with a workflow document: each fault at its pointer, all of them in one answer."""

import math
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from app.domain.errors import Fault, InvalidWorkflow
from app.domain.faults import MOST_FAULTS
from app.domain.workflow.parsing import POD_KEYS, check_namespaces, parse_workflow


def faults(document: object) -> list[Fault]:
    with pytest.raises(InvalidWorkflow) as caught:
        parse_workflow(document)
    return list(caught.value.faults)


def task_fault(task: dict[str, Any]) -> tuple[str, str]:
    """The one fault of a document with this task; its pointer from the task."""
    found = faults({"name": "w", "tasks": [{"name": "a", **task}]})
    assert len(found) == 1, found
    return found[0].pointer.removeprefix("/tasks/0"), found[0].detail


def with_image(task: dict[str, Any]) -> tuple[str, str]:
    return task_fault({"image": "python:3", **task})


@pytest.mark.parametrize("document", [None, [], "w", 5, True])
def test_parse_workflow__no_object__says_so(document):
    found = faults(document)
    assert [fault.pointer for fault in found] == [""]
    assert found[0].detail.startswith("must be an object, not ")


def test_parse_workflow__an_empty_object__names_all_required_keys():
    assert faults({}) == [Fault("", 'the key "name" is required'), Fault("", 'the key "tasks" is required')]


def test_parse_workflow__faults_of_all_kinds__come_together_in_document_order_and_once():
    document = {
        "tasks": [
            {"name": "a", "imag": "x", "depends_on": ["b"]},
            {"image": "Python:3.6", "name": "b", "depends_on": ["a", "c"], "resources": {"limits": {"cpu": "one"}}},
            {"name": "b", "image": "x", "env": {"A": 1}},
            "no task",
        ],
        "name": "W",
        "timeout_seconds": "5",
    }
    assert [fault.pointer for fault in faults(document)] == [
        "/tasks/0/imag",
        "/tasks/0/depends_on/0",
        "/tasks/1/image",
        "/tasks/1/depends_on/0",
        "/tasks/1/depends_on/1",
        "/tasks/1/resources/limits/cpu",
        "/tasks/2/name",
        "/tasks/2/env/A",
        "/tasks/3",
        "/name",
        "/timeout_seconds",
    ]


@pytest.mark.parametrize(
    ("key", "detail"),
    [
        ("imag", 'unknown key "imag": did you mean "image"?'),
        ("workingDir", 'unknown key "workingDir": did you mean "working_dir"?'),
        ("dependsOn", 'unknown key "dependsOn": did you mean "depends_on"?'),
        ("envFrom", 'unknown key "envFrom": did you mean "env_from"?'),
        ("serviceAccount", 'unknown key "serviceAccount": did you mean "service_account_name"?'),
        ("timeout", 'unknown key "timeout": did you mean "timeout_seconds"?'),
        ("needs", 'unknown key "needs": did you mean "depends_on"?'),
        ("quite-something-else", 'unknown key "quite-something-else"'),
        ("k" * 4000, f'unknown key "{"k" * 79}…'),
    ],
)
def test_unknown_key__of_a_task__suggests_what_was_meant(key, detail):
    assert task_fault({key: 1}) == (f"/{key}", detail)


def test_unknown_key__with_slash_and_tilde__is_escaped_in_the_pointer():
    assert task_fault({"a/b~c": 1}) == ("/a~1b~0c", 'unknown key "a/b~c"')


def test_unknown_key__name_in_task_defaults__is_refused():
    document = {"name": "w", "tasks": [{"name": "a"}], "task_defaults": {"name": "x", "depends_on": []}}
    assert [fault.pointer for fault in faults(document)] == ["/task_defaults/name", "/task_defaults/depends_on"]


@pytest.mark.parametrize(
    ("task", "pointer", "detail"),
    [
        ({"name": "A"}, "/name", '"A" is not a DNS-1123 label'),
        ({"name": "a" * 64}, "/name", "is not a DNS-1123 label"),
        ({"name": "a.0"}, "/name", "is not a DNS-1123 label"),
        ({"name": "a\n"}, "/name", "is not a DNS-1123 label"),
        ({"name": None}, "/name", "must be a string, not null"),
        ({"name": 5}, "/name", "must be a string, not 5"),
        ({"depends_on": "b"}, "/depends_on", 'must be a list, not "b": write ["b"]'),
        ({"depends_on": [5]}, "/depends_on/0", "must be a string, not 5"),
        ({"timeout_seconds": 0}, "/timeout_seconds", "must be greater than 0, not 0"),
        ({"timeout_seconds": True}, "/timeout_seconds", "must be a number, not true"),
        ({"timeout_seconds": "5"}, "/timeout_seconds", 'must be a number, not "5"'),
        ({"timeout_seconds": 10**9}, "/timeout_seconds", "must be at most 315,360,000, not 1000000000"),
        ({"timeout_seconds": math.inf}, "/timeout_seconds", "must be a finite number"),
        ({"pending_timeout_seconds": -1}, "/pending_timeout_seconds", "must be greater than 0, not -1"),
        ({"allow_failure": "yes"}, "/allow_failure", 'must be true or false, not "yes"'),
        ({"allow_failure": 1}, "/allow_failure", "must be true or false, not 1"),
        ({"retries": True}, "/retries", "must be a whole number of retries, or an object with a limit, not true"),
        ({"retries": "3"}, "/retries", 'a limit, not "3"'),
        ({"retries": 1.0}, "/retries", "a limit, not 1.0"),
        ({"retries": -1}, "/retries", "must be between 0 and 1000, not -1"),
        ({"retries": 1001}, "/retries", "must be between 0 and 1000, not 1001"),
        ({"retries": {}}, "/retries", 'the key "limit" is required'),
        ({"retries": {"limit": 1001}}, "/retries/limit", "must be at most 1,000, not 1001"),
        ({"retries": {"limit": 1, "on": ["Bad"]}}, "/retries/on/0", 'must be "Failed" or "Error", not "Bad"'),
        ({"retries": {"limit": 1, "on": []}}, "/retries/on", "must have at least 1 item, not 0"),
        ({"retries": {"limit": 1, "exit_codes": [0]}}, "/retries/exit_codes/0", "must be at least 1, not 0"),
        ({"retries": {"limit": 1, "factor": 0.5}}, "/retries/factor", "must be at least 1, not 0.5"),
        ({"retries": {"limit": 1, "delay": 5}}, "/retries/delay", 'did you mean "delay_seconds"?'),
    ],
)
def test_parse_workflow__wrong_value_on_a_task__says_what_would_be_right(task, pointer, detail):
    found = faults({"name": "w", "tasks": [{"name": "a", **task}]})
    assert [fault.pointer for fault in found] == [f"/tasks/0{pointer}"] * len(found)
    assert any(detail in fault.detail for fault in found), found


@pytest.mark.parametrize(
    ("task", "pointer", "detail"),
    [
        ({"command": "echo"}, "/command", 'must be a list, not "echo": write ["echo"]'),
        ({"command": ["a", 1]}, "/command/1", "must be a string, not 1"),
        ({"working_dir": "app"}, "/working_dir", 'must be an absolute path, not "app"'),
        ({"env": "A=1"}, "/env", "must be an object of names and values, or Kubernetes' list"),
        ({"env": {"A": 1}}, "/env/A", 'must be a string, not 1: write "1"'),
        ({"env": {"A": True}}, "/env/A", 'must be a string, not true: write "true"'),
        ({"env": {"A=B": "1"}}, "/env/A=B", "is not the name of an environment variable"),
        ({"env": {"PODRUN_TASK": "x"}}, "/env/PODRUN_TASK", "podrun sets those itself"),
        ({"namespace": "Jobs"}, "/namespace", "is not a DNS-1123 label"),
        ({"service_account_name": "x_y"}, "/service_account_name", "is not the name of a Kubernetes object"),
        ({"image_pull_policy": "always"}, "/image_pull_policy", 'must be "Always", "IfNotPresent" or "Never", not "always"'),
        ({"labels": {"podrun.dev/run": "x"}}, "/labels/podrun.dev~1run", "podrun's own label"),
        ({"labels": {"app.kubernetes.io/managed-by": "x"}}, "/labels/app.kubernetes.io~1managed-by", "podrun's own label"),
        ({"labels": {"a": "b c"}}, "/labels/a", "is not a label value"),
        ({"labels": []}, "/labels", "must be an object of label keys and values, not a list"),
        ({"annotations": {"a": 1}}, "/annotations/a", 'must be a string, not 1: write "1"'),
        ({"annotations": {"-a": "1"}}, "/annotations/-a", "is not an annotation key"),
        ({"annotations": {"a": "x" * 300_000}}, "/annotations", "262144 bytes in all, not 300001"),
        ({"node_selector": {"-": "1"}}, "/node_selector/-", "is not a label key"),
        ({"secrets": {}}, "/secrets", "must be a list, not an object"),
        ({"secrets": [{"secret": "a"}]}, "/secrets/0", 'must have "env" (with "key") or "mount_path"'),
        ({"secrets": [{"key": "k", "env": "E"}]}, "/secrets/0", 'the key "secret" is required'),
        ({"secrets": [{"secret": "a", "env": "E"}]}, "/secrets/0", 'the key "key" is required beside "env"'),
        ({"secrets": [{"secret": "a", "key": "k", "env": "PODRUN_X"}]}, "/secrets/0/env", "podrun sets those itself"),
        ({"secrets": [{"secret": "a", "key": "k", "mount_path": "/m"}]}, "/secrets/0/key", '"key" goes with "env"'),
        (
            {"secrets": [{"secret": "a", "key": "k", "env": "E", "items": []}]},
            "/secrets/0/items",
            '"items" goes with "mount_path"',
        ),
        (
            {"secrets": [{"secret": "a", "key": "k", "env": "E", "mount_path": "/m"}]},
            "/secrets/0/mount_path",
            'must not stand beside "env"',
        ),
        ({"secrets": [{"secret": "a", "mount_path": "m"}]}, "/secrets/0/mount_path", 'must be an absolute path, not "m"'),
        ({"secrets": [{"secret": "a", "mount_path": "/m:x"}]}, "/secrets/0/mount_path", "without ':'"),
        (
            {"secrets": [{"secret": "a", "mount_path": "/m"}, {"secret": "b", "mount_path": "/m"}]},
            "/secrets/1/mount_path",
            "secrets/0 goes to already",
        ),
        (
            {"secrets": [{"secret": "a", "mount_path": "/m", "items": [{"key": "k", "path": "../x"}]}]},
            "/secrets/0/items/0/path",
            "must be a relative path",
        ),
        (
            {"secrets": [{"secret": "a", "mount_path": "/m", "items": [{"key": "k", "path": "x", "mode": 0o1777}]}]},
            "/secrets/0/items/0/mode",
            "must be between 0 and 511",
        ),
        ({"secrets": [{"secret": "a", "mountPath": "/m"}]}, "/secrets/0/mountPath", 'did you mean "mount_path"?'),
    ],
)
def test_parse_workflow__wrong_value_for_the_pod__says_what_would_be_right(task, pointer, detail):
    found = faults({"name": "w", "tasks": [{"name": "a", "image": "python:3", **task}]})
    at_pointer = [fault.detail for fault in found if fault.pointer == f"/tasks/0{pointer}"]
    assert any(detail in one for one in at_pointer), found


@pytest.mark.parametrize(
    ("keys", "pointer"),
    [
        ({"tasks": []}, "/tasks"),
        ({"tasks": {}}, "/tasks"),
        ({"description": 5}, "/description"),
        ({"description": "x" * 10_001}, "/description"),
        ({"labels": {"a": None}}, "/labels/a"),
        ({"labels": {"podrun.dev/x": "y"}}, "/labels/podrun.dev~1x"),
        ({"namespace": ""}, "/namespace"),
        ({"fail_fast": 0}, "/fail_fast"),
        ({"max_parallel_tasks": 0}, "/max_parallel_tasks"),
        ({"max_parallel_tasks": 1.5}, "/max_parallel_tasks"),
        ({"timeout_seconds": 1e300}, "/timeout_seconds"),
        ({"task_defaults": []}, "/task_defaults"),
        ({"task_defaults": {"image": "A"}}, "/task_defaults/image"),
        ({"task_defaults": {"secrets": [{"secret": "a"}]}}, "/task_defaults/secrets/0"),
    ],
)
def test_parse_workflow__wrong_value_on_the_workflow__is_told_at_its_pointer(keys, pointer):
    assert [fault.pointer for fault in faults({"name": "w", "tasks": [{"name": "a"}], **keys})] == [pointer]


def test_parse_workflow__hundreds_of_thousands_of_wrong_tasks__are_answered_at_once():
    started = time.process_time()
    found = faults({"name": "w", "tasks": [{}] * 300_000, "imag": 1})
    assert time.process_time() - started < 5, "measured 0.3 s"
    assert len(found) == MOST_FAULTS + 1
    assert found[-1] == Fault("", "more is wrong than is told here: mend this first")
    assert found[0].detail == "must have at most 10,000 items, not 300,000"


def test_parse_workflow__too_many_tasks__is_refused():
    found = faults({"name": "w", "tasks": [{"name": f"t{index}"} for index in range(10_001)]})
    assert found == [Fault("/tasks", "must have at most 10,000 items, not 10,001")]


@pytest.mark.parametrize("key", sorted(POD_KEYS))
def test_task_without_image__with_a_key_of_a_pod__is_refused(key):
    found = faults({"name": "w", "tasks": [{"name": "a", key: {}}]})
    assert Fault(f"/tasks/0/{key}", f'"{key}" is for a pod, and a task without image has none: give it an image') in found


def test_task_without_image__null_although_the_defaults_have_one__may_have_no_pod_keys():
    document = {"name": "w", "task_defaults": {"image": "x"}, "tasks": [{"name": "a", "image": None, "args": ["x"]}]}
    assert [fault.pointer for fault in faults(document)] == ["/tasks/0/args"]


@pytest.mark.parametrize("value", [math.nan, -math.inf, {1, 2}, b"x", datetime(2024, 1, 1, tzinfo=UTC), ("a",), "\ud800", "\0"])
def test_parse_workflow__what_is_no_json__is_told_at_its_pointer(value):
    found = faults({"name": "w", "tasks": [{"name": "a", "image": "x", "env": {"A": value}, "imag": 1}]})
    assert "/tasks/0/env/A" in [fault.pointer for fault in found]
    assert "/tasks/0/imag" in [fault.pointer for fault in found]


def test_parse_workflow__a_key_that_is_no_text__is_refused():
    assert Fault("", "keys must be strings, not 1") in faults({"name": "w", "tasks": [{"name": "a"}], 1: 2})


def test_parse_workflow__nested_too_deeply__is_refused_at_once():
    value: Any = []
    for _ in range(5000):
        value = [value]
    found = faults({"name": "w", "tasks": value})
    assert len(found) == 1
    assert found[0].detail == "is nested deeper than 100 levels"


def test_parse_workflow__ten_thousand_tasks_in_a_chain__takes_well_under_a_second():
    tasks = [{"name": f"t{index}", "image": "python:3", "env": {"A": str(index)}, "retries": 2} for index in range(10_000)]
    for index, task in enumerate(tasks[1:]):
        task["depends_on"] = [f"t{index}"]
    started = time.process_time()
    parse_workflow({"name": "w", "tasks": tasks, "task_defaults": {"labels": {"a": "b"}}})
    assert time.process_time() - started < 3, "measured 0.3 s; a busy machine takes a multiple"


def test_check_namespaces__namespaces_that_are_not_allowed__are_told_where_they_are_written():
    document = {
        "namespace": "prod",
        "tasks": [{"namespace": "jobs"}, {"namespace": "other"}, {"namespace": 5}, "x", {}],
        "task_defaults": {"namespace": "third"},
    }
    found = check_namespaces(document, ["jobs", "batch"])
    assert [fault.pointer for fault in found] == ["/namespace", "/task_defaults/namespace", "/tasks/1/namespace"]
    assert found[0].detail == 'pods must not run in namespace "prod" here, only in "jobs" or "batch"'


@pytest.mark.parametrize("document", [None, [], {}, {"tasks": 5, "task_defaults": []}])
def test_check_namespaces__a_document_of_any_shape__is_taken(document):
    assert check_namespaces(document, ["jobs"]) == []

"""The JSON Schema that is published: each key described, and of one mind with the parser."""

import copy
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from app.domain.errors import InvalidWorkflow
from app.domain.workflow.document import STATIC_KEYS, Task, WorkflowDocument
from app.domain.workflow.parsing import parse_workflow, render_task, workflow_json_schema

Json = dict[str, Any]
EXPRESSION = "${{ params.x }}"

#: Every key of a task, but the one that only tasks without a pod have.
TASK: Json = {
    "name": "a", "depends_on": ["up"], "trigger_rule": "all_done", "when": True, "foreach": {"os": ["linux"], "n": [1, 2]},
    "max_parallel": 2, "image": "python:3", "command": ["sh"], "args": ["-c", "true"], "working_dir": "/srv", "env": {"A": "1"},
    "env_from": [{"configMapRef": {"name": "settings"}}], "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
    "secrets": [
        {"secret": "db", "key": "password", "env": "PASSWORD"},
        {"secret": "tls", "mount_path": "/tls", "items": [{"key": "k", "path": "p"}]},
    ],
    "volumes": [{"name": "data", "emptyDir": {}}], "volume_mounts": [{"name": "data", "mountPath": "/data"}],
    "init_containers": [{"name": "first", "image": "busybox"}], "sidecars": [{"name": "db", "image": "postgres"}],
    "labels": {"a": "b"}, "annotations": {"a": "b"}, "namespace": "jobs", "service_account_name": "runner",
    "image_pull_policy": "Always", "image_pull_secrets": [{"name": "registry"}], "priority_class_name": "high",
    "node_selector": {"disk": "ssd"}, "tolerations": [{"operator": "Exists"}], "affinity": {"nodeAffinity": {}},
    "security_context": {"runAsUser": 1000}, "pod": {"terminationGracePeriodSeconds": 5}, "outputs": {"x": {"required": False}},
    "retries": {"limit": 1, "delay_seconds": 1, "factor": 1, "max_delay_seconds": 5, "jitter": False, "on": ["Error"],
                "exit_codes": [1]},
    "timeout_seconds": 5, "pending_timeout_seconds": 5, "allow_failure": True,
}  # fmt: skip
DOCUMENT: Json = {
    "name": "w", "description": "text", "labels": {"a": "b"}, "namespace": "jobs", "timeout_seconds": 5.5, "fail_fast": True,
    "params": {"x": 1, "y": {"default": "a", "type": "string", "enum": ["a"], "description": "text"}, "z": {}},
    "max_parallel_tasks": 5, "concurrency": {"group": "g", "policy": "queue"},
    "schedule": {"cron": "* * * * *", "timezone": "UTC", "overlap": "forbid", "catchup": False, "every_seconds": None},
    "task_defaults": {key: value for key, value in TASK.items() if key not in ("name", "depends_on")},
    "tasks": [{"name": "up", "image": None}, TASK],
    "on_exit": [{"name": "z", "image": None, "approval": {"message": "ok?", "timeout_seconds": 5, "on_timeout": "skip"}}],
}  # fmt: skip


@pytest.fixture(scope="module")
def validator() -> Any:
    return jsonschema_rs.validator_for(workflow_json_schema())


def is_read(document: Json) -> bool:
    try:
        parse_workflow(document)
    except InvalidWorkflow:
        return False
    return True


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to each value of our own keys: what is Kubernetes' below them is checked by its own schema."""
    for key, child in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        if isinstance(child, dict | list) and (not path or path[0] != "task_defaults") and len(path) < 5:
            yield from places(child, (*path, key))


def replaced(path: tuple[Any, ...], value: Any) -> Json:
    document: Any = copy.deepcopy(DOCUMENT)
    node = document
    for step in path[:-1]:
        node = node[step]
    node[path[-1]] = value
    return document


def test_workflow_json_schema__every_key__has_a_description():
    schema = workflow_json_schema()
    assert set(schema["properties"]) == set(WorkflowDocument.model_fields)
    assert set(schema["$defs"]["Task"]["properties"]) == {*TASK, "approval"} == set(Task.model_fields)
    for name, model in {"": schema, **schema["$defs"]}.items():
        if name == "Expression":
            continue
        assert model["additionalProperties"] is False, name
        assert all(shape.get("description") for shape in model["properties"].values()), name


def test_workflow_json_schema__every_key_in_one_document__is_right(validator):
    assert is_read(DOCUMENT)
    assert list(validator.iter_errors(DOCUMENT)) == []


@pytest.mark.parametrize(
    "path", [path for path in places(DOCUMENT) if path[0] in ("tasks", "on_exit", "task_defaults")], ids=str
)
def test_workflow_json_schema__an_expression_in_place_of_any_value__is_as_the_parser_has_it(path, validator):
    document = replaced(path, EXPRESSION)
    inside = path[2:] if path[0] in ("tasks", "on_exit") else path[1:]
    may_hold = bool(inside) and inside[0] not in STATIC_KEYS
    assert is_read(document) == may_hold
    if may_hold or not inside:
        assert validator.is_valid(document) == may_hold


@pytest.mark.parametrize("path", [path for path in places(TASK) if path[0] not in STATIC_KEYS], ids=str)
def test_render_task__the_value_that_stood_there__gives_the_same_task(path):
    rendered_later = {"when", "foreach", "max_parallel"}
    value: Any = TASK
    for step in path:
        value = value[step]
    node = parse_workflow(replaced(("tasks", 1, *path), EXPRESSION)).nodes[1]
    if path[0] in rendered_later:
        assert node.spec is not None
    else:
        own = {key: item for key, item in TASK.items() if key not in rendered_later}
        assert render_task(node, {"params.x": value}, ["jobs"]) == Task.model_validate(own)


@pytest.mark.parametrize("path", list(places(DOCUMENT)), ids=str)
def test_workflow_json_schema__a_number_in_place_of_any_value__is_refused_by_both_or_by_the_parser(path, validator):
    document = replaced(path, -1.5)
    assert validator.is_valid(document) or not is_read(document), "what the schema refuses, the parser refuses"


@pytest.mark.parametrize("path", [path for path in places(DOCUMENT) if len(path) > 1], ids=str)
def test_workflow_json_schema__null_in_place_of_any_value__is_refused_by_both_or_by_the_parser(path, validator):
    document = replaced(path, None)
    assert validator.is_valid(document) or not is_read(document), "what the schema refuses, the parser refuses"


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"name": "w", "tasks": []},
        {"name": "w", "tasks": [{"name": "a", "imag": "x"}]},
        {"name": "w", "tasks": [{"name": "a", "retries": {"limit": "5"}}]},
        {"name": "w", "tasks": [{"name": "a"}], "params": {"a": {"type": "int"}}},
        {"name": "w", "tasks": [{"name": "a"}], "concurrency": {"policy": "queue"}},
    ],
)
def test_workflow_json_schema__wrong_documents__are_refused_by_both(document, validator):
    assert not validator.is_valid(document)
    assert not is_read(document)

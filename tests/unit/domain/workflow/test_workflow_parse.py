"""What a workflow document stands for once it is read: types, defaults, what is merged into tasks."""

from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from pydantic import ValidationError

from app.domain.workflow.document import Retries, SecretRef, Task
from app.domain.workflow.parsing import parse_workflow


def specs(document: dict[str, Any]) -> list[Task]:
    found = [node.spec for node in parse_workflow(document).nodes]
    assert all(found)
    return found  # type: ignore[return-value]


def parsed(task: dict[str, Any], **workflow: Any) -> Task:
    return specs({"name": "w", "tasks": [{"name": "a", **task}], **workflow})[0]


def test_parse_workflow__the_well_known_example__is_read():
    tasks = specs(
        {
            "name": "kubernetes-sample",
            "tasks": [
                {"name": "start"},
                {"name": "passing-task", "image": "python:3", "command": ["python", "-c"], "depends_on": ["start"]},
                {"name": "failing-task", "image": "debian:12", "command": ["Python", "-c"], "depends_on": ["start"]},
            ],
        }
    )
    assert [task.name for task in tasks] == ["start", "passing-task", "failing-task"]
    assert tasks[0].image is None
    assert tasks[1].command == ("python", "-c")
    assert tasks[2].depends_on == ("start",)


def test_parse_workflow__nothing_but_what_is_required__has_the_defaults():
    workflow = parse_workflow({"name": "w", "tasks": [{"name": "a"}]})
    assert (workflow.description, workflow.labels, workflow.namespace) == ("", {}, None)
    assert (workflow.timeout_seconds, workflow.fail_fast, workflow.max_parallel_tasks) == (None, False, None)
    assert (workflow.params, workflow.concurrency, workflow.schedule) == ({}, None, None)
    task = workflow.nodes[0].spec
    assert task.pending_timeout_seconds == 600
    assert task.retries == Retries(limit=0)
    assert (task.timeout_seconds, task.allow_failure, task.depends_on, task.env) == (None, False, (), {})


def test_parse_workflow__retries_as_an_object__has_its_defaults():
    retries = parsed({"image": "a", "retries": {"limit": 3}}).retries
    assert (retries.limit, retries.delay_seconds, retries.factor, retries.max_delay_seconds) == (3, 10, 2, 300)
    assert (retries.jitter, retries.on, retries.exit_codes) == (True, ("Failed", "Error"), None)


def test_parse_workflow__retries_as_a_number__is_its_limit():
    assert parsed({"retries": 2}).retries == Retries(limit=2)


def test_parse_workflow__every_key__is_kept_verbatim():
    document = {
        "image": "registry.example.com:5000/team/app:1.2",
        "command": ["sh"],
        "args": ["-c", "true"],
        "working_dir": "/srv",
        "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['x']"}}}],
        "env_from": [{"configMapRef": {"name": "settings"}, "prefix": "S_"}],
        "resources": {"requests": {"cpu": 1, "memory": "64Mi"}, "limits": {"cpu": "1500m", "example.com/gpu": "1"}},
        "labels": {"team": "x"},
        "annotations": {"Example.com/note": "anything at all"},
        "namespace": "jobs",
        "service_account_name": "runner",
        "image_pull_policy": "IfNotPresent",
        "image_pull_secrets": [{"name": "registry"}],
        "node_selector": {"disk": "ssd"},
        "tolerations": [{"key": "dedicated", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5}],
        "affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": "zone"}]}},
        "security_context": {"runAsUser": 1000, "fsGroup": 1000, "readOnlyRootFilesystem": True},
        "timeout_seconds": 1.5,
        "pending_timeout_seconds": 10,
        "allow_failure": True,
    }
    task = parsed(document)
    for key, value in document.items():
        assert getattr(task, key) == (tuple(value) if key in ("command", "args") else value), key


def test_parse_workflow__secrets__are_references():
    task = parsed(
        {
            "image": "a",
            "secrets": [
                {"secret": "db", "key": "password", "env": "DB_PASSWORD"},
                {"secret": "tls", "mount_path": "/tls", "items": [{"key": "tls.crt", "path": "crt.pem", "mode": 256}]},
            ],
        }
    )
    assert task.secrets == (
        SecretRef(secret="db", key="password", env="DB_PASSWORD"),
        SecretRef(secret="tls", mount_path="/tls", items=[{"key": "tls.crt", "path": "crt.pem", "mode": 256}]),
    )


def test_parse_workflow__null_for_an_optional_key__is_as_if_it_were_left_out():
    document = {"name": "w", "description": None, "timeout_seconds": None, "labels": None, "task_defaults": None}
    nulls = dict.fromkeys([*Task.model_fields.keys() - {"name"}])
    workflow = parse_workflow({**document, "tasks": [{"name": "a", "image": None, **nulls}], "on_exit": None, "params": None})
    assert workflow == parse_workflow({"name": "w", "tasks": [{"name": "a"}]})


def test_task_defaults__what_a_task_does_not_say__is_taken():
    task = parsed({"image": "b"}, task_defaults={"image": "a", "args": ["x"], "retries": 1, "pending_timeout_seconds": 5})
    assert (task.image, task.args, task.retries.limit, task.pending_timeout_seconds) == ("b", ("x",), 1, 5)


@pytest.mark.parametrize("key", ["labels", "annotations", "node_selector", "env"])
def test_task_defaults__maps__merge_by_key_and_null_takes_one_away(key):
    defaults = {"image": "a", key: {"one": "1", "two": "2", "three": "3"}}
    task = parsed({key: {"two": "two", "three": None, "four": "4"}}, task_defaults=defaults)
    assert getattr(task, key) == {"one": "1", "two": "two", "four": "4"}


def test_task_defaults__null_on_the_task__takes_the_default_away():
    defaults = {"image": "a", "labels": {"a": "b"}, "timeout_seconds": 5, "pending_timeout_seconds": 5, "command": ["x"]}
    task = parsed(
        {"labels": None, "timeout_seconds": None, "pending_timeout_seconds": None, "command": None}, task_defaults=defaults
    )
    assert (task.image, task.labels, task.timeout_seconds, task.command) == ("a", {}, None, None)
    assert task.pending_timeout_seconds == 600


@pytest.mark.parametrize(
    ("default", "own"),
    [
        ({"A": "1"}, [{"name": "B", "value": "2"}]),
        ([{"name": "A", "value": "1"}], {"B": "2"}),
        ([{"name": "A", "value": "1"}], [{"name": "B", "value": "2"}]),
    ],
)
def test_task_defaults__env_of_which_one_is_a_list__is_replaced(default, own):
    assert parsed({"env": own}, task_defaults={"image": "a", "env": default}).env == own


def test_task_defaults__all_but_maps__is_replaced():
    defaults = {"image": "a", "resources": {"limits": {"cpu": "1"}}, "tolerations": [{"operator": "Exists"}]}
    task = parsed({"resources": {"limits": {"memory": "1Gi"}}, "tolerations": []}, task_defaults=defaults)
    assert (task.resources, task.tolerations) == ({"limits": {"memory": "1Gi"}}, [])


def test_task_defaults__of_a_task_whose_image_is_null__leave_pod_keys_out():
    defaults = {"image": "a", "command": ["x"], "labels": {"a": "b"}, "namespace": "jobs", "timeout_seconds": 5}
    task = parsed({"image": None}, task_defaults=defaults)
    assert (task.image, task.command, task.labels, task.namespace, task.timeout_seconds) == (None, None, {}, None, 5)


def test_task_defaults__without_an_image__leave_pod_keys_out_of_tasks_without_image():
    tasks = specs({"name": "w", "task_defaults": {"env": {"A": "1"}}, "tasks": [{"name": "a"}, {"name": "b", "image": "i"}]})
    assert [task.env for task in tasks] == [{}, {"A": "1"}]


def test_workflow__once_parsed__does_not_change():
    workflow = parse_workflow({"name": "w", "tasks": [{"name": "a"}]})
    with pytest.raises(FrozenInstanceError):
        workflow.name = "other"
    with pytest.raises(ValidationError, match="frozen"):
        workflow.nodes[0].spec.name = "other"

"""What local pods take from a manifest and a document, what they refuse and what they remark on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.domain.errors import Fault, PodRefused
from app.pods.local.honour import find_refused, make_remarks
from app.pods.local.launch import build_spec, expand, read_key

ENV = {"A": "1", "B": "$(A)"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$(A)", "1"),
        ("$(B)", "$(A)"),
        ("$$(A)", "$(A)"),
        ("$$$(A)", "$1"),
        ("$(C) $(", "$(C) $("),
        ("$", "$"),
        ("cost: 5$ $A ${A}", "cost: 5$ $A ${A}"),
        ("$()", "$()"),
    ],
)
def test_expand__kubernetes_references__as_kubernetes_does(text, expected):
    assert expand(text, ENV) == expected


def manifest(**main: Any) -> dict[str, Any]:
    labels = {"podrun.dev/run": "r", "podrun.dev/task": "t", "podrun.dev/attempt": "2", "podrun.dev/instance": "i"}
    container = {"name": "main", "image": "python:3", "command": ["true"], **main}
    return {"metadata": {"name": "p", "namespace": "default", "labels": labels}, "spec": {"containers": [container]}}


def test_build_spec__environment__is_the_tasks_own_and_four_more(monkeypatch):
    monkeypatch.setenv("PODRUN_TOKEN", "secret")
    env = [{"name": "LANG", "value": "de_DE"}, {"name": "PODRUN_OUTPUTS", "value": "/dev/termination-log"}, {"name": "E"}]
    launch = build_spec(manifest(env=env), "u", Path("/pods/p"), 0)["launch"]
    assert set(launch["env"]) == {"PATH", "HOME", "LANG", "TMPDIR", "PODRUN_OUTPUTS", "E"}
    assert launch["env"]["LANG"] == "de_DE"
    assert launch["env"]["PODRUN_OUTPUTS"] == "/pods/p/outputs"
    assert launch["env"]["E"] == ""


@pytest.mark.parametrize(("working_dir", "expected"), [(None, "/pods/p/work"), ("/srv", "/srv"), ("a/b", "/pods/p/work/a/b")])
def test_build_spec__working_dir__absolute_or_within_the_pods_own(working_dir, expected):
    launch = build_spec(manifest(workingDir=working_dir), "u", Path("/pods/p"), 0)["launch"]
    assert launch["cwd"].rstrip("/") == expected


@pytest.mark.parametrize(
    ("main", "message"),
    [
        ({"command": []}, "need a command"),
        ({"env": [{"name": "X", "valueFrom": {"fieldRef": {}}}]}, "env 'X': local pods have no values from elsewhere"),
        ({"name": "other"}, "one container 'main'"),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, "have no envFrom"),
        ({"volumeMounts": [{"name": "a", "mountPath": "/a"}], "ports": [{"containerPort": 80}]}, "have no ports, volumeMounts"),
    ],
)
def test_build_spec__what_needs_a_container__refused(main, message):
    with pytest.raises(PodRefused, match=message) as refused:
        build_spec(manifest(**main), "u", Path("/pods/p"), 0)
    assert refused.value.reason == "NotSupportedLocally"


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"volumes": [{"name": "a", "emptyDir": {}}]}, "have no volumes"),
        ({"initContainers": [{"name": "first"}]}, "this one also has first"),
        ({"hostNetwork": True}, "have no hostNetwork"),
    ],
)
def test_build_spec__what_needs_a_pod__refused(part, message):
    pod = manifest()
    pod["spec"] |= part
    with pytest.raises(PodRefused, match=message):
        build_spec(pod, "u", Path("/pods/p"), 0)


def test_find_refused__expressions__wait_until_they_have_values():
    task = {"name": "a", "image": "x", "command": "${{ params.c }}", "volumes": "${{ params.v }}", "env": "${{ params.e }}"}
    assert find_refused({"tasks": [task], "on_exit": [{**task, "pod": "${{ params.p }}"}]}) == []


def test_find_refused__on_exit__as_other_tasks():
    task = {"name": "a", "image": "x", "command": ["a"], "volumes": [{"name": "v"}]}
    assert [fault.pointer for fault in find_refused({"on_exit": [task]})] == ["/on_exit/0/volumes"]


def test_read_key__names_that_are_paths__refused():
    bad = manifest()
    bad["metadata"]["namespace"] = "../x"
    with pytest.raises(PodRefused, match="Invalid"):
        read_key(bad)


def test_find_refused__all_that_needs_kubernetes__with_pointers():
    document = {
        "name": "w",
        "task_defaults": {"secrets": [{"secret": "s", "key": "k", "env": "E"}], "pod": {"hostname": "h"}, "volumes": []},
        "tasks": [
            {"name": "start"},
            {"name": "a", "image": "x", "command": ["a"], "pod": None, "env_from": [{"secretRef": {"name": "s"}}]},
            {"name": "b", "image": "x", "secrets": None, "pod": None},
            {"name": "c", "image": "x", "command": [], "secrets": None, "pod": {}},
            {"name": "d", "image": "x", "command": ["d"], "pod": None, "env": [{"name": "E", "valueFrom": {"fieldRef": {}}}]},
        ],
    }
    assert [fault.pointer for fault in find_refused(document)] == [
        "/task_defaults/secrets",
        "/tasks/1/env_from",
        "/tasks/2",
        "/tasks/3/command",
        "/tasks/4/env/0/valueFrom",
    ]


def test_find_refused__command_from_the_defaults__nothing():
    document = {"task_defaults": {"image": "x", "command": ["true"]}, "tasks": [{"name": "a"}, {"name": "b", "image": None}]}
    assert find_refused(document) == []


def test_find_refused__defaults_for_no_task_with_a_pod__nothing():
    document = {"task_defaults": {"secrets": [{"secret": "s", "key": "k", "env": "E"}]}, "tasks": [{"name": "a"}]}
    assert find_refused(document) == []


def test_find_refused__missing_command__says_what_is_right():
    assert find_refused({"tasks": [{"name": "a", "image": "x"}]}) == [
        Fault("/tasks/0", "local pods need a command: the image and its own command are not used")
    ]


@pytest.mark.parametrize("key", ["commmand", "Command", "entrypoint", "cmd"])
def test_find_refused__command_misspelt__is_not_told_as_missing(key):
    assert find_refused({"tasks": [{"name": "a", "image": "x", key: ["true"]}]}) == []
    assert find_refused({"task_defaults": {key: ["true"]}, "tasks": [{"name": "a", "image": "x"}]}) == []


def test_make_remarks__plain_pod__only_the_image():
    assert make_remarks(manifest()) == ["image 'python:3' is not used: the command runs as a process of this machine"]


def test_make_remarks__fields_of_the_cluster__named_as_in_the_workflow():
    pod = manifest(resources={"limits": {"cpu": "1"}}, imagePullPolicy="Always", securityContext={})
    pod["spec"] |= {"nodeSelector": {"a": "b"}, "securityContext": {"runAsUser": 1}}
    pod["metadata"]["labels"]["team"] = "x"
    assert make_remarks(pod)[1] == (
        "accepted but not honoured by local pods: image_pull_policy, labels, node_selector, resources, security_context"
    )


@pytest.mark.parametrize(
    "document", [{}, {"tasks": None}, {"tasks": "x"}, {"tasks": [None, 3, "a"]}, {"task_defaults": [], "tasks": [{}]}]
)
def test_find_refused__document_that_is_wrong_itself__passed_over(document):
    assert find_refused(document) == []

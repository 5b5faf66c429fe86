"""From a task to its pod's manifest."""

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.kubernetes.labels import label_name_fault
from app.domain.names import pod_name
from app.domain.pods import AttemptKey
from app.domain.workflow.document import Task
from app.domain.workflow.parsing import parse_workflow
from app.pods.manifest import build_pod

RUN = "01935d5e-7b1a-7c3e-9f00-0123456789ab"


def task_of(**keys: Any) -> Task:
    spec = parse_workflow({"name": "w", "tasks": [{"name": "build", "image": "python:3", **keys}]}).nodes[0].spec
    assert spec is not None
    return spec


def pod_of(**keys: Any) -> dict[str, Any]:
    key = AttemptKey(RUN, "build", 2)
    return build_pod(task_of(**keys), key=key, workflow="w", run_labels={"team": "run"}, namespace="jobs", instance="i1")


def test_build_pod__the_smallest_task__has_just_what_every_pod_has():
    assert pod_of() == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": pod_name(RUN, "build", 2),
            "namespace": "jobs",
            "labels": {
                "team": "run",
                "podrun.dev/run": RUN,
                "podrun.dev/task": "build",
                "podrun.dev/attempt": "2",
                "podrun.dev/workflow": "w",
                "podrun.dev/instance": "i1",
                "app.kubernetes.io/managed-by": "podrun",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "main",
                    "image": "python:3",
                    "env": [
                        {"name": "PODRUN_RUN_ID", "value": RUN},
                        {"name": "PODRUN_WORKFLOW", "value": "w"},
                        {"name": "PODRUN_TASK", "value": "build"},
                        {"name": "PODRUN_ATTEMPT", "value": "2"},
                        {"name": "PODRUN_OUTPUTS", "value": "/dev/termination-log"},
                    ],
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
        },
    }


def test_build_pod__keys_of_the_container__stand_in_main():
    keys: dict[str, Any] = {
        "command": ["sh", "-c"],
        "args": ["true"],
        "working_dir": "/srv",
        "env_from": [{"secretRef": {"name": "s"}}],
        "resources": {"limits": {"cpu": 1}},
        "image_pull_policy": "Never",
    }
    main = pod_of(**keys)["spec"]["containers"][0]
    names = ("command", "args", "workingDir", "envFrom", "resources", "imagePullPolicy")
    assert {name: main[name] for name in names} == dict(zip(names, keys.values(), strict=True))


def test_build_pod__keys_of_the_pod__stand_in_its_spec():
    keys: dict[str, Any] = {
        "service_account_name": "runner",
        "image_pull_secrets": [{"name": "r"}],
        "node_selector": {"disk": "ssd"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
    }
    spec = pod_of(**keys)["spec"]
    names = ("serviceAccountName", "imagePullSecrets", "nodeSelector", "tolerations", "affinity")
    assert {name: spec[name] for name in names} == dict(zip(names, keys.values(), strict=True))
    assert spec["automountServiceAccountToken"] is True


def test_build_pod__labels_and_annotations__the_tasks_win_over_the_runs():
    metadata = pod_of(labels={"team": "task", "x": "y"}, annotations={"note": "n"})["metadata"]
    assert (metadata["labels"]["team"], metadata["labels"]["x"], metadata["annotations"]) == ("task", "y", {"note": "n"})


@pytest.mark.parametrize("env", [{"A": "1", "B": "$(PODRUN_TASK)"}, [{"name": "A", "value": "1"}, {"name": "B", "value": "x"}]])
def test_build_pod__env_as_map_or_list__follows_our_own(env):
    made = pod_of(env=env)["spec"]["containers"][0]["env"]
    assert [item["name"] for item in made[5:]] == ["A", "B"]
    assert made[5] == {"name": "A", "value": "1"}


def test_build_pod__secrets__become_variables_and_read_only_files():
    items = [{"key": "tls.crt", "path": "crt.pem"}]
    spec = pod_of(
        secrets=[
            {"secret": "db", "key": "password", "env": "DB"},
            {"secret": "tls", "mount_path": "/tls", "items": items},
            {"secret": "all", "mount_path": "/all"},
        ]
    )["spec"]
    main = spec["containers"][0]
    assert main["env"][5] == {"name": "DB", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    assert main["volumeMounts"] == [
        {"name": "podrun-secret-1", "mountPath": "/tls", "readOnly": True},
        {"name": "podrun-secret-2", "mountPath": "/all", "readOnly": True},
    ]
    assert spec["volumes"] == [
        {"name": "podrun-secret-1", "secret": {"secretName": "tls", "items": items}},
        {"name": "podrun-secret-2", "secret": {"secretName": "all"}},
    ]


def test_build_pod__security_context__is_parted_as_kubernetes_has_it():
    spec = pod_of(security_context={"runAsUser": 1, "fsGroup": 2, "privileged": False, "capabilities": {"drop": ["ALL"]}})[
        "spec"
    ]
    assert spec["securityContext"] == {"runAsUser": 1, "fsGroup": 2}
    assert spec["containers"][0]["securityContext"] == {"privileged": False, "capabilities": {"drop": ["ALL"]}}


def test_build_pod__a_task_with_a_timeout__ends_without_us():
    assert pod_of(timeout_seconds=1.5, pending_timeout_seconds=10)["spec"]["activeDeadlineSeconds"] == 72


def test_build_pod__a_task_without_image__is_refused():
    task = Task(name="start")
    with pytest.raises(ValueError, match="has no image"):
        build_pod(task, key=AttemptKey(RUN, "start", 1), workflow="w", run_labels={}, namespace="n", instance="i")


OUR_ENV = ["PODRUN_RUN_ID", "PODRUN_WORKFLOW", "PODRUN_TASK", "PODRUN_ATTEMPT", "PODRUN_OUTPUTS"]


def names(items: list[dict[str, Any]]) -> list[str]:
    return [item["name"] for item in items]


def test_build_pod__init_containers_and_sidecars__come_in_order_and_sidecars_always_restart():
    spec = pod_of(
        init_containers=[
            {"name": "a", "image": "x:1"},
            {"name": "b", "image": "x:1", "env": [{"name": "E", "value": "$(PODRUN_TASK)"}]},
        ],
        sidecars=[{"name": "s", "image": "x:1"}],
    )["spec"]
    init = spec["initContainers"]
    assert [(container["name"], container.get("restartPolicy")) for container in init] == [
        ("a", None),
        ("b", None),
        ("s", "Always"),
    ]
    assert [names(container["env"]) for container in init] == [OUR_ENV, [*OUR_ENV, "E"], OUR_ENV]


def test_build_pod__volumes_and_mounts__follow_those_of_secrets():
    spec = pod_of(
        secrets=[{"secret": "all", "mount_path": "/all"}],
        volumes=[{"name": "data", "emptyDir": {}}],
        volume_mounts=[{"name": "data", "mountPath": "/data"}],
        priority_class_name="high",
    )["spec"]
    assert names(spec["volumes"]) == names(spec["containers"][0]["volumeMounts"]) == ["podrun-secret-0", "data"]
    assert spec["priorityClassName"] == "high"


def test_build_pod__overlay__is_merged_last_and_takes_nothing_of_ours():
    main = {"name": "main", "args": ["x"], "env": [{"$patch": "replace"}, {"name": "B", "value": "2"}], "stdin": True}
    spec = pod_of(
        command=["run"],
        env={"A": "1"},
        pod={"hostname": "h", "containers": [main], "initContainers": [{"name": "i", "image": "x:1", "env": None}]},
    )["spec"]
    container = spec["containers"][0]
    assert names(container["env"]) == [*OUR_ENV, "B"]
    assert (container["command"], container["args"], container["stdin"]) == (["run"], ["x"], True)
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert (spec["hostname"], spec["restartPolicy"]) == ("h", "Never")
    assert names(spec["initContainers"][0]["env"]) == OUR_ENV


def test_build_pod__twice_of_one_task__changes_nothing_of_it():
    task = task_of(
        sidecars=[{"name": "s", "image": "x:1", "env": [{"name": "A", "value": "1"}]}],
        pod={
            "containers": [{"name": "main", "env": [{"name": "B", "value": "2"}]}],
            "initContainers": [{"name": "s", "tty": True}],
        },
    )
    before = task.model_dump()
    key = AttemptKey(RUN, "build", 1)
    first, second = (build_pod(task, key=key, workflow="w", run_labels={}, namespace="n", instance="i") for _ in range(2))
    assert first == second
    assert task.model_dump() == before


@settings(max_examples=50)
@given(st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[0-9]{1,4})?", fullmatch=True), st.integers(1, 10**6))
def test_pod_name__any_task__is_a_dns_label_that_starts_with_it(task, attempt):
    name = pod_name(RUN, task, attempt)
    assert label_name_fault(name) is None
    assert name == pod_name(RUN, task, attempt)
    assert name.startswith(re.sub(r"[^a-z0-9]+", "-", task)[:20].strip("-"))


def test_pod_name__runs_tasks_and_attempts__never_meet():
    names = {pod_name(run, task, attempt) for run in ("r1", "r11") for task in ("a", "a1", "1a") for attempt in (1, 11, 111)}
    assert len(names) == 18

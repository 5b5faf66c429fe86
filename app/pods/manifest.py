"""From a task to the manifest of the pod that runs one attempt of it, in Kubernetes' own JSON. Pure; called by the executor.

A backend takes the manifest as it is: what a task says in Kubernetes' words stands in it verbatim.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from app.domain.kubernetes_schema import keys_of
from app.domain.labels import MANAGED_BY, OUR_PREFIX
from app.domain.names import pod_name
from app.domain.pods import MAIN, AttemptKey
from app.domain.workflow import SecretRef, Task

RUN_LABEL = OUR_PREFIX + "run"
TASK_LABEL = OUR_PREFIX + "task"
ATTEMPT_LABEL = OUR_PREFIX + "attempt"
WORKFLOW_LABEL = OUR_PREFIX + "workflow"
INSTANCE_LABEL = OUR_PREFIX + "instance"
MANAGER = "podrun"  #: value of the label MANAGED_BY

OUTPUTS_PATH = "/dev/termination-log"  #: Kubernetes' own default for terminationMessagePath
DEADLINE_MARGIN_SECONDS = 60  #: how much later than podrun itself the kubelet ends a pod whose task has a timeout


def build_pod(
    task: Task,
    *,
    key: AttemptKey,
    workflow: str,
    run_labels: Mapping[str, str],
    namespace: str,
    instance: str,
) -> dict[str, Any]:
    """The pod for one attempt.

    Args:
        task: with the workflow's defaults merged in.
        key: which attempt it is for.
        workflow: the workflow's name.
        run_labels: the run's own labels; the task's win over them, podrun's over both.
        namespace: where the pod goes, resolved.
        instance: this installation's identity, a label value.

    Raises:
        ValueError: the task has no image, and so no pod.
    """
    if task.image is None:
        raise ValueError(f"task {task.name!r} has no image: it succeeds without a pod")
    metadata = {
        "name": pod_name(*key),
        "namespace": namespace,
        "labels": {**run_labels, **task.labels, **_own_labels(key, workflow, instance)},
        "annotations": dict(task.annotations),
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": _without_empty(metadata), "spec": _spec(task, key, workflow)}


def _own_labels(key: AttemptKey, workflow: str, instance: str) -> dict[str, str]:
    return {
        RUN_LABEL: key.run_id,
        TASK_LABEL: key.task,
        ATTEMPT_LABEL: str(key.attempt),
        WORKFLOW_LABEL: workflow,
        INSTANCE_LABEL: instance,
        MANAGED_BY: MANAGER,
    }


def _spec(task: Task, key: AttemptKey, workflow: str) -> dict[str, Any]:
    for_pod, for_main = _security_contexts(task.security_context)
    optional = {
        "activeDeadlineSeconds": _deadline_seconds(task),
        "serviceAccountName": task.service_account_name,
        "imagePullSecrets": task.image_pull_secrets,
        "nodeSelector": task.node_selector,
        "tolerations": task.tolerations,
        "affinity": task.affinity,
        "securityContext": for_pod,
        "volumes": [_volume(index, secret) for index, secret in enumerate(task.secrets) if secret.mount_path is not None],
    }
    return {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": task.service_account_name is not None,
        **_without_empty(optional),
        "containers": [_main(task, key, workflow, for_main)],
    }


def _main(task: Task, key: AttemptKey, workflow: str, security_context: dict[str, Any]) -> dict[str, Any]:
    optional = {
        "imagePullPolicy": task.image_pull_policy,
        "command": list(task.command or ()),
        "args": list(task.args or ()),
        "workingDir": task.working_dir,
        "envFrom": task.env_from,
        "resources": task.resources,
        "volumeMounts": [
            {"name": _volume_name(index), "mountPath": secret.mount_path, "readOnly": True}
            for index, secret in enumerate(task.secrets)
            if secret.mount_path is not None
        ],
        "securityContext": security_context,
    }
    return {
        "name": MAIN,
        "image": task.image,
        "env": _env(task, key, workflow),
        **_without_empty(optional),
        "terminationMessagePath": OUTPUTS_PATH,
        "terminationMessagePolicy": "File",
    }


def _env(task: Task, key: AttemptKey, workflow: str) -> list[dict[str, Any]]:
    """Podrun's variables first: the task's own may then refer to them as `$(PODRUN_RUN_ID)`."""
    ours = {
        "PODRUN_RUN_ID": key.run_id,
        "PODRUN_WORKFLOW": workflow,
        "PODRUN_TASK": key.task,
        "PODRUN_ATTEMPT": str(key.attempt),
        "PODRUN_OUTPUTS": OUTPUTS_PATH,
    }
    env: list[dict[str, Any]] = [{"name": name, "value": value} for name, value in ours.items()]
    env.extend(
        {"name": secret.env, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}}}
        for secret in task.secrets
        if secret.env is not None
    )
    if isinstance(task.env, dict):
        env.extend({"name": name, "value": value} for name, value in task.env.items())
    else:
        env.extend(task.env)
    return env


def _security_contexts(written: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What goes to the pod, and what only a container can have."""
    pod_keys = keys_of("PodSecurityContext") if written else frozenset()
    for_pod = {name: value for name, value in written.items() if name in pod_keys}
    return for_pod, {name: value for name, value in written.items() if name not in pod_keys}


def _volume_name(index: int) -> str:
    return f"podrun-secret-{index}"


def _volume(index: int, secret: SecretRef) -> dict[str, Any]:
    source: dict[str, Any] = {"secretName": secret.secret}
    if secret.items:
        source["items"] = secret.items
    return {"name": _volume_name(index), "secret": source}


def _deadline_seconds(task: Task) -> int | None:
    """When the kubelet ends the pod by itself, in case podrun is away; None without a timeout.

    Kubernetes counts from the pod's start on its node, so the time before main's start is in it.
    """
    if task.timeout_seconds is None:
        return None
    return math.ceil(task.pending_timeout_seconds + task.timeout_seconds) + DEADLINE_MARGIN_SECONDS


def _without_empty(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None and value not in ({}, [])}

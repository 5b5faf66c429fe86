"""From a task to the manifest of the pod that runs one attempt of it, in Kubernetes' own JSON. Pure; called by the executor.

A backend takes the manifest as it is: what a task says in Kubernetes' words stands in it verbatim.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.kubernetes.labels import MANAGED_BY, OUR_PREFIX
from app.domain.kubernetes.schema import keys_of
from app.domain.kubernetes.strategic_merge import strategic_merge
from app.domain.kubernetes.volumes import SECRET_VOLUME_PREFIX
from app.domain.names import pod_name
from app.domain.pods import MAIN, AttemptKey
from app.domain.workflow.document import Task

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
        "priorityClassName": task.priority_class_name,
        "imagePullSecrets": task.image_pull_secrets,
        "nodeSelector": task.node_selector,
        "tolerations": task.tolerations,
        "affinity": task.affinity,
        "securityContext": for_pod,
        "volumes": [*_secret_volumes(task), *task.volumes],
        # Sidecars come after the init containers, which so need not wait for them; both start in the order of their lists.
        "initContainers": [*task.init_containers, *({**sidecar, "restartPolicy": "Always"} for sidecar in task.sidecars)],
    }
    spec = {
        "restartPolicy": "Never",
        "enableServiceLinks": False,
        "automountServiceAccountToken": task.service_account_name is not None,
        **_without_empty(optional),
        "containers": [_main(task, for_main)],
    }
    if task.pod:
        spec = strategic_merge(spec, task.pod, "PodSpec")
    # Podrun's variables come after the merge, so that no overlay takes them away, and first: others may refer to them.
    ours = _own_env(key, workflow)
    for part in ("initContainers", "containers"):
        if part in spec:
            spec[part] = [_with_env(container, ours) for container in spec[part]]
    return spec


def _main(task: Task, security_context: dict[str, Any]) -> dict[str, Any]:
    optional = {
        "imagePullPolicy": task.image_pull_policy,
        "command": list(task.command or ()),
        "args": list(task.args or ()),
        "workingDir": task.working_dir,
        "env": _env(task),
        "envFrom": task.env_from,
        "resources": task.resources,
        "volumeMounts": [*_secret_mounts(task), *task.volume_mounts],
        "securityContext": security_context,
    }
    return {
        "name": MAIN,
        "image": task.image,
        **_without_empty(optional),
        "terminationMessagePath": OUTPUTS_PATH,
        "terminationMessagePolicy": "File",
    }


def _own_env(key: AttemptKey, workflow: str) -> list[dict[str, Any]]:
    return [
        {"name": "PODRUN_RUN_ID", "value": key.run_id},
        {"name": "PODRUN_WORKFLOW", "value": workflow},
        {"name": "PODRUN_TASK", "value": key.task},
        {"name": "PODRUN_ATTEMPT", "value": str(key.attempt)},
        {"name": "PODRUN_OUTPUTS", "value": OUTPUTS_PATH},
    ]


def _with_env(container: dict[str, Any], ours: list[dict[str, Any]]) -> dict[str, Any]:
    return {**container, "env": [*ours, *(container.get("env") or ())]}


def _env(task: Task) -> list[dict[str, Any]]:
    """The task's own variables, those of secrets first: the others may refer to them."""
    env: list[dict[str, Any]] = [
        {"name": secret.env, "valueFrom": {"secretKeyRef": {"name": secret.secret, "key": secret.key}}}
        for secret in task.secrets
        if secret.env is not None
    ]
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


def _secret_volumes(task: Task) -> Iterator[dict[str, Any]]:
    for index, secret in enumerate(task.secrets):
        if secret.mount_path is not None:
            source: dict[str, Any] = {"secretName": secret.secret}
            if secret.items:
                source["items"] = secret.items
            yield {"name": f"{SECRET_VOLUME_PREFIX}{index}", "secret": source}


def _secret_mounts(task: Task) -> Iterator[dict[str, Any]]:
    for index, secret in enumerate(task.secrets):
        if secret.mount_path is not None:
            yield {"name": f"{SECRET_VOLUME_PREFIX}{index}", "mountPath": secret.mount_path, "readOnly": True}


def _deadline_seconds(task: Task) -> int | None:
    """When the kubelet ends the pod by itself, in case podrun is away; None without a timeout.

    Kubernetes counts from the pod's start on its node, so the time before main's start is in it.
    """
    if task.timeout_seconds is None:
        return None
    return math.ceil(task.pending_timeout_seconds + task.timeout_seconds) + DEADLINE_MARGIN_SECONDS


def _without_empty(mapping: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if value is not None and value not in ({}, [])}

"""What local pods can't do: refused at submit where the task would not be what it says, else remarked on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from app.domain.errors import Fault
from app.domain.faults import first_faults
from app.domain.kubernetes.object_checks import is_templated
from app.domain.pods import MAIN
from app.domain.suggestions import suggest_key
from app.domain.workflow.document import Task
from app.domain.workflow.task_checks import MAX_TASKS
from app.pods.port import Manifest

_REFUSED = ("env_from", "secrets", "init_containers", "sidecars", "volumes", "volume_mounts", "pod")

#: In the manifest → the task's key, as its author knows it: taken, and remarked on.
_POD_FIELDS = {
    "nodeSelector": "node_selector",
    "tolerations": "tolerations",
    "affinity": "affinity",
    "priorityClassName": "priority_class_name",
    "serviceAccountName": "service_account_name",
    "imagePullSecrets": "image_pull_secrets",
    "securityContext": "security_context",
}
_CONTAINER_FIELDS = {
    "imagePullPolicy": "image_pull_policy",
    "resources": "resources",
    "securityContext": "security_context",
}
#: In the manifest, and honoured, or without a meaning here.
_HONOURED_OF_POD = frozenset(
    {
        "activeDeadlineSeconds",
        "automountServiceAccountToken",
        "containers",
        "enableServiceLinks",
        "restartPolicy",
        "terminationGracePeriodSeconds",
    }
)
_HONOURED_OF_MAIN = frozenset(
    {"args", "command", "env", "image", "name", "terminationMessagePath", "terminationMessagePolicy", "workingDir"}
)
_TASK_KEYS = tuple(Task.model_fields)
_OWN_LABELS = ("podrun.dev/", "app.kubernetes.io/managed-by")


def find_refused(document: Mapping[str, Any]) -> list[Fault]:
    """What of a workflow document would be lost on this machine, in document order; a fault of the defaults only once.

    As much of it as is told.

    The document may be wrong in other ways: what is no task is passed over.
    """
    given = document.get("task_defaults")
    defaults = given if isinstance(given, Mapping) else {}
    places = [
        (f"/{part}/{index}", task)
        for part in ("tasks", "on_exit")
        for index, task in enumerate(document[part][:MAX_TASKS] if isinstance(document.get(part), list) else ())
        if isinstance(task, Mapping)
    ]
    podded = [(pointer, task) for pointer, task in places if task.get("image", defaults.get("image"))]
    inherited = {key for key in defaults if any(key not in task for _, task in podded)}
    of_defaults = (fault for fault in _faults_of("/task_defaults", defaults) if fault.pointer.split("/")[2] in inherited)
    return first_faults(chain(of_defaults, *(_faults_of_podded(pointer, task, defaults) for pointer, task in podded)))


def _faults_of_podded(pointer: str, task: Mapping[str, Any], defaults: Mapping[str, Any]) -> Iterator[Fault]:
    yield from _faults_of(pointer, task)
    if not task.get("command", defaults.get("command")) and not _is_command_misspelt(task, defaults):
        at = f"{pointer}/command" if "command" in task else pointer
        yield Fault(at, "local pods need a command: the image and its own command are not used")


def _is_command_misspelt(*owners: Mapping[str, Any]) -> bool:
    """Whether one has a key that was meant to be `command`: that is told of as unknown, and is the mistake."""
    return any(suggest_key(str(key), _TASK_KEYS) == "command" for owner in owners for key in owner if key not in _TASK_KEYS)


def _faults_of(pointer: str, task: Mapping[str, Any]) -> Iterator[Fault]:
    for key, value in task.items():
        if key in _REFUSED and value and not is_templated(value):
            yield Fault(f"{pointer}/{key}", f"local pods have no {key}: take it away, or run this on Kubernetes")
        if key == "env" and isinstance(value, list):
            for index, item in enumerate(value):
                source = item.get("valueFrom") if isinstance(item, Mapping) else None
                if source is not None and not is_templated(source):
                    yield Fault(f"{pointer}/env/{index}/valueFrom", "local pods have no values from elsewhere: give a value")


def find_unsupported(manifest: Manifest) -> str | None:
    """Why a pod can't be run here as it is, None if it can. Expressions may bring in what a document did not show."""
    pod = manifest["spec"]
    main = next((container for container in pod["containers"] if container["name"] == MAIN), None)
    others = [c["name"] for part in ("initContainers", "containers") for c in pod.get(part) or () if c["name"] != MAIN]
    if main is None or others:
        return f"a local pod has the one container {MAIN!r}" + (f", this one also has {', '.join(others)}" if others else "")
    for owner, known in ((pod, {*_HONOURED_OF_POD, *_POD_FIELDS}), (main, {*_HONOURED_OF_MAIN, *_CONTAINER_FIELDS})):
        if unknown := sorted(key for key in owner if key not in known and owner[key]):
            return f"local pods have no {', '.join(unknown)}: take it away, or run this on Kubernetes"
    if not main.get("command"):
        return "local pods need a command: the image and its own command are not used"
    for item in main.get("env") or ():
        if item.get("valueFrom") is not None:
            return f"env {item['name']!r}: local pods have no values from elsewhere (valueFrom): give a value"
    return None


def make_remarks(manifest: Manifest) -> list[str]:
    """Sentences on what a pod asks for and does not get here."""
    metadata, pod = manifest["metadata"], manifest["spec"]
    main = next(container for container in pod["containers"] if container["name"] == MAIN)
    ignored = [name for field, name in _CONTAINER_FIELDS.items() if main.get(field)]
    ignored += [name for field, name in _POD_FIELDS.items() if pod.get(field)]
    if any(not key.startswith(_OWN_LABELS) for key in metadata.get("labels") or ()):
        ignored.append("labels")
    if metadata.get("annotations"):
        ignored.append("annotations")
    remarks = [f"image {main.get('image')!r} is not used: the command runs as a process of this machine"]
    if ignored:
        remarks.append(f"accepted but not honoured by local pods: {', '.join(sorted(set(ignored)))}")
    return remarks

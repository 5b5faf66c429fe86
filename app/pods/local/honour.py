"""What local pods can't do: refused at submit where the task would not be what it says, else remarked on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import Fault
from app.pods.port import Manifest

_REFUSED = ("env_from", "secrets", "init_containers", "sidecars", "volumes", "volume_mounts", "pod")

#: In the manifest → the task's key, as its author knows it.
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
_OWN_LABELS = ("podrun.dev/", "app.kubernetes.io/managed-by")


def find_refused(document: Mapping[str, Any]) -> list[Fault]:
    """What of a workflow document would be lost on this machine, in document order; a fault of the defaults only once.

    The document may be wrong in other ways: what is no task is passed over.
    """
    given = document.get("task_defaults")
    defaults = given if isinstance(given, Mapping) else {}
    places = [
        (f"/{part}/{index}", task)
        for part in ("tasks", "on_exit")
        for index, task in enumerate(document[part] if isinstance(document.get(part), list) else ())
        if isinstance(task, Mapping)
    ]
    podded = [(pointer, task) for pointer, task in places if task.get("image", defaults.get("image"))]
    inherited = {key for key in defaults if any(key not in task for _, task in podded)}
    faults = [fault for fault in _faults_of("/task_defaults", defaults) if fault.pointer.split("/")[2] in inherited]
    for pointer, task in podded:
        faults += _faults_of(pointer, task)
        if not task.get("command", defaults.get("command")):
            at = f"{pointer}/command" if "command" in task else pointer
            faults.append(Fault(at, "local pods need a command: the image and its own command are not used"))
    return faults


def _faults_of(pointer: str, task: Mapping[str, Any]) -> Iterator[Fault]:
    for key, value in task.items():
        if key in _REFUSED and value:
            yield Fault(f"{pointer}/{key}", f"local pods have no {key}: take it away, or run this on Kubernetes")
        if key == "env" and isinstance(value, list):
            for index, item in enumerate(value):
                if isinstance(item, Mapping) and item.get("valueFrom") is not None:
                    yield Fault(f"{pointer}/env/{index}/valueFrom", "local pods have no values from elsewhere: give a value")


def make_remarks(manifest: Manifest) -> list[str]:
    """Sentences on what a pod asks for and does not get here."""
    metadata, pod = manifest["metadata"], manifest["spec"]
    main = pod["containers"][0]
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

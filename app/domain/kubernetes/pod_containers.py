"""Containers beside `main`: `init_containers`, `sidecars`, and those that the overlay `pod` brings.

Every check gives the faults of one value, with pointers relative to it; what takes more than one key of a task is checked in
`pod_references`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.containers import amounts_faults, env_from_source_faults, env_var_faults, security_faults
from app.domain.kubernetes.images import image_fault
from app.domain.kubernetes.labels import label_name_fault
from app.domain.kubernetes.object_checks import (
    ValueCheck,
    again_faults,
    by_key_faults,
    choice,
    filled_faults,
    items_check,
    items_faults,
    object_check,
    text_check,
    text_faults,
)
from app.domain.kubernetes.probes import PROBES, lifecycle_faults, port_faults, probe_faults
from app.domain.kubernetes.volumes import device_faults, mount_faults
from app.domain.pods import MAIN
from app.domain.pointers import pointer, shown


def init_containers_faults(value: object) -> Iterator[Fault]:
    """Faults of `init_containers`: Kubernetes' list of Container; they run to their end one after the other, before main.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/
    """
    yield from items_faults(value, "Container", _init_container_faults)
    yield from again_faults(value, "name")


def sidecars_faults(value: object) -> Iterator[Fault]:
    """Faults of `sidecars`: Kubernetes' list of Container; they run beside main and end with it.

    Source: https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/
    """
    yield from items_faults(value, "Container", _sidecar_faults)
    yield from again_faults(value, "name")


def _init_container_faults(container: dict[str, Any]) -> Iterator[Fault]:
    yield from _beside_main_faults(container)
    if container.get("restartPolicy") is not None:
        detail = "must not be given: init containers run once; what runs beside the task belongs in sidecars"
        yield Fault(pointer("restartPolicy"), detail)
    yield from ended_container_faults(container)


def _sidecar_faults(container: dict[str, Any]) -> Iterator[Fault]:
    yield from _beside_main_faults(container)
    yield from text_faults(container, "restartPolicy", choice("Always"))
    yield from _rules_faults(container)


def _beside_main_faults(container: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(container, "image")
    if container.get("name") == MAIN:
        yield Fault(pointer("name"), f"{shown(MAIN)} is the name of the task's own container: choose another")
    yield from container_faults(container)


def _rules_faults(container: dict[str, Any]) -> Iterator[Fault]:
    if container.get("restartPolicyRules"):
        yield Fault(pointer("restartPolicyRules"), "must not be given: a sidecar is always started again")


def ended_container_faults(container: dict[str, Any]) -> Iterator[Fault]:
    """Faults of an init container that runs to its end: what asks it while it runs."""
    for key in ("lifecycle", *PROBES):
        if container.get(key) is not None:
            yield Fault(pointer(key), "must not be given: an init container runs to its end, and is not asked meanwhile")


def container_faults(container: dict[str, Any]) -> Iterator[Fault]:
    """Faults of one Container of any kind, beyond its shape."""
    yield from text_faults(container, "name", label_name_fault)
    yield from by_key_faults(container, _CHECKS)


def _resize_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(item, "resourceName", choice("cpu", "memory"))
    # A pod of podrun is never restarted in place.
    yield from text_faults(item, "restartPolicy", choice("NotRequired"))


def _device_list_faults(value: object) -> Iterator[Fault]:
    yield from items_check(device_faults, "devicePath")(value)
    yield from again_faults(value, "name")


_CHECKS: Mapping[str, ValueCheck] = {
    "env": items_check(env_var_faults, "name"),
    "envFrom": items_check(env_from_source_faults),
    "image": text_check(image_fault),
    "imagePullPolicy": text_check(choice("Always", "IfNotPresent", "Never")),
    "lifecycle": object_check(lifecycle_faults),
    "ports": items_check(port_faults, "name"),
    "resizePolicy": items_check(_resize_faults, "resourceName"),
    "resources": object_check(amounts_faults),
    "securityContext": object_check(security_faults),
    "terminationMessagePolicy": text_check(choice("File", "FallbackToLogsOnError")),
    "volumeDevices": _device_list_faults,
    "volumeMounts": items_check(mount_faults, "mountPath"),
    **{kind: object_check(partial(probe_faults, kind)) for kind in PROBES},
}

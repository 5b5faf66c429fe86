"""`volumes` and `volume_mounts`: what Kubernetes takes of each, told at its pointer.

Whether a mount's volume is there is asked elsewhere (`pod_references`), where all of a task is known.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.labels import label_name_fault
from app.domain.kubernetes.object_checks import (
    again_faults,
    choice,
    inner_faults,
    is_templated,
    items_faults,
    optional_text_faults,
    text_faults,
)
from app.domain.kubernetes.paths import plain_path_fault, relative_path_fault
from app.domain.kubernetes.volume_sources import SOURCES
from app.domain.pointers import pointer, shown

#: Names of the volumes that `secrets` make, with their index behind it.
SECRET_VOLUME_PREFIX = "podrun-secret-"  # noqa: S105 - a name


def volumes_faults(value: object) -> Iterator[Fault]:
    """Faults of `volumes`: Kubernetes' list of Volume.

    Source: https://kubernetes.io/docs/concepts/storage/volumes/
    """
    yield from items_faults(value, "Volume", _own_volume_faults)
    yield from again_faults(value, "name")


def _own_volume_faults(volume: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(volume, "name", secret_volume_fault)
    yield from volume_faults(volume)


def secret_volume_fault(name: str) -> str | None:
    """Why a volume of a task may not have a name: podrun gives it to others."""
    if not name.startswith(SECRET_VOLUME_PREFIX):
        return None
    return f"{shown(name)} starts with {SECRET_VOLUME_PREFIX}: podrun names the volumes of secrets so; choose another name"


def volume_faults(volume: dict[str, Any]) -> Iterator[Fault]:
    """Faults of one Volume, beyond its shape. Without a source it is an emptyDir, as Kubernetes has it."""
    yield from text_faults(volume, "name", label_name_fault)
    given = [key for key in volume if key in SOURCES and volume[key] is not None]
    for key in given[1:]:
        yield Fault(pointer(key), f"must not stand beside {shown(given[0])}: a volume has one source")
    for key in given:
        yield from inner_faults(volume, key, SOURCES[key])


def volume_mounts_faults(value: object) -> Iterator[Fault]:
    """Faults of `volume_mounts`: Kubernetes' list of VolumeMount."""
    yield from items_faults(value, "VolumeMount", mount_faults)
    yield from again_faults(value, "mountPath")


def mount_faults(mount: dict[str, Any]) -> Iterator[Fault]:
    """Faults of one VolumeMount, beyond its shape."""
    for key in ("name", "mountPath"):
        if mount.get(key) == "":
            yield Fault(pointer(key), "must not be empty")
    yield from optional_text_faults(mount, "subPath", relative_path_fault)
    yield from optional_text_faults(mount, "subPathExpr", relative_path_fault)
    if mount.get("subPath") and mount.get("subPathExpr"):
        yield Fault(pointer("subPathExpr"), 'must not stand beside "subPath": one of them')
    yield from text_faults(mount, "mountPropagation", choice("None", "HostToContainer", "Bidirectional"))
    yield from text_faults(mount, "recursiveReadOnly", choice("Disabled", "IfPossible", "Enabled"))
    if mount.get("recursiveReadOnly") in ("IfPossible", "Enabled"):
        if mount.get("readOnly") in (None, False):
            yield Fault(pointer("recursiveReadOnly"), 'must only be given where "readOnly" is true')
        propagation = mount.get("mountPropagation")
        if propagation not in (None, "None") and not is_templated(propagation):
            yield Fault(pointer("recursiveReadOnly"), 'must not stand beside a "mountPropagation"')


def device_faults(device: dict[str, Any]) -> Iterator[Fault]:
    """Faults of one VolumeDevice, beyond its shape."""
    for key in ("name", "devicePath"):
        if device.get(key) == "":
            yield Fault(pointer(key), "must not be empty")
    yield from text_faults(device, "devicePath", plain_path_fault)

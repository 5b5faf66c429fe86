"""What is wrong between the containers of one pod and its volumes and claims: names that are not there, or taken twice.

Works on a PodSpec of any shape; pointers are relative to it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.object_checks import again_faults
from app.domain.pointers import either, pointer, shown, under

Templated = Callable[[Any], bool]
Json = dict[str, Any]

_FEW = 8  #: names that a message lists


@dataclass(frozen=True, slots=True)
class _Known:
    """What containers may name."""

    volumes: Mapping[str, Json]
    claims: Collection[str]
    has_all_volumes: bool  #: False: an expression may bring more
    has_all_claims: bool
    is_templated: Templated


def container_references_faults(spec: Mapping[str, Any], is_templated: Templated, *, is_open: bool) -> Iterator[Fault]:
    """Faults between a PodSpec's containers, its volumes and its claims.

    Args:
        spec: of any shape: what is none of a container's or a volume's is passed over.
        is_templated: whether a value holds an expression, so that what it will be is not known.
        is_open: whether volumes may come in of which nothing is known yet.
    """
    volumes, claims = _named(spec, "volumes"), _named(spec, "resourceClaims")
    known = _Known(
        volumes=volumes,
        claims=claims,
        has_all_volumes=not is_open and _is_plain(spec.get("volumes"), is_templated),
        has_all_claims=not is_open and _is_plain(spec.get("resourceClaims"), is_templated),
        is_templated=is_templated,
    )
    for place, container in _containers(spec):
        yield from under(place, _container_faults(container, known))
    yield from _name_faults(spec, is_templated)


def _objects(owner: Mapping[str, Any], key: str) -> Iterator[tuple[int, Json]]:
    items = owner.get(key)
    return ((index, item) for index, item in enumerate(items if isinstance(items, list) else ()) if isinstance(item, dict))


def _named(spec: Mapping[str, Any], key: str) -> dict[str, Json]:
    return {item["name"]: item for _, item in _objects(spec, key) if isinstance(item.get("name"), str)}


def _is_plain(items: object, is_templated: Templated) -> bool:
    """Whether all names of a list's items are known."""
    if not isinstance(items, list):
        return items is None
    return all(
        isinstance(item, dict) and isinstance(item.get("name"), str) and not is_templated(item["name"]) for item in items
    )


def _containers(spec: Mapping[str, Any]) -> Iterator[tuple[str, Json]]:
    for key in ("containers", "initContainers"):
        for index, container in _objects(spec, key):
            yield pointer(key, index), container


def _name_faults(spec: Mapping[str, Any], is_templated: Templated) -> Iterator[Fault]:
    """Containers of the two kinds share their names; within one list the list's own check tells."""
    taken: dict[str, str] = {}
    for place, container in _containers(spec):
        name = container.get("name")
        if isinstance(name, str) and not is_templated(name) and taken.setdefault(name, place) != place:
            yield Fault(place + pointer("name"), f"{shown(name)} is the name of another container of this pod: must be unique")


def _container_faults(container: Json, known: _Known) -> Iterator[Fault]:
    for index, mount in _objects(container, "volumeMounts"):
        yield from under(pointer("volumeMounts", index), _mount_faults(mount, container, known))
    yield from under(pointer("volumeMounts"), again_faults(container.get("volumeMounts"), "mountPath"))
    for index, device in _objects(container, "volumeDevices"):
        yield from under(pointer("volumeDevices", index), _device_faults(device, container, known))
    for index, item in _objects(container, "env"):
        source = item.get("valueFrom")
        file = source.get("fileKeyRef") if isinstance(source, dict) else None
        if isinstance(file, dict):
            yield from under(pointer("env", index, "valueFrom", "fileKeyRef"), _file_faults(file, known))
    resources = container.get("resources")
    for index, claim in _objects(resources, "claims") if isinstance(resources, dict) else ():
        yield from under(pointer("resources", "claims", index), _claim_faults(claim, known))


def _volume_fault(name: object, known: _Known) -> str | None:
    if not isinstance(name, str) or not name or name in known.volumes:
        return None
    if not known.has_all_volumes or known.is_templated(name):
        return None
    there = f"the volumes here are {', '.join(known.volumes)}" if known.volumes else "there are none: volumes declares them"
    return f"there is no volume {shown(name)}" + (f": {there}" if len(known.volumes) <= _FEW else "")


def _mount_faults(mount: Json, container: Json, known: _Known) -> Iterator[Fault]:
    if fault := _volume_fault(mount.get("name"), known):
        yield Fault(pointer("name"), fault)
    if mount.get("mountPropagation") == "Bidirectional":
        context = container.get("securityContext")
        privileged = context.get("privileged") if isinstance(context, dict) else None
        if privileged in (None, False) and not known.is_templated(context):
            yield Fault(pointer("mountPropagation"), '"Bidirectional" is for privileged containers only')


_BLOCK_SOURCES = ("persistentVolumeClaim", "ephemeral")


def _device_faults(device: Json, container: Json, known: _Known) -> Iterator[Fault]:
    name, path = device.get("name"), device.get("devicePath")
    if fault := _volume_fault(name, known):
        yield Fault(pointer("name"), fault)
    volume = known.volumes.get(name) if isinstance(name, str) else None
    if volume is not None and not any(volume.get(source) for source in _BLOCK_SOURCES):
        yield Fault(pointer("name"), f"a device needs a volume with {either(_BLOCK_SOURCES)}")
    for index, mount in _objects(container, "volumeMounts"):
        if mount.get("name") == name or mount.get("mountPath") == path:
            yield Fault("", f"volumeMounts/{index} has this volume or path already")


def _file_faults(file: Json, known: _Known) -> Iterator[Fault]:
    name = file.get("volumeName")
    if fault := _volume_fault(name, known):
        yield Fault(pointer("volumeName"), fault)
    volume = known.volumes.get(name) if isinstance(name, str) else None
    if volume is not None and volume.get("emptyDir") is None:
        yield Fault(pointer("volumeName"), f"must name an emptyDir, and {shown(name)} is none")


def _claim_faults(claim: Json, known: _Known) -> Iterator[Fault]:
    name = claim.get("name")
    if isinstance(name, str) and name not in known.claims and known.has_all_claims and not known.is_templated(name):
        yield Fault(pointer("name"), f"there is no resource claim {shown(name)}: pod.resourceClaims declares them")

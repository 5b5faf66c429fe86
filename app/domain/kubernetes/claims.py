"""The claim that an ephemeral volume makes: its template, beyond its shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.labels import annotations_faults, selector_labels_faults, subdomain_fault
from app.domain.kubernetes.object_checks import choice, filled_faults, inner_faults, optional_text_faults, text_faults
from app.domain.kubernetes.quantities import parse_quantity, quantity_faults
from app.domain.kubernetes.scheduling import label_selector_faults
from app.domain.pointers import either, pointer, shown, under

_ACCESS_MODES = ("ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod")


def claim_template_faults(template: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a PersistentVolumeClaimTemplate.

    Source: https://kubernetes.io/docs/concepts/storage/ephemeral-volumes/#generic-ephemeral-volumes
    """
    yield from inner_faults(template, "metadata", _metadata_faults)
    yield from filled_faults(template, "spec")
    yield from inner_faults(template, "spec", _claim_faults)


def _metadata_faults(metadata: dict[str, Any]) -> Iterator[Fault]:
    if isinstance(metadata.get("labels"), dict):
        yield from under(pointer("labels"), selector_labels_faults(metadata["labels"]))
    if isinstance(metadata.get("annotations"), dict):
        yield from under(pointer("annotations"), annotations_faults(metadata["annotations"]))
    for key, value in metadata.items():
        if key not in ("labels", "annotations") and value:
            yield Fault(pointer(key), "must not be given: a claim's template has labels and annotations only")


def _claim_faults(spec: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(spec, "accessModes")
    yield from _access_mode_faults(spec.get("accessModes"))
    yield from inner_faults(spec, "selector", label_selector_faults)
    yield from _storage_faults(spec)
    yield from optional_text_faults(spec, "storageClassName", subdomain_fault)
    yield from optional_text_faults(spec, "volumeAttributesClassName", subdomain_fault)
    yield from text_faults(spec, "volumeMode", choice("Block", "Filesystem"))
    for key in ("dataSource", "dataSourceRef"):
        yield from inner_faults(spec, key, _data_source_faults)


def _access_mode_faults(modes: object) -> Iterator[Fault]:
    given = [mode for mode in modes if isinstance(mode, str)] if isinstance(modes, list) else []
    for index, mode in enumerate(given):
        if mode not in _ACCESS_MODES:
            yield Fault(pointer("accessModes", index), f"must be {either(_ACCESS_MODES)}, not {shown(mode)}")
    if "ReadWriteOncePod" in given and len({*given} & {*_ACCESS_MODES}) > 1:
        yield Fault(pointer("accessModes"), "ReadWriteOncePod must not stand beside other access modes")


def _storage_faults(spec: dict[str, Any]) -> Iterator[Fault]:
    resources = spec.get("resources")
    requests = resources.get("requests") if isinstance(resources, dict) else None
    if resources is None or (isinstance(resources, dict) and (requests is None or requests == {})):
        yield Fault("", "resources.requests.storage is required: how much it asks for")
        return
    for part in ("limits", "requests"):
        amounts = resources.get(part) if isinstance(resources, dict) else None
        if isinstance(amounts, dict):
            for name in amounts:
                yield from under(pointer("resources", part), quantity_faults(amounts, name))
    if isinstance(requests, dict):
        if "storage" not in requests:
            yield Fault(pointer("resources", "requests"), 'the key "storage" is required: how much it asks for')
        elif (amount := parse_quantity(requests["storage"])) is not None and amount == 0:
            yield Fault(pointer("resources", "requests", "storage"), "must be greater than 0")


def _data_source_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "name", "kind")
    group = source.get("apiGroup")
    if not group and source.get("kind") not in (None, "", "PersistentVolumeClaim"):
        yield Fault(pointer("kind"), 'must be "PersistentVolumeClaim" where there is no apiGroup')
    yield from optional_text_faults(source, "apiGroup", subdomain_fault)

"""Where a volume's content comes from: each of Kubernetes' sources, beyond its shape.

Every check gives the faults of one source, with pointers relative to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.claims import claim_template_faults
from app.domain.kubernetes.containers import field_faults, key_to_path_faults, mode_faults, resource_field_faults
from app.domain.kubernetes.labels import subdomain_fault
from app.domain.kubernetes.object_checks import (
    ObjectCheck,
    choice,
    each_faults,
    filled_faults,
    inner_faults,
    is_templated,
    one_of_faults,
    optional_text_faults,
    range_faults,
    text_faults,
)
from app.domain.kubernetes.paths import inner_path_fault, plain_path_fault
from app.domain.kubernetes.quantities import quantity_faults
from app.domain.kubernetes.scheduling import label_selector_faults
from app.domain.pointers import either, pointer, shown

_FILE_FIELDS = ("metadata.name", "metadata.namespace", "metadata.labels", "metadata.annotations", "metadata.uid")
_HOST_PATH_TYPES = ("DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice")
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_ISCSI_NAMES = ("iqn", "eui", "naa")


def _filled(*keys: str) -> ObjectCheck:
    return lambda source: filled_faults(source, *keys)


def _empty_dir_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from quantity_faults(source, "sizeLimit")


def _host_path_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "path")
    yield from text_faults(source, "path", plain_path_fault)
    yield from optional_text_faults(source, "type", choice(*_HOST_PATH_TYPES))


def _secret_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "secretName")
    yield from mode_faults(source, "defaultMode")
    yield from each_faults(source, "items", key_to_path_faults)


def _config_map_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "name")
    yield from mode_faults(source, "defaultMode")
    yield from each_faults(source, "items", key_to_path_faults)


def _downward_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from mode_faults(source, "defaultMode")
    yield from each_faults(source, "items", _downward_file_faults)


def _downward_file_faults(item: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(item, "path")
    yield from text_faults(item, "path", inner_path_fault)
    yield from mode_faults(item)
    yield from one_of_faults(item, ("fieldRef", "resourceFieldRef"))
    yield from inner_faults(item, "fieldRef", lambda ref: field_faults(ref, _FILE_FIELDS))
    yield from inner_faults(item, "resourceFieldRef", resource_field_faults)
    yield from inner_faults(item, "resourceFieldRef", _filled("containerName"))


# ------------------------------------------------------------------------------------------------ projected


def _projected_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from mode_faults(source, "defaultMode")
    yield from each_faults(source, "sources", _projection_faults)
    yield from _same_path_faults(source.get("sources"))


def _projection_faults(projection: dict[str, Any]) -> Iterator[Fault]:
    yield from one_of_faults(projection, tuple(_PROJECTIONS))
    for key, check in _PROJECTIONS.items():
        yield from inner_faults(projection, key, check)


def _files_faults(projection: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(projection, "name")
    yield from each_faults(projection, "items", key_to_path_faults)


def _token_faults(projection: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(projection, "path")
    yield from text_faults(projection, "path", inner_path_fault)
    yield from range_faults(projection, "expirationSeconds", 600, 2**32)


def _trust_bundle_faults(projection: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(projection, "path")
    yield from text_faults(projection, "path", inner_path_fault)
    yield from one_of_faults(projection, ("name", "signerName"))
    yield from inner_faults(projection, "labelSelector", label_selector_faults)
    if projection.get("name") is not None and projection.get("labelSelector") is not None:
        yield Fault(pointer("labelSelector"), 'must only be given beside "signerName"')


_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")


def _certificate_faults(projection: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(projection, "keyType", choice(*_KEY_TYPES))
    yield from range_faults(projection, "maxExpirationSeconds", 3600, 91 * 86_400)
    if not any(projection.get(key) for key in _CERTIFICATE_PATHS):
        yield Fault("", f"must have one of {either(_CERTIFICATE_PATHS)}")
    for key in _CERTIFICATE_PATHS:
        yield from optional_text_faults(projection, key, inner_path_fault)


_PROJECTIONS: Mapping[str, ObjectCheck] = {
    "clusterTrustBundle": _trust_bundle_faults,
    "configMap": _files_faults,
    "downwardAPI": lambda projection: each_faults(projection, "items", _downward_file_faults),
    "podCertificate": _certificate_faults,
    "secret": _files_faults,
    "serviceAccountToken": _token_faults,
}


def _same_path_faults(sources: object) -> Iterator[Fault]:
    """Two files of one projected volume that would stand at the same path."""
    taken: set[str] = set()
    for place, path in _projected_paths(sources):
        if is_templated(path):
            continue
        if path in taken:
            yield Fault(place, f"{shown(path)} is where another file of this volume is already: must be unique")
        taken.add(path)


def _projected_paths(sources: object) -> Iterator[tuple[str, str]]:
    for index, projection in enumerate(sources if isinstance(sources, list) else ()):
        for kind, inner in projection.items() if isinstance(projection, dict) else ():
            if not isinstance(inner, dict) or kind == "serviceAccountToken":  # whose path the API server does not compare
                continue
            for key in ("path", *_CERTIFICATE_PATHS):
                if isinstance(inner.get(key), str) and inner[key]:
                    yield pointer("sources", index, kind, key), inner[key]
            items = inner.get("items")
            for number, item in enumerate(items if isinstance(items, list) else ()):
                if isinstance(item, dict) and isinstance(item.get("path"), str) and item["path"]:
                    yield pointer("sources", index, kind, "items", number, "path"), item["path"]


# ------------------------------------------------------------------------------------------------ storage of all kinds


def _nfs_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "server", "path")
    yield from text_faults(
        source, "path", lambda path: None if path.startswith("/") else f"must be an absolute path, not {shown(path)}"
    )


def _csi_faults(source: dict[str, Any]) -> Iterator[Fault]:
    def driver_fault(name: str) -> str | None:
        return f"{shown(name)} has more than 63 characters" if len(name) > 63 else subdomain_fault(name.lower())

    yield from text_faults(source, "driver", driver_fault)
    yield from inner_faults(source, "nodePublishSecretRef", _secret_name_faults)


def _secret_name_faults(reference: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(reference, "name")
    yield from optional_text_faults(reference, "name", subdomain_fault)


def _ephemeral_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "volumeClaimTemplate")
    yield from inner_faults(source, "volumeClaimTemplate", claim_template_faults)


def _disk_faults(name: str) -> ObjectCheck:
    def check(source: dict[str, Any]) -> Iterator[Fault]:
        yield from filled_faults(source, name)
        yield from range_faults(source, "partition", 0, 255)

    return check


def _iscsi_faults(source: dict[str, Any]) -> Iterator[Fault]:
    def name_fault(text: str) -> str | None:
        return None if text.startswith(_ISCSI_NAMES) else f"must start with {either(_ISCSI_NAMES)}, not {shown(text)}"

    yield from filled_faults(source, "targetPortal", "iqn")
    yield from optional_text_faults(source, "iqn", name_fault)
    yield from text_faults(source, "initiatorName", name_fault)
    yield from range_faults(source, "lun", 0, 255)
    if (source.get("chapAuthDiscovery") is True or source.get("chapAuthSession") is True) and not source.get("secretRef"):
        yield Fault("", 'the key "secretRef" is required for CHAP')


def _fibre_channel_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from one_of_faults({key: source[key] for key in ("targetWWNs", "wwids") if source.get(key)}, ("targetWWNs", "wwids"))
    if source.get("targetWWNs"):
        if source.get("lun") is None:
            yield Fault("", 'the key "lun" is required beside "targetWWNs"')
        yield from range_faults(source, "lun", 0, 255)


def _azure_disk_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "diskName", "diskURI")
    yield from text_faults(source, "cachingMode", choice("None", "ReadOnly", "ReadWrite"))
    yield from text_faults(source, "kind", choice("Shared", "Dedicated", "Managed"))
    start = {"Managed": "/subscriptions/", "Shared": "https://", "Dedicated": "https://"}.get(str(source.get("kind")), "")
    yield from text_faults(
        source, "diskURI", lambda uri: None if uri.startswith(start) else f"must start with {start}, not {shown(uri)}"
    )


def _flocker_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from one_of_faults(source, ("datasetName", "datasetUUID"))


def _git_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "repository")
    yield from optional_text_faults(source, "directory", inner_path_fault)


def _image_faults(source: dict[str, Any]) -> Iterator[Fault]:
    yield from filled_faults(source, "reference")
    yield from optional_text_faults(source, "pullPolicy", choice("Always", "IfNotPresent", "Never"))


SOURCES: Mapping[str, ObjectCheck] = {
    "configMap": _config_map_faults,
    "csi": _csi_faults,
    "downwardAPI": _downward_faults,
    "emptyDir": _empty_dir_faults,
    "ephemeral": _ephemeral_faults,
    "hostPath": _host_path_faults,
    "image": _image_faults,
    "nfs": _nfs_faults,
    "persistentVolumeClaim": _filled("claimName"),
    "projected": _projected_faults,
    "secret": _secret_faults,
    # Those of single vendors, and those that Kubernetes has given up.
    "awsElasticBlockStore": _disk_faults("volumeID"),
    "azureDisk": _azure_disk_faults,
    "azureFile": _filled("secretName", "shareName"),
    "cephfs": _filled("monitors"),
    "cinder": _filled("volumeID"),
    "fc": _fibre_channel_faults,
    "flexVolume": _filled("driver"),
    "flocker": _flocker_faults,
    "gcePersistentDisk": _disk_faults("pdName"),
    "gitRepo": _git_faults,
    "glusterfs": _filled("endpoints", "path"),
    "iscsi": _iscsi_faults,
    "photonPersistentDisk": _filled("pdID"),
    "portworxVolume": _filled("volumeID"),
    "quobyte": _filled("registry", "volume"),
    "rbd": _filled("monitors", "image"),
    "scaleIO": _filled("gateway", "system", "volumeName"),
    "storageos": _filled("volumeName"),
    "vsphereVolume": _filled("volumePath"),
}

"""A container's keys that are Kubernetes' own: environment, resources, security context, what pulls its image.

Every check gives the faults of one key's value, with pointers relative to it: first its shape, by Kubernetes' schema, then
what the schema does not say and the API server would refuse. Where the shape is wrong, the rest is checked as far as it goes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import Any

from app.domain.errors import Fault
from app.domain.kubernetes.labels import config_key_fault, label_key_fault, string_map_faults, subdomain_fault
from app.domain.kubernetes.object_checks import (
    again_faults,
    choice,
    each_faults,
    is_templated,
    items_faults,
    needed_text_faults,
    one_of_faults,
    optional_text_faults,
    range_faults,
    text_faults,
)
from app.domain.kubernetes.paths import inner_path_fault, relative_path_fault
from app.domain.kubernetes.quantities import not_a_quantity, parse_quantity, quantity_faults
from app.domain.kubernetes.schema import SECURITY_CONTEXT, schema_faults
from app.domain.pointers import either, pointer, shown, under

OUR_ENV_PREFIX = "PODRUN_"

#: Since 1.32, and behind the strict rule of older servers: any printable ASCII but "=".
_ENV_NAME = re.compile(r"[ -<>-~]+")

#: What of its pod an environment variable can show.
FIELD_PATHS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_FIELD_MAP = re.compile(r"metadata\.(labels|annotations)\['([^']+)'\]")
_RESOURCE_FIELDS = re.compile(r"(limits|requests)\.(cpu|memory|ephemeral-storage|hugepages-.+)")
_CPU_DIVISORS = ("1m", "1")
_DIVISORS = ("1", *(f"1{suffix}" for suffix in ("k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))


def env_name_fault(name: str) -> str | None:
    """Why a text may not be the name of an environment variable of a task, None if it may."""
    if not _ENV_NAME.fullmatch(name):
        return f"{shown(name)} is not the name of an environment variable: printable ASCII characters without '='"
    if name.startswith(OUR_ENV_PREFIX):
        return f"{shown(name)} starts with {OUR_ENV_PREFIX}: podrun sets those itself; choose another name"
    return None


# ------------------------------------------------------------------------------------------------ environment


def env_faults(value: object) -> Iterator[Fault]:
    """Faults of `env`: an object of names and values (null takes a default away), or Kubernetes' list of EnvVar."""
    if isinstance(value, list):
        yield from items_faults(value, "EnvVar", env_var_faults)
        yield from again_faults(value, "name")
        return
    if not isinstance(value, dict):
        yield Fault("", f"must be an object of names and values, or Kubernetes' list of name and value, not {shown(value)}")
        return
    yield from string_map_faults(value, what="names and values")
    for name in value:
        if isinstance(name, str) and (fault := env_name_fault(name)):
            yield Fault(pointer(name), fault)


def env_var_faults(item: dict[str, Any]) -> Iterator[Fault]:
    """Faults of an EnvVar, beyond its shape."""
    yield from text_faults(item, "name", env_name_fault)
    source = item.get("valueFrom")
    if not isinstance(source, dict):
        return
    if item.get("value"):
        yield Fault(pointer("valueFrom"), 'must not stand beside "value": one of them')
    yield from under(pointer("valueFrom"), one_of_faults(source, _SOURCES))
    for key, check in _SOURCE_CHECKS.items():
        if isinstance(source.get(key), dict):
            yield from under(pointer("valueFrom", key), check(source[key]))


def _key_selector_faults(selector: dict[str, Any]) -> Iterator[Fault]:
    yield from needed_text_faults(selector, "name", subdomain_fault)
    yield from text_faults(selector, "key", config_key_fault)


def field_faults(selector: dict[str, Any], paths: Sequence[str] = FIELD_PATHS) -> Iterator[Fault]:
    """Faults of an ObjectFieldSelector that may name one of these paths, or one label or annotation."""

    def check(path: str) -> str | None:
        if path in paths:
            return None
        if match := _FIELD_MAP.fullmatch(path):
            kind, key = match.groups()
            return label_key_fault(key.lower() if kind == "annotations" else key)
        known = either(sorted([*paths, "metadata.labels['<KEY>']", "metadata.annotations['<KEY>']"]))
        return f"{shown(path)} is no field that can be shown here: {known}"

    yield from text_faults(selector, "fieldPath", check)
    yield from optional_text_faults(selector, "apiVersion", choice("v1"))


def resource_field_faults(selector: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a ResourceFieldSelector."""

    def check(text: str) -> str | None:
        if _RESOURCE_FIELDS.fullmatch(text):
            return None
        return f"{shown(text)} must be limits. or requests. and cpu, memory, ephemeral-storage or hugepages-SIZE"

    yield from text_faults(selector, "resource", check)
    divisor, resource = selector.get("divisor"), selector.get("resource")
    amount = parse_quantity(divisor)
    if divisor is not None and amount is None:
        yield Fault(pointer("divisor"), not_a_quantity(divisor))
    elif amount and not is_templated(resource):
        allowed = _CPU_DIVISORS if str(resource).endswith(".cpu") else _DIVISORS
        if amount not in map(parse_quantity, allowed):
            yield Fault(pointer("divisor"), f"must be {either(allowed)}, not {shown(divisor)}")


_SOURCE_CHECKS: dict[str, Callable[[dict[str, Any]], Iterator[Fault]]] = {
    "configMapKeyRef": _key_selector_faults,
    "fieldRef": field_faults,
    "resourceFieldRef": resource_field_faults,
    "secretKeyRef": _key_selector_faults,
}
_SOURCES = (*_SOURCE_CHECKS, "fileKeyRef")


def env_from_faults(value: object) -> Iterator[Fault]:
    """Faults of `env_from`: Kubernetes' list of EnvFromSource."""
    yield from items_faults(value, "EnvFromSource", env_from_source_faults)


def env_from_source_faults(item: dict[str, Any]) -> Iterator[Fault]:
    """Faults of an EnvFromSource, beyond its shape."""
    yield from optional_text_faults(item, "prefix", env_name_fault)
    yield from one_of_faults(item, ("configMapRef", "secretRef"))
    for key in ("configMapRef", "secretRef"):
        if isinstance(item.get(key), dict):
            yield from under(pointer(key), needed_text_faults(item[key], "name", subdomain_fault))


# ------------------------------------------------------------------------------------------------ resources

_RESOURCES = ("cpu", "ephemeral-storage", "memory")


def resources_faults(value: object) -> Iterator[Fault]:
    """Faults of `resources`: Kubernetes' ResourceRequirements.

    Source: https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/
    """
    yield from schema_faults("ResourceRequirements", value)
    if isinstance(value, dict):
        yield from amounts_faults(value)


def amounts_faults(value: dict[str, Any]) -> Iterator[Fault]:
    """Faults of ResourceRequirements, beyond their shape."""
    limits, requests = _amounts(value, "limits"), _amounts(value, "requests")
    for key, amounts in (("limits", limits), ("requests", requests)):
        for name, amount in amounts.items():
            yield from under(pointer(key, name), _amount_faults(str(name), amount))
    if is_templated(value.get("limits")) or is_templated(value.get("requests")):
        return
    names = {*map(str, limits), *map(str, requests)}
    if any(name.startswith("hugepages-") for name in names) and not names & {"cpu", "memory"}:
        yield Fault("", "huge pages need an amount of cpu or memory beside them")
    for name, amount in requests.items():
        if (fault := _over_limit(str(name), amount, limits)) is not None:
            yield Fault(pointer("requests", name), fault)


def _amounts(value: dict[str, Any], key: str) -> dict[str, Any]:
    amounts = value.get(key)
    return amounts if isinstance(amounts, dict) else {}


def _is_overcommittable(name: str) -> bool:
    return ("/" not in name or "kubernetes.io/" in name) and not name.startswith("hugepages-")


def _amount_faults(name: str, value: object) -> Iterator[Fault]:
    if name not in _RESOURCES and not name.startswith("hugepages-"):
        if "/" not in name:
            known = f"{', '.join(_RESOURCES)}, hugepages-SIZE, or a name with a prefix, such as example.com/gpu"
            yield Fault("", f"there is no resource {shown(name)}: {known}")
        elif fault := label_key_fault(name):
            yield Fault("", fault.replace("label key", "resource name"))
    faults = [Fault("", fault.detail) for fault in quantity_faults({name: value}, name)]
    yield from faults
    amount = parse_quantity(value)
    if faults or amount is None or _is_overcommittable(name):
        return
    if amount.denominator != 1:
        yield Fault("", f"must be a whole number of {name}, not {shown(value)}")
    elif (page := parse_quantity(name.removeprefix("hugepages-"))) and amount % page:
        yield Fault("", f"must be a multiple of the pages' size, not {shown(value)}")


def _over_limit(name: str, requested: object, limits: dict[str, Any]) -> str | None:
    amount = parse_quantity(requested)
    limit: Fraction | None = parse_quantity(limits.get(name))
    if amount is None:
        return None
    if name not in limits:
        return None if _is_overcommittable(name) else f"{name} needs a limit that is equal to its request"
    if limit is None:
        return None
    if amount > limit:
        return f"must be at most its limit, {shown(limits[name])}, not {shown(requested)}"
    if amount != limit and not _is_overcommittable(name):
        return f"must be equal to its limit, {shown(limits[name])}, not {shown(requested)}"
    return None


# ------------------------------------------------------------------------------------------------ security

_PROFILE = choice("Localhost", "RuntimeDefault", "Unconfined")
_WORDS = {
    "fsGroupChangePolicy": choice("Always", "OnRootMismatch"),
    "procMount": choice("Default", "Unmasked"),
    "seLinuxChangePolicy": choice("MountOption", "Recursive"),
    "supplementalGroupsPolicy": choice("Merge", "Strict"),
}
_IDS = ("runAsUser", "runAsGroup", "fsGroup")
_MAX_ID = 2**31 - 1
_SYSCTL = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?")


def _profile_faults(profile: dict[str, Any]) -> Iterator[Fault]:
    yield from text_faults(profile, "type", _PROFILE)
    local = profile.get("localhostProfile")
    if profile.get("type") == "Localhost" and not local:
        yield Fault("", 'the key "localhostProfile" is required where the type is "Localhost"')
    elif local is not None and profile.get("type") in ("RuntimeDefault", "Unconfined"):
        yield Fault(pointer("localhostProfile"), 'must only be given where the type is "Localhost"')
    elif isinstance(local, str):
        yield from text_faults(profile, "localhostProfile", relative_path_fault)


def security_context_faults(value: object) -> Iterator[Fault]:
    """Faults of `security_context`: the keys of Kubernetes' PodSecurityContext and SecurityContext in one object."""
    yield from schema_faults(SECURITY_CONTEXT, value)
    if isinstance(value, dict):
        yield from security_faults(value)


def security_faults(value: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a PodSecurityContext or SecurityContext, beyond its shape."""
    for key in _IDS:
        yield from range_faults(value, key, 0, _MAX_ID)
    groups = value.get("supplementalGroups")
    if isinstance(groups, list):
        by_index = {str(index): group for index, group in enumerate(groups)}
        for index in by_index:
            yield from under(pointer("supplementalGroups"), range_faults(by_index, index, 0, _MAX_ID))
    for key, check in _WORDS.items():
        yield from optional_text_faults(value, key, check)
    for key in ("seccompProfile", "appArmorProfile"):
        if isinstance(value.get(key), dict):
            yield from under(pointer(key), _profile_faults(value[key]))
    if value.get("allowPrivilegeEscalation") is False:
        added = value["capabilities"].get("add") if isinstance(value.get("capabilities"), dict) else None
        if value.get("privileged") is True:
            yield Fault(pointer("allowPrivilegeEscalation"), 'must not be false where "privileged" is true')
        if isinstance(added, list) and "CAP_SYS_ADMIN" in added:
            yield Fault(pointer("allowPrivilegeEscalation"), "must not be false where CAP_SYS_ADMIN is added")
    yield from under(pointer("sysctls"), again_faults(value.get("sysctls"), "name"))
    yield from each_faults(value, "sysctls", lambda item: text_faults(item, "name", _sysctl_fault))


def _sysctl_fault(name: str) -> str | None:
    if len(name) <= 253 and _SYSCTL.fullmatch(name):
        return None
    return f"{shown(name)} is not the name of a sysctl: lower-case parts, with dots or slashes between them"


# ------------------------------------------------------------------------------------------------ image and secrets


def image_pull_secrets_faults(value: object) -> Iterator[Fault]:
    """Faults of `image_pull_secrets`: Kubernetes' list of LocalObjectReference."""
    yield from items_faults(value, "LocalObjectReference", lambda item: needed_text_faults(item, "name", subdomain_fault))


def secret_items_faults(value: object) -> Iterator[Fault]:
    """Faults of a secret's `items`: Kubernetes' list of KeyToPath."""
    yield from items_faults(value, "KeyToPath", key_to_path_faults)


def mode_faults(owner: dict[str, Any], key: str = "mode") -> Iterator[Fault]:
    """The fault of a file's permissions."""
    for fault in range_faults(owner, key, 0, 0o777):
        yield Fault(fault.pointer, f"{fault.detail} (octal 777 is 511)")


def key_to_path_faults(item: dict[str, Any]) -> Iterator[Fault]:
    """Faults of a KeyToPath, beyond its shape."""
    yield from text_faults(item, "key", config_key_fault)
    yield from text_faults(item, "path", lambda path: inner_path_fault(path) if path else "must not be empty")
    yield from mode_faults(item)
